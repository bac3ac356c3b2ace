"""A finding: one trial that shows that a property does not hold, and what it is compared with.

Owns the record and the judgement of one outcome. It must never run anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wavetank.check.conversation import Conversation
from wavetank.check.outcome import Kind, Outcome, Problem
from wavetank.check.schedule import Schedule
from wavetank.check.trials import Trial

#: A real transport holds 64 KiB before it pauses its protocol; what is written after that must not grow with the input.
HELD_BYTES: Final = 128 * 1024

_TITLES: Final[dict[Kind, str]] = {
    "cut": "what the protocol does depends on how its input is cut",
    "pause": "what the protocol does depends on how fast the peer reads",
    "eof": "what came right before the end of the stream is treated differently",
    "answer": "the protocol does not answer as it should",
    "exception": "a callback of the protocol raises",
    "unhandled": "an exception that nobody handles",
    "hang": "the connection does not come to an end",
    "spin": "the event loop stands still",
    "contract": "the protocol breaks its contract with the transport",
    "buffer": "what is held in memory grows without bound",
    "injection": "what was sent in clear takes effect inside TLS",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not hold (`problem`), the trial that shows it, its outcome; the reference where two were compared."""

    problem: Problem
    conversation: Conversation
    schedule: Schedule
    outcome: Outcome
    reference: Outcome | None = None
    reference_schedule: Schedule | None = None

    @property
    def title(self) -> str:
        """The property that does not hold, in a line."""
        return _TITLES[self.problem.kind]


def judge(trial: Trial, outcome: Outcome, reference: Outcome | None) -> Problem | None:
    """What is wrong with an outcome, the worst first; None when nothing is."""
    problems = outcome.problems
    if problems and not trial.conversation.data.startswith(trial.schedule.data):
        # A library that refuses nonsense with an exception of its own is called again by nobody: that ends it cleanly.
        problems = [problem for problem in problems if not problem.refusal]
    if problems:
        return problems[0]
    schedule = trial.schedule
    if schedule.deaf_after is not None and not schedule.hears_again:
        return _bounded(outcome)
    if reference is None:
        return None
    if trial.compare == "eof":
        return _handled_all(outcome, reference)
    if trial.compare is not None:
        return _same(trial.compare, outcome, reference)
    return _answered_all(trial, outcome, reference)


def _same(kind: Kind, outcome: Outcome, reference: Outcome) -> Problem | None:
    differing = outcome.differences(reference)
    if not differing:
        return None
    words = {
        "output": "the output differs",
        "closed": f"the connection is {outcome.closed} instead of {reference.closed}",
        "observed": "what was observed differs",
    }
    return Problem(kind, ", ".join(words[each] for each in differing))


def _handled_all(outcome: Outcome, reference: Outcome) -> Problem | None:
    """What was there before the end of the stream is handled, also when both are seen at once."""
    differing = [each for each in outcome.differences(reference) if each != "closed"]
    if not outcome.owes_all or not differing:
        return None
    what = {"output": "the output differs", "observed": "what was observed differs"}
    return Problem("eof", ", ".join(what[each] for each in differing) + " when the end of the stream comes at once")


def _answered_all(trial: Trial, outcome: Outcome, reference: Outcome) -> Problem | None:
    """A protocol that keeps its side open at the end of the stream owes the answers to all that came before."""
    complete = trial.schedule.data == trial.conversation.data
    owes = outcome.kept_open and not outcome.program
    if trial.schedule.end != "eof" or trial.schedule.pace != "apart" or not complete or not owes:
        return None
    if outcome.output.startswith(reference.output) or outcome.reads_the_same(reference):
        return None
    return Problem(
        "answer",
        "the answer is lost when the peer sends no more and goes on reading",
        "eof_received returned true: the protocol keeps its side open, so it can answer what it has been asked",
    )


def _bounded(outcome: Outcome) -> Problem | None:
    largest = max(outcome.writes, default=0)
    if outcome.most_held <= HELD_BYTES + largest:
        return None
    return Problem(
        "buffer",
        f"{outcome.most_held:,} bytes wait in the transport of a peer that does not read",
        f"the transport asked for a pause above {65536:,} bytes; the longest write had {largest:,};"
        " a protocol that is asked to pause stops writing, stops reading, or drops the peer",
    )
