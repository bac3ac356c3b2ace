"""What a program has left behind: the oracle `leak`.

Owns what counts as left behind. It looks at a program's sockets when its main has returned and what is garbage has been
collected, or when the world ends.

The idea. Idle connections, listeners, background tasks and daemon threads are what programs legitimately leave: they
may still be wanted. A connection is not wanted any more when its peer has closed it and the program was told so, by a
read that found the end of the stream; a program that keeps such a socket loses a descriptor for each peer that goes
(`CLOSE_WAIT` in netstat(8)). One that has just been told may not have come to closing it, and a script that ends need
not close the last ones. So either there are several, or one has been left for a while.
"""

from __future__ import annotations

from typing import Final

from wavetank.kernel.core import Kernel
from wavetank.kernel.process import Process
from wavetank.kernel.tcp.connection import Tcp
from wavetank.kernel.tcp.state import CLOSE_WAIT
from wavetank.world.job import FailureRecord
from wavetank.world.oracles import LEAK, Oracles, text_record

#: So many sockets are a leak when their peers went some milliseconds ago, and one is after so long. Those whose peers
#: go while the program itself ends were told a few microseconds ago, if at all.
SEVERAL: Final = 3
SETTLED_NS: Final = 10_000_000
LEFT_NS: Final = 1_000_000_000
#: A report names at most so many.
_NAMED: Final = 20


def check(kernel: Kernel, oracles: Oracles, process: Process) -> None:
    """Report what `process` has left behind, if it has."""
    now = kernel.now
    files = dict.fromkeys(file for _, file in sorted(process.fds.items()) if isinstance(file, Tcp))
    kept = [tcp for tcp in files if tcp.state is CLOSE_WAIT and tcp.end_read_at >= 0 and not tcp.queued]
    left = [tcp for tcp in kept if now - tcp.end_read_at >= SETTLED_NS]
    if len(left) < SEVERAL and not any(now - tcp.end_read_at >= LEFT_NS for tcp in left):
        return
    host = process.host_name
    names = [
        f"{tcp.describe()}: the end was read at {tcp.end_read_at / 1e9:.6f} s, descriptor {number}"
        for number, tcp in sorted((min(fd for fd, each in process.fds.items() if each is tcp), tcp) for tcp in left)
    ]
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []

    def words() -> FailureRecord:
        several = f"{len(left)} sockets" if len(left) > 1 else "a socket"
        what = f"{process.name} never closed {several} whose peers had closed; the first: {names[0]}"
        return text_record(
            LEAK, host, now, what, [], "\n".join([*names[:_NAMED], *more]), sort=f"{process.name}: socket"
        )

    oracles.report(LEAK, host, words)


def report_lost(kernel: Kernel, oracles: Oracles, host: str, text: str, detail: str) -> None:
    """Report what a framework saw a program lose."""
    now = kernel.now
    oracles.report(LEAK, host, lambda: text_record(LEAK, host, now, text, [], detail, sort=detail))
