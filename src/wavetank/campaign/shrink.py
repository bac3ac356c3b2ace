"""The smallest set of faults and choices that still shows a failure.

Owns the search for it. It runs candidate plans, several at a time, and keeps what still fails for the same cause (kind,
type of error, user's line); it writes nothing.

The idea: every draw is a function of its key, so leaving a fault or a choice out moves no other, and plain delta
debugging works (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28(2), 2002); a
cut that is left out joins the pieces on both its sides. Large pieces go first: all choices, single faults, one half of
the choices as long as the other alone does it, the choices of one concern, of one stream; then ever smaller groups of
single choices; at last gentler faults and smaller numbers.
Of the candidates tried together the first one in order wins, so the outcome does not depend on how many ran at a time.
It stops at a time limit, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from wavetank.campaign.confirm import Verdict, cause, limit_of, same, traced
from wavetank.campaign.gentler import candidates
from wavetank.campaign.session import Runs
from wavetank.faults import AnyFault
from wavetank.plan import Plan
from wavetank.world.job import RunResult

#: Real seconds after which shrinking stops with what it has.
LIMIT_S: Final = 20.0
#: With so few choices left their numbers are made smaller, too.
_NUMBERS: Final = 24
#: A fault is replaced by a gentler one at most so often.
_ROUNDS: Final = 8
_TURN_S: Final = 0.2
_STOPPED: Final = "shrinking stopped at its time limit: more may be left than is needed"


def _never() -> bool:
    return False


def shrink(session: Runs, verdict: Verdict, *, limit_s: float = LIMIT_S, stop: Callable[[], bool] = _never) -> Verdict:
    """The verdict with the smallest plan found within `limit_s` real seconds; the same verdict when none is smaller.

    A verdict that does not repeat, or whose choices are not known, is left as it is. `verdict.original_plan` stays.
    """
    if verdict.parted or verdict.plan.choices is None or verdict.result.failure is None:
        return verdict
    return _Shrinking(session, verdict, limit_s, stop).go()


class _Shrinking:
    def __init__(self, session: Runs, verdict: Verdict, limit_s: float, stop: Callable[[], bool]) -> None:
        assert verdict.plan.choices is not None, "only choices that are known can be left out"
        self.session = session
        self.verdict = verdict
        self.wanted = cause(verdict.result)
        self.faults: tuple[AnyFault, ...] = verdict.plan.faults
        self.choices: dict[str, int] = dict(verdict.plan.choices)
        self.until = time.monotonic() + limit_s
        self.stop = stop
        self.limit_real_s = limit_of(session, verdict.result.failure)
        self.tried: set[tuple[tuple[AnyFault, ...], tuple[tuple[str, int], ...]]] = set()
        self.over = False

    def go(self) -> Verdict:
        """Shrink, and confirm what is left by two more runs."""
        if not self._keep([((), {})]):
            self._keep([(self.faults, {})])
            self._drop_faults()
            self._drop_choices()
            self._drop_faults()
            self._gentler_faults()
            self._smaller_numbers()
        plan = msgspec.structs.replace(self.verdict.plan, faults=self.faults, choices=self.choices)
        if plan == self.verdict.plan:
            return self._with_notes(self.verdict)
        opaque = self.verdict.opaque
        first = self.session.run(plan, opaque=opaque, want_choices=True, limit_real_s=self.limit_real_s)
        used = msgspec.structs.replace(plan, choices=dict(first.choices))
        second = traced(self.session, used, opaque, self.limit_real_s)
        if first.failure is None or cause(first) != self.wanted or not same(first, second):
            return self.verdict
        return self._with_notes(Verdict(used, self.verdict.original_plan, second, opaque, notes=self.verdict.notes))

    def _with_notes(self, verdict: Verdict) -> Verdict:
        if not self.over:
            return verdict
        return Verdict(
            verdict.plan, verdict.original_plan, verdict.result, verdict.opaque, notes=(*verdict.notes, _STOPPED)
        )

    # ---- what is tried

    def _drop_faults(self) -> None:
        """Leave out faults one at a time, from the first."""
        index = 0
        while index < len(self.faults):
            rest = (*self.faults[:index], *self.faults[index + 1 :])
            if not self._keep([(rest, self.choices)]):
                index += 1

    def _gentler_faults(self) -> None:
        """Put gentler forms of the faults in their place, as long as one does it, too."""
        sent_bytes = {payload.key: payload.size_bytes for payload in self.verdict.result.payloads}
        for index in range(len(self.faults)):
            for _ in range(_ROUNDS):
                before, fault, after = self.faults[:index], self.faults[index], self.faults[index + 1 :]
                gentler = [(*before, each, *after) for each in candidates(fault, sent_bytes)]
                if not self._keep([(faults, self.choices) for faults in gentler]):
                    break

    def _drop_choices(self) -> None:
        """Leave out one half, the choices of one concern, of one stream, then ever smaller groups."""
        self._halve()
        for group_of in (_concern, _stream):
            for name in dict.fromkeys(group_of(key) for key in self.choices):
                group = [key for key in self.choices if group_of(key) == name]
                self._keep([(self.faults, self._without(group))])
        size = (len(self.choices) + 1) // 2
        while self.choices and not self.over:
            keys = list(self.choices)
            groups = [keys[start : start + size] for start in range(0, len(keys), size)]
            candidates = [(self.faults, self._without(group)) for group in groups]
            if self._keep(candidates):
                size = min(size, max(1, (len(self.choices) + 1) // 2))
            elif size == 1:
                return
            else:
                size = (size + 1) // 2

    def _halve(self) -> None:
        """Keep one half of the choices as long as it is enough: what has one cause is found in a few runs."""
        while len(self.choices) > 1:
            keys = list(self.choices)
            first, second = keys[: len(keys) // 2], keys[len(keys) // 2 :]
            if not self._keep([(self.faults, self._without(first)), (self.faults, self._without(second))]):
                return

    def _without(self, keys: Iterable[str]) -> dict[str, int]:
        return without(self.choices, keys, self.verdict.opaque)

    def _smaller_numbers(self) -> None:
        """Make the numbers of the choices that are left smaller: 1, then by halves."""
        if len(self.choices) > _NUMBERS:
            return
        for key in list(self.choices):
            low, high = 0, self.choices[key]
            if high > 1 and self._keep([(self.faults, self.choices | {key: 1})]):
                continue
            while high - low > max(1, high // 16) and not self.over:
                middle = (low + high) // 2
                if self._keep([(self.faults, self.choices | {key: middle})]):
                    high = middle
                else:
                    low = middle

    # ---- trying

    def _keep(self, candidates: Sequence[tuple[tuple[AnyFault, ...], dict[str, int]]]) -> bool:
        """Take over the first candidate that still fails for the same cause; False when none does."""
        plans: list[Plan] = []
        for faults, choices in candidates:
            mark = (faults, tuple(choices.items()))
            if mark not in self.tried:
                self.tried.add(mark)
                plans.append(msgspec.structs.replace(self.verdict.plan, faults=faults, choices=choices))
        found = self._first_failing(plans)
        if found is None:
            return False
        assert found.choices is not None, "a candidate lists its choices"
        self.faults, self.choices = found.faults, found.choices
        return True

    def _first_failing(self, plans: Sequence[Plan]) -> Plan | None:
        """Run the plans, as many at a time as can be; the first in order that fails for the same cause."""
        results: dict[int, bool] = {}
        submitted = 0
        while True:
            self.over = self.over or time.monotonic() >= self.until or self.stop()
            best = next((number for number in range(len(plans)) if results.get(number)), None)
            if self.over or (best is not None and all(number in results for number in range(best))):
                self._end()
                return None if best is None else plans[best]
            while submitted < len(plans) and self.session.free and best is None:
                self.session.submit(submitted, plans[submitted], limit_real_s=self.limit_real_s)
                submitted += 1
            if not self.session.running:
                return None
            for finished in self.session.wait(_TURN_S):
                results[finished.token] = self._fails(finished.result)

    def _fails(self, result: RunResult) -> bool:
        return result.failure is not None and cause(result) == self.wanted

    def _end(self) -> None:
        """Nothing may be under way when the next candidates come."""
        for token in self.session.running:
            self.session.abandon(token)
        while self.session.running:
            self.session.wait(_TURN_S)


def _concern(key: str) -> str:
    return key.partition(" ")[0]


def _stream(key: str) -> str:
    return key.rpartition(" / ")[0]


def without(choices: dict[str, int], keys: Iterable[str], counted: Iterable[str] = ()) -> dict[str, int]:
    """The choices without some of them. Where a cut is left out, the pieces on both its sides become one.

    The key of a cut is where its piece begins, its value how long that is: the next cut of the same segment begins at
    its end. `counted`: flows whose cuts are counted instead (see `network.segmentation`).
    """
    left_out = set(keys)
    counted_streams = {f"cut {flow}" for flow in counted}
    result: dict[str, int] = {}
    ends: dict[
        str, tuple[int, int]
    ] = {}  # of a stream: where the last piece ends, and where what it became part of began
    for key, value in choices.items():
        stream, _, ordinal = key.rpartition(" / ")
        if not stream.startswith("cut ") or stream in counted_streams:
            if key not in left_out:
                result[key] = value
            continue
        start = int(ordinal)
        end, begun = ends.get(stream, (-1, -1))
        if end != start:
            begun = start  # another segment
        if key not in left_out:
            result[f"{stream} / {begun}"] = start + value - begun
            begun = start + value
        ends[stream] = (start + value, begun)
    return result
