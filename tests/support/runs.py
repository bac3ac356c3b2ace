"""Runs of a campaign over `Worlds`: confirming and shrinking without the image, in milliseconds."""

from __future__ import annotations

from typing import Any

from tests.support.worlds import Worlds
from wavetank.campaign.runner import Finished
from wavetank.campaign.session import Settings
from wavetank.plan import Plan
from wavetank.world.job import RunResult


class WorldRuns:
    """Runs of one scenario function (see `wavetank.campaign.session.Runs`), one at a time."""

    settings, epoch_s, hosts = Settings(), 0, ["server", "client"]

    def __init__(self, worlds: Worlds, function: str) -> None:
        self.worlds = worlds
        self.function = function
        self.pending: list[Finished] = []

    @property
    def free(self) -> int:
        return 1 - len(self.pending)

    @property
    def running(self) -> list[Any]:
        return [finished.token for finished in self.pending]

    def run(self, plan: Plan, *, limit_real_s: float | None = None, **options: Any) -> RunResult:
        return self.worlds.run(self.function, plan=plan, **options)

    def submit(self, token: Any, plan: Plan, *, limit_real_s: float | None = None) -> None:
        self.pending.append(Finished(token, self.run(plan)))

    def wait(self, timeout_s: float) -> list[Finished]:
        pending, self.pending = self.pending, []
        return pending

    def abandon(self, token: Any) -> None:
        """It has run already."""
