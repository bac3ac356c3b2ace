"""The hosts of a target, and plans that aim at one that there is not."""

from __future__ import annotations

import pytest

from wavetank.campaign.hosts import Hosts
from wavetank.errors import PlanError
from wavetank.faults import Crash, Eof, Latency, NameFailure, Partition, Pause, Reset, hosts_of
from wavetank.plan import Plan
from wavetank.world.job import FailureRecord, RunResult


class Running:
    """Counts runs; each has the hosts app and db."""

    def __init__(self, failure: FailureRecord | None = None) -> None:
        self.failure = failure
        self.plans: list[Plan] = []

    def __call__(self, plan: Plan) -> RunResult:
        self.plans.append(plan)
        return RunResult("", 1, 1, self.failure, hosts=["app", "db"])


def test_which_hosts_a_fault_names() -> None:
    assert hosts_of(Partition("a", "*")) == ["a"]
    assert hosts_of(Reset(target="a -> b:80 #2")) == ["a", "b"]
    assert hosts_of(Eof(target="connecting -> accepting")) == []
    assert hosts_of(Pause()) == []
    assert hosts_of(Reset(target="10.0.0.1 -> [fd00::2]:80")) == []
    assert hosts_of(NameFailure("slow", target="a -> example.org")) == ["a"]


def test_hosts_of_a_scenario_are_learnt_by_one_calm_run() -> None:
    run = Running()
    hosts = Hosts([], 7, run)
    hosts.learn_for(("timing", "loss"))
    assert (hosts.names, run.plans) == ([], [])
    hosts.learn_for(("timing", "reset"))
    hosts.learn()
    assert hosts.names == ["app", "db"]
    assert [(plan.faults, plan.epoch_s) for plan in run.plans] == [((), 7)]


def test_hosts_of_scripts_are_known() -> None:
    run = Running()
    hosts = Hosts(["main"], 0, run)
    hosts.learn()
    assert hosts.names == ["main"]
    assert not run.plans


def test_a_plan_that_aims_at_no_host_of_the_world_is_refused() -> None:
    hosts = Hosts([], 0, Running())
    hosts.check(Plan(faults=(Crash(1, target="db"), Latency(1, target="app -> db:80"), Partition("app", "*"))))
    with pytest.raises(PlanError) as caught:
        hosts.check(Plan(faults=(Latency(1), Crash(1, target="apq", at_s=2))))
    assert caught.value.what == "no host is called 'apq'. Did you mean 'app'?"
    assert caught.value.where == "faults[1], 2.00 s: crash, restart after 1 s on apq"
    assert caught.value.why == "the hosts are app, db"


def test_a_plan_without_hosts_needs_no_run() -> None:
    run = Running()
    Hosts([], 0, run).check(Plan(faults=(Latency(1), Reset(target="connecting"))))
    assert not run.plans


def test_where_the_calm_world_fails_it_may_have_had_more_hosts() -> None:
    failed = FailureRecord("exception", "", "", 0, "", "")
    Hosts([], 0, Running(failed)).check(Plan(faults=(Pause(target="late"),)))
