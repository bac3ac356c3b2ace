"""Plans: validity, JSON, files, and the way into a run."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank import plan as plans
from wavetank.errors import EnvironmentProblem, PlanError
from wavetank.faults import Latency, Loss, Partition
from wavetank.plan import MAX_SEED, Plan, read_plan, write_plan
from wavetank.world.job import Job, Target, decode_job, encode

EXAMPLE = Plan(
    seed=7,
    epoch_s=1_700_000_000,
    faults=(Latency(0.05, target="client -> server"), Partition("client", "server", at_s=3.2, duration_s=2)),
    choices={"cut client -> server:8000 #1 / 12": 17},
)


def test_a_plan_is_this_json() -> None:
    assert plans.to_json(EXAMPLE) == {
        "schema": 1,
        "seed": 7,
        "epoch_s": 1_700_000_000,
        "faults": [
            {"fault": "latency", "delay_s": 0.05, "target": "client -> server"},
            {"fault": "partition", "a": "client", "b": "server", "at_s": 3.2, "duration_s": 2.0},
        ],
        "choices": {"cut client -> server:8000 #1 / 12": 17},
        "delay_limit_s": None,
    }
    assert plans.from_json(plans.to_json(EXAMPLE)) == EXAMPLE


def test_a_plan_is_these_lines() -> None:
    assert EXAMPLE.lines() == [
        "0.00 s: latency 50 ms on client -> server",
        "3.20 s: partition client | server for 2 s",
        "choice cut client -> server:8000 #1 / 12 = 17",
    ]


def test_what_is_not_said_has_a_default() -> None:
    assert plans.from_json({"schema": 1}) == Plan()
    assert Plan().choices is None


def test_a_plan_is_calm_without_faults_and_without_choices() -> None:
    assert Plan(choices={}).calm
    assert Plan(choices={"cut x / 1": 0}).calm
    assert not Plan(choices={"cut x / 1": 1}).calm
    assert not Plan().calm  # its choices come from the seed
    assert not Plan(choices={}, faults=(Loss(0.1),)).calm


@given(st.integers(0, MAX_SEED), st.dictionaries(st.integers(1, 99), st.integers(0, MAX_SEED)) | st.none())
def test_a_plan_crosses_into_a_run_unchanged(seed: int, choices: dict[int, int] | None) -> None:
    named = None if choices is None else {f"cut a -> b / {number}": value for number, value in choices.items()}
    job = Job(target=Target("x"), plan=Plan(seed=seed, faults=EXAMPLE.faults, choices=named), cwd="/")
    assert decode_job(encode(job)) == job
    assert plans.from_json(plans.to_json(job.plan)) == job.plan


def test_a_plan_goes_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.json"
    write_plan(EXAMPLE, path)
    assert read_plan(path) == EXAMPLE
    assert [each.name for each in path.parent.iterdir()] == ["plan.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ([], "a plan must be an object, not list"),
        ({}, 'this is not a plan: it has no key "schema"'),
        ({"schema": "1"}, "this is not a plan: \"schema\" must be a number from 1 on, not '1'"),
        ({"schema": 0}, 'this is not a plan: "schema" must be a number from 1 on, not 0'),
        ({"schema": 2}, "the plan has schema 2, and this Wavetank knows schemas up to 1"),
        ({"schema": 1, "sed": 3}, "a plan has no key 'sed'. Did you mean 'seed'?"),
        ({"schema": 1, "seed": -1}, f"seed must be from 0 to {MAX_SEED}, not -1"),
        ({"schema": 1, "seed": MAX_SEED + 1}, f"seed must be from 0 to {MAX_SEED}, not {MAX_SEED + 1}"),
        ({"schema": 1, "seed": 1.0}, "seed must be a whole number, not 1.0"),
        ({"schema": 1, "seed": None}, "seed must be a whole number, not None"),
        ({"schema": 1, "seed": True}, "seed must be a whole number, not True"),
        ({"schema": 1, "epoch_s": -5}, "epoch_s must be from 0 to 253402300799, not -5"),
        ({"schema": 1, "faults": {}}, "faults must be a list, not {}"),
        ({"schema": 1, "faults": None}, "faults must be a list, not None"),
        ({"schema": 1, "choices": []}, "choices must be an object of key and number, not []"),
        ({"schema": 1, "choices": {"x": 1}}, "'x' is not the key of a choice"),
        ({"schema": 1, "choices": {"cut x / 1": -1}}, f"the choice 'cut x / 1' must be from 0 to {MAX_SEED}, not -1"),
        ({"schema": 1, "choices": {"cut x / 1": "2"}}, "the choice 'cut x / 1' must be a whole number, not '2'"),
    ],
)
def test_json_that_is_no_plan_is_told_what_is_wrong(data: object, what: str) -> None:
    with pytest.raises(PlanError) as caught:
        plans.from_json(data, "p.json")
    assert caught.value.what == what
    assert caught.value.where == "p.json"


def test_a_fault_that_is_wrong_is_found_by_its_place() -> None:
    data = {"schema": 1, "faults": [{"fault": "loss", "rate": 0.1}, {"fault": "los"}]}
    with pytest.raises(PlanError) as caught:
        plans.from_json(data, "p.json")
    assert (caught.value.what, caught.value.where) == ("unknown fault 'los'. Did you mean 'loss'?", "p.json, faults[1]")


def test_a_newer_plan_says_upgrade() -> None:
    with pytest.raises(PlanError) as caught:
        plans.from_json({"schema": 99, "wholly": "new"}, "p.json")
    assert str(caught.value) == (
        "the plan has schema 99, and this Wavetank knows schemas up to 1\n"
        "  where: p.json\n"
        "  why: it was written by a newer Wavetank\n"
        "  next: upgrade: pip install --upgrade wavetank"
    )


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Plan(seed=-1), f"seed must be from 0 to {MAX_SEED}, not -1"),
        (lambda: Plan(faults=("loss",)), "faults: 'loss' is not a fault of wavetank.faults"),  # type: ignore[arg-type]
        (lambda: Plan(faults=(Loss(0.1),) * 10_001), "a plan with 10,001 faults"),
        (lambda: Plan(choices={f"cut x / {n}": 0 for n in range((1 << 18) + 1)}), "a plan with 262,145 choices"),
        (lambda: Plan(schema=2), "schema must be from 1 to 1, not 2"),
    ],
)
def test_a_plan_made_in_python_is_checked_too(make: Any, what: str) -> None:
    with pytest.raises(PlanError) as caught:
        make()
    assert caught.value.what == what


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("", "the plan is empty", ""),
        (" \n", "the plan is empty", ""),
        ("{", "the plan is cut short", ", line 1, column 2"),
        ('{"schema": 1,\n "seed"', "the plan is cut short", ", line 2, column 8"),
        ('{"schema": 1,\n "faults": [{"fault": "lo', "the plan is cut short", ", line 2, column 23"),
        (
            "{'schema': 1}",
            "the plan is not JSON: Expecting property name enclosed in double quotes",
            ", line 1, column 2",
        ),
        ('{"schema": 1} x', "the plan is not JSON: Extra data", ", line 1, column 15"),
        ("[1]", "the plan is not a JSON object", ""),
        ('{"schema": 1, "seed": NaN}', "the plan is not valid: NaN is not JSON", ""),
        ('{"schema": 1, "seed": 1, "seed": 2}', "the plan is not valid: the key 'seed' stands twice in one object", ""),
    ],
)
def test_a_file_that_is_no_plan_is_told_what_is_wrong(text: str, what: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    assert (caught.value.what.removesuffix(" (line 1)"), caught.value.where) == (what, f"{path}{place}")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "1" * 10_000 + "}"], ids=["deep", "digits"])
def test_a_file_beyond_a_limit_is_not_valid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(PlanError, match=r"the plan is (not valid|cut short)"):
        read_plan(path)


def test_every_prefix_of_a_plan_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_plan(EXAMPLE, path)
    whole = path.read_text().rstrip().replace("seed", r"s\u0065ed").replace(" 17\n", ' -1.5e+3, "x": null\n')
    for length in range(1, len(whole)):
        path.write_text(whole[:length])
        with pytest.raises(PlanError, match="cut short"):
            read_plan(path)


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such plan"):
        read_plan(tmp_path / "nowhere.json")
    with pytest.raises(PlanError, match="this is a folder, not a plan"):
        read_plan(tmp_path)
    (tmp_path / "binary").write_bytes(b"{\xff}")
    with pytest.raises(PlanError, match="the plan is not text in UTF-8") as caught:
        read_plan(tmp_path / "binary")
    assert caught.value.where == f"{tmp_path / 'binary'}, byte 1"
    (tmp_path / "mark").write_bytes(b'\xef\xbb\xbf{"schema": 1}')  # the mark that Windows editors put in front
    assert read_plan(tmp_path / "mark") == Plan()


def test_a_place_that_cannot_be_written_is_the_environments_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write here") as caught:
        write_plan(EXAMPLE, tmp_path / "file" / "plan.json")
    assert caught.value.exit_status == 4


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    write_plan(EXAMPLE, path)

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(EnvironmentProblem, match="No space left on device"):
        write_plan(Plan(), path)
    assert read_plan(path) == EXAMPLE
    assert [each.name for each in tmp_path.iterdir()] == ["plan.json"]
