"""Finding the user's own modules without listing their folders.

Owns the finder for folders that belong neither to Python nor to installed libraries. Python's own one reads such a
folder's whole list and its time of change, and keeps both: a file that an editor or the last campaign has left there
would shift the addresses of everything that is imported later. This one asks for single files (the rules are those of
`importlib.machinery.FileFinder`).
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any, Final

from wavetank.kernel.replace import when_imported
from wavetank.world import distributions

_WAVETANK: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STANDARD: Final = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
LIBRARIES: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
#: In the order in which Python tries them.
_LOADERS: Final[list[tuple[str, Any]]] = [
    *((suffix, ExtensionFileLoader) for suffix in EXTENSION_SUFFIXES),
    *((suffix, SourceFileLoader) for suffix in SOURCE_SUFFIXES),
    *((suffix, SourcelessFileLoader) for suffix in BYTECODE_SUFFIXES),
]


@lru_cache(maxsize=4096)
def owner(path: str) -> str:
    """Who wrote the file at `path`: "user", "library", "python" or "wavetank"."""
    if path.startswith((_WAVETANK, "<wavetank")):
        return "wavetank"
    if any(part in path for part in LIBRARIES):
        return "library"
    if path.startswith(("<", _STANDARD)):
        return "python"
    return "user"


class _Finder(FileFinder):
    """Finds modules in one folder, file by file."""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module, package or part of a namespace package in this folder."""
        place = os.path.join(self.path, fullname.rpartition(".")[2])
        if os.path.isdir(place):
            package = _file(fullname, os.path.join(place, "__init__"), [place])
            if package is not None:
                return package
        module = _file(fullname, place, None)
        if module is None and os.path.isdir(place):
            module = ModuleSpec(fullname, None)
            module.submodule_search_locations = [place]
        return module

    def invalidate_caches(self) -> None:
        """There are none."""


def _file(fullname: str, stem: str, locations: list[str] | None) -> ModuleSpec | None:
    for suffix, loader in _LOADERS:
        path = stem + suffix
        if os.path.isfile(path):
            return spec_from_file_location(
                fullname, path, loader=loader(fullname, path), submodule_search_locations=locations
            )
    return None


def _hook(folder: str) -> _Finder:
    if owner(os.path.join(folder, "")) != "user" or not os.path.isdir(folder):
        raise ImportError("not a folder of the user's own", path=folder)
    return _Finder(folder)


def _is_own(folder: str) -> bool:
    return owner(os.path.join(folder, "")) == "user" and os.path.isdir(folder or os.curdir)


def install() -> None:
    """From now on no folder of the user's own is listed. Before anything has been looked for there."""
    if _hook not in sys.path_hooks:
        sys.path_hooks.insert(0, _hook)
        when_imported("importlib.metadata", lambda metadata: distributions.quieten(metadata, _is_own))
    for folder in [path for path in sys.path_importer_cache if owner(os.path.join(path, "")) == "user"]:
        del sys.path_importer_cache[folder]
