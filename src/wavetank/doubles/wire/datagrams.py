"""Two datagram protocols, joined in memory.

Owns the datagrams on their way, and what the faults of datagrams do to them. Must never call a protocol by its
dialect's names: `aio` and `tx` do.

The idea is that of `connection`: nothing arrives inside a call of a protocol, a round carries what was sent before it,
and time is the driver's or the connection's own. UDP keeps borders and promises nothing else (RFC 768): without faults
every datagram arrives, in order.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any, Final, Protocol

from wavetank.doubles.wire.driver import Driver
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.trouble import checked
from wavetank.errors import UsageError, WavetankError
from wavetank.faults import ACCEPTING, CONNECTING, Drop, Duplicate, Fault, Latency, Loss, Party, Reorder, Truncate

#: The words that mean something for datagrams.
KNOWN: Final = (Latency, Loss, Duplicate, Reorder, Truncate, Drop)
ROUNDS: Final = 100_000


class DatagramSpeaker(Protocol):
    """What a side needs to be told in its protocol's dialect."""

    transport: Any

    def made(self) -> None:
        """The endpoint is there."""

    def received(self, data: bytes, address: Any) -> None:
        """A datagram has come from `address`."""

    def refused(self) -> None:
        """What was sent earlier found nobody: the other side is closed."""

    def lost(self) -> None:
        """It is closed here."""

    def report(self, error: BaseException, call: str) -> None:
        """A callback raised, and nobody but the loop or the log is there to be told."""


class Side:
    """One of the two: its name, its address, and whether it is closed."""

    def __init__(self, name: str, address: Any, speaker: DatagramSpeaker, owner: DatagramConnection) -> None:
        self.name = name
        self.address = address
        self.speaker = speaker
        self.owner = owner
        self.closed = self.lost = False
        self.other: Side

    def send(self, data: bytes) -> None:
        """Put a datagram on its way; nothing when it is closed."""
        self.owner.log.data(self.name, "sendto", data)
        if not self.closed:
            self.owner.carry(self, data)

    def close(self) -> None:
        """Close; the protocol is told in a later round."""
        if not self.closed:
            self.owner.log.note(self.name, "close")
            self.closed = True
            self.owner.at(self.owner.now, self._lose)

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            self.owner.call(self, "connection_lost", self.speaker.lost)


class DatagramConnection:
    """Two joined datagram protocols: `pump`, `flush`, `advance`, `inject`, `log`, `a`, `b` are as in `Connection`."""

    def __init__(
        self,
        speakers: tuple[DatagramSpeaker, DatagramSpeaker],
        names: tuple[str, str],
        addresses: tuple[Any, Any],
        *,
        driver: Driver | None,
        seed: int = 0,
    ) -> None:
        self.log = Log()
        self.errors: list[BaseException] = []
        self.driver = driver
        self.sides = tuple(
            Side(name, address, speaker, self)
            for name, address, speaker in zip(names, addresses, speakers, strict=True)
        )
        self.sides[0].other, self.sides[1].other = self.sides[1], self.sides[0]
        #: Datagrams that were lost on the way, by fault or because nobody was there.
        self.dropped = 0
        self._faults: list[tuple[Fault, float, float | None]] = []
        self._draw = random.Random(f"{seed} datagrams")
        self._due: list[tuple[float, int, int, Callable[[], None]]] = []
        self._order = 0
        self._own_now = 0.0
        self._start = 0.0 if driver is None else driver.now()
        self._raised: list[BaseException] = []
        self._inside = False

    @property
    def a(self) -> Any:
        """The transport of the first protocol."""
        return self.sides[0].speaker.transport

    @property
    def b(self) -> Any:
        """The transport of the second protocol."""
        return self.sides[1].speaker.transport

    @property
    def now(self) -> float:
        """Seconds since the connection was made."""
        return self._own_now if self.driver is None else self.driver.now() - self._start

    @property
    def closed(self) -> bool:
        """Whether both sides have been told that they are closed."""
        return self.sides[0].lost and self.sides[1].lost

    def inject(self, *faults: Any) -> None:
        """Have these faults begin now (or `at_s` from now). Raises `UsageError` for those that mean nothing here."""
        for fault in checked(faults, KNOWN, "datagram protocols"):
            if not any(self._aims(fault, side) for side in self.sides):
                ends = " and ".join(side.name for side in self.sides)
                raise UsageError(f"faults: {fault} aims at nothing", why=f"the ends are {ends}")
            start = self.now + fault.at_s
            self._faults.append((fault, start, None if fault.duration_s is None else start + fault.duration_s))

    def begin(self) -> None:
        """Tell both sides that their endpoint is there: b first."""
        for side in reversed(self.sides):
            self.call(side, "connection_made", side.speaker.made)
        self._raise()

    def pump(self) -> bool:
        """Make what is due happen; returns whether anything did. Raises what a callback raised, without a driver."""
        if self._inside:
            raise UsageError("a round inside a round: pump() or flush() was called from a callback of a protocol")
        self._inside = True
        try:
            ready = [heapq.heappop(self._due) for _ in range(len(self._due)) if self._due[0][0] <= self.now]
            for *_, call in ready:
                call()
        finally:
            self._inside = False
        self._raise()
        return bool(ready)

    def flush(self, rounds: int = ROUNDS) -> None:
        """Make rounds until nothing is left to happen; own time jumps to what is due next."""
        for _ in range(rounds):
            if not self.pump() and not self._jump(None):
                return
        raise WavetankError(
            f"the datagrams do not end after {rounds} rounds",
            why="the two protocols answer each other for ever",
            next="flush(rounds=...) allows more; connection.log shows the last calls",
        )

    def advance(self, seconds: float) -> None:
        """Let so much of the connection's own time pass, and everything happen that is due in it."""
        if self.driver is not None or not seconds >= 0:
            raise UsageError(f"advance({seconds!r})", why="own time moves forwards; a loop's or clock's is its own")
        end = self._own_now + seconds
        while self.pump() or self._jump(end):
            pass
        self._own_now = end

    # ---- what sides ask

    def carry(self, sender: Side, data: bytes) -> None:
        """A datagram leaves; what the faults do to it is drawn here."""
        active = [fault for fault, start, end in self._faults if start <= self.now and (end is None or self.now < end)]
        mine = [fault for fault in active if self._aims(fault, sender)]
        delay, copies = 0.0, 1
        for fault in mine:
            match fault:
                case Drop():
                    copies = 0
                case Loss() if self._draw.random() < fault.rate:
                    copies = 0
                case Duplicate() if self._draw.random() < fault.rate:
                    copies *= 2
                case Truncate():
                    data = data[: fault.max_bytes]
                case Latency():
                    delay += fault.delay_s + (self._draw.uniform(0, fault.jitter_s) if fault.jitter_s else 0)
        late = any(isinstance(fault, Reorder) and self._draw.random() < fault.rate for fault in mine)
        self.dropped += not copies
        for _ in range(copies):
            self.at(self.now + delay, lambda: self._arrive(sender, data), late=late)

    def at(self, time_s: float, call: Callable[[], None], *, late: bool = False) -> None:
        """Make this call at this time, in a round; `late`: after up to three others that are asked for later."""
        self._order += 1
        # A later datagram overtakes: its place in the order is that of one still to come.
        place = self._order * 10 + (self._draw.randint(1, 3) * 10 + 5 if late else 0)
        heapq.heappush(self._due, (time_s, place, self._order, call))
        if self.driver is not None:
            self.driver.later(max(0.0, time_s - self.now), self._turn)

    def call(self, side: Side, word: str, callback: Callable[..., None], *arguments: Any) -> None:
        """Call the protocol; what it raises is kept, and raised by `pump` or reported."""
        self.log.note(side.name, word, arguments or None)
        try:
            callback(*arguments)
        except Exception as error:
            self.errors.append(error)
            if self.driver is None:
                self._raised.append(error)
            else:
                side.speaker.report(error, word)

    def _arrive(self, sender: Side, data: bytes) -> None:
        receiver = sender.other
        if receiver.closed:
            self.dropped += 1
            # A closed port is answered by ICMP port unreachable (RFC 1122 section 4.1.3.1); udp(7): ECONNREFUSED.
            if not sender.closed:
                self.call(sender, "error_received", sender.speaker.refused)
            return
        self.call(receiver, "datagram_received", receiver.speaker.received, data, sender.address)

    def _aims(self, fault: Fault, sender: Side) -> bool:
        first = sender is self.sides[0]
        sides = (CONNECTING, ACCEPTING) if first else (ACCEPTING, CONNECTING)
        letters = ("a", "b") if first else ("b", "a")
        return any(
            fault.aim.matches(Party(names[0], 0, sides[0]), Party(names[1], 0, sides[1]), 1)
            for names in ((sender.name, sender.other.name), letters)
        )

    def _turn(self) -> None:
        if not self._inside:
            self.pump()

    def _jump(self, end: float | None) -> bool:
        if self.driver is not None or not self._due or (end is not None and self._due[0][0] > end):
            return False
        self._own_now = max(self._own_now, self._due[0][0])
        return True

    def _raise(self) -> None:
        if self._raised:
            first, *_ = self._raised
            self._raised.clear()
            raise first
