"""Runs of a function that no other interpreter can import: the weaker mode, in forks of the calling process.

Owns the face that `explore` and `confirm` expect, over `wavetank.world.inprocess`. One run at a time, no image, no
failure file; a digest holds for the calling process only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from wavetank.campaign.hosts import Hosts
from wavetank.campaign.runner import Finished
from wavetank.campaign.session import Settings
from wavetank.errors import EnvironmentProblem
from wavetank.plan import Plan
from wavetank.world import inprocess
from wavetank.world.job import Job, RunResult, Target


class NestedSession:
    """Runs of `scenario`, one after another."""

    def __init__(self, scenario: Callable[..., Any], settings: Settings, epoch_s: int) -> None:
        if settings.private_cwd:
            raise EnvironmentProblem("a scenario that cannot be imported runs in the present folder")
        self.scenario = scenario
        self.settings = settings
        self.epoch_s = epoch_s
        self.target = Target(label=getattr(scenario, "__qualname__", type(scenario).__name__))
        self._hosts = Hosts([], epoch_s, self.run)
        self._done: list[Finished] = []

    @property
    def hosts(self) -> list[str]:
        """The names of the world's hosts; known when a family may aim at them."""
        self._hosts.learn_for(self.settings.families)
        return self._hosts.names

    def check(self, plan: Plan) -> None:
        """Raise `PlanError` when a plan that somebody has written aims at a host that there is not."""
        self._hosts.check(plan)

    @property
    def free(self) -> int:
        """One run at a time."""
        return 0 if self._done else 1

    @property
    def running(self) -> list[Any]:
        """A run is over when `submit` returns, and counts as under way until `wait` has told of it."""
        return [finished.token for finished in self._done]

    def run(
        self,
        plan: Plan,
        *,
        trace_path: str = "",
        want_choices: bool = False,
        opaque: tuple[str, ...] = (),
        limit_real_s: float | None = None,
    ) -> RunResult:
        """Carry out `plan` once."""
        settings = self.settings
        job = Job(
            target=self.target,
            plan=plan,
            cwd=os.getcwd(),
            environment=dict(os.environ),
            virtual_limit_ns=settings.limit_virtual_ns,
            real_limit_s=limit_real_s or settings.limit_real_s,
            oracles_on=self.settings.oracle,
            oracles_off=settings.no_oracle,
            allow=settings.allow,
            opaque=opaque,
            trace_path=trace_path,
            want_choices=want_choices,
        )
        return inprocess.execute(job, self.scenario)

    def submit(self, token: Any, plan: Plan, *, limit_real_s: float | None = None) -> None:
        """Carry out `plan`; `wait` returns it. No limit on real time: nobody could end this process and go on."""
        self._done.append(Finished(token, self.run(plan)))

    def wait(self, timeout_s: float) -> list[Finished]:
        """What was submitted."""
        done, self._done = self._done, []
        return done

    def abandon(self, token: Any) -> None:
        """Nothing is under way that could be ended."""
