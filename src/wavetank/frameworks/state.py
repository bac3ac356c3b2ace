"""What each simulated process, and each simulated thread, has for itself of a framework's module state.

Owns the two lists behind that: attributes of which every process has its own value, and exchanges at each switch of
threads. It knows no framework; the frameworks' modules enter what they know, when the image imports the framework or
when the first program does.

On Linux each process has its own copy of every module. Here all processes of a world share them, and only what is
entered here is kept apart: that which would let one process act in the name of another (a cache of threads, a reactor,
the observers of a log). Everything else is shared; the documentation says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

#: What `ModuleTable` shows for a module that is not there.
ABSENT: Final = object()

#: A namespace, and the names in it that each process has for itself.
_Place = tuple[dict[str, Any], str]

_Values = Callable[[], Sequence[Any]]

_owned: list[tuple[tuple[_Place, ...], _Values, _Values]] = []
_processes: list[Process] = []  # those that have begun, the ended ones sorted out now and then
_importers: list[Process] = []


def own(places: Sequence[_Place], fresh: _Values, importing: _Values | None = None) -> None:
    """Each process, those there are and those to come, has these names for itself; `fresh()` gives the first values.

    `importing()` gives those for the processes that only import; see `only_imports`.
    """
    entry = (tuple(places), fresh, importing or fresh)
    _owned.append(entry)
    for process in _processes:
        _give(process, *entry)


def only_imports(process: Process) -> None:
    """`process`, the director's, runs no framework: what it imports, it imports for the programs. Before `begin`."""
    _importers[:] = [process]  # a world has one director, and an interpreter one world at a time


def begin(process: Process) -> None:
    """Give a new process everything that is its own. It must not run yet."""
    _processes[:] = [each for each in _processes if each.status is None]
    _processes.append(process)
    for entry in _owned:
        _give(process, *entry)


def forget() -> None:
    """The world is over, and the interpreter goes on: hold none of its processes."""
    _processes.clear()
    _importers.clear()


def _give(process: Process, places: tuple[_Place, ...], fresh: _Values, importing: _Values) -> None:
    values = importing() if process in _importers else fresh()
    for (namespace, name), value in zip(places, values, strict=True):
        process.own(namespace, {name: value})


def per_thread(get: Callable[[], Any], put: Callable[[Any], object]) -> int:
    """Exchange something at each switch of threads; a thread that has not run yet gets `put(None)`.

    Returns the place of a thread's value in `core.Thread.framework`.
    """
    core.per_thread.append((get, put))
    for thread in core.K.threads:
        thread.framework.append(None)
    return len(core.per_thread) - 1


def seen_from(thread: core.Thread, look: Callable[[], Any]) -> Any:
    """What `look()` gives when it sees what `thread` keeps for itself (`threading.local` and the like); for reports.

    Nothing may be scheduled meanwhile.
    """
    if thread is core.K.running:
        return look()
    _exchange(thread)
    try:
        return look()
    finally:
        _exchange(thread)


def _exchange(thread: core.Thread) -> None:
    """Swap what is in place with what `thread` keeps."""
    present = core._STATE.copy()
    core._STATE.clear()
    core._STATE.update(thread.local)
    thread.local = present
    for index, (get, put) in enumerate(core.per_thread):
        value = get()
        put(thread.framework[index])
        thread.framework[index] = value


class ModuleTable(dict[str, Any]):
    """`modules` (that is, `sys.modules`) as a namespace for `own` in which a module may also be `ABSENT`."""

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__()
        self._modules = modules

    def get(self, name: str, default: Any = None) -> Any:
        """The module, or `ABSENT`."""
        return self._modules.get(name, ABSENT)

    def update(self, values: Any) -> None:  # type: ignore[override]
        """Each name by itself."""
        for name, module in values.items():
            self[name] = module

    def __setitem__(self, name: str, module: Any) -> None:
        if module is ABSENT:
            self._modules.pop(name, None)
        else:
            self._modules[name] = module
