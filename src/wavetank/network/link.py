"""The way from one host to another, and what faults make of what travels on it.

Owns when a packet arrives, in how many pieces, or that it never does. It knows no protocol: a packet is an opaque
object with a size, a function that delivers it, and for byte streams a function that splits it. Order within one path
is kept, as one route through a network keeps it nearly always (RFC 4737 counts the exceptions as faults).

A *link* is directed, from host to host, or a host's own loopback. A *path* is what one flow (one direction of one
connection, or the datagrams from one host to another) makes of a link under the faults that aim at it. The calm path of
a loopback delivers at the end of the very system call that sends, as Linux does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from wavetank.faults import AnyFault, Party
from wavetank.network import lateness, segmentation
from wavetank.network.lateness import JITTER_STEP_NS, Lateness
from wavetank.network.segmentation import AimedDraws, Borders, Cutter
from wavetank.trace.digest import opaque_size

#: Calm one-way latency between two hosts: a switched local network.
LATENCY_NS: Final = 250_000
#: Two pieces of a cut segment arrive this far apart, so that a reader that waits sees them one by one.
PIECE_GAP_NS: Final = 50_000
#: One segment is cut into at most so many pieces.
MAX_PIECES: Final = 512
#: Smallest retransmission timeout of Linux, TCP_RTO_MIN (include/net/tcp.h): what one loss costs at least.
LOSS_COST_NS: Final = 200_000_000
#: What the loss of the first packet of a flow costs: TCP_TIMEOUT_INIT, 1 s (RFC 6298).
OPENING_LOSS_COST_NS: Final = 1_000_000_000
#: A datagram that is overtaken comes one to so many steps later: up to 16 ms, as between two routes of one provider.
OVERTAKEN_STEPS: Final = 64
OVERTAKEN_STEP_NS: Final = 250_000


class Draws(Protocol):
    """A stream of choices (see `kernel.choices.Stream`)."""

    def draw(self, rate: int, bound: int) -> int:
        """0 with probability 1 - rate/65536, else one of 1 .. bound-1."""


class Shape(NamedTuple):
    """What a path must know of the packets of a byte stream.

    `split(packet, size)` is the packet cut after `size` bytes of payload; `content(packet)` says where in the stream
    its payload begins, and the payload.
    """

    split: Callable[[Any, int], tuple[Any, Any]]
    content: Callable[[Any], tuple[int, bytes]]


class Gate(Protocol):
    """Where a flow of connections ends: what faults that know connections do there (see `kernel.tcp.strikes`)."""

    def passes(self, packet: Any, size: int) -> bool:
        """Look at a packet that is sent on a path with `strikes` or a watch; False: it is dealt with."""

    def strike(self, fault: AnyFault) -> bool:
        """Do now what the fault does to the connection; False: it is not open, or this has been done."""

    def passed(self) -> int:
        """How many bytes of the stream have been sent this way; -1: the connection is not open."""

    def stall(self) -> None:
        """The reader of this flow has stalled, or goes on."""


class Clock(Protocol):
    """What the network needs of the kernel."""

    now: int
    soft: deque[tuple[Callable[[Any], object], Any]]

    def at(self, when: int, call: Callable[[Any], object], argument: Any = None) -> None:
        """Call later, at virtual time `when`."""


class Allowance:
    """How much delay faults may still add to one connection, when the plan bounds it.

    A bucket that holds `limit_ns / 2` and gets back a quarter of a second each second, so that one exchange of ordinary
    length is never delayed by more than `limit_ns` in total. Without a limit everything is granted.
    """

    __slots__ = ("filled_at", "left", "limit")

    def __init__(self, limit_ns: int | None) -> None:
        self.limit = -1 if limit_ns is None else limit_ns // 2
        self.left = self.limit
        self.filled_at = 0

    def take(self, now: int, wanted: int) -> int:
        """As much of `wanted` ns as is left."""
        if self.limit < 0 or wanted <= 0:
            return wanted
        self._fill(now)
        granted = min(wanted, self.left)
        self.left -= granted
        return granted

    def take_all(self, now: int, wanted: int) -> bool:
        """All of `wanted` ns, or nothing and False."""
        if self.limit < 0:
            return True
        self._fill(now)
        if wanted > self.left:
            return False
        self.left -= wanted
        return True

    def _fill(self, now: int) -> None:
        self.left = min(self.limit, self.left + (now - self.filled_at) // 4)
        self.filled_at = now


#: What faults may delay that a scenario injects itself: as much as they say.
UNBOUNDED: Final = Allowance(None)


class Link:
    """Directed, from host to host, or a host's loopback (`source == target`)."""

    __slots__ = ("blocked", "latency_ns", "mtu", "source", "target")

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.blocked = 0  # how many partitions cut it now
        self.latency_ns = 0 if source == target else LATENCY_NS
        self.mtu = 65_536 if source == target else 1_500

    def __repr__(self) -> str:
        return f"<link {self.source} -> {self.target}>"


class Path:
    """One flow over a link. `configure` is called again whenever a fault begins or ends."""

    __slots__ = (
        "__weakref__",
        "allowance",
        "bandwidth",
        "borders",
        "bound",
        "broken",
        "busy_until",
        "calm",
        "clock",
        "cut_to",
        "cutter",
        "deadlines",
        "delay_ns",
        "deliver",
        "dropped",
        "dropping",
        "duplicate_rate",
        "gate",
        "gated",
        "jitter_steps",
        "key",
        "last_arrival",
        "late",
        "latency_ns",
        "link",
        "loss_rate",
        "losses",
        "max_piece",
        "opaque",
        "opened",
        "ordinal",
        "pair",
        "read_until",
        "reader_rate",
        "receive_limit",
        "receiver",
        "refusing",
        "reorder_rate",
        "send_limit",
        "sender",
        "shape",
        "slow",
        "stalled",
        "streams",
        "strikes",
        "truncate_to",
        "watched",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        link: Link,
        sender: Party,
        receiver: Party,
        ordinal: int,
        deliver: Callable[[Any], object],
        shape: Shape | None,
        streams: Callable[[str, str], AimedDraws],
        dropped: Callable[[Path, Any], object],
        allowance: Allowance,
        deadlines: Callable[[str], Sequence[int]],
    ) -> None:
        self.clock = clock
        self.link = link
        self.sender = sender
        self.receiver = receiver
        self.ordinal = ordinal
        self.deliver = deliver
        self.shape = shape
        self.dropped = dropped
        self.allowance = self.bound = allowance
        port = f":{receiver.port}" if receiver.side == "accepting" else ""
        back = f":{sender.port}" if sender.side == "accepting" else ""
        number = f" #{ordinal}" if ordinal else ""
        self.key = f"{sender.host}{back} -> {receiver.host}{port}{number}"
        self.streams = streams
        self.deadlines = deadlines
        self.borders = Borders()
        self.cut_to = 0  # what comes before this byte of the stream has been cut
        self.cutter: Cutter | None = None  # set while segments are cut
        self.late: Lateness | None = None  # set while packets may be late by different times
        self.busy_until = 0
        self.last_arrival = 0
        self.read_until = 0
        self.losses = 0
        self.opened = False  # something has passed
        self.opaque = False  # its payload is left out of the digest, so sizes must not tell in time
        self.calm = False
        self.latency_ns = self.delay_ns = self.jitter_steps = self.bandwidth = self.loss_rate = self.max_piece = 0
        self.reader_rate = self.send_limit = self.receive_limit = 0
        self.duplicate_rate = self.reorder_rate = 0
        self.truncate_to = -1
        self.gate: Gate | None = None  # set by the protocol, where it has connections
        self.pair = False  # both ends are one thread's own: a stand-in for socketpair(2)
        self.broken = False  # the gate has changed what travels here, and must go on
        self.gated = self.watched = self.dropping = self.refusing = self.stalled = self.slow = False
        self.strikes: tuple[AnyFault, ...] = ()

    def settle(self) -> None:
        """The settings are new: see whether this path is a calm loopback."""
        late = self.latency_ns or self.delay_ns or self.jitter_steps or self.bandwidth
        rough = self.loss_rate or self.duplicate_rate or self.reorder_rate or self.truncate_to >= 0
        self.gated = self.gate is not None and bool(self.strikes or self.watched or self.broken)
        self.slow = bool(self.reader_rate) or self.stalled
        self.calm = not (late or rough or self.max_piece or self.link.blocked or self.dropping or self.gated)
        if self.max_piece and self.cutter is None and self.shape is not None:
            drawn = self.streams("style", self.key).draw(segmentation.STYLE_RATE, len(segmentation.STYLES))
            self.cutter = Cutter(self.streams("cut", self.key), segmentation.STYLES[drawn], self.borders)
        if self.jitter_steps and self.late is None:
            drawn = self.streams("lateness", self.key).draw(lateness.STYLE_RATE, len(lateness.STYLES))
            self.late = Lateness(
                self.streams("jitter", self.key),
                self.streams("control-jitter", self.key),
                lateness.STYLES[drawn],
                self._deadlines,
                self._now,
            )

    def _deadlines(self) -> Sequence[int]:
        return self.deadlines(self.receiver.host)

    def _now(self) -> int:
        return self.clock.now

    def wrote(self, end: int, number: int) -> None:
        """The program's write `number` on this flow ends before byte `end` of the stream."""
        self.borders.wrote(end, number)

    def _carries(self, packet: Any) -> int:
        """The number of the write whose bytes come first in a packet; 0 when that is not known."""
        if self.shape is None:
            return 0
        start, data = self.shape.content(packet)
        return self.borders.write_at(start, start + 1)[0] if data else 0

    def transmit(self, packet: Any, size: int) -> None:
        """Send `packet`; `size` bytes of payload (0: an acknowledgement or another packet without data)."""
        if self.calm and self.last_arrival <= self.clock.now:
            self.clock.soft.append((self.deliver, packet))
        else:
            self._transmit(packet, size)

    def _transmit(self, packet: Any, size: int) -> None:
        if self.gated and self.gate is not None and not self.gate.passes(packet, size):
            return
        if self.loss_rate and not (self.link.blocked or self.dropping) and self._lost(packet):
            self.dropped(self, packet)
        else:
            self.forward(packet, size)

    def forward(self, packet: Any, size: int) -> None:
        """Carry what has passed the gate, and is not lost by chance."""
        if self.link.blocked or self.dropping:
            self.dropped(self, packet)
            return
        self.opened = True
        if size > 1 and self.max_piece and self.cutter is not None:
            self._cut(packet, size)
        else:
            self._schedule(packet, size, 0)

    def _lost(self, packet: Any) -> bool:
        draws = self.streams("loss", self.key)
        if not draws.draw(self.loss_rate, 2):
            self.losses = 0
            return False
        draws.explain(self._carries(packet), 0)
        cost = LOSS_COST_NS << min(self.losses, 8) if self.opened else OPENING_LOSS_COST_NS
        if not self.allowance.take_all(self.clock.now, cost):
            return False
        self.losses += 1
        return True

    def _cut(self, packet: Any, size: int) -> None:
        cutter, shape = self.cutter, self.shape
        assert cutter is not None, "a path without style cuts"
        assert shape is not None, "only streams are cut"
        start, data = shape.content(packet)
        self.borders.passed(start)
        if start < self.cut_to:  # sent again: pieces of it would be acknowledged one by one, which asks for it again
            self._schedule(packet, size, 0)
            return
        self.cut_to = start + size
        cutter.begin(start, b"" if self.opaque else data)
        gap = 0
        for _ in range(MAX_PIECES):
            longest = size - 1 if not self.opaque else 1 << ((size - 1).bit_length() - 1)
            piece = cutter.piece(self.max_piece, longest) if size > 1 else 0
            if not piece or self.allowance.take(self.clock.now, PIECE_GAP_NS) < PIECE_GAP_NS:
                break
            cutter.cut_off(piece)
            head, packet = shape.split(packet, piece)
            self._schedule(head, piece, gap)
            gap = PIECE_GAP_NS
            size -= piece
        self._schedule(packet, size, gap)

    def _schedule(self, packet: Any, size: int, gap: int) -> None:
        now = self.clock.now
        when = now
        if self.bandwidth:
            start = max(now, self.busy_until)
            busy = start + self.allowance.take(now, self._weight(size) * 1_000_000_000 // self.bandwidth)
            self.busy_until = when = busy
        when += self.latency_ns
        earliest = max(when, self.last_arrival + gap)
        late = self.delay_ns
        if self.jitter_steps and self.late is not None:
            arrival = max(when + late, earliest)
            late += self._lateness(self.late, packet, size, arrival) * JITTER_STEP_NS
        if when + late > earliest:  # what travels together is late together, and costs the allowance once
            earliest += self.allowance.take(now, when + late - earliest)
        self.last_arrival = earliest
        self.clock.at(earliest, self.deliver, packet)

    def _lateness(self, late: Lateness, packet: Any, size: int, arrival: int) -> int:
        if self.shape is None:  # a program waits for each single datagram
            return late.of_control(arrival, self.jitter_steps, True)
        if not size:
            return late.of_control(arrival, self.jitter_steps, not self.last_arrival)
        steps = late.of_data(arrival, self.jitter_steps, -1 if self.opaque else self.shape.content(packet)[0])
        if steps:
            late.draws.explain(self._carries(packet), 0)
        return steps

    def _weight(self, size: int) -> int:
        """What a size counts for in time: of an opaque flow, whose sizes vary by a few bytes, the rounded one."""
        return opaque_size(size) if self.opaque else size

    def reading_delay(self, size: int) -> int:
        """How long a slow reader takes for `size` bytes more, in ns from now; 0 when it is not slow, 1 when stalled."""
        if self.stalled:
            return 1
        if not self.reader_rate:
            return 0
        now = self.clock.now
        start = max(now, self.read_until)
        self.read_until = start + self.allowance.take(now, self._weight(size) * 1_000_000_000 // self.reader_rate)
        return self.read_until - now

    def send_datagram(
        self,
        deliver: Callable[[Any], object],
        argument: Any,
        size: int,
        cut: Callable[[Any, int], Any] | None = None,
    ) -> None:
        """Send one datagram; `deliver(argument)` when it arrives. `cut(argument, size)`: the same, truncated."""
        if self.calm and self.last_arrival <= self.clock.now:
            self.clock.soft.append((deliver, argument))
            return
        lost = bool(self.loss_rate) and bool(self.streams("loss", self.key).draw(self.loss_rate, 2))
        if lost or self.link.blocked or self.dropping:
            self.dropped(self, argument)
            return
        if cut is not None and 0 <= self.truncate_to < size:
            size = self.truncate_to
            argument = cut(argument, size)
        overtaken = 0
        if self.reorder_rate:
            overtaken = self.streams("overtaken", self.key).draw(self.reorder_rate, OVERTAKEN_STEPS + 1)
        if overtaken:  # what is sent later does not wait for it
            late = max(self.clock.now + self.latency_ns + self.delay_ns, self.last_arrival)
            self.clock.at(late + overtaken * OVERTAKEN_STEP_NS, self.deliver, (deliver, argument))
        else:
            self._schedule((deliver, argument), size, 0)
        if self.duplicate_rate and self.streams("duplicate", self.key).draw(self.duplicate_rate, 2):
            self._schedule((deliver, argument), size, PIECE_GAP_NS)
