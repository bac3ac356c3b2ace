"""One target with its settings and its image: what `run`, `explore` and `replay` have in common.

Owns the settings that bear on every run, and turns a plan into a job. It decides nothing about seeds or failures.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, Self

from wavetank.campaign import target as targets
from wavetank.campaign.hosts import Hosts
from wavetank.campaign.order import ImageOrder
from wavetank.campaign.runner import Finished, Image
from wavetank.campaign.warm import Loan, borrow, give_back
from wavetank.errors import UsageError, did_you_mean
from wavetank.plan import Plan
from wavetank.world.job import Job, RunResult, Target

_DAY_S: Final = 86_400
#: So long nobody debugs.
_NO_LIMIT_S: Final = 1e9
#: The oracles, by the names with which `--no-oracle` switches them off. All are on; `--oracle contract` makes that one
#: watch all protocols, and not only those that the program itself puts under a monitor.
ORACLES: Final = ("exception", "unhandled", "hang", "spin", "leak", "contract", "buffer", "nondeterminism")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What bears on every run of a campaign, by the names of the command line. Raises `UsageError` for a bad value."""

    families: tuple[str, ...] = ()
    no_oracle: tuple[str, ...] = ()
    oracle: tuple[str, ...] = ()
    limit_virtual_ns: int = 3_600_000_000_000
    limit_real_s: float = 60.0
    allow: tuple[str, ...] = ()
    private_cwd: bool = False

    def __post_init__(self) -> None:
        for name in (*self.no_oracle, *self.oracle):
            if name not in ORACLES:
                raise UsageError(f"unknown oracle {name!r}.{did_you_mean(name, ORACLES)}", why=", ".join(ORACLES))
            if name in self.oracle and name in self.no_oracle:
                raise UsageError(f"the oracle {name} is to be both on and off")
        if self.limit_virtual_ns <= 0 or self.limit_real_s <= 0:
            raise UsageError("a limit of no time at all", why="--limit-virtual and --limit-real are more than 0")


def today_s() -> int:
    """The start of the present day (UTC), in seconds since 1970: where virtual clocks start."""
    return int(time.time()) // _DAY_S * _DAY_S


class Runs(Protocol):
    """What exploring and confirming need: runs of one target by plan, one or several at a time."""

    @property
    def settings(self) -> Settings:
        """What bears on every run."""

    @property
    def epoch_s(self) -> int:
        """Where virtual clocks start, in seconds since 1970 (UTC)."""

    @property
    def hosts(self) -> list[str]:
        """The names of the world's hosts, as far as they are known without a run."""

    @property
    def free(self) -> int:
        """How many more runs can be submitted now."""

    @property
    def running(self) -> list[Any]:
        """The tokens of the runs under way."""

    def run(
        self,
        plan: Plan,
        *,
        trace_path: str = "",
        want_choices: bool = False,
        opaque: tuple[str, ...] = (),
        limit_real_s: float | None = None,
    ) -> RunResult:
        """Carry out `plan` once; no other run may be under way. `limit_real_s`: another limit than the settings'."""

    def submit(self, token: Any, plan: Plan, *, limit_real_s: float | None = None) -> None:
        """Begin a run of `plan`; `wait` returns it. `limit_real_s`: another limit than that of the settings."""

    def wait(self, timeout_s: float) -> list[Finished]:
        """The runs that have ended, at least one unless `timeout_s` passes or none is under way."""

    def abandon(self, token: Any) -> None:
        """End a run whose result is not wanted any more; `wait` still returns it."""


class Session:
    """A target prepared in an image, with its settings. A context manager; see `Image` for what entering raises.

    `warm`: the image is kept for the next such session of the same target; one run at a time.
    """

    image: Image

    def __init__(
        self,
        target: Target,
        settings: Settings,
        *,
        epoch_s: int | None = None,
        workers: int = 1,
        cwd: str = "",
        warm: bool = False,
    ) -> None:
        self.target = target
        self.settings = settings
        self.epoch_s = today_s() if epoch_s is None else epoch_s
        self.cwd = cwd or targets.folder_of(target)
        self._hosts = Hosts([script.host for script in target.scripts], self.epoch_s, self.run)
        #: Whether an exception that fails a run is shown in `pdb`, on the terminal; then real time has no limit.
        self.debugger = False
        self._order = ImageOrder(target, **_stand_ins)
        self._path = targets.search_path(target)
        self._workers = workers
        self._warm = warm
        self._loan: Loan | None = None

    def __enter__(self) -> Self:
        if self._warm:
            self._loan = borrow(self._order, self._path)
            self.image = self._loan.image
        else:
            self.image = Image(self._order, self._path, workers=self._workers).__enter__()
        try:
            self._hosts.learn_for(self.settings.families)
        except BaseException:
            self.image.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._loan is not None and kind is None:
            give_back(self._loan)
        else:
            self.image.close()

    @property
    def hosts(self) -> list[str]:
        """The names of the world's hosts. Those that a scenario makes are known when a family asks for hosts."""
        return self._hosts.names

    def check(self, plan: Plan) -> None:
        """Raise `PlanError` when a plan that somebody has written aims at a host that there is not."""
        self._hosts.check(plan)

    @property
    def free(self) -> int:
        """How many more runs can be submitted now."""
        return self.image.free

    @property
    def running(self) -> list[Any]:
        """The tokens of the runs under way."""
        return self.image.running

    def job(
        self,
        plan: Plan,
        *,
        trace_path: str = "",
        want_choices: bool = False,
        opaque: tuple[str, ...] = (),
        limit_real_s: float | None = None,
    ) -> Job:
        """The job that carries out `plan`."""
        settings = self.settings
        return Job(
            target=self.target,
            plan=plan,
            cwd=self.cwd,
            environment=dict(os.environ),
            virtual_limit_ns=settings.limit_virtual_ns,
            real_limit_s=_NO_LIMIT_S if self.debugger else limit_real_s or settings.limit_real_s,
            debugger=self.debugger,
            oracles_off=settings.no_oracle,
            oracles_on=settings.oracle,
            allow=settings.allow,
            opaque=opaque,
            trace_path=trace_path,
            want_choices=want_choices,
        )

    def run(
        self,
        plan: Plan,
        *,
        trace_path: str = "",
        want_choices: bool = False,
        opaque: tuple[str, ...] = (),
        limit_real_s: float | None = None,
    ) -> RunResult:
        """Carry out `plan` once; no other run may be under way. `limit_real_s`: another limit than the settings'."""
        job = self.job(plan, trace_path=trace_path, want_choices=want_choices, opaque=opaque, limit_real_s=limit_real_s)
        return self.image.run(job, copy_of=self._copied())

    def submit(self, token: Any, plan: Plan, *, limit_real_s: float | None = None) -> None:
        """Begin a run of `plan`; `wait` returns it. `limit_real_s`: another limit than that of the settings."""
        self.image.submit(token, self.job(plan, limit_real_s=limit_real_s), copy_of=self._copied())

    def wait(self, timeout_s: float) -> list[Finished]:
        """The runs that have ended; see `Image.wait`."""
        return self.image.wait(timeout_s)

    def abandon(self, token: Any) -> None:
        """End a run whose result is not wanted any more; `wait` still returns it."""
        self.image.abandon(token)

    def _copied(self) -> str:
        return self.cwd if self.settings.private_cwd else ""


#: A seam for tests: names of modules that stand in for the runtime and the shims (see `ImageOrder`).
_stand_ins: dict[str, Any] = {}
