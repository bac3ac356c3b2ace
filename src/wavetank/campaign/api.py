"""The Python face of campaigns: `wavetank.run` and `wavetank.explore`.

Owns their arguments and what they return. It prints nothing, and it does nothing that the command line does not do
in the same way: a module-level function runs in an image, with the digest it has on the command line.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from wavetank.campaign import explore as searching
from wavetank.campaign import failures, target
from wavetank.campaign.explore import Group, Search
from wavetank.campaign.plans import plan_for
from wavetank.campaign.session import Session, Settings, today_s
from wavetank.errors import UsageError
from wavetank.faults import parse_families
from wavetank.plan import Plan
from wavetank.trace.reading import read_bytes
from wavetank.trace.schema import Record, iterate
from wavetank.world.job import FailureRecord

if TYPE_CHECKING:
    from wavetank.campaign.nested import NestedSession

#: What can be run: a scenario function, or what the command line takes as TARGET.
Scenario: TypeAlias = Callable[..., Any] | str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failure.

    `kind`: the oracle that saw it; `error`: its message; `host` and `time` (virtual seconds): where and when;
    `summary`: in a few words; `seed` and `plan`: what replays it; `file`: the failure file, None when none was written;
    `traceback`: as text, without Wavetank's own lines; `where`: the user's own line; `count`: how many runs of the
    campaign failed so.
    """

    kind: str
    error: str
    host: str
    time: float
    summary: str
    seed: int
    plan: Plan
    file: Path | None = None
    traceback: str = ""
    where: str = ""
    count: int = 1

    def __str__(self) -> str:
        return f"{self.kind}: {self.error}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run ended.

    `ok`: nothing failed; `failure`: what did, else None; `digest`: identifies the run; `seed` and `plan`: repeat it;
    `virtual_seconds`: how long it took in the world; `stdout`: what its programs wrote, by process; `weaker`: it ran in
    a fork of this process, because no other could import the scenario, and its digest holds for this process only.
    """

    ok: bool
    failure: Failure | None
    digest: str
    seed: int
    plan: Plan
    virtual_seconds: float
    stdout: dict[str, str] = field(default_factory=dict)
    weaker: bool = False
    _packed: bytes = field(default=b"", repr=False)

    @cached_property
    def trace(self) -> list[Record]:
        """What happened, in order (see docs/words/trace.md). Unpacked when it is first asked for."""
        return list(iterate(zlib.decompress(self._packed))) if self._packed else []


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What many runs found.

    `runs`: how many; `outcomes`: counts by "ok" or kind of failure; `failures`: one for each cause, the lowest seed's;
    `seconds`: real time.
    """

    runs: int
    outcomes: dict[str, int]
    failures: list[Failure]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether no run failed."""
        return not self.failures


def run(
    scenario: Scenario,
    *,
    seed: int = 0,
    plan: Plan | None = None,
    faults: str | Sequence[str] = "none",
    no_oracle: Sequence[str] = (),
    oracle: Sequence[str] = (),
    limit_virtual: float = 3600.0,
    limit_real: float = 60.0,
    allow: Sequence[str] = (),
) -> Outcome:
    """Run `scenario` once in a simulated world, and say how it ended.

    `scenario`: a function that takes a `World`, or a TARGET of the command line; one that is not at the top level of a
    module runs in the weaker mode (see `Outcome`). `seed`: 0 to 2**63 - 1.
    `faults`: families as in `--faults`, drawn from the seed; or `plan`: exactly this plan, then `seed` and `faults` do
    not count. `no_oracle`: kinds of failure that do not count; `oracle`: those to be looked for in full ("contract"
    watches all protocols); `limit_virtual`, `limit_real`: seconds after which the
    run has failed; `allow`: calls that may reach the real system.

    A failure of the scenario is returned, not raised. Raises `UsageError` (no such target, a bad value),
    `PlanError` (a plan that names no host of this world), `NothingToRun`, `EnvironmentProblem`. Leaves a child process:
    the interpreter that has imported the target, for the next call with the same target and unchanged files, which then
    takes milliseconds. It ends with the next call for another target, or with this process.
    """
    settings = _settings(faults, no_oracle, oracle, limit_virtual, limit_real, allow)
    epoch_s = plan.epoch_s if plan is not None else today_s()
    with tempfile.TemporaryDirectory(prefix="wavetank-trace-") as folder:
        path = os.path.join(folder, "trace")
        with _session(scenario, settings, epoch_s=epoch_s, warm=True) as session:
            if plan is not None:
                session.check(plan)
            plan = plan or plan_for(seed, settings.families, epoch_s, session.hosts)
            result = session.run(plan, trace_path=path)
        packed = zlib.compress(read_bytes(path), 1) if os.path.exists(path) else b""
    return Outcome(
        ok=result.failure is None,
        failure=_failure(result.failure, plan) if result.failure else None,
        digest=result.digest,
        seed=plan.seed,
        plan=plan,
        virtual_seconds=result.virtual_ns / 1e9,
        stdout={output.name: output.stdout for output in result.outputs},
        weaker=result.weaker,
        _packed=packed,
    )


def explore(
    scenario: Scenario,
    *,
    runs: int | None = 200,
    faults: str | Sequence[str] = "mild",
    seed: int = 0,
    seconds: float | None = None,
    workers: int | None = None,
    keep_going: bool = False,
    shrink: bool = True,
    plan: Plan | None = None,
    no_oracle: Sequence[str] = (),
    oracle: Sequence[str] = (),
    limit_virtual: float = 3600.0,
    limit_real: float = 60.0,
    allow: Sequence[str] = (),
    dir: str | os.PathLike[str] = ".wavetank",
) -> Campaign:
    """Run `scenario` with seeds from `seed` upward until one fails, and say what was found.

    `runs`: how many at most, None for no limit; `seconds`: real time at most; `workers`: how many at a time, None for
    one on each processor; `keep_going`: do not stop at the first failure; `shrink`: leave out of a plan what the
    failure does not need; `plan`: its faults for every run, instead of those drawn from the seed. Each failure is run
    again before it is reported, and its file is written below `dir`. A function that is not at the top level of a
    module has no failure file, and runs one at a time. The other arguments, and what is raised, are those of `run`;
    `EnvironmentProblem` also when `dir` cannot be written.
    """
    settings = _settings(faults, no_oracle, oracle, limit_virtual, limit_real, allow)
    search = Search(first_seed=seed, runs=runs, seconds=seconds, keep_going=keep_going, shrink=shrink, plan=plan)
    folder = failures.folder_in(dir)
    epoch_s = plan.epoch_s if plan is not None else today_s()
    with _session(scenario, settings, epoch_s=epoch_s, workers=workers or os.cpu_count() or 1) as session:
        if plan is not None:
            session.check(plan)
        found = searching.explore(session, search)
        kept = [_kept(session, group, folder) for group in found.groups]
    return Campaign(runs=found.runs, outcomes=dict(found.outcomes), failures=kept, seconds=found.seconds)


def _settings(
    faults: str | Sequence[str],
    no_oracle: Sequence[str],
    oracle: Sequence[str],
    limit_virtual: float,
    limit_real: float,
    allow: Sequence[str],
) -> Settings:
    return Settings(
        families=parse_families(faults if isinstance(faults, str) else ",".join(faults) or "none"),
        no_oracle=tuple(no_oracle),
        oracle=tuple(oracle),
        limit_virtual_ns=round(limit_virtual * 1e9),
        limit_real_s=limit_real,
        allow=tuple(allow),
    )


def _session(
    scenario: Scenario, settings: Settings, *, epoch_s: int, workers: int = 1, warm: bool = False
) -> AbstractContextManager[Session | NestedSession]:
    if isinstance(scenario, (str, os.PathLike)):
        return Session(target.parse(os.fspath(scenario)), settings, epoch_s=epoch_s, workers=workers, warm=warm)
    if not callable(scenario):
        raise UsageError(f"a scenario is a function or the text of a TARGET, not {type(scenario).__name__}")
    found = target.of_function(scenario)
    if found is not None:
        return Session(found, settings, epoch_s=epoch_s, workers=workers, warm=warm)
    from wavetank.campaign.nested import NestedSession  # here: it loads the simulated kernel

    return nullcontext(NestedSession(scenario, settings, epoch_s))


def _failure(record: FailureRecord, plan: Plan, *, file: Path | None = None, count: int = 1) -> Failure:
    return Failure(
        kind=record.kind,
        error=record.error,
        host=record.host,
        time=record.time_ns / 1e9,
        summary=record.summary,
        seed=plan.seed,
        plan=plan,
        file=file,
        traceback=record.traceback,
        where=record.where,
        count=count,
    )


def _kept(session: Session | NestedSession, group: Group, folder: Path) -> Failure:
    verdict = group.verdict
    if verdict is None:
        record = group.result.failure
        assert record is not None, "a group without failure"
        return _failure(record, group.plan, count=group.count)
    file = failures.write(session, verdict, folder) if isinstance(session, Session) else None
    return _failure(verdict.failure, verdict.plan, file=file, count=group.count)
