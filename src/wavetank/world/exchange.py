"""Putting the simulated kernel under an interpreter in which everything is imported already.

Owns the exchange: what modules, classes and functions have copied from the real system is found by identity and
replaced by what stands for it now. It cannot be taken back, so it is done in a process that is used for one run.

What is not found: a copy inside an object or a container, the base class of a class that a program has derived from
`socket.socket`, a lock that an object made for itself. That is why runs on top of this are called weaker.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, Final

from wavetank.kernel import shims

#: Modules whose classes are built from replaced ones: imported anew.
FRESH: Final = ("socket", "selectors", "ssl")
#: Modules in which the shims replace names in place; `_socket` and `select` are replaced whole.
PATCHED: Final = (
    "os", "posix", "time", "_thread", "_queue", "_signal", "signal", "atexit", "io", "_io", "builtins", "fcntl",
    "resource", "termios", "_posixsubprocess", "_socket", "select", "threading", "queue", "random", "uuid",
)  # fmt: skip
#: Values of these types are equal to too many others to be told by identity.
_PLAIN: Final = (int, float, complex, str, bytes, tuple, frozenset, bool, type(None), type(...))

_Pairs = dict[int, tuple[Any, Any]]  # the real thing by its id, kept alive, and what stands for it


def become_simulated() -> None:
    """Install the simulated kernel, and let every loaded module use it. Once in a process."""
    before = {name: (module, dict(vars(module))) for name, module in _loaded(PATCHED)}
    old = {name: (module, dict(vars(module))) for name, module in _loaded(FRESH)}
    for name in old:
        del sys.modules[name]
    shims.install_late()
    pairs: _Pairs = {}
    for name, (module, names) in (before | old).items():
        new = import_module(name)
        if new is not module:
            pairs[id(module)] = (module, new)
        _pair(names, vars(new), pairs)
    loaded: list[tuple[str, Any]] = list(sys.modules.items())  # a program may have put anything there
    for name, module in loaded:
        if isinstance(module, ModuleType) and not name.startswith("wavetank"):
            _exchange_in(module, pairs)
    _global_pairs.update(pairs)


_global_pairs: _Pairs = {}


def exchange_in_function(function: Any) -> None:
    """The same for a function's own globals and for what it has from the functions around it."""
    for each in functions_in(function):
        _exchange_names(each.__globals__, _global_pairs)
        for cell in each.__closure__ or ():
            _exchange_cell(cell)


def functions_in(function: Any) -> Iterator[FunctionType]:
    """A function, and the functions that its closure holds, and so on."""
    todo, seen = [function], set()
    while todo:
        each = todo.pop()
        if not isinstance(each, FunctionType) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [value for cell in each.__closure__ or () for value in _content(cell)]


def _content(cell: Any) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # nothing has been assigned yet
        return []


def _exchange_cell(cell: Any) -> None:
    for value in _content(cell):
        found = _global_pairs.get(id(value))
        if found is not None:
            cell.cell_contents = found[1]


def _loaded(names: tuple[str, ...]) -> Iterator[tuple[str, ModuleType]]:
    for name in names:
        module = sys.modules.get(name)
        if module is not None:
            yield name, module


def _pair(old: dict[str, Any], new: dict[str, Any], pairs: _Pairs) -> None:
    for name, value in old.items():
        other = new.get(name)
        if value is other or other is None or name.startswith("__") or type(value) in _PLAIN:
            continue
        pairs[id(value)] = (value, other)


def _exchange_in(module: ModuleType, pairs: _Pairs) -> None:
    names = vars(module)
    _exchange_names(names, pairs)
    for value in list(names.values()):
        if isinstance(value, type) and getattr(value, "__module__", None) == module.__name__:
            _exchange_attributes(value, pairs)
        elif isinstance(value, FunctionType) and value.__defaults__:
            value.__defaults__ = tuple(_stand_in(each, pairs) for each in value.__defaults__)


def _exchange_names(names: dict[str, Any], pairs: _Pairs) -> None:
    for name, value in list(names.items()):
        found = pairs.get(id(value))
        if found is not None and not name.startswith("__"):
            names[name] = found[1]


def _exchange_attributes(kind: type, pairs: _Pairs) -> None:
    for name, value in list(vars(kind).items()):
        found = pairs.get(id(value))
        if found is not None and not name.startswith("__"):
            with suppress(AttributeError, TypeError):  # a class whose attributes cannot be set, such as one in C
                setattr(kind, name, found[1])


def _stand_in(value: Any, pairs: _Pairs) -> Any:
    found = pairs.get(id(value))
    return value if found is None else found[1]
