"""The search: carry out trials until one shows something, or all are done, or time is up.

Owns the order of the families, the fair share of time, the confirmation and the shrinking of what was found. It must
never know what a protocol is: a ground runs the trials.

The idea: what is exhaustive goes first, in turns, a trial of each family after another, so that none starves; then
Hypothesis draws schedules nobody enumerated. What is found is made again, twice, before it is believed; then every cut
that is not needed goes away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from wavetank.check import tls_switch, trials
from wavetank.check.conversation import Conversation
from wavetank.check.finding import Finding, judge
from wavetank.check.outcome import Outcome
from wavetank.check.schedule import End, Schedule, cut_at, whole
from wavetank.check.trials import Trial

_monotonic = time.monotonic
#: The budget is processor time, so that a busy machine tries as much as an idle one.
_thread_time = time.thread_time

#: On a busy machine, real time may be so many times the budget.
_PATIENCE: Final = 2.5
#: The families of trials, in the order of their turns.
FAMILIES: Final = ("single cuts", "eof", "straddling pieces", "pauses", "loss", "cuts at once", "several cuts", "abort",
                   "garbage", "ends at once", "damaged bytes", "never read")  # fmt: skip
#: From this size on, a conversation can show that what is held grows with it; then that is looked at first.
_FLOOD_BYTES: Final = 64 * 1024
#: So much of it, to look at what is held of input: memory is traced meanwhile, which is slow.
_HOARD_BYTES: Final = 384 * 1024
#: A conversation up to this size is swept as a whole; of a longer one, the beginning.
_SWEPT_BYTES: Final = 16_384
#: Up to this size, it is also given byte by byte.
_BYTE_BY_BYTE: Final = 16_384
#: Processor seconds that shrinking may take.
_SHRINK_S: Final = 2.0


class Ground(Protocol):
    """What runs schedules with protocols of one factory."""

    max_read: int

    def run(self, conversation: Conversation, schedule: Schedule) -> Outcome:
        """One run."""

    def held_memory(self, conversation: Conversation) -> Outcome | None:
        """What the protocol holds of a whole conversation at once, as a problem; None where that cannot be said."""

    def on_real_transport(self, conversation: Conversation) -> Outcome | None:
        """What the real transport holds for a peer that never reads; None where there is none."""

    def families(self) -> Sequence[str]:
        """The names of the families that mean something here."""

    def ends(self) -> Sequence[End]:
        """The ends that mean something here."""


@dataclass
class Report:
    """What was tried, how much of it, and what was found."""

    runs: int = 0
    seconds: float = 0.0
    #: Family -> (tried, of how many; None for those that are drawn).
    tried: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    finding: Finding | None = None
    notes: list[str] = field(default_factory=list)


def _flood(conversation: Conversation) -> Schedule:
    return replace(whole(conversation), end="flood")


class Search:
    """One search for what does not hold."""

    def __init__(self, ground: Ground, conversation: Conversation, *, seconds: float, examples: int) -> None:
        self._ground = ground
        self._conversation = conversation
        self._end = _thread_time() + seconds
        self._last_end = _monotonic() + seconds * _PATIENCE
        self._examples = examples
        self._references: dict[int, Outcome] = {}
        self._started = _monotonic()
        #: Where the protocol leaves its place to another one (TLS); 0 when it does not.
        self._switches_at = 0
        self.report = Report()

    def run(self) -> Report:
        """Search; the report holds the finding, if there is one."""
        self.report.finding = self._find()
        self.report.seconds = _monotonic() - self._started
        return self.report

    def _over(self) -> bool:
        """Whether the time is up."""
        return _thread_time() >= self._end or _monotonic() >= self._last_end

    def _find(self) -> Finding | None:
        conversation = self._conversation
        swept = conversation
        if len(conversation.data) >= _FLOOD_BYTES:
            found = self._flooded(conversation)
            if found is not None:
                return found
        if len(conversation.data) > _SWEPT_BYTES:
            swept = trials.beginning(conversation, _SWEPT_BYTES)
            self.report.notes.append(f"sweeps: the first {len(swept.data)} of {len(conversation.data)} bytes")
        found = self._first(swept)
        if found is None and swept is not conversation:
            found = self._first(conversation)
        return found or self._sweep(self._families(swept)) or self._draw(swept)

    def _flooded(self, conversation: Conversation) -> Finding | None:
        """What is held for a peer that does not read, and for one that sends too fast."""
        first, *others = trials.never_read(conversation, self._ground.max_read)
        if "never read" not in self._ground.families():
            return None
        return self._bounded(first) or self._hoarded(conversation) or self._bounded(*others)

    def _bounded(self, *tried: Trial) -> Finding | None:
        """What a peer that does not read makes the protocol hold."""
        for trial in tried:
            outcome = self._outcome(trial.conversation, trial.schedule)
            problem = judge(trial, outcome, None)
            if problem is not None:
                return self._believed(trial, Finding(problem, trial.conversation, trial.schedule, outcome))
        return None

    def _hoarded(self, conversation: Conversation) -> Finding | None:
        """What one that sends too fast makes it hold."""
        begun = trials.beginning(conversation, _HOARD_BYTES)
        held = self._ground.held_memory(begun)
        if held is None:
            return None
        self.report.runs += 1
        return Finding(held.problems[0], begun, _flood(begun), held) if held.problems else None

    # ---- one trial

    def _outcome(self, conversation: Conversation, schedule: Schedule) -> Outcome:
        self.report.runs += 1
        outcome = self._ground.run(conversation, schedule)
        if outcome.without_tls:
            self._note("TLS is left out: the conversation is taken for what goes through it")
        return outcome

    def _reference(self, conversation: Conversation) -> Outcome:
        """The outcome of whole messages, each after the protocol has nothing more to do."""
        known = self._references.get(id(conversation))
        if known is None:
            known = self._outcome(conversation, whole(conversation))
            self._references[id(conversation)] = known
        return known

    def _try(self, trial: Trial) -> Finding | None:
        outcome = self._outcome(trial.conversation, trial.schedule)
        if outcome.switched_at is not None:
            self._switches_at = min(outcome.switched_at, self._switches_at or outcome.switched_at)
        reference, schedule = self._compared(trial)
        problem = judge(trial, outcome, reference)
        if problem is None:
            return None
        return Finding(problem, trial.conversation, trial.schedule, outcome, reference, schedule)

    def _compared(self, trial: Trial) -> tuple[Outcome, Schedule]:
        """What a trial's outcome is compared with, and the schedule of that."""
        if trial.against is not None:
            return self._outcome(trial.conversation, trial.against), trial.against
        return self._reference(trial.conversation), whole(trial.conversation)

    def _believed(self, trial: Trial, found: Finding | None) -> Finding | None:
        """The finding, made smaller; None when it is not there a second time."""
        if found is None or found.problem.kind == "spin":
            return found
        again = self._outcome(trial.conversation, trial.schedule)
        self._references.pop(id(trial.conversation), None)
        reference = self._compared(trial)[0] if found.reference is not None else None
        if judge(trial, again, reference) is None or again.differences(found.outcome):
            self._note("some runs differ from themselves: something is not repeatable (the time, chance)")
            return None
        return self._smaller(trial, found)

    # ---- what comes first

    def _first(self, conversation: Conversation) -> Finding | None:
        """The reference itself, and the few runs that show most."""
        small = len(conversation.data) <= _BYTE_BY_BYTE
        itself = Trial(conversation, whole(conversation))
        reference = self._reference(conversation)
        problem = judge(itself, reference, None)
        if problem is None and conversation is self._conversation:
            problem = reference.program_raised
        if problem is not None:
            return Finding(problem, conversation, itself.schedule, reference)
        if not reference.output and reference.observed in (None, []):
            self._note("the protocol wrote nothing, and nothing is observed: what it does with cuts cannot be compared")
        firsts = [
            *trials.together(conversation, self._ground.max_read),
            *(trials.single_bytes(conversation) if small else ()),
        ]
        for trial in firsts:
            found = self._believed(trial, self._try(trial))
            if found is not None:
                return found
            if self._over():
                break
        self._count("one piece, messages, one byte at a time", len(firsts), len(firsts))
        return self._unread(conversation) or (self._injected(conversation) if self._switches_at else None)

    def _unread(self, conversation: Conversation) -> Finding | None:
        """What the interpreter's own transport holds."""
        outcome = self._ground.on_real_transport(conversation)
        if outcome is None:
            return None
        self.report.runs += 1
        held = [problem for problem in outcome.problems if problem.kind == "buffer"]
        return Finding(held[0], conversation, whole(conversation), outcome) if held else None

    def _injected(self, conversation: Conversation) -> Finding | None:
        """What stands behind a switch to TLS in clear."""
        clean, first, injected, second = tls_switch.schedules(conversation, self._switches_at)
        reference, outcome = self._outcome(clean, first), self._outcome(injected, second)
        problem = tls_switch.injected_problem(reference, outcome)
        return None if problem is None else Finding(problem, injected, second, outcome)

    def _families(self, conversation: Conversation) -> dict[str, list[Trial] | Iterator[Trial]]:
        most, known = self._ground.max_read, self._ground.families()
        writes = len(self._reference(conversation).writes)
        every: dict[str, Callable[[], Iterator[Trial]]] = {
            "single cuts": lambda: trials.single_cuts(conversation, most),
            "eof": lambda: trials.ends(conversation, "eof"),
            "straddling pieces": lambda: trials.straddling(conversation, most),
            "pauses": lambda: trials.pauses(conversation, writes),
            "loss": lambda: trials.ends(conversation, "reset"),
            "cuts at once": lambda: trials.cuts_at_once(conversation, most),
            "several cuts": lambda: trials.several_cuts(conversation, most),
            "abort": lambda: trials.ends(conversation, "abort"),
            "garbage": lambda: trials.garbage(conversation),
            "ends at once": lambda: trials.ends_at_once(conversation),
            "cut ends": lambda: trials.cut_ends(conversation),
            "damaged bytes": lambda: trials.damaged(conversation),
            "never read": lambda: trials.never_read(conversation, most),
        }
        return {name: make() for name, make in every.items() if name in known}

    # ---- families in turns

    def _sweep(self, families: dict[str, list[Trial] | Iterator[Trial]]) -> Finding | None:
        left = {name: iter(family) for name, family in families.items()}
        done = dict.fromkeys(left, 0)
        while left and not self._over():
            for name in [*left]:
                trial = next(left[name], None)
                if trial is None:
                    del left[name]
                    continue
                done[name] += 1
                found = self._believed(trial, self._try(trial))
                if found is not None:
                    return found
        for name, count in done.items():
            rest = sum(1 for _ in left[name]) if name in left else 0
            self._count(name, count, count + rest)
        return None

    def _note(self, note: str) -> None:
        if note not in self.report.notes:
            self.report.notes.append(note)

    def _count(self, name: str, tried: int, of: int | None) -> None:
        self.report.tried[name] = (tried, of)

    # ---- what Hypothesis draws

    def _draw(self, conversation: Conversation) -> Finding | None:
        if not self._examples or self._over() or len(conversation.data) < 2:
            return None
        from wavetank.check.drawing import drawn

        found: list[tuple[Trial, Finding]] = []
        count = 0

        def shows(trial: Trial) -> bool:
            nonlocal count
            if self._over() and not found:
                return False
            count += 1
            finding = self._try(trial)
            if finding is not None:
                found.append((trial, finding))
            return finding is not None

        smallest = drawn(conversation, self._ground, shows, self._examples)
        self._count("drawn by Hypothesis", count, None)
        if smallest is None or not found:
            return None
        return self._believed(*found[-1])

    # ---- smaller

    def _smaller(self, trial: Trial, found: Finding) -> Finding:
        """The same finding with as few changes from whole messages, and as little of the conversation, as will do."""
        end = _thread_time() + _SHRINK_S
        if trial.compare is None or trial.against is not None or found.problem.kind == "hang":
            return found
        trial, found = self._shorter(trial, found, end)
        if trial.schedule.pace == "together":
            trial, found = self._keep(replace(trial, schedule=replace(trial.schedule, pace="apart")), trial, found)
        return self._fewest_cuts(trial, found, end)

    def _keep(self, candidate: Trial, trial: Trial, found: Finding) -> tuple[Trial, Finding]:
        """The candidate, if it shows the same kind of problem."""
        finding = self._try(candidate)
        if finding is None or finding.problem.kind != found.problem.kind:
            return trial, found
        return candidate, finding

    def _shorter(self, trial: Trial, found: Finding, end: float) -> tuple[Trial, Finding]:
        """Only as many messages as it takes."""
        data = trial.conversation.data
        cuts = trial.schedule.cuts
        sizes = [mark for mark in sorted(set(trials.marks_of(trial.conversation))) if 0 < mark < len(data)]
        low, high = 0, len(sizes)
        while low < high and _thread_time() < end:
            middle = (low + high) // 2
            shorter = trials.beginning(trial.conversation, sizes[middle])
            size = len(shorter.data)
            schedule = cut_at(shorter, [cut for cut in cuts if cut < size])
            candidate = Trial(shorter, replace(trial.schedule, pieces=schedule.pieces), trial.compare)
            finding = self._try(candidate)
            if finding is not None and finding.problem.kind == found.problem.kind:
                trial, found, high = candidate, finding, middle
            else:
                low = middle + 1
        return trial, found

    def _fewest_cuts(self, trial: Trial, found: Finding, end: float) -> Finding:
        """Undo the changes from whole messages, half of them at a time, then fewer (delta debugging)."""
        conversation = trial.conversation
        base = set(whole(conversation).cuts)
        changes = sorted(base.symmetric_difference(trial.schedule.cuts))
        part = max(1, len(changes) // 2)
        while changes and _thread_time() < end:
            for start in range(0, len(changes), part):
                fewer = changes[:start] + changes[start + part :]
                cuts = cut_at(conversation, base.symmetric_difference(fewer), self._ground.max_read)
                candidate = replace(trial, schedule=replace(trial.schedule, pieces=cuts.pieces))
                finding = self._try(candidate)
                if finding is not None and finding.problem.kind == found.problem.kind:
                    trial, found, changes = candidate, finding, fewer
                    break
            else:
                if part == 1:
                    break
                part = max(1, part // 2)
                continue
            part = max(1, min(part, len(changes)))
        return found
