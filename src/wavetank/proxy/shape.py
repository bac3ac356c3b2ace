"""What the faults in force do to one direction of one connection: its shape.

Owns how faults add up: delays add, speeds each count, the smallest piece and the nearest cut win. Must never know
sockets. A shape is made anew when a fault begins or ends; the calm one is a single object, so that `is CALM` asks it.

The idea of a speed: a bucket says when the next byte may go. What is sent moves that moment; a timer that comes late is
made up for, up to `CREDIT_NS`; a line that was idle has saved nothing. The first bytes go at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from wavetank import faults
from wavetank.proxy.timers import now_ns

if TYPE_CHECKING:
    from wavetank.proxy.line import Force

#: A bucket gives out what its speed allows in this time, at least a byte: 500 wake-ups a second, whatever the speed.
QUANTUM_NS: Final = 2_000_000
#: So late may a timer be (a busy machine, the interpreter's switch interval of 5 ms) without loss of speed.
CREDIT_NS: Final = 20_000_000
#: A line is idle when nothing has come for so long; a busy loop needs some of it to read on.
_IDLE_NS: Final = 5_000_000
#: Between two pieces of a cut stream: time for a reader to take the first one alone. A bare reader needs about 50 us.
PIECE_GAP_NS: Final = 200_000
#: What TCP carries in one segment on Ethernet: 1500 less the headers of IP and TCP with timestamps (RFC 9293, 3.7.1).
SEGMENT_BYTES: Final = 1448
#: A lost last segment is repeated after this (Linux TCP_RTO_MIN, include/net/tcp.h), then doubling (RFC 6298, 5.5).
RTO_NS: Final = 200_000_000
#: A segment is not lost more often than this in a row: 200 ms doubled seven times is 25.6 s.
MOST_LOSSES: Final = 7


class Bucket:
    """A speed in bytes per second, which may be shared by several directions. `waiting` counts who waits for it."""

    __slots__ = ("_last_ns", "_ns_per_byte", "_quantum", "next_ns", "waiting")

    def __init__(self, bytes_per_s: int) -> None:
        self._ns_per_byte = 1e9 / bytes_per_s
        self._quantum = max(1, bytes_per_s * QUANTUM_NS // 10**9)
        self._last_ns = 0
        self.next_ns = 0
        self.waiting = 0

    def begin(self, now: int) -> None:
        """Something comes: the time that the line was idle does not count. Between two reads it is not idle."""
        if not self.waiting and now - self._last_ns > _IDLE_NS:
            self.next_ns = max(self.next_ns, now)

    def budget(self, now: int) -> int:
        """How many bytes may go now; 0: wait until `next_ns`."""
        if self.next_ns > now:
            return 0
        return self._quantum + int(min(now - self.next_ns, CREDIT_NS) / self._ns_per_byte)

    def take(self, size: int, now: int) -> None:
        """`size` bytes went."""
        self._last_ns = now
        self.next_ns = int(max(self.next_ns, now - CREDIT_NS) + size * self._ns_per_byte)


class Shape:
    """What becomes of the bytes of one direction. Times in ns.

    `delays`: pairs of a delay and the jitter that may come on top. `loss`: probability for a segment or datagram.
    `buckets`: speeds. `piece_bytes`: largest piece, 0 for any. `read_bytes_per_s`: how fast it is read, 0 for any.
    `hold`: nothing is read, nothing passes. `drop`: what is read is forgotten. `silent`: ends and resets are not told.
    `cuts`: offsets at which something happens, with what. The rest is for datagrams.
    """

    __slots__ = (
        "buckets", "cuts", "delays", "drop", "duplicate", "hold", "loss", "piece_bytes", "read_bytes_per_s", "reorder",
        "silent", "truncate_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.delays: tuple[tuple[int, int], ...] = ()
        self.loss = 0.0
        self.buckets: tuple[Bucket, ...] = ()
        self.piece_bytes = 0
        self.read_bytes_per_s = 0
        self.hold = self.drop = self.silent = False
        self.cuts: tuple[tuple[int, Force], ...] = ()
        self.duplicate = self.reorder = 0.0
        self.truncate_bytes: int | None = None

    @property
    def delayed(self) -> bool:
        """Whether bytes wait for their time."""
        return bool(self.delays or self.loss)

    def delay_ns(self, size: int, rng: Callable[[str], random.Random]) -> int:
        """How long a piece of `size` bytes of a stream takes; `rng` gives the generator of a concern."""
        total = 0
        for delay, jitter in self.delays:
            total += delay + (int(rng("jitter").random() * jitter) if jitter else 0)
        return total + (self._repeats_ns(size, rng("loss"), total) if self.loss else 0)

    def _repeats_ns(self, size: int, rng: random.Random, round_trip_ns: int) -> int:
        """The time that lost segments cost: a round trip when three later ones tell of it (RFC 5681), else the RTO."""
        segments = -(-size // SEGMENT_BYTES) or 1
        lost = [index for index in range(segments) if rng.random() < self.loss]
        if not lost:
            return 0
        if segments - lost[-1] > 3 and len(lost) < segments // 2:
            return round_trip_ns
        cost, timeout = RTO_NS, RTO_NS
        for _ in range(MOST_LOSSES):
            if rng.random() >= self.loss:
                break
            timeout *= 2
            cost += timeout
        return cost


#: A direction without any fault.
CALM: Final = Shape()


def compile_shape(forces: Iterable[Force], direction: int) -> Shape:
    """The shape that these forces give to a direction. They are those that aim at it (`Line.shape`)."""
    shape: Shape | None = None
    for force in forces:
        shape = shape or Shape()
        _add(shape, force, direction)
    return shape or CALM


def _add(shape: Shape, force: Force, direction: int) -> None:
    match force.fault:
        case faults.Latency(delay_s=delay_s, jitter_s=jitter_s):
            shape.delays += ((round(delay_s * 1e9), round(jitter_s * 1e9)),)
        case faults.Loss(rate=rate):
            shape.loss = 1 - (1 - shape.loss) * (1 - rate)
        case faults.Bandwidth(bytes_per_s=speed):
            shape.buckets += (force.bucket(direction, speed),)
        case faults.Segments(max_bytes=size):
            shape.piece_bytes = min(size, shape.piece_bytes or size)
        case faults.SlowReader(bytes_per_s=speed):
            shape.read_bytes_per_s = min(speed, shape.read_bytes_per_s or speed)
        case faults.Stall():
            shape.hold = True
        case faults.Drop():
            shape.drop = shape.silent = True
        case faults.Partition():
            shape.hold = shape.silent = True
        case faults.Reset(after_bytes=size) | faults.Eof(after_bytes=size):
            shape.cuts += ((size, force),)
        case faults.Duplicate(rate=rate):
            shape.duplicate = max(shape.duplicate, rate)
        case faults.Reorder(rate=rate):
            shape.reorder = max(shape.reorder, rate)
        case faults.Truncate(max_bytes=size):
            shape.truncate_bytes = size if shape.truncate_bytes is None else min(size, shape.truncate_bytes)
        case other:
            raise AssertionError(f"{other} has no shape")


def reading_bucket(bytes_per_s: int) -> Bucket:
    """The bucket of one reader."""
    bucket = Bucket(bytes_per_s)
    bucket.next_ns = now_ns()
    return bucket
