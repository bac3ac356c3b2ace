"""`wavetank.run` and `wavetank.explore`, with a stand-in runtime."""

import pickle
from pathlib import Path

import pytest

import wavetank
from wavetank.errors import NothingToRun, UsageError
from wavetank.plan import Plan


def fail(world: object) -> None:
    """Stands for a scenario: the stand-in runtime goes by its name."""


def echo(world: object) -> None:
    """As `fail`."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_ins: None) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_that_is_well(here: Path) -> None:
    outcome = wavetank.run(echo, seed=4)
    assert outcome.ok
    assert outcome.failure is None
    assert (outcome.seed, outcome.digest, outcome.virtual_seconds) == (4, "d" * 32, 1e-6)
    assert outcome.plan.seed == 4
    assert outcome.plan.faults == ()
    assert outcome.trace == []
    assert outcome.stdout["main"].startswith("4 ")
    assert list(here.iterdir()) == []


def test_a_run_that_fails_returns_its_failure() -> None:
    failure = wavetank.run(fail, seed=3).failure
    assert failure is not None
    assert (failure.kind, failure.error, failure.host, failure.time) == (
        "exception",
        "AssertionError: wrong",
        "main",
        5e-9,
    )
    assert (failure.seed, failure.file) == (3, None)
    assert str(failure) == "exception: AssertionError: wrong"
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_a_plan_goes_before_seed_and_faults() -> None:
    plan = Plan(seed=8, epoch_s=0)
    outcome = wavetank.run(fail, seed=1, faults="mild", plan=plan)
    assert not outcome.ok
    assert outcome.plan == plan


def test_a_campaign_finds_the_lowest_seed_and_writes_its_file(here: Path) -> None:
    campaign = wavetank.explore(fail, runs=20, workers=2, dir=here / "kept")
    assert not campaign.ok
    assert campaign.runs == 4
    assert campaign.outcomes == {"ok": 3, "exception": 1}
    (failure,) = campaign.failures
    assert failure.seed == 3
    assert failure.file == here / "kept" / "failures" / "fail-dddd.json"
    assert wavetank.run(fail, plan=failure.plan).digest == "d" * 32


def test_a_campaign_without_failure() -> None:
    campaign = wavetank.explore(echo, runs=3, faults=["timing", "loss"])
    assert campaign.ok
    assert campaign.outcomes == {"ok": 3}


def test_a_target_as_on_the_command_line(here: Path) -> None:
    (here / "x.py").write_text("def fail(world): ...\n")
    assert wavetank.explore("x.py::fail", runs=5).failures[0].seed == 3
    with pytest.raises(NothingToRun):
        wavetank.run("x.py")


def test_a_function_inside_another_runs_in_a_fork_of_this_process() -> None:
    seen: list[float] = []

    def nested(world: wavetank.World) -> None:
        world.sleep(2.5)
        seen.append(world.now)

    outcome = wavetank.run(nested, seed=3, faults="mild")
    assert outcome.ok, outcome.failure
    assert outcome.weaker
    assert outcome.trace
    assert [round(time, 3) for time in seen] == [2.5]


def test_a_campaign_of_a_function_inside_another(here: Path) -> None:
    def nested(world: wavetank.World) -> None:
        assert world.seed < 2, f"seed {world.seed}"

    campaign = wavetank.explore(nested, runs=5, workers=4)
    assert campaign.runs == 3
    (failure,) = campaign.failures
    assert (failure.kind, failure.seed, failure.file) == ("exception", 2, None)
    assert failure.error.startswith("AssertionError: seed 2")


def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(UsageError, match="not int"):
        wavetank.run(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown fault family"):
        wavetank.run(echo, faults="milt")
    with pytest.raises(UsageError, match="seed -1"):
        wavetank.explore(echo, seed=-1)
