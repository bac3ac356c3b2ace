"""`check_protocol` and `play`: the check as Python sees it.

Owns what the arguments mean, the choice of the ground, and the error that a finding becomes. It must never print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Final

from wavetank.check.aio_ground import AsyncioGround
from wavetank.check.conversation import SIDES, Conversation, Side
from wavetank.check.outcome import Outcome
from wavetank.check.problems import last_line
from wavetank.check.report import failure_of
from wavetank.check.schedule import ENDS, PACES, End, Pace, Schedule
from wavetank.check.search import Ground, Report, Search
from wavetank.check.subject import Dialect, checked_dialect, checked_factory, dialect_of, unwrapped
from wavetank.check.watchdog import Watchdog
from wavetank.errors import CheckFailed, EnvironmentProblem, UsageError, did_you_mean

#: Processor seconds that a check may take; most are through with everything before.
SECONDS: Final = 6.0
#: So many schedules are drawn by Hypothesis.
EXAMPLES: Final = 100


def check_protocol(
    factory: Any,
    conversation: Any,
    *,
    observe: Callable[[Any], Any] | str | None = None,
    dialect: str | None = None,
    reads_as: Callable[[bytes], Any] | str | None = None,
    side: Side = "server",
    seconds: float = SECONDS,
    examples: int = EXAMPLES,
) -> None:
    """Check that a protocol does the same however its input is cut, ended and held up.

    `factory`: makes a new protocol without arguments - a class, a function, a coroutine function, a Twisted factory; or
    a coroutine function that listens or connects. It is called inside the event loop, once for each run.
    `conversation`: what the peer says (`Conversation.of`). `observe`: a function of the protocol, or the name of an
    attribute of it: what it gives is compared like the output. `dialect`: "asyncio", "twisted", "sans-io" or "socket",
    where it cannot be told. `reads_as`: "http2" (stream by stream), or a function of the bytes that the protocol wrote:
    what it gives is compared instead of them, where they may be right in several ways. `side`: which of the two the
    protocol plays. `seconds`: the most processor time, and 2.5 times as much real time. `examples`: so many schedules
    are drawn by Hypothesis, after all that is enumerated.

    Raises `CheckFailed` with the smallest cut that shows it; `UsageError` for arguments that make no sense.
    """
    report, shown = checked(
        factory, conversation, observe=observe, dialect=dialect, reads_as=reads_as, side=side, seconds=seconds,
        examples=examples,
    )  # fmt: skip
    if report.finding is not None:
        assert shown is not None
        raise shown


def checked(
    factory: Any,
    conversation: Any,
    *,
    observe: Callable[[Any], Any] | str | None = None,
    dialect: str | None = None,
    reads_as: Callable[[bytes], Any] | str | None = None,
    side: Side = "server",
    seconds: float = SECONDS,
    examples: int = EXAMPLES,
    imports: tuple[str, str] | None = None,
) -> tuple[Report, CheckFailed | None]:
    """As `check_protocol`; returns what was tried, and the failure instead of raising it.

    `imports` is (module, name) of the factory for the regression test, where the object does not say.
    """
    said = _conversation(conversation, side)
    if not seconds > 0:
        raise UsageError(f"seconds is {seconds!r}", why="it is a time in seconds, more than 0")
    with ground_for(factory, observe, dialect, reads_as) as ground:
        report = Search(ground, said, seconds=seconds, examples=examples).run()
    if report.finding is None:
        return report, None
    failure = failure_of(report.finding, factory, observe=observe, dialect=dialect, reads_as=reads_as, imports=imports)
    return report, failure


def play(
    factory: Any,
    pieces: Sequence[bytes] | Sequence[Sequence[bytes]],
    *,
    pace: Pace = "apart",
    end: End = "settle",
    deaf_after: int | None = None,
    hears_again: bool = True,
    observe: Callable[[Any], Any] | str | None = None,
    dialect: str | None = None,
    reads_as: Callable[[bytes], Any] | str | None = None,
) -> Outcome:
    """Run a protocol once, with exactly these pieces, and return what came of it.

    `pieces`: what the protocol is given, a call each; or, for a peer that waits for answers, a list of such lists.
    `pace`: "apart" (each piece after the protocol has nothing more to do) or "together" (one loop iteration apart).
    `end`: what becomes of the connection: "settle", "eof", "eof together", "reset" or "abort". `deaf_after`: the peer
    stops reading after so many writes, and `hears_again` or not. The rest is as for `check_protocol`.

    Raises `UsageError` for arguments that make no sense.
    """
    for value, known, name in ((pace, PACES, "pace"), (end, ENDS, "end")):
        if value not in known:
            raise UsageError(
                f"{name} is {value!r}.{did_you_mean(str(value), known)}", why=f"there are {', '.join(known)}"
            )
    turns = tuple(tuple(bytes(piece) for piece in turn) if not isinstance(turn, bytes) else (turn,) for turn in pieces)
    if pieces and isinstance(pieces[0], bytes):
        turns = (tuple(turn[0] for turn in turns),)
    said = Conversation(tuple(_turn(turn, last=number == len(turns)) for number, turn in enumerate(turns, 1)))
    schedule = Schedule(turns, pace=pace, end=end, deaf_after=deaf_after, hears_again=hears_again)
    with ground_for(factory, observe, dialect, reads_as) as ground:
        return ground.run(said, schedule)


def _turn(pieces: tuple[bytes, ...], *, last: bool) -> Any:
    """A turn of these pieces; any answer is waited for, except after the last."""
    from wavetank.check.conversation import Answer, Turn

    return Turn(pieces, None if last else Answer())


@contextmanager
def ground_for(
    factory: Any,
    observe: Callable[[Any], Any] | str | None = None,
    dialect: str | None = None,
    reads_as: Callable[[bytes], Any] | str | None = None,
) -> Iterator[Ground]:
    """The ground on which protocols of this factory run. Raises `UsageError` for a factory that is none."""
    known = checked_dialect(dialect)
    reader = _reader(reads_as)
    checked_factory(factory, arguments=1 if known == "socket" else 0)
    with Watchdog() as watchdog:
        found = known or _told(factory, watchdog)
        ground = _ground(found)(factory, _observer(observe), watchdog)
        try:
            yield ground if reader is None else ReadingGround(ground, reader)
        finally:
            ground.close()


def _told(factory: Any, watchdog: Watchdog) -> Dialect:
    """The dialect of what the factory gives. Raises `UsageError` where that cannot be told."""
    import inspect

    ground = AsyncioGround(factory, None, watchdog)
    try:
        made = ground.probe()
    finally:
        ground.close()
    if inspect.isawaitable(made):
        if inspect.iscoroutine(made):
            made.close()
        return "asyncio"
    found = dialect_of(unwrapped(made, factory, None))
    assert found is not None
    return found


def _ground(dialect: Dialect) -> Any:
    if dialect == "asyncio":
        return AsyncioGround
    if dialect == "sans-io":
        from wavetank.check.sansio import SansIOGround

        return SansIOGround
    if dialect == "twisted":
        try:
            import twisted  # noqa: F401
        except ImportError:
            raise EnvironmentProblem(
                "this is a protocol of Twisted, and Twisted is not installed",
                next="pip install 'wavetank[twisted]'; or --dialect asyncio, if it is none",
            ) from None
        from wavetank.check.tx_ground import TwistedGround

        return TwistedGround
    from wavetank.check.socket_ground import SocketGround

    return SocketGround


class ReadingGround:
    """A ground whose outcomes are read before they are compared."""

    def __init__(self, ground: Any, reader: Callable[[bytes], Any]) -> None:
        self._ground = ground
        self._read = reader

    def run(self, conversation: Conversation, schedule: Schedule) -> Outcome:
        """One run."""
        outcome: Outcome = self._ground.run(conversation, schedule)
        outcome.reader = self._read
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ground, name)


def _reader(reads_as: Callable[[bytes], Any] | str | None) -> Callable[[bytes], Any] | None:
    if reads_as is None or reads_as == "bytes":
        return None
    if reads_as == "http2":
        from wavetank.check import http2

        http2.read(b"")  # whether it can
        return http2.read
    if not callable(reads_as):
        raise UsageError(
            f"reads_as is {reads_as!r}.{did_you_mean(str(reads_as), ('http2', 'bytes'))}",
            why='it is "http2", or a function of the bytes that were written',
        )
    call = reads_as

    def read(output: bytes) -> Any:
        try:
            return call(output)
        except Exception as error:
            raise UsageError(
                f"reads_as raised {type(error).__name__}: {error}",
                where=last_line(error),
                why="it is called with all that the protocol wrote, which ends anywhere",
            ) from error

    return read


def _observer(observe: Callable[[Any], Any] | str | None) -> Callable[[Any], Any] | None:
    if observe is None:
        return None
    if isinstance(observe, str):
        call: Callable[[Any], Any] = attrgetter(observe)
    elif callable(observe):
        call = observe
    else:
        raise UsageError(
            f"observe is a {type(observe).__name__}", why="it is a function of the protocol, or an attribute's name"
        )

    def observed(protocol: Any) -> Any:
        try:
            return call(protocol)
        except Exception as error:
            raise UsageError(
                f"observe raised {type(error).__name__}: {error}",
                where=last_line(error),
                why="it is called with the protocol, when the conversation is over; the connection may be lost then",
            ) from error

    return observed


def _conversation(given: Any, side: str) -> Conversation:
    if side not in SIDES:
        raise UsageError(f"side is {side!r}.{did_you_mean(side, SIDES)}", why=f"there are {' and '.join(SIDES)}")
    return Conversation.of(given, side=side)  # type: ignore[arg-type]
