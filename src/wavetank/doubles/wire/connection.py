"""Two protocols, joined in memory.

Owns the rounds: what happens next, in which order, at which time. Must never touch the bytes (that is `way`), nor the
state of an end (that is `end`).

The idea: a *round* first makes the calls that were due soon (losses after `close` and `abort`), then carries what is
on the way from a to b, then from b to a. Time is the driver's; without one it is the connection's own, and jumps to
what is due next when `flush` finds nothing else to do.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from wavetank.doubles.wire import trouble
from wavetank.doubles.wire.calm import exchange
from wavetank.doubles.wire.chunks import ChunkPolicy
from wavetank.doubles.wire.driver import Driver
from wavetank.doubles.wire.end import End, Speaker
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.way import Way
from wavetank.errors import UsageError, WavetankError

#: `flush` gives up after so many rounds: two protocols that answer each other for ever would never be quiet.
ROUNDS: Final = 100_000


class Connection:
    """Two joined protocols: `pump()` and `flush()` make things happen, `log` says what did.

    In an event loop, and with a clock, rounds come by themselves. `a` and `b` are the transports. `errors` are the
    exceptions of callbacks. Made by `wavetank.doubles.aio.connect` and `wavetank.doubles.tx.connect`.
    """

    def __init__(
        self,
        speakers: tuple[Speaker, Speaker],
        names: tuple[str, str],
        policies: tuple[ChunkPolicy, ChunkPolicy],
        *,
        driver: Driver | None,
        abort_resets: bool,
        seed: int = 0,
        log: Log | None = None,
    ) -> None:
        self.log = Log() if log is None else log
        self.abort_resets = abort_resets
        self.seed = seed
        self._injected = 0
        self.errors: list[BaseException] = []
        self.driver = driver
        self.ends = (End(names[0], speakers[0], self), End(names[1], speakers[1], self))
        first, second = self.ends
        self.ways = (Way(first, second, policies[0], self.log), Way(second, first, policies[1], self.log))
        first.outward = second.inward = self.ways[0]
        second.outward = first.inward = self.ways[1]
        #: A round is coming, so that nobody needs to ask for one; without a driver nobody does.
        self.awake = driver is None
        self._soon: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._own_now = 0.0
        self._start = 0.0 if driver is None else driver.now()
        self._marked = 0.0
        self._timer: Any = None
        self._inside = False
        for end in self.ends:
            end.speaker.attach(end)
            end.changed()
        self._raised: list[BaseException] = []

    # ---- what a test asks

    @property
    def a(self) -> Any:
        """The transport of the first protocol."""
        return self.ends[0].speaker.face()

    @property
    def b(self) -> Any:
        """The transport of the second protocol."""
        return self.ends[1].speaker.face()

    @property
    def now(self) -> float:
        """Seconds since the connection was made."""
        return self._own_now if self.driver is None else self.driver.now() - self._start

    @property
    def closed(self) -> bool:
        """Whether both sides have been told that the connection is lost."""
        return self.ends[0].lost and self.ends[1].lost

    @property
    def in_flight(self) -> tuple[int, int]:
        """Bytes written and not yet delivered: from a to b, from b to a."""
        one, two = (way.size + (0 if way.line is None else way.line.held) for way in self.ways)
        return one, two

    @property
    def delivered(self) -> tuple[int, int]:
        """Bytes delivered: from a to b, from b to a."""
        return self.ways[0].delivered, self.ways[1].delivered

    @property
    def dropped(self) -> tuple[int, int]:
        """Bytes lost - aborted, reset, or written when nothing could be sent: from a to b, from b to a."""
        return self.ways[0].dropped, self.ways[1].dropped

    def pump(self) -> bool:
        """Make one round at the present time; returns whether anything happened.

        Raises what a callback raised, after the connection has been brought into order; without a driver only.
        """
        if self._inside:
            raise UsageError(
                "a round inside a round: pump() or flush() was called from a callback of a protocol",
                why="a real transport never delivers anything while a callback runs",
                next="call it from the test, after the call that came from there has returned",
            )
        self._inside = True
        try:
            happened = self._round()
        finally:
            self._inside = False
        self._raise()
        return happened

    def flush(self, rounds: int = ROUNDS) -> None:
        """Make rounds until nothing is left to happen; own time jumps to what is due next.

        With a clock or a loop, time is theirs: what is due later stays so. Raises `WavetankError` after `rounds`
        rounds, and what a callback raised.
        """
        asked = rounds
        while rounds > 0:
            if not self._inside:
                rounds = exchange(self, rounds)
            rounds -= 1
            if not self.pump() and not self._jump(None):
                return
        raise WavetankError(
            f"the connection is still not quiet after {asked} rounds",
            where=f"in flight: {self.in_flight[0]} and {self.in_flight[1]} bytes, at {self.now:.6f} s",
            why="the two protocols answer each other for ever, or the line is very slow",
            next="flush(rounds=...) allows more; connection.log shows the last calls",
        )

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and everything happen that is due in it. Own time only: a clock is moved by itself."""
        if self.driver is not None:
            raise UsageError(
                "advance() moves the connection's own time", why="this connection lives in a loop or clock"
            )
        if not seconds >= 0:
            raise UsageError(f"advance({seconds!r}): time does not go backwards")
        end = self._own_now + seconds
        while self.pump() or self._jump(end):
            pass
        self._own_now = end
        self._mark()

    def inject(self, *faults: Any) -> None:
        """Have these faults begin now (or `at_s` from now): words of `wavetank.faults`, as for `connect(faults=...)`.

        Raises `UsageError` for a fault that means nothing here, or aims at nothing.
        """
        self._injected += 1
        trouble.inject(self, faults, f"{self.seed} {self._injected}")

    # ---- what ends and lines ask

    def soon(self, call: Callable[..., None], *arguments: Any) -> None:
        """Make this call in the next round."""
        self._soon.append((call, arguments))
        self.wake()

    def at(self, time_s: float, call: Callable[[], None]) -> None:
        """Make this call at this time of the connection, in a round."""
        self._order += 1
        heapq.heappush(self._timers, (time_s, self._order, call))
        if self.driver is not None:
            self._set_timer()

    def wake(self) -> None:
        """Have a round made, if somebody makes them."""
        if not self.awake and self.driver is not None:
            self._set_awake(True)
            self.driver.soon(self._turn)

    def _set_awake(self, awake: bool) -> None:
        self.awake = awake
        for way in self.ways:
            way.limit = way.sender.high if awake else -1

    def failed(self, end: End, error: BaseException, call: str) -> None:
        """A callback of `end` raised: it is kept, and raised by `pump`, or reported as the dialect does."""
        self.errors.append(error)
        for way in self.ways:
            way.flowing = False  # so that `exchange` stops, and the error comes out
        self.log.note(end.name, f"{end.speaker.words.get(call, call)} raised", error)
        if self.driver is None:
            self._raised.append(error)
        else:
            end.speaker.report(error, call)

    # ---- rounds

    def begin(self) -> None:
        """Tell both sides that the connection is made: b first, which listened, as `iosim` and real servers do."""
        for end in reversed(self.ends):
            end.note("connection_made")
            try:
                end.speaker.made()
            except Exception as error:
                self.failed(end, error, "connection_made")
        self._raise()
        self.wake()

    def reset(self) -> None:
        """The network breaks the connection: both sides see a reset, and what is in flight is lost."""
        for way in self.ways:
            way.discard()
            way.reset_due = True
            way.changed()
        self.wake()

    def _round(self) -> bool:
        happened = self._calls() if self._soon or self._timers or self.driver is not None else False
        first, second = self.ways
        if not first.flowing:
            happened |= first.move()
        elif first.queue:
            first.carry()
            happened = True
        if not second.flowing:
            happened |= second.move()
        elif second.queue:
            second.carry()
            happened = True
        return happened

    def _calls(self) -> bool:
        """Make the calls that are due; returns whether there were any."""
        self._mark()
        happened = self._due()
        for _ in range(len(self._soon)):
            call, arguments = self._soon.popleft()
            call(*arguments)
            happened = True
        return happened

    def _due(self) -> bool:
        happened = False
        while self._timers and self._timers[0][0] <= self.now:
            heapq.heappop(self._timers)[2]()
            happened = True
        return happened

    def _mark(self) -> None:
        """Put the time into the log where it has moved by a millisecond or more, or is our own."""
        now = self.now
        if now != self._marked and (self.driver is None or now - self._marked >= 0.001):
            self._marked = now
            self.log.raw.append(("", "", now))

    def _jump(self, end: float | None) -> bool:
        if self.driver is not None or not self._timers or (end is not None and self._timers[0][0] > end):
            return False
        self._own_now = max(self._own_now, self._timers[0][0])
        return True

    def _raise(self) -> None:
        if self._raised:
            first, *_ = self._raised
            self._raised.clear()
            raise first

    def _turn(self) -> None:
        """A round that the driver makes, and the next one if there is more."""
        self._set_awake(False)
        if self._inside:
            return
        self._inside = True
        try:
            happened = self._round()
        finally:
            self._inside = False
        if happened or self._soon:
            self.wake()
        self._set_timer()

    def _set_timer(self) -> None:
        assert self.driver is not None
        self.driver.cancel(self._timer)
        self._timer = None
        if self._timers and not self.closed:
            self._timer = self.driver.later(max(0.0, self._timers[0][0] - self.now), self._turn)
