"""`weakref.finalize` at the end of a process: each simulated process runs its own finalizers, and only these.

Owns who made which finalizer. `weakref` runs unmodified: at exit it calls all that are in its one table and then does
no more for the rest of the interpreter's life, which is right for a process and wrong for an interpreter that is shared
by several. So the table shows a process only what it made itself, and the flag is taken back. What the image's imports
have made belongs to no process and is not called; nor is anything in a process that is killed, as on Linux.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

_finalize: Final[Any] = weakref.finalize


class _Table(dict[Any, Any]):
    """`weakref.finalize._registry`, whose `items`, asked for at exit, are those of the running process."""

    def __init__(self) -> None:
        super().__init__()
        self.owners: dict[Any, Process] = {}

    def __setitem__(self, finalizer: Any, info: Any) -> None:
        self.owners[finalizer] = core.K.process
        super().__setitem__(finalizer, info)

    def pop(self, finalizer: Any, default: Any = None) -> Any:
        """Forget one; what is known of it, or `default`."""
        self.owners.pop(finalizer, None)
        return super().pop(finalizer, default)

    def items(self) -> Any:
        """Those of the running process."""
        process = core.K.process
        return {finalizer: self[finalizer] for finalizer in self if self.owners.get(finalizer) is process}.items()


def run_all() -> None:
    """Call the running process's finalizers, the last one first, as `weakref` does at exit."""
    try:
        _finalize._exitfunc()
    finally:
        _finalize._shutdown = False


def forget(processes: Collection[Process]) -> None:
    """Finalizers that these processes made and that have not run never will."""
    table = _finalize._registry
    for finalizer, owner in list(table.owners.items()):
        if owner in processes:
            table.pop(finalizer)


def begin() -> None:
    """The running process's finalizers are to be called when it ends: after what it registers with `atexit` itself."""
    atexit.register(run_all)


def install() -> None:
    """Replace the table of finalizers, and let no process register the call at exit for all."""
    table = _Table()
    for finalizer, info in _finalize._registry.items():
        dict.__setitem__(table, finalizer, info)
    _finalize._registry = table
    _finalize._registered_with_atexit = True
