"""Why a target could not be prepared, in words: the user's error at the user's line.

Owns the wording. Runs in the image, after it has given up.
"""

from __future__ import annotations

import importlib
import os
import traceback
from typing import Final

from wavetank.campaign.order import Refusal
from wavetank.errors import WavetankError
from wavetank.world import places

_MACHINERY: Final = ("<string>", "<frozen importlib", "<frozen runpy", os.path.dirname(importlib.__file__) + os.sep)


def of(error: BaseException) -> Refusal:
    """The refusal for what preparing raised."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if places.owner(frame.filename) != "wavetank" and not frame.filename.startswith(_MACHINERY)
    ]
    if isinstance(error, WavetankError) and not frames:
        return Refusal(type(error).__name__, error.what, error.where, error.why, error.next)
    shown = "".join(traceback.format_exception_only(error)).rstrip()
    if isinstance(error, ModuleNotFoundError) and not frames:
        return Refusal("UsageError", f"the target cannot be loaded: {shown}")
    if not frames and not isinstance(error, SyntaxError):
        everything = "".join(traceback.format_exception(error)).rstrip()
        return Refusal("InternalError", f"the image could not be prepared: {shown}", where=everything)
    where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    text = "".join(traceback.format_list(frames)) + shown
    return Refusal("UsageError", f"the target cannot be loaded: {shown.splitlines()[-1]}", where=where, why=f"\n{text}")
