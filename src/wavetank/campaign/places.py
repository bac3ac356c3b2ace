"""Which file belongs to whom: the user's own code, a library, the standard library, or Wavetank.

Owns that distinction and nothing else: reports show the user's line first, groups of failures go by it, and the
fingerprint hashes the user's sources but only names the versions of libraries.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import wavetank

WAVETANK: Final = os.path.dirname(os.path.abspath(wavetank.__file__)) + os.sep
# purelib and platlib first: they are inside stdlib's folder, and mean libraries.
_LIBRARIES: Final = tuple({sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib")})
_STANDARD: Final = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
# One line of a stack as faulthandler dumps it (CPython Python/traceback.c, dump_frame) or as traceback formats it.
_FRAME: Final = re.compile(r'^ *File "(?P<file>.*)", line (?P<line>\d+),? in (?P<name>.*)$', re.MULTILINE)


class Frame(NamedTuple):
    """One line of a stack."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.name}"


@lru_cache(maxsize=4096)
def owner(path: str) -> str:
    """Who wrote the file at `path`: "user", "library", "python" or "wavetank"."""
    if path.startswith((WAVETANK, "<wavetank")):
        return "wavetank"
    if path.startswith("<"):
        return "python"
    if path.startswith(_LIBRARIES) or f"{os.sep}site-packages{os.sep}" in path:
        return "library"
    if path.startswith(_STANDARD):
        return "python"
    return "user"


def frames_in(text: str) -> list[Frame]:
    """The stack lines in `text`, in their order there."""
    return [Frame(found["file"], int(found["line"]), found["name"]) for found in _FRAME.finditer(text)]


def innermost(frames: Iterable[Frame]) -> Frame | None:
    """The user's own frame nearest to the point of failure, else the nearest of a library; innermost frame first."""
    library = None
    for frame in frames:
        whose = owner(frame.file)
        if whose == "user":
            return frame
        if whose == "library" and library is None:
            library = frame
    return library
