"""What a program has for itself in the interpreter that all simulated processes share.

Owns the list of module attributes that are exchanged when another process takes over: `sys.argv`, the standard streams,
`__main__`, the environment, what is to be done at exit. The exchange itself is `Process.own`. Every process of a world
owns the same attributes: one that did not would see the values of whoever ran before.

What is not on the list is shared by all programs of a world, above all the imported modules and their globals. The
documentation says so.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from wavetank.frameworks import state
from wavetank.kernel import exits
from wavetank.world.output import Streams

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

_ENCODING: Final = ("utf-8", "surrogateescape")  # os.environ's on Linux (Library: os, "File Names and Environment")


class Variables(MutableMapping[bytes, bytes]):
    """The environment of one process: a common base that is only read, and the process's own changes."""

    __slots__ = ("_base", "_changes")

    def __init__(self, base: Mapping[str, str]) -> None:
        self._base = base
        self._changes: dict[bytes, bytes | None] = {}

    def __getitem__(self, name: bytes) -> bytes:
        if name in self._changes:
            changed = self._changes[name]
            if changed is None:
                raise KeyError(name)
            return changed
        try:
            return self._base[name.decode(*_ENCODING)].encode(*_ENCODING)
        except KeyError:
            raise KeyError(name) from None

    def __setitem__(self, name: bytes, value: bytes) -> None:
        self._changes[name] = value

    def __delitem__(self, name: bytes) -> None:
        self[name]
        self._changes[name] = None

    def __iter__(self) -> Iterator[bytes]:
        for text in self._base:
            name = text.encode(*_ENCODING)
            if name not in self._changes:
                yield name
        for name, value in list(self._changes.items()):
            if value is not None:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def copy(self) -> dict[bytes, bytes]:
        """A dict, as CPython's own is one."""
        return dict(self)

    def __reduce__(self) -> tuple[type, tuple[dict[bytes, bytes]]]:
        return dict, (self.copy(),)  # what `copy.deepcopy(os.environ)` goes by


_SYSTEM: Final = (
    "argv", "orig_argv", "path", "stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__", "excepthook",
    "unraisablehook",
)  # fmt: skip
_PLACES: Final[tuple[tuple[dict[str, Any], tuple[str, ...]], ...]] = (
    (sys.__dict__, _SYSTEM),
    (sys.modules, ("__main__",)),
    (os.environ.__dict__, ("_data",)),
    (os.environb.__dict__, ("_data",)),
)


def assume(
    process: Process,
    *,
    streams: Streams,
    argv: list[str],
    path: list[str],
    environment: Mapping[str, str],
    main: ModuleType,
    inherited: list[Any],
) -> None:
    """Give a new process everything that is its own. `inherited`: callbacks at exit that the image's imports made."""
    variables = Variables(environment)
    values = {
        "argv": argv,
        "orig_argv": [sys.executable, *argv],
        "path": path,
        "stdin": streams.input_text,
        "stdout": streams.output_text,
        "stderr": streams.error_text,
        "__stdin__": streams.input_text,
        "__stdout__": streams.output_text,
        "__stderr__": streams.error_text,
        "excepthook": sys.__excepthook__,
        "unraisablehook": sys.__unraisablehook__,
        "__main__": main,
        "_data": variables,
    }
    for namespace, names in _PLACES:
        process.own(namespace, {name: values[name] for name in names})
    exits.begin(process, inherited)
    state.begin(process)
    _assume_library_state(process)


def keep_present(process: Process) -> None:
    """Make what is in place now this process's own: for the one on whose thread the world is scheduled."""
    for namespace, names in _PLACES:
        process.own(namespace, {name: namespace.get(name) for name in names})
    exits.begin(process, exits.registered())
    state.begin(process)
    _assume_library_state(process)


def _assume_library_state(process: Process) -> None:
    """Module state of the standard library that would be wrong to share, of the modules that are loaded."""
    logging = sys.modules.get("logging")
    if logging is not None:
        # Handlers hold the streams of the process that made them; the levels of loggers stay shared.
        handlers = weakref.WeakValueDictionary(logging._handlers)
        process.own(logging.root.__dict__, {"handlers": list(logging.root.handlers)})
        process.own(logging.__dict__, {"_handlers": handlers, "_handlerList": list(logging._handlerList)})
    pools = sys.modules.get("concurrent.futures.thread")
    if pools is not None:
        # One process's end must neither wait for the workers of another nor forbid it new ones.
        process.own(pools.__dict__, {"_shutdown": False, "_threads_queues": weakref.WeakKeyDictionary()})
    pools = sys.modules.get("concurrent.futures.process")
    if pools is not None:
        process.own(pools.__dict__, {"_global_shutdown": False, "_threads_wakeups": weakref.WeakKeyDictionary()})
    events = sys.modules.get("asyncio.events")
    if events is not None:
        process.own(events.__dict__, {"_event_loop_policy": None})
