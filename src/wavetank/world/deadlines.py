"""The deadlines that the programs of a host have pending: the instants at which the network aims.

Owns the search for them: the end of a wait that a thread of the host is in, and the timers of the loop or reactor that
it runs, also while it runs. It looks and changes nothing, and costs no virtual time.
"""

from __future__ import annotations

from typing import Final

from wavetank import frameworks
from wavetank.kernel import core
from wavetank.kernel.core import FAR
from wavetank.world.host import Host

#: At most so many threads of a host are asked, each for so many deadlines (see `frameworks.deadlines`).
MAX_THREADS: Final = 32


def of_host(host: Host | None) -> list[int]:
    """Virtual times in ns, in no order; some may have passed. Without a host none."""
    found: list[int] = []
    if host is None:
        return found
    now = core.K.now
    asked = 0
    for process in host.stack.processes:
        for thread in process.threads:
            if asked >= MAX_THREADS:
                return found
            asked += 1
            if thread.parked and now < thread.deadline < FAR:
                found.append(thread.deadline)
            found += frameworks.deadlines(thread)
    return found
