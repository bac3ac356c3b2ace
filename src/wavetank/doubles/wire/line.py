"""A way on which things go wrong: delays, rates, small buffers, stalls, cut cables, ends after so many bytes.

Owns the bytes between the sender's buffer and the receiver, and the times at which they move. Must never be there for a
way without faults: that one is `way` alone, and short.

The idea: bytes are *written* (in the sender's buffer, which watermarks count), then in *flight* (the systems have them,
each piece with the time at which it arrives), then *arrived* (the way's queue, from which the receiver reads). Each
fault holds back one of these steps. Without small buffers a system takes nothing that the receiver does not read, so
that the writer feels a reader that pauses at once.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wavetank.faults import Bandwidth, Buffers, Drop, Fault, Latency, SlowReader, Stall

if TYPE_CHECKING:
    from wavetank.doubles.wire.way import Way

#: So much does a system take although nothing arrives: what Linux gives a socket to send when it is opened is 16 KiB
#: (tcp(7), tcp_wmem), to receive 128 KiB (tcp_rmem); a test wants a round number between.
CUT_OFF_BYTES: Final = 64 * 1024
#: A rate is kept in steps of this many seconds, or one byte.
STEP_S: Final = 0.1


class Line:
    """What is between the sender's buffer and the receiver of one way."""

    def __init__(self, way: Way, draw: random.Random) -> None:
        self.way = way
        self.draw = draw
        self.written: list[bytes] = []
        self.flight: deque[tuple[float, bytes]] = deque()
        self.flying = 0
        #: Bytes in the way's queue.
        self.arrived = 0
        self.active: list[Fault] = []
        #: Offsets of the stream at which something happens, and what.
        self.limits: list[tuple[int, Callable[[], None]]] = []
        #: What is written is lost, and nobody is told; or it is answered by a reset.
        self.vanishing = self.refused = False
        self._free_at = self._read_at = self._last_due = 0.0
        self._end_at: float | None = None
        #: Bytes delivered when that was looked at last.
        self._seen = way.delivered

    @property
    def held(self) -> int:
        """Bytes that have left the sender's buffer, and that the receiver has not read."""
        return self.flying + self.arrived

    def discard(self, *, arrived: bool = True) -> int:
        """Lose what is between, with or without what has arrived; returns how much that was."""
        lost = self.flying
        self.flying = 0
        self.flight.clear()
        self.written.clear()
        if arrived:
            lost += self.arrived
            self.arrived = 0
            self.way.queue.clear()
        return lost

    def _of(self, kind: type[Fault]) -> list[Fault]:
        return [fault for fault in self.active if isinstance(fault, kind)]

    # ---- a round

    def move(self) -> bool:
        """Carry what is due; returns whether anything happened."""
        way = self.way
        receiver, sender = way.receiver, way.sender
        before = (way.delivered, way.dropped, way.size, self.flying)
        if way.size and (receiver.lost or self.refused):
            way.nobody()
        elif way.size and (self.vanishing or (receiver.closing and not self._of(Drop))):
            way.lose()
        else:
            self._take()
            self._arrive()
            self._read()
            self._reached()
        happened = before != (way.delivered, way.dropped, way.size, self.flying)
        if before[2] != way.size:
            sender.taken()
        return self._end() or happened

    def _room(self) -> int:
        """How many more bytes may leave the sender's buffer."""
        buffers = self._of(Buffers)
        if buffers:
            size = min(each.send_bytes + each.receive_bytes for each in buffers if isinstance(each, Buffers))
            return size - self.held
        if self._of(Drop):
            return CUT_OFF_BYTES - self.held
        return min(self.way.size, self._share() - self.held) if self._may_read() else 0

    def _take(self) -> None:
        """The sender's system takes what it has room for, as fast as the line is."""
        way = self.way
        room = min(self._room(), way.size)
        now = way.sender.connection.now
        rates = [each.bytes_per_s for each in self._of(Bandwidth) if isinstance(each, Bandwidth)]
        if rates and room > 0:
            if now < self._free_at:
                return
            room = min(room, max(1, int(min(rates) * STEP_S)))
            self._free_at = now + room / min(rates)
            self._tick(self._free_at)
        count = 0
        while room > 0:
            piece = self.written[count]
            if len(piece) > room:
                self.written[count] = piece[room:]
                piece = piece[:room]
            else:
                count += 1
            room -= len(piece)
            way.size -= len(piece)
            self.flying += len(piece)
            self.flight.append((self._due(now), piece))
        del self.written[:count]

    def _due(self, now: float) -> float:
        """When what leaves now arrives; never before what left earlier."""
        due = now
        for each in self._of(Latency):
            assert isinstance(each, Latency)
            due += each.delay_s + (self.draw.uniform(0.0, each.jitter_s) if each.jitter_s else 0.0)
        if due > now:
            self._last_due = max(self._last_due, due)
            self._tick(self._last_due)
        return max(self._last_due, now)

    def _arrive(self) -> None:
        """What is due has arrived, as far as the receiver's buffer has room."""
        if self._of(Drop):
            return
        way, now = self.way, self.way.sender.connection.now
        sizes = [each.receive_bytes for each in self._of(Buffers) if isinstance(each, Buffers)]
        room = min(sizes) - self.arrived if sizes else self.flying
        while self.flight and room > 0 and self.flight[0][0] <= now:
            due, piece = self.flight.popleft()
            if len(piece) > room:
                self.flight.appendleft((due, piece[room:]))
                piece = piece[:room]
            room -= len(piece)
            self.flying -= len(piece)
            self.arrived += len(piece)
            way.queue.append(piece)

    def _read(self) -> None:
        """The receiver reads, as far and as fast as it does."""
        if self.arrived:
            self.way.read(self._may_read, self._allowed)
            self._wait()

    def _may_read(self) -> bool:
        """Whether the receiver takes another piece; and what was to be done at this offset is done."""
        self._wait()
        self._reached()
        receiver = self.way.receiver
        if not receiver.reading or receiver.closing or self._of(Stall):
            return False
        return not self._of(SlowReader) or receiver.connection.now >= self._read_at

    def _allowed(self) -> int:
        """The most that is read at once: the reader's share, and no further than to the next limit."""
        most = min(self.arrived, self._share())
        ahead = [offset - self.way.delivered for offset, _ in self.limits if offset > self.way.delivered]
        return min([most, *ahead])

    def _slowest(self) -> int:
        """How fast the reader is, in bytes per second; 0: as fast as can be."""
        return min((each.bytes_per_s for each in self._of(SlowReader) if isinstance(each, SlowReader)), default=0)

    def _share(self) -> int:
        """How many bytes the reader takes in one step."""
        rate = self._slowest()
        return max(1, int(rate * STEP_S)) if rate else self.way.size + self.held

    def _wait(self) -> None:
        """A slow reader that has read something reads again later."""
        rate, size = self._slowest(), self.way.delivered - self._seen
        self._seen = self.way.delivered
        if rate and size:
            self._read_at = self.way.sender.connection.now + size / rate
            self._tick(self._read_at)

    def _reached(self) -> None:
        """Do what is to be done at this offset of the stream."""
        for limit in [each for each in self.limits if each[0] == self.way.delivered]:
            self.limits.remove(limit)
            limit[1]()

    # ---- the end of the stream, or of the connection

    def _end(self) -> bool:
        """The end of the stream, or a reset, arrives after all that went before it."""
        way = self.way
        receiver = way.receiver
        if self.arrived or not (way.reset_due or way.eof) or self._of(Drop):
            return False
        if not way.reset_due and (way.size or self.flying or way.eof_told or receiver.lost):
            return False
        if not self._end_is_due():
            return False
        if way.reset_due:
            return way.notice_reset()
        if receiver.reading and not receiver.closing and not self._of(Stall):
            way.eof_told = True
            receiver.end_of_stream()
            return True
        return False

    def _end_is_due(self) -> bool:
        now = self.way.sender.connection.now
        if self._end_at is None:
            self._end_at = self._due(now)
        return now >= self._end_at

    def _tick(self, time_s: float) -> None:
        """Have a round made then."""
        self.way.sender.connection.at(time_s, _nothing)


def _nothing() -> None:
    """What is to be done at a tick: the round itself does it."""
