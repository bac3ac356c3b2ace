"""Data that piles up in a program because its peer does not read: the oracle `buffer`.

Owns what counts as growing without bound. The kernel's own buffers are bounded; what grows is what a transport of
asyncio or Twisted keeps when the kernel takes no more, and a program that does not wait goes on to write.

The idea. A socket whose buffer is full is looked at from time to time, as long as something else goes on in the world.
One large write is no fault, nor are many in one turn of a loop: what counts is that the transport holds more and more,
each time one looks, up to a size that no program that listens to `pause_writing` (or a producer's pauses) comes to.
"""

from __future__ import annotations

from typing import Final

from wavetank import frameworks
from wavetank.kernel import core
from wavetank.kernel.core import Kernel
from wavetank.kernel.process import Process
from wavetank.kernel.tcp.connection import Tcp
from wavetank.world.job import FailureRecord
from wavetank.world.oracles import BUFFER, Oracles, text_record

#: This much, and found to have grown this often since the socket was last empty: sixteen times the high-water mark of
#: asyncio's transports (64 KiB, Lib/asyncio/transports.py) and of Twisted's (`FileDescriptor.bufferSize`).
LIMIT_BYTES: Final = 1 << 20
GROWTHS: Final = 16
#: How long until the next look: less while it grows, more while it does not.
SHORTEST_NS: Final = 2_000_000
LONGEST_NS: Final = 1_000_000_000


class Buffers:
    """Watches the full sockets of one world."""

    def __init__(self, kernel: Kernel, oracles: Oracles) -> None:
        self.kernel = kernel
        self.oracles = oracles
        self.watched: dict[Tcp, _Watched] = {}

    def full(self, tcp: Tcp) -> None:
        """The kernel takes no more data for `tcp`: look at it from now on."""
        if tcp not in self.watched:
            number = next((fd for fd, file in core.K.process.fds.items() if file is tcp), -1)
            if number >= 0:
                self.watched[tcp] = watched = _Watched(tcp, core.K.process, number)
                self.kernel.after(watched.pause_ns, self._look, watched)

    def _look(self, watched: _Watched) -> None:
        size = watched.unsent_bytes()
        alone = len(self.kernel.heap) < len(self.watched) and not self.kernel.ready
        if not size or alone or watched.process.status is not None:
            del self.watched[watched.tcp]
            return
        if size > watched.size:
            watched.growths += 1
            watched.pause_ns = SHORTEST_NS
        else:
            watched.pause_ns = min(2 * watched.pause_ns, LONGEST_NS)
        watched.size = max(size, watched.size)
        if size >= LIMIT_BYTES and watched.growths >= GROWTHS:
            self._report(watched.process.host_name, watched.tcp, size)
            return  # and it stays watched: said once
        self.kernel.after(watched.pause_ns, self._look, watched)

    def _report(self, host: str, tcp: Tcp, size: int) -> None:
        now, name, process = self.kernel.now, tcp.describe(), core.K.process.name

        def words() -> FailureRecord:
            what = f"{size:,} bytes wait to be sent on {name}, and it grows: {process} goes on to write, nobody reads"
            return text_record(BUFFER, host, now, what, [], "")

        self.oracles.report(BUFFER, host, words)


class _Watched:
    """A socket that is full: whose it is, and what was seen so far."""

    __slots__ = ("growths", "number", "pause_ns", "process", "size", "tcp")

    def __init__(self, tcp: Tcp, process: Process, number: int) -> None:
        self.tcp = tcp
        self.process = process
        self.number = number
        self.size = 0
        self.growths = 0
        self.pause_ns = SHORTEST_NS

    def unsent_bytes(self) -> int:
        """What the program's transport keeps for the socket."""
        if self.process.fds.get(self.number) is not self.tcp:
            return 0
        return max((frameworks.unsent_bytes(thread, self.number) for thread in self.process.threads), default=0)
