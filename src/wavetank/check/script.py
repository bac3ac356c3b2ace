"""The script of a run: what happens to a line, step by step, in no dialect's words.

Owns the order of events in a run, and when a wait is over. It must never call a loop or a clock: it asks for a turn,
for quiet, or for time, and an engine gives it.

The idea: a generator. It yields TURN (one iteration), QUIET (until nothing is left to do at this time), or a number
(let time pass to the next timer, if one is due until then), and is sent back whether something was.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from wavetank.check.conversation import Conversation, Turn
from wavetank.check.line import Line
from wavetank.check.outcome import Outcome, Problem
from wavetank.check.schedule import Schedule

TURN: Final = "turn"
QUIET: Final = "quiet"
Script = Generator[Any, Any, None]

#: Virtual seconds: what a protocol may take to answer, to read on, or to finish what it has begun.
PATIENCE_S: Final = 30.0
#: Virtual seconds after an end in which the connection has to be over; above the keep-alive times of servers (75 s).
HANG_S: Final = 300.0
#: So many timers in one wait: a protocol that polls is not waited for longer.
_MOST_TIMERS: Final = 3_000


@dataclass
class Clockwork:
    """What a script is told of time: now, in virtual seconds."""

    now: Callable[[], float]


def conversation_script(
    line: Any, conversation: Conversation, schedule: Schedule, clock: Clockwork, outcome: Outcome, observe: Any
) -> Script:
    """All of one run: the conversation, the end, and what comes of it; fills in the outcome."""
    stalled = False
    mark = 0
    if schedule.end == "flood" and tracemalloc.is_tracing():
        outcome.held_memory_bytes = tracemalloc.get_traced_memory()[0]
    for turn, pieces in zip(conversation.turns, schedule.pieces, strict=False):
        for piece in pieces:
            if line.over or stalled:
                break
            line.say(piece)
            if schedule.end == "eof together" and line.ends_with_data:
                continue
            yield TURN if schedule.pace == "together" else QUIET
            if line.switched and outcome.switched_at is None:
                outcome.switched, outcome.switched_at = True, line.taken_bytes
            if line.waiting_bytes and schedule.end == "flood":
                break  # it has stopped reading, as it should
            if line.waiting_bytes:
                stalled = yield from _until_taken(line, clock)
        if schedule.end in ("eof together", "flood"):
            continue
        yield QUIET
        if turn.answer is not None and not stalled and _complete(turn, pieces):
            yield from _until_answered(line, turn, mark, schedule, clock, outcome)
            mark = line.output_bytes
    yield from _ENDS[schedule.end](line, schedule, clock, outcome, observe)
    outcome.output = line.output
    outcome.switched = outcome.switched or line.switched
    outcome.writes = line.writes
    outcome.taken = line.taken_bytes
    outcome.most_held = line.most_held


def _complete(turn: Turn, pieces: tuple[bytes, ...]) -> bool:
    return sum(map(len, pieces)) == len(turn.data)


def _until_taken(line: Line, clock: Clockwork) -> Generator[Any, Any, bool]:
    """Wait until the protocol reads on; returns whether it does not."""
    until = clock.now() + PATIENCE_S
    for _ in range(_MOST_TIMERS):
        yield QUIET
        if not line.waiting_bytes or line.over:
            return False
        if line.hear_again():
            continue
        if not (yield until):
            return True
    return True


def _until_answered(
    line: Line, turn: Turn, mark: int, schedule: Schedule, clock: Clockwork, outcome: Outcome
) -> Script:
    """Wait for the answer of this turn, and compare it."""
    answer = turn.answer
    assert answer is not None
    if line.deaf and not schedule.hears_again:
        return
    until = clock.now() + PATIENCE_S
    said = b""
    for _ in range(_MOST_TIMERS):
        said = line.output[mark:]
        if answer.fits(said) if answer.known else said:
            return
        if line.lost:
            break
        if line.hear_again():
            yield QUIET
        elif not (yield until):
            break
    if answer.known and schedule.end == "settle":
        outcome.problems.append(
            Problem("answer", "the protocol does not answer as the conversation says", _answers(answer, said))
        )


def _answers(answer: object, said: bytes) -> str:
    from wavetank.check.text_form import quoted

    return f"expected  < {answer}\nanswered  < {quoted(said)}"


def _settle(line: Line, schedule: Schedule, clock: Clockwork, outcome: Outcome, observe: Any) -> Script:
    """Let it finish what it has begun; then the peer closes."""
    yield from _pass(line, clock, PATIENCE_S)
    outcome.closed = line.ended_by_protocol()
    outcome.observed = observe()
    if line.deaf:
        line.break_off()
        yield from _pass(line, clock, PATIENCE_S)
    else:
        yield from _close(line, clock, outcome)


def _end_stream(line: Line, schedule: Schedule, clock: Clockwork, outcome: Outcome, observe: Any) -> Script:
    yield from _close(line, clock, outcome)
    outcome.observed = observe()


def _close(line: Line, clock: Clockwork, outcome: Outcome) -> Script:
    """The peer sends no more, and reads on: the protocol has to come to an end."""
    closing = line.over
    if not closing:
        line.end_stream()
        yield QUIET
        outcome.kept_open = line.kept_open
    hangs = yield from _hangs(line, clock)
    if hangs and not line.program_ended():
        what = "is closing" if line.over else "is still open"
        outcome.problems.append(
            Problem(
                "hang",
                f"the peer has sent no more for {HANG_S:.0f} s of virtual time, and the connection {what}",
                f"the protocol had taken {line.taken_bytes} bytes"
                + ("" if line.reading else ", and has paused reading")
                + (f"; {line.waiting_bytes} bytes wait to be read" if line.waiting_bytes else ""),
            )
        )
    line.break_off()
    yield from _pass(line, clock, PATIENCE_S, after_loss=True)


def _hangs(line: Line, clock: Clockwork) -> Generator[Any, Any, bool]:
    """Wait for the loss, as long as the protocol reads or writes now and then; returns whether it does not end."""
    yield QUIET
    done, until, idle = line.progress, clock.now() + HANG_S, 0
    for _ in range(_MOST_TIMERS):
        if line.hear_again():
            yield QUIET
        if line.lost:
            return False
        if not (yield until):
            return not line.lost
        idle += 1
        if line.progress != done:
            done, until, idle = line.progress, clock.now() + HANG_S, 0
    # A protocol that is still busy may go on for ever, and rightly: the peer reads.
    return not line.lost and idle > _MOST_TIMERS // 2


def _reset(line: Line, schedule: Schedule, clock: Clockwork, outcome: Outcome, observe: Any) -> Script:
    line.reset()
    yield QUIET
    if not line.lost:
        yield from _pass(line, clock, PATIENCE_S)
        line.break_off()
    yield from _pass(line, clock, PATIENCE_S, after_loss=True)
    outcome.observed = observe()


def _abort(line: Line, schedule: Schedule, clock: Clockwork, outcome: Outcome, observe: Any) -> Script:
    line.abort()
    yield from _pass(line, clock, PATIENCE_S, after_loss=True)
    outcome.observed = observe()


def _flood(line: Line, schedule: Schedule, clock: Clockwork, outcome: Outcome, observe: Any) -> Script:
    """Measure what is held once nothing is left to do at this time; then break off."""
    yield QUIET
    gc.collect()
    if tracemalloc.is_tracing():
        held = tracemalloc.get_traced_memory()[0] - outcome.held_memory_bytes - line.output_bytes - line.held_bytes
        outcome.held_memory_bytes = held
    line.break_off()
    yield QUIET


def _begin_tls(line: Line, schedule: Schedule, clock: Clockwork, outcome: Outcome, observe: Any) -> Script:
    """The peer begins TLS, and listens."""
    from wavetank.check.tls_switch import switch_script

    yield from switch_script(line, outcome, QUIET)
    outcome.observed = observe()
    line.break_off()
    yield QUIET


def _pass(line: Line, clock: Clockwork, seconds: float, *, after_loss: bool = False) -> Script:
    """Let time pass, until nothing is due any more or, unless `after_loss`, the connection is lost."""
    until = clock.now() + seconds
    yield QUIET
    for _ in range(_MOST_TIMERS):
        if line.hear_again():
            yield QUIET
        if (line.lost and not after_loss) or not (yield until):
            return


_ENDS: Final[dict[str, Callable[..., Script]]] = {
    "settle": _settle,
    "eof": _end_stream,
    "eof together": _end_stream,
    "reset": _reset,
    "abort": _abort,
    "flood": _flood,
    "tls": _begin_tls,
}
