"""Exploring, confirming and replaying, with a runtime in which seeds 3, 8, 13 ... fail."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from wavetank.campaign import confirm as confirming
from wavetank.campaign import failures, replay
from wavetank.campaign.explore import Found, Search, explore
from wavetank.campaign.session import Session, Settings
from wavetank.errors import EnvironmentProblem, UsageError
from wavetank.failure_file import read_failure
from wavetank.plan import MAX_SEED, Plan
from wavetank.world.job import FailureRecord, Payload, RunResult, Target

ROOT = str(Path(__file__).parents[2])

Open = Callable[..., Session]


@pytest.fixture
def opened(stand_ins: None) -> Iterator[Open]:
    sessions: list[Session] = []

    def open_session(doing: str, *, workers: int = 1, **settings: object) -> Session:
        target = Target(label=f"x.py::{doing}", function=doing, sys_path=(ROOT,))
        chosen = Settings(families=("timing",), **settings)  # type: ignore[arg-type]
        sessions.append(Session(target, chosen, workers=workers, cwd="/"))
        return sessions[-1].__enter__()

    yield open_session
    for session in sessions:
        session.image.close()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_lowest_failing_seed_is_found_whatever_the_number_of_workers(opened: Open, workers: int) -> None:
    found = explore(opened("fail", workers=workers), Search(runs=50))
    assert found.runs == 4
    assert found.outcomes == {"ok": 3, "exception": 1}
    assert [group.seed for group in found.groups] == [3]
    verdict = found.groups[0].verdict
    assert verdict is not None
    assert not verdict.parted
    assert verdict.plan.choices == {}


def test_no_failure_means_all_runs(opened: Open) -> None:
    found = explore(opened("fail", workers=2), Search(first_seed=4, runs=4))
    assert (found.runs, found.groups) == (4, [])


def test_keep_going_groups_failures_by_cause(opened: Open) -> None:
    found = explore(opened("fail", workers=2), Search(runs=20, keep_going=True))
    assert found.runs == 20
    assert [(group.seed, group.count) for group in found.groups] == [(3, 4)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_group_has_its_easiest_seed(opened: Open, workers: int) -> None:
    found = explore(opened("hard", workers=workers), Search(runs=30, keep_going=True))
    assert [(group.seed, group.count, group.easiest) for group in found.groups] == [(3, 5, 8), (18, 1, 18)]
    verdicts = [group.verdict for group in found.groups]
    assert [len(verdict.plan.choices or {}) for verdict in verdicts if verdict is not None] == [1, 3]


def test_a_request_to_stop_is_heard(opened: Open) -> None:
    asked: list[int] = []

    def progress(found: Found) -> None:
        asked.append(found.runs)

    found = explore(opened("echo"), Search(runs=None), stop=lambda: len(asked) >= 5, progress=progress)
    assert found.stopped
    assert 5 <= found.runs < 50


def test_a_time_limit_makes_at_least_one_run(opened: Open) -> None:
    found = explore(opened("echo"), Search(runs=None, seconds=1e-9))
    assert found.runs == 1
    assert not found.stopped


def test_a_plan_gives_its_faults_to_every_seed(opened: Open) -> None:
    plan = Plan(seed=99, choices={"cut a / 1": 2})
    found = explore(opened("fail"), Search(runs=10, plan=plan))
    assert found.groups[0].plan == Plan(seed=3)


@pytest.mark.parametrize(
    "wrong", [{"runs": 0}, {"first_seed": -1}, {"first_seed": MAX_SEED, "runs": 2}, {"seconds": 0.0}]
)
def test_a_search_for_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Search(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"no_oracle": ("hagn",)}, {"limit_real_s": 0.0}, {"limit_virtual_ns": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Settings(**wrong)  # type: ignore[arg-type]


# ---- confirming, with results made by hand


class Scripted:
    """A session whose runs are given: for each call of `run`, what it answers, by whether payloads are opaque."""

    def __init__(self, answer: Callable[[int, tuple[str, ...]], RunResult]) -> None:
        self.answer = answer
        self.calls: list[tuple[Plan, tuple[str, ...]]] = []
        self.settings = Settings()

    def run(
        self,
        plan: Plan,
        *,
        trace_path: str = "",
        want_choices: bool = False,
        opaque: tuple[str, ...] = (),
        limit_real_s: float | None = None,
    ) -> RunResult:
        self.calls.append((plan, opaque))
        if trace_path:
            Path(trace_path).write_bytes(b"")
        return self.answer(len(self.calls), opaque)


def failed(digest: str, *, payload: str = "same", error: str = "E: wrong", kind: str = "exception") -> RunResult:
    record = FailureRecord(kind=kind, error=error, host="h", time_ns=1, where="a.py:1 in f", traceback="")
    payloads = [Payload("a -> b", 10, payload), Payload("b -> a", 10, "same")]
    return RunResult(digest=digest, events=1, virtual_ns=1, failure=record, choices={"cut x / 1": 3}, payloads=payloads)


def confirm(session: Scripted, first: RunResult) -> confirming.Verdict:
    return confirming.confirm(session, Plan(seed=5), first)  # type: ignore[arg-type]


def test_a_failure_that_repeats_is_confirmed_with_its_choices() -> None:
    session = Scripted(lambda call, opaque: failed("aa"))
    verdict = confirm(session, failed("aa"))
    assert (verdict.parted, verdict.opaque) == ("", ())
    assert verdict.plan == Plan(seed=5, choices={"cut x / 1": 3})
    assert verdict.original_plan == Plan(seed=5)
    assert len(session.calls) == 2


def test_connections_of_which_only_the_payload_differs_become_opaque() -> None:
    session = Scripted(lambda call, opaque: failed("aa" if opaque else f"{call}", payload=f"random {call}"))
    verdict = confirm(session, failed("0", payload="random 0"))
    assert verdict.parted == ""
    assert verdict.opaque == ("a -> b",)
    assert verdict.result.digest == "aa"


def test_a_run_that_does_not_repeat_is_nondeterminism() -> None:
    verdict = confirm(Scripted(lambda call, opaque: failed(f"{call}")), failed("0"))
    assert verdict.parted
    assert verdict.failure.kind == "nondeterminism"
    assert "exception: E: wrong" in verdict.failure.error


def test_nondeterminism_can_be_switched_off() -> None:
    session = Scripted(lambda call, opaque: failed(f"{call}"))
    session.settings = Settings(no_oracle=("nondeterminism",))
    verdict = confirm(session, failed("0"))
    assert (verdict.failure.kind, verdict.parted) == ("exception", "")
    assert "different runs" in verdict.notes[0]


def test_addresses_in_a_message_do_not_count() -> None:
    session = Scripted(lambda call, opaque: failed("aa", error=f"E: <Thing object at 0x7f64{call}0>"))
    assert not confirm(session, failed("aa", error="E: <Thing object at 0x7f6490>")).parted


def test_when_choices_do_not_repeat_a_run_its_seed_does() -> None:
    verdict = confirm(Scripted(lambda call, opaque: failed("aa" if call == 1 else "bb")), failed("aa"))
    assert not verdict.parted
    assert verdict.plan == Plan(seed=5)
    assert verdict.result.digest == "aa"


def test_a_run_without_digest_is_the_same_when_it_fails_in_the_same_way() -> None:
    verdict = confirm(Scripted(lambda call, opaque: failed("", error=f"took {call} s")), failed("", error="took 0 s"))
    assert verdict.parted == ""
    assert verdict.plan.choices is None


def test_a_spin_is_the_same_wherever_the_watchdog_finds_it() -> None:
    session = Scripted(lambda call, opaque: failed(f"{call}", error=f"a timer is {call} s late", kind="spin"))
    assert confirm(session, failed("aa", error="a timer is 0 s late", kind="spin")).failure.kind == "spin"


def test_a_spin_has_one_cause_at_any_line_of_its_file() -> None:
    seen = [failed("", error="no time passes", kind="spin") for _ in range(3)]
    for result, where in zip(seen, ("a.py:8 in main", "a.py:9 in helper", "b.py:9 in main"), strict=True):
        assert result.failure is not None
        result.failure.where = where
    assert confirming.cause(seen[0]) == confirming.cause(seen[1]) != confirming.cause(seen[2])


# ---- failure files


def test_a_failure_goes_into_a_file_and_comes_back(opened: Open, tmp_path: Path) -> None:
    session = opened("fail", no_oracle=("spin",), limit_real_s=7.0)
    found = explore(session, Search(runs=50))
    verdict = found.groups[0].verdict
    assert verdict is not None
    path = failures.write(session, verdict, failures.folder_in(tmp_path))
    assert path.parent == tmp_path / "failures"
    failure = read_failure(path)
    assert (failure.seed, failure.kind, failure.error) == (3, "exception", "AssertionError: wrong")
    assert failures.target_of(failure) == session.target
    assert failures.settings_of(failure) == session.settings
    replayed = replay.replay(failure, session)
    assert replayed.again
    assert replayed.same_digest
    assert not replayed.nondeterministic
    assert replayed.changed == ()


def test_what_has_changed_is_named(opened: Open, tmp_path: Path) -> None:
    session = opened("fail")
    verdict = explore(session, Search(runs=50)).groups[0].verdict
    assert verdict is not None
    failure = read_failure(failures.write(session, verdict, tmp_path))
    other = msgspec.structs.replace(
        failure.environment, python="3.10.0", packages={"redis": "4.5.1"}, sources={"/a": "b"}
    )
    older = msgspec.structs.replace(failure, environment=other, digest="0" * 32)
    changed = replay.changes(older, session)
    assert changed[0].startswith("python: 3.10.0, now 3.")
    assert "package redis: 4.5.1, now not loaded" in changed
    assert "source /a: no longer loaded" in changed
    with pytest.raises(EnvironmentProblem, match="not everything is as it was"):
        replay.insist(older, session)
    assert not replay.replay(older, session).nondeterministic


def test_another_run_although_nothing_has_changed_is_nondeterministic(opened: Open, tmp_path: Path) -> None:
    session = opened("fail")
    verdict = explore(session, Search(runs=50)).groups[0].verdict
    assert verdict is not None
    failure = read_failure(failures.write(session, verdict, tmp_path))
    replayed = replay.replay(msgspec.structs.replace(failure, digest="0" * 32), session)
    assert replayed.nondeterministic
    assert replayed.parted


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write here"):
        failures.folder_in(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentProblem, match="cannot write here"):
        failures.folder_in(tmp_path)


def test_the_replay_command_is_short_and_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert failures.replay_command(tmp_path / "a b.json") == "wavetank replay 'a b.json'"
    assert failures.replay_command("/elsewhere/x.json") == "wavetank replay /elsewhere/x.json"


def test_failures_have_one_cause_when_kind_type_and_place_agree() -> None:
    assert confirming.cause(failed("a", error="E: one")) == confirming.cause(failed("b", error="E: two"))
    assert confirming.cause(failed("a", error="E: one")) != confirming.cause(failed("b", error="F: one"))
