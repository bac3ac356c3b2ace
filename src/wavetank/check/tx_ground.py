"""Runs of a Twisted protocol: a clock in place of the reactor's time, the doubles' transport, the contract's monitor.

Owns how a protocol of Twisted comes to be, what stands in for the global reactor, and what of Twisted's log counts as a
problem. It must never start a reactor.

The idea: protocols reach for time through `reactor.callLater` - of the global reactor, or one they were given, which is
the same object - so while a run goes on, the global reactor's own methods are those of a clock.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from wavetank.check.conversation import Conversation
from wavetank.check.engines import ClockEngine
from wavetank.check.line import ADDRESSES, Line, peer_speaker
from wavetank.check.memory import held_memory
from wavetank.check.outcome import Outcome
from wavetank.check.problems import raised, snapshot, stuck_problem, violated, written_late
from wavetank.check.schedule import End, Schedule
from wavetank.check.script import PATIENCE_S, QUIET, Clockwork, Script, conversation_script
from wavetank.check.search import FAMILIES
from wavetank.check.stillness import Stillness
from wavetank.check.subject import Dialect, checked_factory, made_by, name_of, package_of, unwrapped
from wavetank.check.watchdog import Stuck, Watchdog
from wavetank.contract import Monitor
from wavetank.doubles.tx.transport import speaker_for
from wavetank.doubles.wire.driver import ClockDriver
from wavetank.errors import ContractViolation, UsageError

#: What a factory is told of who connects.
_PEER: Final = IPv4Address("TCP", *ADDRESSES[0])


class TwistedGround:
    """Runs schedules with protocols of one factory."""

    #: What Twisted reads at once (twisted/internet/abstract.py, `bufferSize`), in bytes.
    max_read = 64 * 1024
    dialect: Dialect = "twisted"

    def __init__(self, factory: Any, observe: Callable[[Any], Any] | None, watchdog: Watchdog) -> None:
        from twisted.internet import reactor

        self.given = factory
        self.factory = checked_factory(factory)
        self.observe = observe
        self._watchdog = watchdog
        self._stillness = Stillness()
        self._reactor = reactor

    def close(self) -> None:
        """Nothing is run any more."""

    def families(self) -> Sequence[str]:
        """All of them."""
        return FAMILIES

    def ends(self) -> Sequence[End]:
        """All of them."""
        return ("eof", "reset", "abort", "eof together")

    def on_real_transport(self, conversation: Conversation) -> Outcome | None:
        """There is no other one."""
        return None

    def held_memory(self, conversation: Conversation) -> Outcome | None:
        """What the protocol holds of a conversation that it is given faster than it can answer."""
        return held_memory(self, conversation)

    def run(self, conversation: Conversation, schedule: Schedule) -> Outcome:
        """One run, from a new protocol to the end of its connection."""
        clock = Clock()
        run = _Run(self, clock, conversation, schedule)
        engine = ClockEngine(clock, self._watchdog.beat, run.escaped)
        self._watchdog.watch()
        try:
            with self._stillness.of(clock.seconds), _in_place(self._reactor, clock, run), _listening(run.logged):
                engine.run(run.script(engine))
                # What a Deferred has failed with is logged when it is collected, and its traceback keeps it alive.
                gc.collect(1)
                run.collect()
        except Stuck:
            run.stuck(self._watchdog)
        finally:
            self._watchdog.rest()
        return run.outcome


class _Run:
    """One run: its line, once there is one, and its outcome."""

    def __init__(self, ground: TwistedGround, clock: Clock, conversation: Conversation, schedule: Schedule) -> None:
        self._ground = ground
        self._clock = clock
        self._conversation = conversation
        self._schedule = schedule
        self._protocol: Any = None
        self._violations: list[ContractViolation] = []
        self._failures: list[tuple[BaseException, str]] = []
        self.listening: Any = None
        self.connecting: _Connector | None = None
        self.line: Line | None = None
        self.outcome = Outcome()

    def script(self, engine: ClockEngine) -> Script:
        """Make the protocol, hold the conversation."""
        yield from self._open(engine)
        assert self.line is not None
        clock = Clockwork(self._clock.seconds)
        yield from conversation_script(
            self.line, self._conversation, self._schedule, clock, self.outcome, self._observed
        )

    def _open(self, engine: ClockEngine) -> Generator[Any, Any, None]:
        ground = self._ground
        made = made_by(ground.factory, ground.given)
        if isinstance(made, Deferred) and self.connecting is not None:
            made.addErrback(lambda failure: None)  # of an endpoint: it fails when the check ends the connection
            made = None
        if made is None and self.line is None:
            until = self._clock.seconds() + PATIENCE_S
            yield QUIET
            while self.listening is None and self.connecting is None and (yield until):
                pass
            made = self.listening
        if self.connecting is not None:
            self.join(self.connecting.built(ground.given), engine)
        elif self.line is None:
            self.join(unwrapped(self._clear(made), ground.given, "twisted", _PEER), engine)

    def join(self, protocol: Any, engine: ClockEngine) -> None:
        """Give the protocol its transport, and the transport its peer."""
        self._protocol = protocol
        monitor = Monitor(
            protocol, profile="twisted", kind="twisted stream", on_violation=self._violations.append,
            clock=self._clock.seconds,
        )  # fmt: skip
        speaker = speaker_for(monitor, None, ADDRESSES[1], ADDRESSES[0])
        if self.connecting is not None:
            speaker.on_lost = self.connecting.lost
        peer_side, peer = peer_speaker(None)
        self.line = Line(
            (peer_side, speaker),
            peer,
            ClockDriver(self._clock),
            deaf_after=self._schedule.deaf_after,
            hears_again=self._schedule.hears_again,
            moved=engine.moved,
            late=self._late,
        )

    def listens(self, factory: Any) -> None:
        """A program listens: the protocol of its factory is the one under test."""
        self.listening = self._clear(factory)

    def _clear(self, made: Any) -> Any:
        """What is inside, where a factory speaks TLS from the beginning: a conversation is what goes through it."""
        tls = sys.modules.get("twisted.protocols.tls")
        while tls is not None and isinstance(made, tls.TLSMemoryBIOFactory):
            self.outcome.without_tls = True
            made = made.wrappedFactory
        return made

    def connects(self, client_factory: Any) -> Any:
        """A program connects: the protocol of its factory is the one under test."""
        if self.connecting is not None or self.line is not None or self.listening is not None:
            raise UsageError(
                f"{name_of(self._ground.given)} opens a second connection",
                why="a check is about one connection, and there is nobody at the other end of another",
                next="give the protocol what it gets from there, in place of the connection",
            )
        client_factory = self._clear(client_factory)
        self.connecting = _Connector(client_factory)
        client_factory.doStart()
        client_factory.startedConnecting(self.connecting)
        return self.connecting

    # ---- what came of it

    def _observed(self) -> Any:
        return None if self._ground.observe is None else snapshot(self._ground.observe(self._protocol))

    def _late(self, when: str, size: int) -> None:
        # Twisted sends what is written behind loseConnection in the same turn, and programs rely on it.
        if self.line is not None and self.line.lost:
            self.outcome.problems.append(written_late(when, size))

    def logged(self, event: dict[str, Any]) -> None:
        """An event of Twisted's log: those with a failure are kept."""
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            self._failures.append((failure.value, str(event.get("why") or "")))

    def escaped(self, error: BaseException) -> None:
        """A delayed call raised: a reactor logs that, and goes on."""
        self._failures.append((error, "a delayed call"))

    def collect(self) -> None:
        """What was logged, and the contract."""
        assert self.line is not None
        outcome = self.outcome
        outcome.history = self.line.history
        outcome.problems += violated(self._violations)
        for error, why in self._failures:
            if isinstance(error, AttributeError) and error.name == "startTLS":
                raise UsageError(
                    f"{name_of(self._ground.given)} begins TLS in the middle of the connection: transport.startTLS",
                    why="check has no TLS for Twisted's protocols",
                    next="end the conversation before that; what comes inside TLS is a conversation of its own",
                )
            call = why.partition(" of ")[0] if any(error is each for each in self.line.connection.errors) else ""
            message = f"protocol.{call}()" if call else why
            outcome.problems.append(raised(error, message, package_of(self._ground.given)))

    def stuck(self, watchdog: Watchdog) -> None:
        """Code that never gave control back."""
        if self.line is not None:
            self.outcome.output = self.line.output
            self.outcome.history = self.line.history
        self.outcome.problems.append(stuck_problem(watchdog.stuck, "reactor"))


@contextmanager
def _listening(observer: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Only `observer` hears what is logged; what fails on purpose in a thousand runs is not the user's log."""
    before = globalLogPublisher._observers
    globalLogPublisher._observers = [observer]  # type: ignore[list-item]
    try:
        yield
    finally:
        globalLogPublisher._observers = before


@contextmanager
def _in_place(reactor: Any, clock: Clock, run: _Run) -> Iterator[None]:
    """The reactor's time is the clock's; threads run at once; what listens or connects is noted."""

    def soon(call: Callable[..., Any], *args: Any, **options: Any) -> None:
        clock.callLater(0, call, *args, **options)

    def listen(port: Any, factory: Any, *args: Any, **options: Any) -> Any:
        run.listens(factory)
        return _Port()

    methods: dict[str, Any] = {
        "callLater": clock.callLater,
        "seconds": clock.seconds,
        "getDelayedCalls": clock.getDelayedCalls,
        "callFromThread": soon,
        "callInThread": soon,
        "callWhenRunning": soon,
        "getThreadPool": lambda: _Pool(soon),
        "listenTCP": listen,
        "connectTCP": lambda host, port, factory, *args, **options: run.connects(factory),
    }
    own = vars(reactor)
    before = {name: own[name] for name in methods if name in own}
    own.update(methods)
    try:
        yield
    finally:
        for name in methods:
            del own[name]
        own.update(before)


class _Port:
    """What `listenTCP` returns."""

    def getHost(self) -> IPv4Address:
        """The address that the peer connected to."""
        return IPv4Address("TCP", *ADDRESSES[1])

    def stopListening(self) -> None:
        """Nobody else connects anyway."""


class _Connector:
    """What `connectTCP` returns; the connection is made in a later turn."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory
        self._protocol: Any = None

    def built(self, given: Any) -> Any:
        """The protocol of the connection that has been made."""
        self._protocol = self.factory.buildProtocol(_PEER)
        if self._protocol is None:
            raise UsageError(f"{name_of(given)}: buildProtocol returned None: it refuses the connection")
        return self._protocol

    def lost(self, reason: Failure) -> None:
        """The factory is told of the loss."""
        self.factory.clientConnectionLost(self, reason)
        self.factory.doStop()

    def getDestination(self) -> IPv4Address:
        """Where it connects to."""
        return _PEER

    def disconnect(self) -> None:
        """Lose the connection."""
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.loseConnection()

    stopConnecting = disconnect

    def connect(self) -> None:
        """The peer is there once: who connects again gets no answer."""


class _Pool:
    """A thread pool that runs what it is given at once, in its turn."""

    def __init__(self, soon: Callable[..., None]) -> None:
        self._soon = soon

    def callInThread(self, call: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Run it in the next turn."""
        self._soon(call, *args, **options)

    def callInThreadWithCallback(self, done: Any, call: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Run it in the next turn, and tell `done` whether it went well, and what came of it."""

        def run() -> None:
            try:
                result = call(*args, **options)
            except Exception:
                done(False, Failure())
            else:
                done(True, result)

        self._soon(run)
