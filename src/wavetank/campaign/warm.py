"""The image of the last `wavetank.run`, kept for the next one.

Owns one image between two calls. Starting an image takes a large part of a second, a run a few milliseconds; and who
calls `run` in a loop means the same target each time. An image executes nothing of the user's own before it forks, so
one that was prepared from the very same files is as good as a new one; any doubt ends it.
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import dataclass, field
from typing import Final

from wavetank.campaign.order import ImageOrder
from wavetank.campaign.runner import Image

#: What the next import could find in a folder: such files, and folders.
_IMPORTABLE: Final = (".py", ".pyc", ".so", ".pth")


@dataclass
class Loan:
    """A started image, and what it was prepared from."""

    image: Image
    seen: dict[str, object]
    owner: int = field(default_factory=os.getpid)  # a fork of that process has no right to its image

    def is_good_for(self, order: ImageOrder, search_path: list[str]) -> bool:
        """Whether a new image for this target would be the same."""
        image = self.image
        asked = (order, search_path) == (image.order, image.search_path)
        return asked and image.alive and self.seen == _look(image)

    def close(self) -> None:
        """End the image, if it is ours."""
        if self.owner == os.getpid():
            self.image.close()


_kept: Final[list[Loan]] = []  # one, or none
_exchange: Final = threading.Lock()  # held while `_kept` changes; threads may call `wavetank.run` at a time


def borrow(order: ImageOrder, search_path: list[str]) -> Loan:
    """The kept image when it was prepared for just this and still would be, else a new one. See `Image` for errors."""
    kept = _exchanged(None)
    if kept is not None:
        if kept.owner == os.getpid() and kept.is_good_for(order, search_path):
            return kept
        kept.close()
    image = Image(order, search_path)
    image.__enter__()
    return Loan(image, _look(image))


def give_back(loan: Loan) -> None:
    """Keep an image that has no run under way, instead of the one before."""
    previous = _exchanged(loan)
    if previous is not None:
        previous.close()


@atexit.register
def forget() -> None:
    """End the kept image, if there is one."""
    previous = _exchanged(None)
    if previous is not None:
        previous.close()


def _exchanged(loan: Loan | None) -> Loan | None:
    """What was kept until now; `loan` takes its place."""
    with _exchange:
        previous = _kept.pop() if _kept else None
        if loan is not None:
            _kept.append(loan)
    return previous


def _look(image: Image) -> dict[str, object]:
    """The files that the image has loaded, and the names that the target's own imports could find."""
    seen: dict[str, object] = {}
    for file in image.report.modules.values() if image.report is not None else ():
        try:
            found = os.stat(file)
        except OSError:  # inside an archive, or gone
            continue
        seen[file] = (found.st_mtime_ns, found.st_size)
    for folder in image.order.target.sys_path:
        try:
            with os.scandir(folder) as entries:
                seen[folder] = {entry.name for entry in entries if entry.name.endswith(_IMPORTABLE) or entry.is_dir()}
        except OSError:  # no folder: an archive, or not there
            continue
    return seen
