"""Failure files: JSON, names, integrity, and every way in which a file can be wrong."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wavetank import failure_file
from wavetank.errors import EnvironmentProblem, FailureFileError
from wavetank.failure_file import (
    Environment,
    FailureFile,
    Options,
    Script,
    TargetRecord,
    file_name,
    integrity_of,
    read_failure,
    write_failure,
)
from wavetank.faults import Latency, Loss
from wavetank.plan import Plan

EXAMPLE = FailureFile(
    version="0.1.0",
    target=TargetRecord(
        label="cluster.py::failover", kind="scenario", module="/home/me/cluster.py", function="failover", cwd="/home/me"
    ),
    seed=41,
    plan=Plan(seed=41, faults=(Loss(0.1),), choices={"cut client -> server:8000 #1 / 12": 17}),
    original_plan=Plan(seed=41, faults=(Loss(0.1), Latency(0.2, at_s=1.5))),
    digest="3f9c0a5e6d7b8c9dffffffffffffffff",
    kind="exception",
    error="AssertionError: 'a' != 'b'",
    summary="app got the reply of another request",
    where="cluster.py:17 in failover",
    host="app",
    time_ns=2_300_000_000,
    traceback="Traceback (most recent call last):\n  ...",
    last_events=("  2.299000 s  app/main  receive  app:40001 -> db:6379  12 B",),
    opaque=("app -> db:22 #1",),
    environment=Environment(
        python="3.13.0",
        implementation="cpython",
        platform="linux-x86_64",
        kernel="6.12",
        packages={"redis": "4.5.1"},
        sources={"/home/me/cluster.py": "0" * 64},
    ),
    options=Options(faults=("timing", "loss"), no_oracle=("leak",), allow=("subprocess.Popen",), limit_real_s=30),
)


def edited(tmp_path: Path, **changes: Any) -> Path:
    """The example's file with keys changed and its integrity hash made to fit (None takes a key away)."""
    data = failure_file.to_json(EXAMPLE) | changes
    data = {key: value for key, value in data.items() if value is not None}
    data["integrity"] = integrity_of(data)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(data))
    return path


def test_a_failure_goes_through_its_file(tmp_path: Path) -> None:
    path = write_failure(EXAMPLE, tmp_path / "failures")
    assert path == tmp_path / "failures" / "failover-3f9c.json"
    again = read_failure(path)
    assert again == msgspec.structs.replace(EXAMPLE, integrity=again.integrity)
    assert [each.name for each in path.parent.iterdir()] == ["failover-3f9c.json"]


def test_the_keys_of_the_file_are_these(tmp_path: Path) -> None:
    data = json.loads(write_failure(EXAMPLE, tmp_path).read_text())
    assert " ".join(data) == (
        "schema version target seed plan original_plan digest kind error environment summary where host time_ns "
        "traceback last_events opaque options integrity"
    )
    assert data["plan"]["faults"] == [{"fault": "loss", "rate": 0.1}]
    assert data["target"]["function"] == "failover"
    assert data["options"]["no_oracle"] == ["leak"]


def test_the_same_failure_takes_the_same_name_and_another_one_a_longer_name(tmp_path: Path) -> None:
    other = msgspec.structs.replace(EXAMPLE, digest="3f9c0a5effffffffffffffffffffffff")
    third = msgspec.structs.replace(EXAMPLE, digest="3f9c111111111111ffffffffffffffff")
    assert write_failure(EXAMPLE, tmp_path).name == "failover-3f9c.json"
    assert write_failure(EXAMPLE, tmp_path).name == "failover-3f9c.json"
    assert write_failure(other, tmp_path).name == "failover-3f9c0a5e.json"
    assert write_failure(third, tmp_path).name == "failover-3f9c1111.json"
    assert read_failure(tmp_path / "failover-3f9c.json").digest == EXAMPLE.digest


def test_a_failure_without_a_digest_has_a_name_of_its_own(tmp_path: Path) -> None:
    killed = msgspec.structs.replace(EXAMPLE, digest="", kind="spin")
    name = write_failure(killed, tmp_path).name
    assert re.fullmatch(r"failover-[0-9a-f]{4}\.json", name)
    assert write_failure(msgspec.structs.replace(killed, time_ns=3, traceback="elsewhere"), tmp_path).name == name
    assert write_failure(msgspec.structs.replace(killed, where="other.py:1"), tmp_path).name != name
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_is_not_ours_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "failover-3f9c.json").write_text("notes of mine")
    assert write_failure(EXAMPLE, tmp_path).name == "failover-3f9c0a5e.json"
    assert (tmp_path / "failover-3f9c.json").read_text() == "notes of mine"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (TargetRecord(label="x", kind="scenario", module="m", function="Suite.test_it"), "test_it"),
        (TargetRecord(label="x", kind="script", scripts=(Script("main", "/a/b/my server.py"),)), "my-server"),
        (TargetRecord(label="../../etc/passwd", kind="script"), "etc-passwd"),
        (TargetRecord(label="...", kind="script"), "failure"),
        (TargetRecord(label="é" * 5, kind="script"), "failure"),
        (TargetRecord(label="x" * 300, kind="script"), "x" * 60),
    ],
)
def test_the_name_is_safe(target: TargetRecord, name: str) -> None:
    assert file_name(target) == name


def test_text_that_is_no_unicode_survives(tmp_path: Path) -> None:
    odd = msgspec.structs.replace(EXAMPLE, error="b\udcff \x00 \N{SNOWMAN}")
    assert read_failure(write_failure(odd, tmp_path)).error == odd.error


def test_layout_and_order_of_keys_may_change(tmp_path: Path) -> None:
    path = write_failure(EXAMPLE, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True, indent=7))
    assert read_failure(path).digest == EXAMPLE.digest


def test_an_edited_file_says_so_and_how_to_run_the_plan_by_hand(tmp_path: Path) -> None:
    path = write_failure(EXAMPLE, tmp_path)
    path.write_text(path.read_text().replace('"rate": 0.1', '"rate": 0.2', 1))
    with pytest.raises(FailureFileError) as caught:
        read_failure(path)
    assert str(caught.value) == (
        "the failure file was edited after it was written: its content does not match its integrity hash\n"
        f"  where: {path}\n"
        "  why: a replay could differ from the failure that was found, and nobody could say why\n"
        '  next: to try an edited plan, put its "plan" into a file of its own: '
        "wavetank run cluster.py::failover --plan FILE"
    )


def test_every_prefix_of_a_file_is_cut_short(tmp_path: Path) -> None:
    path = write_failure(EXAMPLE, tmp_path)
    whole = path.read_text().rstrip()
    for length in range(1, len(whole), 7):
        path.write_text(whole[:length])
        with pytest.raises(FailureFileError, match="the failure file is cut short"):
            read_failure(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the failure file is empty"),
        ("hello", "the failure file is not JSON: Expecting value"),
        ("hello, world", "the failure file is not JSON: Expecting value"),
        ("[]", "the failure file is not a JSON object"),
        ("{}", 'this is not a failure file: it has no key "schema"'),
        ('{"schema": 1, "seed": 3, "faults": []}', 'this is not a failure file: it has no key "digest"'),
        ('{"schema": 2}', "the failure file has schema 2, and this Wavetank knows schemas up to 1"),
    ],
)
def test_a_file_that_is_no_failure_file_is_told_what_is_wrong(text: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(FailureFileError) as caught:
        read_failure(path)
    assert caught.value.what == what
    assert str(path) in caught.value.where


def test_a_plan_given_as_a_failure_file_is_pointed_to_run(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"schema": 1}')
    with pytest.raises(FailureFileError) as caught:
        read_failure(path)
    assert caught.value.next == f"if it is a plan: wavetank run TARGET --plan {path}"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"colour": "red"}, "a failure file has no key 'colour'."),
        ({"seeds": 1}, "a failure file has no key 'seeds'. Did you mean 'seed'?"),
        ({"seed": "1"}, "the failure file is not valid: Expected `int`, got `str` - at `$.seed`"),
        ({"error": None}, "the failure file is not valid: Object missing required field `error`"),
        ({"original_plan": None}, "a plan must be an object, not NoneType"),
        ({"plan": {"schema": 1, "seed": -1}}, "seed must be from 0 to 9223372036854775807, not -1"),
        ({"options": {"x": 1}}, "the failure file is not valid: Object contains unknown field `x` - at `$.options`"),
    ],
)
def test_a_value_that_is_not_valid_is_named(changes: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(FailureFileError) as caught:
        read_failure(edited(tmp_path, **changes))
    assert caught.value.what == what


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FailureFileError, match="no such failure file"):
        read_failure(tmp_path / "nowhere.json")
    with pytest.raises(FailureFileError, match="this is a folder, not a failure file"):
        read_failure(tmp_path)


def test_a_folder_that_cannot_be_written_is_the_environments_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write here") as caught:
        write_failure(EXAMPLE, tmp_path / "file")
    assert caught.value.next == "choose another folder with --dir DIR"
