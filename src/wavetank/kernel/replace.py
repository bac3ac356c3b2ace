"""Puts simulated calls in the place of an interpreter's own: as attributes of a module, at once or when it is imported.

Owns the way of replacing, not what is replaced. A replacement is a *bound method* of a face object and not a plain
function, because programs keep such calls as class attributes (`logging.Formatter.converter = time.localtime`): a
builtin function there is not given `self`, a plain function would be, and a bound method is not (CPython
Objects/classobject.c, `method_descr_get`). Calling one costs the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

# Importing `importlib.abc` for real would draw in `tempfile` and `random` (3.11, 3.12) before they may be there.
if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object


def public_calls(face: object) -> dict[str, Any]:
    """The methods of a face whose names do not begin with an underscore, bound."""
    return {name: getattr(face, name) for name in dir(face) if not name.startswith("_")}


def replace_calls(face: object, *modules: ModuleType) -> None:
    """In each module, put the face's method `x` in the place of `x`, if the module has an `x`.

    It says that it is of the same module: what documents or stores functions asks that.
    """
    for name, call in public_calls(face).items():
        for module in modules:
            if hasattr(module, name):
                own = getattr(getattr(module, name), "__module__", None)
                if own and call.__module__.startswith("wavetank."):
                    call.__func__.__module__ = own
                setattr(module, name, call)


class _Patched(Loader):
    """A module's own loader, and then what is to be done with the loaded module."""

    def __init__(self, own: Any, calls: list[Callable[[ModuleType], object]]) -> None:
        self.own = own
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)  # get_data, is_package, get_source: what readers of resources ask a loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.own.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self.own.exec_module(module)
        module.__loader__ = self.own
        if module.__spec__ is not None:
            module.__spec__.loader = self.own
        for call in self.calls:
            call(module)


class _Finder:
    """First on `sys.meta_path`: lets the others find, and puts `_Patched` around the loader they found."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Callable[[ModuleType], object]]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        calls = self.calls.get(fullname)
        if calls is None:
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = _Patched(spec.loader, calls)
                    return spec
        return None


_finder = _Finder()


def when_imported(name: str, call: Callable[[ModuleType], object]) -> None:
    """Call `call(module)` whenever the module `name` has been imported: now, if it is there already."""
    module = sys.modules.get(name)
    if module is not None:
        call(module)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.calls.setdefault(name, []).append(call)
