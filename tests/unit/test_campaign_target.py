"""What the user may name to run, and what each mistake gets."""

import sys
import types
from pathlib import Path

import pytest

from wavetank.campaign import target
from wavetank.errors import NothingToRun, UsageError, WavetankError
from wavetank.world.job import HostScript

SCRIPT = "import sys\nprint(sys.argv)\n"
SCENARIOS = "def failover(world):\n    pass\n\nNUMBER = 3\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "client.py").write_text(SCRIPT)
    (tmp_path / "server.py").write_text(SCRIPT)
    (tmp_path / "cluster.py").write_text(SCENARIOS)
    (tmp_path / "empty.py").write_text('"""Nothing."""\n')
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_script_runs_on_one_host(here: Path) -> None:
    found = target.parse("client.py", ["--port", "8000"])
    assert found.scripts == (HostScript("main", str(here / "client.py"), ("--port", "8000")),)
    assert found.label == "client.py"
    assert found.sys_path[0] == str(here)
    assert target.folder_of(found) == str(here)


def test_a_function_in_a_file(here: Path) -> None:
    found = target.parse("cluster.py::failover")
    assert (found.module, found.function) == (str(here / "cluster.py"), "failover")
    assert target.folder_of(found) == str(here)


def test_a_file_in_a_package_is_imported_from_where_the_package_is(here: Path) -> None:
    inner = here / "project" / "tests" / "net"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    (inner / "scenarios.py").write_text("def failover(world): ...\n")
    found = target.parse("project/tests/net/scenarios.py::failover")
    assert found.sys_path[:2] == (str(inner), str(here / "project"))
    assert target.folder_of(found) == str(inner)


def test_a_function_in_a_module(here: Path) -> None:
    found = target.parse("package.module:function")
    assert (found.module, found.function) == ("package.module", "function")
    assert found.sys_path[0] == str(here)
    assert target.folder_of(found) == str(here)


def test_scripts_on_hosts(here: Path) -> None:
    found = target.parse_hosts(["db=server.py", "app.example=client.py"])
    assert [(each.host, Path(each.path).name) for each in found.scripts] == [
        ("db", "server.py"),
        ("app.example", "client.py"),
    ]


def test_arguments_go_to_the_one_script(here: Path) -> None:
    assert target.parse_hosts(["db=server.py"], ["-v"]).scripts[0].argv == ("-v",)


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("clinet.py", (), "no such file: clinet.py. Did you mean 'client.py'?"),
        ("nothing/here.py", (), "no such file: nothing/here.py"),
        ("nothing.py::f", (), "no such file: nothing.py"),
        ("folder", (), "folder is a folder"),
        ("broken.py", (), "broken.py is not valid Python: "),
        ("cluster.py::failower", (), "cluster.py has no function 'failower'. Did you mean 'failover'?"),
        ("cluster.py:failover", (), "cluster.py:failover: two colons before the function"),
        ("cluster.py::failover", ("-v",), "arguments after -- go to a script"),
        ("what is this", (), "no such file: what is this"),
    ],
)
def test_a_target_that_is_wrong(here: Path, text: str, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        target.parse(text, arguments)
    assert caught.value.what.startswith(words)


@pytest.mark.parametrize(
    ("text", "next_"),
    [
        ("empty.py", ""),
        ("cluster.py", "cluster.py::failover"),
        ("cluster.py::", "cluster.py::failover"),
        ("package.module:", "package.module:FUNCTION"),
    ],
)
def test_a_target_in_which_nothing_would_run(here: Path, text: str, next_: str) -> None:
    with pytest.raises(NothingToRun) as caught:
        target.parse(text)
    assert caught.value.next == next_


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["client.py"], "--host client.py: not NAME=SCRIPT"),
        (["db="], "--host db=: not NAME=SCRIPT"),
        (["a b=client.py"], "--host a b=client.py: 'a b' cannot name a host"),
        (["-db=client.py"], "--host -db=client.py: '-db' cannot name a host"),
        (["db=client.py", "db=server.py"], "--host db=server.py: there is a host 'db' already"),
        (["db=nothing.py"], "no such file: nothing.py"),
    ],
)
def test_hosts_that_are_wrong(here: Path, words: list[str], text: str) -> None:
    with pytest.raises(WavetankError) as caught:
        target.parse_hosts(words)
    assert caught.value.what == text


def test_arguments_for_several_hosts_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match="go to one script"):
        target.parse_hosts(["db=server.py", "app=client.py"], ["-v"])


# ---- functions from Python


def test_a_module_level_function_is_found_by_its_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(here / "cluster.py", monkeypatch)
    assert target.of_function(module.failover) == target.parse("cluster.py::failover")


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType(path.stem)
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, path.stem, module)
    return module


def test_a_function_of_a_package_is_found_by_name() -> None:
    found = target.of_function(target.parse)
    assert found is not None
    assert (found.module, found.function) == ("wavetank.campaign.target", "parse")


def test_a_function_that_no_other_interpreter_can_import_is_none() -> None:
    def nested() -> None:
        pass

    assert target.of_function(nested) is None
    assert target.of_function(lambda: None) is None
    assert target.of_function(print) is None


# ---- the import path


def test_the_image_gets_the_targets_folder_first_and_each_entry_once(here: Path) -> None:
    found = target.parse("client.py")
    path = target.search_path(found)
    assert path[0] == str(here)
    assert len(set(path)) == len(path)
    assert "" not in path


def test_the_folder_of_commands_is_not_on_the_import_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sysconfig

    monkeypatch.syspath_prepend(sysconfig.get_path("scripts"))
    assert sysconfig.get_path("scripts") not in target.search_path(target.parse("client.py"))
