"""Runs of an asyncio protocol: a virtual loop, the doubles' transport, the contract's monitor.

Owns how a protocol of asyncio comes to be - by a factory, by a coroutine, by a program that connects or listens - and
what of its loop counts as a problem. It must never decide what is tried: that is the schedule's.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from wavetank.check.conversation import Conversation
from wavetank.check.engines import LoopEngine
from wavetank.check.line import ADDRESSES, Line, Socket, peer_speaker
from wavetank.check.loop import VirtualLoop, as_current
from wavetank.check.memory import held_memory
from wavetank.check.outcome import Outcome, Problem
from wavetank.check.problems import LATE_RULES, last_line, raised, snapshot, stuck_problem, violated, written_late
from wavetank.check.real_transport import never_read_script
from wavetank.check.schedule import End, Schedule, whole
from wavetank.check.script import HANG_S, PATIENCE_S, QUIET, Clockwork, Script, conversation_script
from wavetank.check.search import FAMILIES
from wavetank.check.stillness import Stillness
from wavetank.check.subject import Dialect, checked_factory, made_by, name_of, package_of, unwrapped
from wavetank.check.watchdog import Stuck, Watchdog
from wavetank.doubles.wire.driver import LoopDriver
from wavetank.errors import ContractViolation, UsageError

if TYPE_CHECKING:
    from wavetank.check.socket_ground import SocketLine

#: A task learns of a loss when it waits for the transport the next time; asyncio logs a warning from the fifth write
#: to a lost connection on (asyncio/constants.py, LOG_THRESHOLD_FOR_CONNLOST_WRITES).
_LATE_WRITES: Final = 5
#: What may come out of a task when its connection was ended under it.
_OF_THE_LOSS: Final = (ConnectionError, asyncio.CancelledError)


class AsyncioGround:
    """Runs schedules with protocols of one factory."""

    #: What asyncio reads at once (asyncio/selector_events.py, `max_size`), in bytes.
    max_read = 256 * 1024
    dialect: Dialect = "asyncio"

    def __init__(self, factory: Any, observe: Callable[[Any], Any] | None, watchdog: Watchdog) -> None:
        self.given = factory
        self._factory = checked_factory(factory)
        self.observe = observe
        self._watchdog = watchdog
        self._stillness = Stillness()
        self._loop = VirtualLoop(watchdog)

    def close(self) -> None:
        """Nothing is run any more."""
        self._loop.close()

    def run(self, conversation: Conversation, schedule: Schedule) -> Outcome:
        """One run, from a new protocol to the end of its connection."""
        run = _Run(self, self._loop, conversation, schedule)
        self._carry_out(run, run.script())
        return run.outcome

    def _carry_out(self, run: _Run, script: Script) -> None:
        loop = self._loop
        self._watchdog.watch()
        try:
            with as_current(loop), self._stillness.of(loop.time):
                LoopEngine(loop).run(script)
                run.collect()
                loop.forget()
        except Stuck:
            run.stuck(self._watchdog)
            loop.abandon()
            self._loop = VirtualLoop(self._watchdog)
        finally:
            self._watchdog.rest()

    def families(self) -> Sequence[str]:
        """All of them."""
        return FAMILIES

    def ends(self) -> Sequence[End]:
        """All of them."""
        return ("eof", "reset", "abort", "eof together")

    def held_memory(self, conversation: Conversation) -> Outcome | None:
        """What the protocol holds of a conversation that it is given faster than it can answer."""
        return held_memory(self, conversation)

    def on_real_transport(self, conversation: Conversation) -> Outcome | None:
        """What asyncio's own transport holds for a peer that never reads."""
        if self.dialect != "asyncio":
            return None
        run = _Run(self, self._loop, conversation, whole(conversation))
        self._carry_out(run, never_read_script(self._loop, run.protocol, conversation, run.outcome))
        return run.outcome

    def probe(self) -> Any:
        """Make one object as the factory does, and return it; raises what `run` would for a factory that fails."""
        made: list[Any] = []

        def script() -> Script:
            made.append(made_by(self._factory, self.given))
            yield QUIET

        self._watchdog.watch()
        try:
            with as_current(self._loop), self._stillness.of(self._loop.time):
                LoopEngine(self._loop).run(script())
                self._loop.forget()
        finally:
            self._watchdog.rest()
        return made[0]


class _Run:
    """One run: its line, once there is one, and its outcome."""

    def __init__(
        self, ground: AsyncioGround, loop: VirtualLoop, conversation: Conversation, schedule: Schedule
    ) -> None:
        self._ground = ground
        self._loop = loop
        self._conversation = conversation
        self._schedule = schedule
        self._listening: Callable[[], Any] | None = None
        self._program: asyncio.Task[Any] | None = None
        self._protocol: Any = None
        self._late_writes: dict[str, int] = {}
        self._violations: list[ContractViolation] = []
        self.line: Line | SocketLine | None = None
        self.outcome = Outcome()

    def script(self) -> Script:
        """Make the protocol, hold the conversation, and wait for a program to end."""
        yield from self._open()
        if self.line is None:
            return
        clock = Clockwork(self._loop.time)
        program = self._program if self._listening is None else None
        if program is not None:
            self.outcome.program = True
            self.line.program_ended = program.done
        yield from conversation_script(
            self.line, self._conversation, self._schedule, clock, self.outcome, self._observed
        )
        if program is not None and not program.done():
            until = self._loop.time() + HANG_S
            while not program.done() and (yield until):
                pass
            if not program.done():
                what = f"the program is still waiting {HANG_S:.0f} s of virtual time after the connection was lost"
                self.outcome.problems.append(Problem("hang", what, _waiting_at(program)))

    # ---- how a protocol comes to be

    def _open(self) -> Generator[Any, Any, None]:
        if self._ground.dialect == "socket":
            yield from self._open_socket()
            return
        protocol = yield from self.protocol()
        if protocol is not None:
            self._join(protocol)

    def protocol(self) -> Generator[Any, Any, Any]:
        """The protocol, as the factory makes it; None when its program has connected, and so has one already."""
        made = made_by(self._ground._factory, self._ground.given)
        if inspect.isawaitable(made):
            made = yield from self._run_program(made)
            if self.line is not None:
                return None
        return unwrapped(made, self._ground.given, "asyncio")

    def _open_socket(self) -> Generator[Any, Any, None]:
        """Start the program on its end of a socket pair; it may go on as a coroutine."""
        ground = self._ground
        line, sock = ground.connect(self._schedule)  # type: ignore[attr-defined]
        self.line = line
        made = made_by(ground.on_socket, ground.given, sock)  # type: ignore[attr-defined]
        if inspect.isawaitable(made):
            self._loop.create_task(_awaited(made))
        self._protocol = made
        yield QUIET

    def _run_program(self, program: Any) -> Generator[Any, Any, Any]:
        """Run a coroutine until it returns a protocol, listens, or connects; what it gave, if it did."""
        self._loop.on_connect = self._connected
        self._loop.on_listen = self._listens
        task = self._program = self._loop.create_task(program)
        until = self._loop.time() + PATIENCE_S
        yield QUIET
        while not (task.done() or self._listening or self.line) and (yield until):
            pass
        if self.line is not None:
            return None
        if self._listening is not None:
            return self._listening
        if not task.done():
            raise UsageError(
                f"{name_of(self._ground.given)} returned no protocol, did not listen and did not connect",
                where=_waiting_at(task),
                next="return the protocol, or call loop.create_server, asyncio.start_server, asyncio.open_connection",
            )
        self._program = None
        try:
            return task.result()
        except Exception as error:
            raise UsageError(
                f"{name_of(self._ground.given)} raised {type(error).__name__}: {error}", where=last_line(error)
            ) from error

    def _listens(self, factory: Callable[[], Any]) -> None:
        if self._listening is None:
            self._listening = factory

    async def _connected(self, factory: Callable[[], Any]) -> tuple[Any, Any]:
        if self.line is not None:
            raise ConnectionRefusedError(111, "Connect call failed: a check has one connection")
        protocol = factory()
        self._join(protocol)
        await asyncio.sleep(0)
        return self._transport, protocol

    def _join(self, protocol: Any) -> None:
        from wavetank.contract import Monitor
        from wavetank.doubles.aio.transport import speaker_for

        self._protocol = protocol
        monitor = Monitor(
            protocol, profile="cpython", on_violation=self._violated, clock=self._loop.time, kind=_kind(protocol)
        )
        extra = {"sockname": ADDRESSES[1], "peername": ADDRESSES[0], "socket": Socket(ADDRESSES[1], ADDRESSES[0])}
        speaker = speaker_for(monitor, None, extra, self._loop)
        peer_side, peer = peer_speaker(self._loop)
        self.line = Line(
            (peer_side, speaker),
            peer,
            LoopDriver(self._loop),
            deaf_after=self._schedule.deaf_after,
            hears_again=self._schedule.hears_again,
            moved=self._loop.moved,
            late=self._late,
        )
        self._transport = monitor.transport or speaker.transport

    # ---- what came of it

    def _observed(self) -> Any:
        observed = None if self._ground.observe is None else snapshot(self._ground.observe(self._protocol))
        program = self._program
        if program is None or self._listening is not None:
            return observed
        return (observed, _result(program)) if self._ground.observe is not None else _result(program)

    def _violated(self, violation: ContractViolation) -> None:
        if violation.rule not in LATE_RULES and not self._tolerated(violation.rule):
            self._violations.append(violation)

    def _late(self, when: str, size: int) -> None:
        if not self._tolerated(when):
            self.outcome.problems.append(written_late(when, size))

    def _tolerated(self, what: str) -> bool:
        """Whether a task may do this: it learns of a loss when it waits for the transport the next time."""
        if asyncio.current_task(self._loop) is None:
            return False
        seen = self._late_writes[what] = self._late_writes.get(what, 0) + 1
        return seen < _LATE_WRITES

    def collect(self) -> None:
        """What the loop has seen, and the contract."""
        # A socket's reader gets all bytes before the end; a transport's protocol may take its end for a reason to stop,
        # unless it keeps its side open, and then what it has taken in is still to be seen.
        self.outcome.owes_all = self._ground.dialect == "socket" or (
            self.outcome.kept_open and self._ground.observe is not None and not self.outcome.program
        )
        outcome, faulty = self.outcome, self._schedule.end != "settle"
        outcome.problems += violated(self._violations)
        for context in self._loop.unhandled:
            error = context.get("exception")
            of_task = "task" in context or "future" in context
            if error is not None and not (faulty and of_task and isinstance(error, _OF_THE_LOSS)):
                outcome.problems.append(raised(error, str(context.get("message", "")), package_of(self._ground.given)))
        for task, error in self._loop.unseen():
            if task is self._program:
                outcome.program_raised = raised(error, "the program raised")
            elif not isinstance(error, _OF_THE_LOSS):
                outcome.problems.append(raised(error, f"task {task.get_name()}: nobody asked for its exception"))
        outcome.without_tls = self._loop.without_tls
        if self.line is not None:
            outcome.history = self.line.history

    def stuck(self, watchdog: Watchdog) -> None:
        """Code that never gave control back."""
        if self.line is not None:
            self.outcome.output = self.line.output
            self.outcome.history = self.line.history
        self.outcome.problems.append(stuck_problem(watchdog.stuck, "event loop"))


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _kind(protocol: Any) -> str:
    """How the monitor is to see it: a protocol that has both ways of taking data is a stream, as in asyncio."""
    buffered = isinstance(protocol, asyncio.BufferedProtocol) or not hasattr(protocol, "data_received")
    return "buffered" if buffered else "stream"


def _result(task: asyncio.Task[Any]) -> str:
    if not task.done():
        return "the program still runs"
    if task.cancelled():
        return "the program was cancelled"
    error = task.exception()
    return f"the program raised {error!r}" if error is not None else f"the program returned {task.result()!r}"


def _waiting_at(task: asyncio.Task[Any]) -> str:
    stack = task.get_stack(limit=1)
    return f"{stack[-1].f_code.co_filename}:{stack[-1].f_lineno}" if stack else ""
