"""Shrinking: what a failure does not need is left out, whatever the number of runs at a time."""

from __future__ import annotations

from typing import Any

import pytest

from wavetank.campaign.confirm import Verdict
from wavetank.campaign.runner import Finished
from wavetank.campaign.session import Settings
from wavetank.campaign.shrink import shrink, without
from wavetank.campaign.wording import in_words
from wavetank.faults import Latency, Loss, Segments
from wavetank.plan import Plan
from wavetank.world.job import FailureRecord, RunResult

FAULTS = (Latency(0.01), Segments(17), Loss(0.1))
CHOICES = {f"cut a -> b:80 #{number % 3} / {number}": number for number in range(1, 60)}
NEEDED = ("cut a -> b:80 #2 / 20", "cut a -> b:80 #1 / 40")


class Pretending:
    """Runs that fail when a plan has the segments fault and both needed choices, one of at least 9."""

    settings, epoch_s, hosts = Settings(), 0, ["a"]

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.pending: list[Finished] = []
        self.count = 0

    @property
    def free(self) -> int:
        return self.workers - len(self.pending)

    @property
    def running(self) -> list[Any]:
        return [finished.token for finished in self.pending]

    def run(self, plan: Plan, **_: Any) -> RunResult:
        self.count += 1
        choices = plan.choices or {}
        fails = FAULTS[1] in plan.faults and all(key in choices for key in NEEDED) and choices[NEEDED[0]] >= 9
        used = {key: value for key, value in choices.items() if FAULTS[1] in plan.faults and key.startswith("cut")}
        record = FailureRecord("exception", "AssertionError: lost", "a", 1, "x.py:3 in f", "")
        return RunResult(str(hash((plan.faults, tuple(used)))), 1, 1, record if fails else None, choices=used)

    def submit(self, token: Any, plan: Plan, *, limit_real_s: float | None = None) -> None:
        self.pending.append(Finished(token, self.run(plan)))

    def wait(self, timeout_s: float) -> list[Finished]:
        return [self.pending.pop()]  # the last first: order of arrival must not matter

    def abandon(self, token: Any) -> None:
        pass


def verdict_of(session: Pretending) -> Verdict:
    plan = Plan(faults=FAULTS, choices=CHOICES)
    return Verdict(plan, Plan(faults=FAULTS), session.run(plan))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_only_what_is_needed_is_left(workers: int) -> None:
    session = Pretending(workers)
    small = shrink(session, verdict_of(session))
    assert small.plan.faults == (FAULTS[1],)
    assert small.plan.choices == {NEEDED[0]: 9, NEEDED[1]: 1}
    assert small.original_plan == Plan(faults=FAULTS)
    assert not small.notes
    assert session.count < 120


def test_a_failure_of_another_cause_does_not_count() -> None:
    class Two(Pretending):
        def run(self, plan: Plan, **more: Any) -> RunResult:
            result = super().run(plan, **more)
            if result.failure is None:  # everything else fails, too, elsewhere
                result.failure = FailureRecord("exception", "AssertionError: lost", "a", 1, "x.py:9 in g", "")
            return result

    session = Two()
    assert shrink(session, verdict_of(session)).plan.choices == {NEEDED[0]: 9, NEEDED[1]: 1}


def test_it_stops_at_its_time_limit_and_says_so() -> None:
    session = Pretending()
    verdict = verdict_of(session)
    stopped = shrink(session, verdict, limit_s=0.0)
    assert stopped.plan == verdict.plan
    assert stopped.notes == ("shrinking stopped at its time limit: more may be left than is needed",)


def test_what_fails_in_a_calm_world_needs_nothing() -> None:
    class Always(Pretending):
        def run(self, plan: Plan, **more: Any) -> RunResult:
            record = FailureRecord("exception", "KeyError: 1", "a", 1, "x.py:1 in f", "")
            return RunResult("d", 1, 1, record, choices=dict(plan.choices or {}))

    session = Always()
    small = shrink(session, verdict_of(session))
    assert (small.plan.faults, small.plan.choices) == ((), {})


def test_a_cut_that_is_left_out_joins_the_pieces_on_both_sides() -> None:
    cuts = {"cut a / 0": 3, "cut a / 3": 4, "loss a / 1": 1, "cut a / 7": 1, "cut a / 20": 5, "cut b / 8": 9}
    assert without(cuts, ["cut a / 0"]) == {
        "cut a / 0": 7, "loss a / 1": 1, "cut a / 7": 1, "cut a / 20": 5, "cut b / 8": 9
    }  # fmt: skip
    assert without(cuts, ["cut a / 3", "loss a / 1", "cut a / 20"]) == {
        "cut a / 0": 3, "cut a / 3": 5, "cut b / 8": 9
    }  # fmt: skip
    assert without(cuts, ["cut a / 0", "cut a / 3", "cut b / 8"]) == {"loss a / 1": 1, "cut a / 0": 8, "cut a / 20": 5}
    assert without(cuts, ["cut a / 3"], ["a"]) == {key: value for key, value in cuts.items() if key != "cut a / 3"}


def test_choices_in_words() -> None:
    assert [
        in_words("cut a -> b:80 #1 / 3", 1),
        in_words("cut a -> b:80 #1 / 3", 17),
        in_words("jitter a -> b:80 #1 / 4", 2500),
        in_words("control-jitter a -> b:80 #1 / 4", 2500),
        in_words("loss a -> b:80 #1 / 5", 1),
        in_words("scheduling * / 6", 1),
        in_words("style a -> b:80 #1 / 1", 1),
        in_words("lateness a -> b:80 #1 / 1", 2),
        in_words("cut a -> b:80 #1 / 3", 40, (2, 17)),
        in_words("jitter a -> b:80 #1 / 4", 2500, (11, 0)),
        in_words("loss a -> b:80 #1 / 5", 1, (23, 0)),
        in_words("new thing / 1", 7),
    ] == [
        "what is sent from byte 3 of a -> b:80 #1 on arrives cut after 1 byte",
        "what is sent from byte 3 of a -> b:80 #1 on arrives cut after 17 bytes",
        "byte 4 of a -> b:80 #1 arrives 2.5 ms late",
        "packet 4 without data of a -> b:80 #1 arrives 2.5 ms late",
        "packet 5 of a -> b:80 #1 is lost",
        "turn 6 on *: number 2 in line goes first",
        "a -> b:80 #1: all pieces are cut",
        "a -> b:80 #1: half of the packets arrive next to a deadline of their receiver",
        "the 2nd write of a -> b:80 #1 arrives cut after 17 bytes",
        "the 11th write of a -> b:80 #1 arrives 2.5 ms late",
        "the 23rd write of a -> b:80 #1 is lost",
        "new thing / 1 = 7",
    ]
