"""The command line from inside: options, errors, exit statuses, texts. The runs are those of a stand-in runtime."""

import json
import re
import sys
from pathlib import Path

import pytest

from wavetank import cli
from wavetank.campaign import machine
from wavetank.cli import carry_out, options
from wavetank.errors import EnvironmentProblem
from wavetank.plan import Plan, write_plan

FUNCTIONS = (
    "def fail(world): ...\ndef hard(world): ...\ndef echo(world): ...\ndef shout(world): ...\ndef broken(world): ...\n"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_ins: None) -> Path:
    (tmp_path / "x.py").write_text(FUNCTIONS)
    (tmp_path / "script.py").write_text("print()\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Said:
    """What a command line gave."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err
        self.last_line = out.rstrip("\n").rpartition("\n")[2]

    def __repr__(self) -> str:
        return f"<status {self.status}\n{self.out}\n{self.err}>"


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]  # a function of any words
    def run(*words: str) -> Said:
        status = carry_out([*words])
        out, err = capfd.readouterr()
        return Said(status, out, err)

    return run


# ---- results


def test_a_failure_is_shown_with_the_line_that_replays_it(say, here: Path) -> None:
    found = say("explore", "x.py::fail", "--workers", "1")
    assert found.status == 1
    assert found.out.startswith("x.py::fail: 1 failure in 4 runs, ")
    assert "FAILURE  AssertionError: wrong" in found.out
    assert re.fullmatch(r"wavetank replay \.wavetank/failures/fail-dddd\.json", found.last_line)
    assert found.err == ""
    again = say(*found.last_line.split()[1:])
    assert again.status == 1
    assert again.out.startswith("x.py::fail: fails as before, digest " + "d" * 32)
    assert again.last_line == found.last_line


def test_no_failure_says_how_much_was_tried(say) -> None:
    found = say("explore", "x.py::echo", "--runs", "3", "--seed", "10")
    assert found.status == 0
    assert re.fullmatch(r"x\.py::echo: no failure in 3 runs, \d+\.\d s \(seeds 10 to 12\)\n", found.out)


def test_json_is_one_object(say) -> None:
    found = say("explore", "x.py::fail", "--json")
    data = json.loads(found.out)
    assert found.status == 1
    assert (data["schema"], data["target"], data["runs"]) == (1, "x.py::fail", 4)
    assert isinstance(data["seconds"], float)
    (failure,) = data["failures"]
    assert (failure["seed"], failure["kind"], failure["error"]) == (3, "exception", "AssertionError: wrong")
    assert failure["where"] == "/x/y.py:3"
    assert failure["replay"] == f"wavetank replay {failure['file']}"
    assert isinstance(failure["plan"], list)
    assert json.loads(say("explore", "x.py::echo", "--runs", "2", "--json").out)["failures"] == []


def test_keep_going_lists_groups(say) -> None:
    found = say("explore", "x.py::fail", "--runs", "20", "--keep-going")
    assert found.status == 1
    assert "1 failure in 20 runs" in found.out
    assert "3, the lowest of 4 that fail so" in found.out


def test_keep_going_shows_the_easiest_seed_of_each_group(say) -> None:
    found = say("explore", "x.py::hard", "--runs", "30", "--keep-going")
    assert "2 failures in 30 runs" in found.out
    assert "       5 x  seed 8  hang  /x/y.py:3  8 waits\n       1 x  seed 18  hang  /x/y.py:9  18 waits\n" in found.out
    assert "8, the easiest of 5 that fail so; the lowest is 3" in found.out
    data = json.loads(say("explore", "x.py::hard", "--runs", "30", "--keep-going", "--json").out)
    assert [(each["seed"], each["lowest_seed"], each["count"]) for each in data["failures"]] == [(8, 3, 5), (18, 18, 1)]


def test_run_shows_what_the_program_wrote_and_its_status(say) -> None:
    found = say("run", "x.py::echo", "--seed", "7")
    assert found.status == 0
    assert found.out.startswith("7 ")
    assert "x.py::echo: exit status 0, 0.000001 s of virtual time, digest " in found.out


def test_run_with_json_leaves_standard_output_to_the_object(say) -> None:
    found = say("run", "x.py::echo", "--json")
    data = json.loads(found.out)
    assert (data["runs"], data["status"], data["digest"], data["failures"]) == (1, 0, "d" * 32, [])
    assert found.err.startswith("0 ")


def test_a_run_that_fails_exits_with_1_and_can_be_replayed(say) -> None:
    found = say("run", "x.py::fail", "--seed", "3")
    assert found.status == 1
    assert "FAILURE  AssertionError: wrong" in found.out
    assert found.last_line.startswith("wavetank replay ")


def test_run_is_calm_and_takes_a_plan(say, here: Path) -> None:
    write_plan(Plan(seed=3, epoch_s=0), here / "plan.json")
    assert say("run", "x.py::fail", "--plan", "plan.json").status == 1
    assert say("run", "x.py::fail", "--plan", "plan.json", "--seed", "4").status == 0


def test_replay_says_what_has_changed(say, here: Path) -> None:
    file = say("explore", "x.py::fail").last_line.split()[-1]
    (here / "x.py").write_text(FUNCTIONS + "# changed\n")
    found = say("replay", file)
    assert found.status == 1
    assert "not as it was: source " in found.err
    strict = say("replay", file, "--strict")
    assert strict.status == 4
    assert "x.py: changed" in strict.err
    assert json.loads(say("replay", file, "--json").out)["changed"]


def test_the_settings_of_the_project_count(say, here: Path) -> None:
    (here / "pyproject.toml").write_text(
        '[tool.wavetank]\nruns = 2\nfaults = "none"\nlimit-real = "10s"\njson = true\n'
    )
    assert json.loads(say("explore", "x.py::fail").out)["runs"] == 2
    assert json.loads(say("explore", "x.py::fail", "--runs", "9").out)["runs"] == 4


def test_a_family_that_does_not_apply_is_named(say) -> None:
    found = say("explore", "x.py::echo", "--runs", "1", "--faults", "mild,partition")
    assert found.status == 0
    assert "note: the family partition does not apply to x.py::echo" in found.err


# ---- mistakes


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("explor x.py", 2, "wavetank: unknown verb 'explor'. Did you mean 'explore'?\n"),
        ("explore nothing.py", 2, "wavetank: no such file: nothing.py"),
        ("explore x.py::fial", 2, "wavetank: x.py has no function 'fial'. Did you mean 'fail'?\n"),
        ("explore x.py", 5, "wavetank: x.py does nothing when it runs"),
        ("explore", 2, "wavetank: no TARGET"),
        ("explore x.py::fail --faults milt", 2, "wavetank: unknown fault family 'milt'. Did you mean 'mild'?"),
        ("explore x.py::fail --no-oracle hagn", 2, "wavetank: unknown oracle 'hagn'. Did you mean 'hang'?"),
        ("explore x.py::fail --runs 0", 2, "wavetank: Invalid value for '--runs': 0 is out of range: 1 to "),
        ("explore x.py::fail --seed -1", 2, "wavetank: Invalid value for '--seed': -1 is out of range: 0 to "),
        (
            "explore x.py::fail --seed 9223372036854775808",
            2,
            "wavetank: Invalid value for '--seed': 9223372036854775808",
        ),
        ("explore x.py::fail --seed one", 2, "wavetank: Invalid value for '--seed': 'one' is not a whole number\n"),
        ("explore x.py::fail --workers 0", 2, "wavetank: Invalid value for '--workers': 0 is out of range"),
        ("explore x.py::fail --workers many", 2, "wavetank: Invalid value for '--workers': 'many' is not a whole"),
        ("explore x.py::fail --for 0s", 2, "wavetank: Invalid value for '--for': 0s is no time\n"),
        ("explore x.py::fail --limit-real soon", 2, "wavetank: Invalid value for '--limit-real': 'soon' is not"),
        ("explore x.py::fail --rnus 3", 2, "wavetank: No such option '--rnus'. Did you mean '--runs'?\n"),
        ("explore x.py::fail more", 2, "wavetank: Got unexpected extra argument"),
        ("explore x.py::fail --host a=script.py", 2, "wavetank: either TARGET or --host, not both"),
        ("explore x.py::fail --plan nothing.json", 2, "wavetank: no such plan"),
        ("explore x.py::fail -- --port 8000", 2, "wavetank: arguments after -- go to a script"),
        ("replay nothing.json", 2, "wavetank: no such failure file"),
        ("replay x.py", 2, "wavetank: the failure file is not JSON"),
        ("replay x.json -- a", 2, "wavetank: the failure file says what the script's arguments were"),
        ("run x.py::fail --dir script.py", 4, "wavetank: cannot write here: Not a directory"),
        ("explore x.py::fail --dir /proc/nothing", 4, "wavetank: cannot write here: "),
        ("doctor --dir script.py", 4, ""),
    ],
)
def test_a_mistake_gets_clear_words_and_its_status(say, line: str, status: int, words: str) -> None:
    found = say(*line.split())
    assert found.status == status
    assert found.err.startswith(words)
    assert "Traceback" not in found.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.wavetank]\nrusn = 3\n", "pyproject.toml: [tool.wavetank] has no setting 'rusn'. Did you mean 'runs'?"),
        ("[tool.wavetank\n", "pyproject.toml is not valid TOML"),
        ("[tool]\nwavetank = 3\n", "[tool.wavetank] in pyproject.toml is not a table"),
        ("[tool.wavetank]\nruns = 0\n", "Invalid value for '--runs': 0 is out of range"),
    ],
)
def test_settings_that_are_wrong(say, here: Path, text: str, words: str) -> None:
    (here / "pyproject.toml").write_text(text)
    found = say("explore", "x.py::fail")
    assert found.status == 2
    assert found.err.startswith(f"wavetank: {words}")


def test_a_plan_and_families_are_two_answers_to_one_question(say, here: Path) -> None:
    write_plan(Plan(), here / "plan.json")
    assert say("run", "x.py::echo", "--plan", "plan.json", "--faults", "mild").status == 2


def test_a_run_that_breaks_inside_wavetank_is_a_defect_of_ours(say, here: Path) -> None:
    (here / "x.py").write_text("def break_(world): ...\n")
    found = say("run", "x.py::break_")
    assert found.status == 3
    assert found.err.startswith(
        "wavetank: internal error: a simulated run broke inside Wavetank: RuntimeError: a defect\n"
    )
    assert "Traceback" not in found.err


def test_a_defect_of_ours_is_one_line_and_a_hint(say, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect() -> None:
        raise KeyError("oops")

    monkeypatch.setattr(machine, "refuse_unusable", defect)
    found = say("explore", "x.py::fail")
    assert found.status == 3
    assert found.err.splitlines() == [
        "wavetank: internal error: KeyError: 'oops'",
        "wavetank: this is a defect of Wavetank, not of your program; WAVETANK_DEBUG=1 shows where",
    ]
    monkeypatch.setenv("WAVETANK_DEBUG", "1")
    assert "Traceback" in say("explore", "x.py::fail").err


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("sys.platform", "win32", "Wavetank runs on Linux; on Windows it works inside WSL 2"),
        ("sys.platform", "darwin", "Wavetank runs on Linux, and this is darwin"),
        ("sysconfig.get_config_var", lambda name: 1, "Wavetank does not work with a free-threaded build"),
    ],
)
def test_a_machine_that_cannot_be_used_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, attribute: str, value: object, words: str
) -> None:
    monkeypatch.setattr(f"wavetank.campaign.machine.{attribute}", value)
    with pytest.raises(EnvironmentProblem) as caught:
        machine.refuse_unusable()
    assert caught.value.what.startswith(words)
    assert len(caught.value.lines()) == 1


def test_help_names_every_verb(say) -> None:
    found = say("--help")
    assert found.status == 0
    assert all(f"\n  {verb} " in found.out for verb in cli.VERBS)
    assert say().out == found.out
    assert say("--version").out.startswith("wavetank ")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_each_verb_has_help(say, verb: str) -> None:
    found = say(verb, "--help")
    assert found.status == 0
    assert found.out.startswith(f"Usage: wavetank {verb} ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("50ms", 0.05), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0), ("1.5", 1.5), (" 10 us ", 1e-5), (3, 3.0)],
)
def test_lengths_of_time(text: object, seconds: float) -> None:
    assert options.Duration().convert(text, None, None) == pytest.approx(seconds)


def test_the_doctor_is_content_here(say) -> None:
    found = say("doctor")
    assert found.status == 0
    assert "\nok      python      CPython " in found.out
    data = json.loads(say("doctor", "--json").out)
    assert data["ok"]
    assert {"guard", "addresses", "greenlet", "trio", "twisted"} <= {fact["name"] for fact in data["facts"]}


# ---- colour


@pytest.mark.parametrize(
    ("variables", "colour"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, False),
    ],
)
def test_colour_obeys_the_environment(
    say, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], colour: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in say("explore", "x.py::fail").out) is colour


def test_the_entry_point_leaves_the_folder_of_commands_out_of_the_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["wavetank", "--version"])
    monkeypatch.setattr(sys, "path", ["/somewhere/bin", *sys.path])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0
    assert "/somewhere/bin" not in sys.path
