"""Shared memory by name (`multiprocessing.shared_memory`), in a world where nobody but its own programs shares it.

Owns the names. Memory is the real system's; but runs draw the same names from the same seed, and go on side by side. So
each run has names of its own, and at its end what is left under them goes. The small process that watches over what
`multiprocessing` leaves behind (`resource_tracker`) is not started: a world keeps no children, and does that itself.
Behaviour: shm_open(3).
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from wavetank.kernel.replace import when_imported

_real_pid: Final = os.getpid
#: The real names that this run has made, with the call that removes them.
_made: dict[str, Any] = {}


def _private(path: str) -> str:
    return f"/wavetank-{_real_pid()}-{path.lstrip('/').replace('/', '-')}"


class _Names:
    """The two calls of `_posixshmem`."""

    def __init__(self, module: Any) -> None:
        self._open = module.shm_open
        self._unlink = module.shm_unlink

    def shm_open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """A descriptor of the memory of this name."""
        name = _private(path)
        fd: int = self._open(name, flags, mode=mode)
        if flags & os.O_CREAT:
            _made[name] = self._unlink
        return fd

    def shm_unlink(self, path: str) -> None:
        """Take the name away."""
        name = _private(path)
        self._unlink(name)
        _made.pop(name, None)


def _rename(module: ModuleType) -> None:
    own = _Names(module)
    module.shm_open = own.shm_open  # type: ignore[attr-defined]
    module.shm_unlink = own.shm_unlink  # type: ignore[attr-defined]


class _NoTracker:
    """What stands in for the calls of `ResourceTracker`."""

    def ensure_running(self) -> None:
        """It is not needed."""

    def send(self, cmd: str, name: str, rtype: str) -> None:
        """Nobody needs to know."""


def _no_tracker(module: ModuleType) -> None:
    own = _NoTracker()
    tracker: Any = module.ResourceTracker
    tracker.ensure_running = own.ensure_running  # bound to the stand-in: called without the tracker
    tracker._send = own.send


def clear() -> None:
    """The world is over: what it shared goes."""
    while _made:
        name, unlink = _made.popitem()
        try:
            unlink(name)
        except FileNotFoundError:
            continue


def install() -> None:
    """Change both modules as soon as they are imported."""
    when_imported("_posixshmem", _rename)
    when_imported("multiprocessing.resource_tracker", _no_tracker)
