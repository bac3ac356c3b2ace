"""Sans-I/O objects: the adapter that makes them checkable, and their runs.

Owns `SansIO`, which says how h11, h2, wsproto and their like take bytes and what they give. It must never open, wait
for or schedule anything: such an object is a function of its input.

The idea: an object of this kind has `receive_data(data)`; events come back from it (h2), from `events()` (wsproto) or
from `next_event()` (h11); bytes to send come from `data_to_send()` or from what answers an event. How the input was cut
may show in how a body is cut into data events, so these are joined before two runs are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from wavetank.check.conversation import Conversation
from wavetank.check.outcome import Outcome, Problem, shown
from wavetank.check.problems import raised, snapshot, trace_of
from wavetank.check.schedule import End, Schedule
from wavetank.check.stillness import Stillness
from wavetank.check.subject import Dialect, checked_factory, unwrapped
from wavetank.check.watchdog import Stuck, Watchdog
from wavetank.errors import UsageError

#: What `next_event` of h11 gives when there is nothing (more) to give.
_NOTHING: Final = ("NEED_DATA", "PAUSED")
#: So many events for one piece of input are a loop that never ends.
_MOST_EVENTS: Final = 1_000_000
_DATA: Final = (bytes, bytearray, memoryview, str)
#: What ends a run of data events that belong together: a message is complete (wsproto).
_LAST: Final = "message_finished"


class SansIO:
    """Adapts an object that takes bytes and gives events, without doing I/O itself.

    `machine`: the object, with `receive_data(data)`. `respond`: called with (machine, event) for each event, returns
    bytes to send or None. `refuses`: the exceptions by which it refuses input - the peer's fault, so no failure;
    without, every exception of the machine's own package, those with "Local" in their name excepted. `eof`: what tells
    it the end of the stream: a function of the machine; without, what h11 (`receive_data(b"")`) and wsproto
    (`receive_data(None)`) take, and else nothing.

    After input was refused, nothing more is given to it.
    """

    def __init__(
        self,
        machine: Any,
        respond: Callable[[Any, Any], bytes | None] | None = None,
        *,
        refuses: tuple[type[BaseException], ...] = (),
        eof: Callable[[Any], Any] | None = None,
    ) -> None:
        if not callable(getattr(machine, "receive_data", None)):
            raise UsageError(
                f"{type(machine).__name__} has no receive_data",
                next="give SansIO an object that has one, or write a class with receive_data(data) and data_to_send()",
            )
        self.machine = machine
        self._respond = respond
        self._refuses = refuses
        self._eof = eof
        #: Of the object's class, and of those that it is derived from.
        self._packages = {kind.__module__.partition(".")[0] for kind in type(machine).__mro__} - {"builtins"}
        self._sends = getattr(machine, "data_to_send", None)
        self.events: list[Any] = []
        self.output: list[bytes] = []
        self.refused: BaseException | None = None
        self._collect_sent()

    def __str__(self) -> str:
        return "\n".join(shown(event) for event in self.events)

    def receive_data(self, data: bytes) -> None:
        """Give it a piece of input; events and output are collected. Raises what is no refusal."""
        self._guarded(self.machine.receive_data, data)

    def receive_eof(self) -> None:
        """Tell it that the peer sends no more."""
        machine = self.machine
        if self._eof is not None:
            self._guarded(self._eof, machine)
        elif hasattr(machine, "next_event"):
            self._guarded(machine.receive_data, b"")
        elif callable(getattr(machine, "events", None)):
            self._guarded(machine.receive_data, None)

    def _guarded(self, call: Callable[..., Any], argument: Any) -> None:
        if self.refused is not None:
            return
        try:
            given = call(argument)
            for event in self._given(given):
                self._take(event)
            self._collect_sent()
        except Exception as error:
            if not self._is_refusal(error):
                raise
            self.refused = error
            self._collect_sent()

    def _given(self, given: Any) -> Iterator[Any]:
        machine = self.machine
        if given is not None and not isinstance(given, _DATA) and isinstance(given, Iterable):
            yield from given
        elif callable(events := getattr(machine, "events", None)):
            yield from events()
        elif callable(following := getattr(machine, "next_event", None)):
            for _ in range(_MOST_EVENTS):
                event = following()
                if event is None or (isinstance(event, type) and event.__name__ in _NOTHING):
                    return
                yield event
                if type(event).__name__ == "ConnectionClosed":
                    return

    def _take(self, event: Any) -> None:
        self.events.append(event)
        if self._respond is not None:
            answer = self._respond(self.machine, event)
            if answer:
                self.output.append(bytes(answer))

    def _collect_sent(self) -> None:
        if self._sends is not None:
            data = self._sends()
            if data:
                self.output.append(bytes(data))

    def _is_refusal(self, error: Exception) -> bool:
        if self._refuses:
            return isinstance(error, self._refuses)
        kind = type(error)
        return kind.__module__.partition(".")[0] in self._packages and "Local" not in kind.__name__


def comparable(events: Iterable[Any]) -> list[Any]:
    """Events in a form in which two runs are compared: data that belongs together is joined."""
    out: list[Any] = []
    joined: list[Any] | None = None  # [type, stream, pieces of data, complete]
    for event in events:
        data = getattr(event, "data", None)
        if not isinstance(data, _DATA):
            joined = None
            out.append(_fields(event))
            continue
        stream = getattr(event, "stream_id", None)
        piece = data if isinstance(data, str) else bytes(data)
        complete = bool(getattr(event, _LAST, False))
        if joined is not None and joined[0] is type(event) and joined[1] == stream and not joined[3]:
            joined[2] += piece
            joined[3] = complete
        else:
            joined = [type(event), stream, piece, complete]
            out.append(joined)
    return out


def _fields(event: Any) -> Any:
    """An object without an `__eq__` of its own, by its class and attributes."""
    own = any("__eq__" in vars(kind) for kind in type(event).__mro__[:-1])
    return (type(event), vars(event)) if not own and hasattr(event, "__dict__") else event


class SansIOGround:
    """Runs schedules with sans-I/O objects of one factory."""

    #: There is no transport that would limit a read.
    max_read = 2**62
    dialect: Dialect = "sans-io"

    def __init__(self, factory: Any, observe: Callable[[Any], Any] | None, watchdog: Watchdog) -> None:
        self._given = factory
        self._factory = checked_factory(factory)
        self._observe = observe
        self._watchdog = watchdog
        self._stillness = Stillness().of(lambda: 0.0)

    def close(self) -> None:
        """Nothing is run any more."""

    def families(self) -> Sequence[str]:
        """Those without a transport."""
        return ("single cuts", "eof", "straddling pieces", "several cuts", "garbage", "damaged bytes")

    def ends(self) -> Sequence[End]:
        """There is only the end of the stream."""
        return ("eof",)

    def on_real_transport(self, conversation: Conversation) -> Outcome | None:
        """There is no other one."""
        return None

    def held_memory(self, conversation: Conversation) -> Outcome | None:
        """Such an object cannot stop reading."""
        return None

    def run(self, conversation: Conversation, schedule: Schedule) -> Outcome:
        """One run: all pieces, then the end of the stream."""
        outcome = Outcome()
        watchdog = self._watchdog
        watchdog.watch()
        try:
            with self._stillness:
                self._run(schedule, outcome)
        except Stuck:
            _, stack = watchdog.stuck or ("spin", "")
            outcome.problems.append(Problem("spin", "code runs and never gives control back", stack))
        finally:
            watchdog.rest()
        return outcome

    def _run(self, schedule: Schedule, outcome: Outcome) -> None:
        made = unwrapped(self._factory(), self._given, "sans-io")
        adapter = made if isinstance(made, SansIO) else SansIO(made)
        call = "receive_data"
        try:
            for pieces in schedule.pieces:
                for piece in pieces:
                    adapter.receive_data(piece)
                    outcome.taken += len(piece)
            if schedule.end == "settle":
                self._record(adapter, outcome)
            call = "the end of the stream"
            adapter.receive_eof()
        except Exception as error:
            self._record(adapter, outcome)
            outcome.problems.append(Problem("exception", f"{call} raised {raised(error, '').text}", trace_of(error)))
            return
        if schedule.end != "settle":
            self._record(adapter, outcome)

    def _record(self, adapter: SansIO, outcome: Outcome) -> None:
        outcome.output = b"".join(adapter.output)
        outcome.closed = "open" if adapter.refused is None else f"refused ({type(adapter.refused).__name__})"
        events = comparable(adapter.events)
        outcome.observed = events if self._observe is None else (events, snapshot(self._observe(adapter.machine)))
        outcome.history = adapter
