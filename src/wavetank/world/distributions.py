"""`importlib.metadata` without what happens to lie in the user's own folders.

Owns how `importlib.metadata` lists a folder that belongs neither to Python nor to installed libraries. Its own way is
to list the whole folder for each entry of `sys.path`, and to keep what it found until the folder's time of change
moves. So a program that asks for the version of a library as it runs (redis-py does for each connection) would have
other addresses, and another order of its sets, after an editor or the last campaign has left a file there. Here such a
folder is listed once, an entry at a time, and only what describes a distribution is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

_scandir = os.scandir  # the real one: in a run `os.scandir` shows simulated files, too
_SUFFIXES = (".dist-info", ".egg-info")


def quieten(metadata: ModuleType, is_own: Callable[[str], bool]) -> None:
    """Let `importlib.metadata` list the folders for which `is_own` holds in our way."""
    path_type: Any = metadata.__dict__["FastPath"]
    children, when_changed = path_type.children, path_type.mtime.fget

    def listed(self: Any) -> Any:
        return _describing(self.root) if is_own(self.root) else children(self)

    def changed(self: Any) -> Any:
        return 0.0 if is_own(self.root) else when_changed(self)

    path_type.children = listed
    path_type.mtime = property(changed)


def _describing(folder: str) -> list[str]:
    """The names in a folder that describe distributions, in order."""
    found: list[str] = []
    with suppress(OSError), _scandir(folder or os.curdir) as entries:
        for entry in entries:
            if entry.name.lower().endswith(_SUFFIXES) or entry.name.lower() == "egg-info":
                found.append(entry.name)
    return sorted(found)
