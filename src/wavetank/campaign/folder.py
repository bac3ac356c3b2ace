"""The private folder of an image and its runs: one of its own in the system's folder for temporary files.

Owns the making of it, and the removal of those that were left behind: whoever is killed by SIGKILL cannot remove its
own. A folder in use is locked (flock(2), which the system releases with the process); one that nobody has locked and
that is older than an hour was left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

PREFIX: Final = "wavetank-"
#: Younger folders are left alone: between the making of a folder and its locking there is a moment.
LEFT_BEHIND_S: Final = 3600.0


class Folder:
    """A new folder, locked until `remove`. `path`: where it is."""

    def __init__(self) -> None:
        sweep()
        self.path = tempfile.mkdtemp(prefix=PREFIX)
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a file system without locks: then nobody can tell, and it may be swept
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Remove the folders of this user that were left behind."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = path.stat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > LEFT_BEHIND_S:
                _sweep_one(path)


def _sweep_one(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
