"""The import locks of a process that dies in the middle of an import.

Importing needs nothing else: `importlib._bootstrap` takes its locks and thread identities from the module `_thread` at
each call, and that is where the simulated ones are, so a second importer waits until the first is through. The module
locks that it made before were free and are made anew for each import; the one lock in C, around the table of module
locks, is never held while a thread parks.

But modules are shared by the simulated processes, and a process can be killed while it runs a module's body. What it
leaves behind, a held lock and half a module, would in reality be gone with it. (A limit: a thread of another process
that waits for that very module at that moment still gets the half, once. Python/import.c does not look again.)
"""

from __future__ import annotations

import importlib._bootstrap as bootstrap
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavetank.kernel.process import Process


def release_all(process: Process) -> None:
    """Undo the imports that the threads of a dead process had begun: the next importer starts anew."""
    owners = {thread.ident for thread in process.threads}
    known: dict[str, Any] = vars(bootstrap)["_module_locks"]
    for name, reference in sorted(known.items()):
        held = reference()
        if held is None or getattr(held, "owner", None) not in owners:
            continue
        module = sys.modules.get(name)
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            del sys.modules[name]
        held.owner = None
        held.count = type(held.count)()  # an int in 3.11, a list from 3.12 on
        if held.waiters and held.wakeup.locked():
            held.waiters = type(held.waiters)()
            held.wakeup.release()
