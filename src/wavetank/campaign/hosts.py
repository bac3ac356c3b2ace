"""Which hosts a target's world has: needed before a plan can aim at one.

Owns the names, and the check of plans that somebody has written. The hosts of scripts are on the command line. Those
that a scenario makes are known only when it has run: once, in a calm world, and only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wavetank.errors import PlanError, did_you_mean
from wavetank.faults import FAMILIES, hosts_of
from wavetank.plan import Plan
from wavetank.world.job import RunResult


class Hosts:
    """The hosts of one target. `run` carries out a plan."""

    def __init__(self, known: Sequence[str], epoch_s: int, run: Callable[[Plan], RunResult]) -> None:
        self.names = [*known]
        self._epoch_s = epoch_s
        self._run = run
        self._asked = bool(known)
        self._all = True  # False: the scenario fails in a calm world, and might make more

    def learn(self) -> None:
        """Find out, by a run if need be; no other run may be under way."""
        if not self._asked:
            self._asked = True
            result = self._run(Plan(epoch_s=self._epoch_s))
            self.names, self._all = result.hosts, result.failure is None

    def learn_for(self, families: Sequence[str]) -> None:
        """Find out when one of the families may aim at hosts: the mild ones never do."""
        if any(not FAMILIES[name].mild for name in families):
            self.learn()

    def check(self, plan: Plan) -> None:
        """Raise `PlanError`, naming the nearest host, when a fault of `plan` aims at one that there is not.

        Addresses pass: only the world knows whose they are.
        """
        for number, fault in enumerate(plan.faults):
            for name in hosts_of(fault):
                self.learn()
                if self._all and name not in self.names:
                    raise PlanError(
                        f"no host is called {name!r}.{did_you_mean(name, self.names)}",
                        where=f"faults[{number}], {fault}",
                        why=f"the hosts are {', '.join(self.names) or 'none'}",
                    )
