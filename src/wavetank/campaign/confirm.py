"""Is a failure real? Run it again, with its choices written out, and compare the digests.

Owns the verdict: *confirmed*, with the plan that replays it; or *nondeterministic*, with the first event at which two
runs of one plan part. It runs what it needs and writes nothing.

The idea: the run that failed drew its choices from the seed. It is run again to hear which choices were not calm, and
a third time with exactly these choices and no others. All three must have one digest. Libraries with an OpenSSL of
their own send bytes that we cannot repeat: where only the payload of some connections differs, these are *opaque* -
their payload is left out of the digest - and all begins anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from typing import Final

import msgspec

from wavetank.campaign.session import Runs
from wavetank.errors import TraceError
from wavetank.failure_file import FailureFile
from wavetank.kernel.choices import LISTED_LIMIT
from wavetank.plan import Plan
from wavetank.trace.reading import read_trace
from wavetank.trace.schema import Kind, Record
from wavetank.world.job import FailureRecord, RunResult

#: The kind of a failure that the watchdog saw (`wavetank.world.oracles`, which is not for the parent to import).
SPIN: Final = "spin"
_SPIN_LIMIT_S: Final = 10.0
#: The oracles whose errors are Python's: they begin with the name of their type.
_RAISED: Final = ("exception", "unhandled")
#: So often more connections may turn out to be opaque before we give up.
ROUNDS: Final = 4
_DOES_NOT_REPEAT: Final = "the same plan gives different runs: a replay may not fail as this run did"
#: So many of the last events of a failing run are kept.
LAST_EVENTS: Final = 50
#: So many bytes of a payload are shown where it parts.
_BYTES_SHOWN: Final = 24
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,16}\b")
_TEARDOWN: Final = frozenset({Kind.CLOSE, Kind.FAILURE, Kind.OUTPUT, Kind.PROCESS_EXIT, Kind.THREAD_SWITCH})


@dataclass(frozen=True)
class Verdict:
    """What confirming found. `plan` replays `result`; `parted` is empty when the run repeats exactly."""

    plan: Plan
    original_plan: Plan
    result: RunResult
    opaque: tuple[str, ...] = ()
    parted: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def failure(self) -> FailureRecord:
        """What is reported: the failure, or that it does not repeat."""
        first = self.result.failure
        if not self.parted:
            assert first is not None, "a run without failure was confirmed"
            return first
        seen = f"; one of them failed with {first.kind}: {first.error}" if first else ""
        return FailureRecord(
            kind="nondeterminism",
            error=f"the same plan gave two different runs{seen}",
            host=first.host if first else "",
            time_ns=first.time_ns if first else 0,
            where=first.where if first else "",
            traceback=first.traceback if first else "",
            summary=self.parted,
        )


def confirm(session: Runs, plan: Plan, first: RunResult) -> Verdict:
    """Run the failing `plan`, whose result was `first`, until its verdict is clear."""
    opaque: tuple[str, ...] = ()
    before = first
    for _ in range(ROUNDS):
        again = session.run(plan, opaque=opaque, want_choices=True, limit_real_s=limit_of(session, first.failure))
        if same(before, again):
            return _with_choices(session, plan, again, opaque)
        more = {*opaque, *_differing(before, again)}
        if more == {*opaque}:
            break
        opaque = tuple(sorted(more))
        before = session.run(plan, opaque=opaque)
    if "nondeterminism" in session.settings.no_oracle:
        return Verdict(plan, plan, first, opaque, notes=(_DOES_NOT_REPEAT,))
    return Verdict(plan, plan, first, opaque, parted=where_parted(session, plan, plan, opaque))


def _with_choices(session: Runs, plan: Plan, result: RunResult, opaque: tuple[str, ...]) -> Verdict:
    """The verdict on a run that repeats by its seed: whether it does by its choices, too."""
    if plan.choices is not None:
        return Verdict(plan, plan, result, opaque)
    if not result.digest or len(result.choices) > LISTED_LIMIT:
        # Killed for its real time, it could not tell its choices; or there are too many. The seed replays it.
        return Verdict(plan, plan, result, opaque)
    explicit = msgspec.structs.replace(plan, choices=dict(result.choices))
    third = traced(session, explicit, opaque, limit_of(session, result.failure))
    if same(result, third):
        return Verdict(explicit, plan, third, opaque)
    # Its seed repeats it, its choices do not. Then it is the seed that goes into the failure file.
    return Verdict(plan, plan, result, opaque)


def limit_of(session: Runs, seen: FailureRecord | FailureFile | None) -> float:
    """The limit on real time for a run that is to fail as `seen` says.

    What spins is watched more closely the second time: the watchdog begins to look after a part of its limit.
    """
    limit_s = session.settings.limit_real_s
    return min(_SPIN_LIMIT_S, limit_s) if seen is not None and seen.kind == SPIN else limit_s


def traced(session: Runs, plan: Plan, opaque: tuple[str, ...], limit_real_s: float | None = None) -> RunResult:
    """Run `plan`; the result has its last events."""
    with tempfile.TemporaryDirectory(prefix="wavetank-trace-") as folder:
        path = os.path.join(folder, "trace")
        result = session.run(plan, opaque=opaque, trace_path=path, limit_real_s=limit_real_s)
        result.last_events = _last_events(path)
    return result


def _last_events(path: str) -> list[str]:
    """The end of a trace as lines, without what every end of a world brings; of one that broke off, what there is."""
    last: deque[Record] = deque(maxlen=LAST_EVENTS)
    with contextlib.suppress(TraceError):
        last.extend(record for record in read_trace(path) if record.kind not in _TEARDOWN)
    return [str(record) for record in last]


def same(one: RunResult, other: RunResult) -> bool:
    """Whether two results are of one and the same run.

    Without a digest, when it had to be killed, the failure says. So it does of a spin: the watchdog looks by processor
    time, and finds a program whose virtual time moves at another place each time.
    """
    if _error(one)[0] == _error(other)[0] == SPIN:
        return True
    if one.digest and other.digest:
        return one.digest == other.digest and _error(one) == _error(other)
    return one.digest == other.digest and _error(one)[:1] == _error(other)[:1]


def _error(result: RunResult) -> tuple[str, str]:
    return (result.failure.kind, without_addresses(result.failure.error)) if result.failure else ("", "")


def without_addresses(error: str) -> str:
    """A message in which `<Thing object at 0x7f64...>` does not tell one process from another."""
    return _ADDRESS.sub("0x...", error)


def _differing(one: RunResult, other: RunResult) -> set[str]:
    """The connections whose payload is not the same, when the two runs had the same connections."""
    ours, theirs = ({each.key: (each.size_bytes, each.digest) for each in run.payloads} for run in (one, other))
    return {key for key in ours if ours[key] != theirs[key]} if ours.keys() == theirs.keys() else set()


def where_parted(session: Runs, one: Plan, other: Plan, opaque: tuple[str, ...]) -> str:
    """The first event at which runs of the two plans part, in words."""
    with tempfile.TemporaryDirectory(prefix="wavetank-trace-") as folder:
        paths = [os.path.join(folder, name) for name in ("one", "other")]
        for path, plan in zip(paths, (one, other), strict=True):
            session.run(plan, opaque=opaque, trace_path=path)
        try:
            pairs = enumerate(zip_longest(*(read_trace(path) for path in paths)), 1)
            for number, (left, right) in pairs:
                if left != right:
                    return f"the runs part at event {number:,}: {_both(left, right)}"
        except TraceError as error:
            return f"the runs cannot be compared: {error.what}"
    return "two more runs did not part: what differed before is rare"


def _both(left: Record | None, right: Record | None) -> str:
    one, other = _shown(left), _shown(right)
    if one == other and left is not None and right is not None:  # then it is in what was sent or written
        pairs = zip(left.payload, right.payload, strict=False)
        at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        one = f"{one}, from byte {at}: {left.payload[at : at + _BYTES_SHOWN]!r}"
        other = repr(right.payload[at : at + _BYTES_SHOWN])
    return f"{one}   |   {other}"


def _shown(record: Record | None) -> str:
    return "the end" if record is None else " ".join(str(record).split())


def cause(result: RunResult) -> tuple[str, ...]:
    """What failures with one cause share: the oracle, the type of the error, and the innermost line of the user's.

    Of a spin the user's file: the watchdog looks at a loop at any of its lines, and of the functions that it calls.
    """
    record = result.failure
    assert record is not None, "no failure"
    sort = record.sort or (record.error.partition(":")[0] if record.kind in _RAISED else "")
    where = record.where.partition(":")[0] if record.kind == SPIN else record.where
    return (record.kind, sort, where)
