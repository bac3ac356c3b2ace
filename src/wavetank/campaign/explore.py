"""Many seeds, looking for one that fails.

Owns the order of seeds, when to stop, and the grouping of failures that have one cause. What a run is, and whether a
failure is real, it asks `session` and `confirm`.

The idea: seeds go up from the first one, several under way at a time. The first failure stops the campaign, but seeds
below it that are still running are waited for: so the failure that is reported is that of the lowest failing seed, on
one core as on many, and as many runs are counted as one core would have made.

With `keep_going` failures that have one cause are one group. Its easiest seed is the one of which least is left when it
has been shrunk: the lowest seed is, and the few others whose runs had the fewest faults and choices to begin with.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from wavetank.campaign.confirm import Verdict, cause, confirm
from wavetank.campaign.plans import applicable, plan_for, untried
from wavetank.campaign.session import Runs
from wavetank.campaign.shrink import LIMIT_S, shrink
from wavetank.errors import UsageError
from wavetank.plan import MAX_SEED, Plan
from wavetank.world.job import RunResult

#: How often the campaign looks whether it shall stop.
_TURN_S: Final = 0.2
#: All shrinking of one campaign takes at most so many real seconds.
_SHRINKING_S: Final = 60.0
#: At most so many groups of failures are confirmed with `keep_going`; the others are counted.
MAX_GROUPS: Final = 50
#: So many seeds of a group besides the lowest may be its easiest.
CANDIDATES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is to be searched.

    `runs`: None for no limit; `seconds`: of real time, None for no limit; `plan`: faults that every run has instead of
    those that its seed draws; `shrink`: whether the plans of failures are made as small as can be. Raises `UsageError`
    for a bad value.
    """

    first_seed: int = 0
    runs: int | None = 200
    seconds: float | None = None
    keep_going: bool = False
    plan: Plan | None = None
    shrink: bool = True

    def __post_init__(self) -> None:
        if self.runs is not None and self.runs < 1:
            raise UsageError(f"{self.runs} runs are none", why="--runs is 1 or more")
        if not 0 <= self.first_seed <= MAX_SEED - (self.runs or 1) + 1:
            raise UsageError(f"seed {self.first_seed} is out of range", why=f"seeds are 0 to {MAX_SEED}")
        if self.seconds is not None and self.seconds <= 0:
            raise UsageError("no time to explore", why="--for is more than 0 s")


class Member(NamedTuple):
    """One failing run of a group: how much its plan has, faults and choices that are not calm, and what came of it."""

    size: int
    seed: int
    plan: Plan
    result: RunResult


@dataclass
class Group:
    """Failures with one cause: oracle, type of error and innermost line of the user's; how many, and the lowest seed's.

    `others`: the seeds, besides the lowest, whose plans had least. `verdict`: on the easiest one, once there is one.
    """

    seed: int
    plan: Plan
    result: RunResult
    count: int = 1
    others: list[Member] = field(default_factory=list)
    verdict: Verdict | None = None

    @property
    def easiest(self) -> int:
        """The seed that `verdict` is about; the lowest as long as there is none."""
        return self.seed if self.verdict is None else self.verdict.original_plan.seed

    def add(self, plan: Plan, result: RunResult) -> None:
        """One more failure with this cause, of a higher seed."""
        self.count += 1
        self.others.append(Member(len(plan.faults) + len(result.choices), plan.seed, plan, result))
        self.others = sorted(self.others, key=lambda each: each[:2])[:CANDIDATES]


@dataclass
class Found:
    """What a campaign has found. `outcomes` counts runs by "ok" or the kind of failure.

    `seconds`: real time of all; `searching_s`: of the part before failures were confirmed and shrunk.
    """

    runs: int = 0
    seconds: float = 0.0
    searching_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    groups: list[Group] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    stopped: bool = False


def _never() -> bool:
    return False


def _silent(found: Found) -> None:
    pass


def explore(
    session: Runs, search: Search, *, stop: Callable[[], bool] = _never, progress: Callable[[Found], None] = _silent
) -> Found:
    """Search; `stop` is asked often and ends it early, `progress` is told after each run.

    Each failure reported has a verdict, unless `stop` came first.
    """
    return _Campaign(session, search, stop, progress).go()


class _Campaign:
    def __init__(
        self, session: Runs, search: Search, stop: Callable[[], bool], progress: Callable[[Found], None]
    ) -> None:
        self.session = session
        self.search = search
        self.stop = stop
        self.progress = progress
        self.found = Found()
        self.results: dict[int, RunResult] = {}  # of seeds above one that still runs
        self.plans: dict[int, Plan] = {}
        self.groups: dict[tuple[str, ...], Group] = {}
        self.next_seed = search.first_seed  # to submit
        self.next_count = search.first_seed  # to count
        self.lowest_failure: int | None = None
        self.shrink_until = 0.0

    def go(self) -> Found:
        started = time.monotonic()
        limit = None if self.search.seconds is None else started + self.search.seconds
        found = self.found
        while not found.stopped:
            over = limit is not None and time.monotonic() >= limit and self.next_seed > self.search.first_seed
            if not over:
                self._submit()
            if not self.session.running:
                break
            for finished in self.session.wait(_TURN_S):
                self._take(finished.token, finished.result)
            found.seconds = time.monotonic() - started
            found.stopped = self.stop()
        self._drain()
        if found.stopped:  # runs that only waited for one below them
            for seed in sorted(self.results):
                if self.lowest_failure is None or seed <= self.lowest_failure:
                    self._count(seed)
        found.groups = sorted(self.groups.values(), key=lambda group: group.seed)
        found.searching_s = time.monotonic() - started
        self._confirm_all()
        found.seconds = time.monotonic() - started
        return found

    def _confirm_all(self) -> None:
        """A verdict for each group: first on the lowest seeds, then, as long as there is time, on easier ones."""
        self.shrink_until = time.monotonic() + _SHRINKING_S
        groups = self.found.groups[:MAX_GROUPS]
        for group in groups:
            if self._stopped():
                return
            group.verdict = self._verdict(group.plan, group.result)
        for group in groups:
            for other in group.others:
                assert group.verdict is not None, "a group was left out"
                if not _left(group.verdict)[1] or time.monotonic() >= self.shrink_until or self._stopped():
                    break
                verdict = self._verdict(other.plan, other.result)
                group.verdict = min(group.verdict, verdict, key=_left)

    def _stopped(self) -> bool:
        self.found.stopped = self.found.stopped or self.stop()
        return self.found.stopped

    def _verdict(self, plan: Plan, result: RunResult) -> Verdict:
        verdict = confirm(self.session, plan, result)
        left_s = self.shrink_until - time.monotonic()
        if not self.search.shrink or left_s <= 0:
            return verdict
        return shrink(self.session, verdict, limit_s=min(LIMIT_S, left_s), stop=self.stop)

    def _submit(self) -> None:
        last = None if self.search.runs is None else self.search.first_seed + self.search.runs
        while self.session.free:
            if self.lowest_failure is not None and not self.search.keep_going:
                return
            if self.next_seed > MAX_SEED or (last is not None and self.next_seed >= last):
                return
            self.plans[self.next_seed] = plan = self._plan(self.next_seed)
            self.session.submit(self.next_seed, plan)
            self.next_seed += 1

    def _plan(self, seed: int) -> Plan:
        if self.search.plan is not None:
            return msgspec.structs.replace(self.search.plan, seed=seed, choices=None)
        return plan_for(seed, self.session.settings.families, self.session.epoch_s, self.session.hosts)

    def _take(self, seed: int, result: RunResult) -> None:
        """A run has ended: count it and all above it that only waited for it."""
        self.results[seed] = result
        if result.failure is not None and not self.search.keep_going:
            if self.lowest_failure is None or seed < self.lowest_failure:
                self.lowest_failure = seed
            for token in self.session.running:
                if token > self.lowest_failure:
                    self.session.abandon(token)
        while self.next_count in self.results and (
            self.lowest_failure is None or self.next_count <= self.lowest_failure
        ):
            self._count(self.next_count)
            self.next_count += 1
            self.progress(self.found)

    def _count(self, seed: int) -> None:
        result, plan = self.results.pop(seed), self.plans.pop(seed)
        found = self.found
        found.runs += 1
        found.outcomes[result.failure.kind if result.failure else "ok"] += 1
        for note in result.notes:
            found.notes[note] = found.notes.get(note, 0) + 1
        if result.failure is None:
            return
        key = cause(result)
        if key in self.groups:
            self.groups[key].add(plan, result)
        else:
            self.groups[key] = Group(seed, plan, result)

    def _drain(self) -> None:
        """Nothing may be under way when failures are confirmed."""
        for token in self.session.running:
            self.session.abandon(token)
        while self.session.running:
            self.session.wait(_TURN_S)


def _left(verdict: Verdict) -> tuple[bool, float, int]:
    """What makes a failure harder to understand, as a key: that it does not repeat, and what its plan still has."""
    plan = verdict.plan
    choices = float("inf") if plan.choices is None else len(plan.choices)
    return bool(verdict.parted), len(plan.faults) + choices, plan.seed


def families_without_effect(families: Sequence[str], session: Runs) -> list[str]:
    """Families that were asked for and mean nothing for this target, as far as that is known without a run."""
    usable = applicable(families, session.hosts)
    return [name for name in families if name not in usable]


def families_untried(families: Sequence[str], session: Runs) -> list[str]:
    """The stronger families that were not asked for, and would mean something for this target."""
    return [*untried(families, session.hosts)]
