"""Suites of other projects pass inside the simulator as far as docs/results/other-suites.md says."""

import subprocess
import sys
import tarfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.suites.engine import Comparison, Outcome, compare
from tests.suites.named import NEEDS, SUITES
from tests.suites.others import chosen, falls_short, kind_of, reasons, row, shares, skipped, write_page

ROOT = Path(__file__).parents[2]
#: What the page says, and how much less may be found: releases of the projects differ.
FIGURES = shares(ROOT / "docs/results/other-suites.md")
TOLERANCE = 0.01
INSTALLED = [name for name in FIGURES if not SUITES[name].project]
PROJECTS = sorted({SUITES[name].project for name in FIGURES} - {""})


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", INSTALLED)
def test_an_installed_suite(name: str, record_property: Callable[[str, object], None]) -> None:
    if find_spec(name.split()[0].split(".")[0]) is None:
        pytest.skip(f"{name.split()[0]} is not installed")
    comparison = compare(SUITES[name].target)
    record_property("passed", f"{len(comparison.passed)} of {len(comparison.passed_real)}")
    assert not falls_short(comparison, FIGURES[name] - TOLERANCE), "\n".join(reasons(name, comparison))


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("project", PROJECTS)
def test_the_suites_of_an_archive(project: str, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    pip = [str(python), "-m", "pip"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    needs = [project, "pytest", *NEEDS.get(project, ())]
    subprocess.run([*pip, "install", "-q", "-e", str(ROOT), *needs], check=True, timeout=900)
    download = ["download", "-q", "--no-deps", "--no-binary", project, "-d", str(tmp_path), project]
    subprocess.run([*pip, *download], check=True, timeout=900)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    folder.rename(tmp_path / "unpacked" / project)
    names = [name for name in FIGURES if SUITES[name].project == project]
    least = str(min(FIGURES[name] for name in names) - TOLERANCE)
    command = [str(python), "-m", "tests.suites.others", "--sources", str(tmp_path / "unpacked"), "--least", least]
    done = subprocess.run([*command, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


# ---- the figures themselves


def compared() -> Comparison:
    real = {f"m.T.test_{letter}": Outcome("ok") for letter in "abcd"} | {"m.T.test_e": Outcome("skip", "no IPv9")}
    simulated = dict(real) | {
        "m.T.test_b": Outcome("fail", "wavetank.errors.NotSimulatedOSError: os.fork is not simulated (x)"),
        "m.T.test_c": Outcome("fail", "None != 1\nrefused during the test: subprocess.Popen"),
        "m.T.test_d": Outcome("fail", "AssertionError: 1 != 2"),
    }
    return Comparison("m", real, simulated)


def test_what_counts_is_what_passes_on_the_real_system() -> None:
    found = compared()
    assert row("m", found) == "| m | 5 | 4 | 1 | 2 | 1 | 25.0% |"
    assert skipped(found) == ["m.T.test_b", "m.T.test_c"]
    assert kind_of("refused: os.fork") == "starts a process of the real system"
    assert kind_of("refused: socket.send(MSG_OOB)") == "a call that is refused by name"
    assert kind_of("fail: AssertionError") == ""
    assert kind_of("fail: OSError: network is unreachable") == ""


def test_a_share_is_held() -> None:
    found = compared()
    assert falls_short(found, 0.2)  # too much is skipped
    del found.real["m.T.test_b"], found.real["m.T.test_c"]
    assert not falls_short(found, 0.5)
    assert falls_short(found, 0.51)
    assert falls_short(Comparison("m", {}, {}), 0.1)  # nothing ran


def test_the_target_is_reached() -> None:
    assert len(FIGURES) > 30
    assert FIGURES.keys() <= SUITES.keys()
    assert sum(share >= 0.95 for share in FIGURES.values()) >= len(FIGURES) - 1


def test_the_page_keeps_the_rows_of_other_suites(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    found = compared()
    write_page(page, {"trio socket": row("trio socket", found)}, {"trio socket": reasons("trio socket", found)})
    page.write_text(page.read_text() + "\nBy hand.\n")
    write_page(page, {"mine": row("mine", found)}, {"mine": []})
    text = page.read_text()
    assert "| trio socket | 5 | 4 | 1 | 2 | 1 | 25.0% |" in text
    assert "| mine | 5 |" in text
    assert "| **all** | 10 | 8 | 2 | 4 | 2 | 25.0% |" in text
    assert shares(page) == {"trio socket": 0.25, "mine": 0.25}
    assert text.count("AssertionError: 1 != 2") == 1
    assert text.endswith("By hand.\n")


def test_a_suite_is_meant_by_its_name_the_beginning_of_names_or_a_target() -> None:
    assert list(chosen(["trio socket"], None)) == ["trio socket"]
    assert {name.split()[0] for name in chosen(["aiohttp"], None)} == {"aiohttp"}
    assert chosen(["json.tests"], None)["json.tests"].target == "json.tests"
    assert chosen(["httpx"], Path("folder"))["httpx"].target == "httpx"


def test_a_folder_of_tests_runs_on_both_sides(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import socket, sys\n"
        "def test_pair():\n    a, b = socket.socketpair()\n    a.send(b'x')\n    assert b.recv(1) == b'x'\n"
        "def test_where():\n    assert 'wavetank.kernel.core' not in sys.modules\n"
    )
    found = compare("pytest:test_mine.py", folder=tmp_path)
    assert [name.rpartition("::")[2] for name in found.passed] == ["test_pair"]
    assert [name.rpartition("::")[2] for name in found.different] == ["test_where"]
    with pytest.raises(ValueError, match="no folder"):
        compare("pytest:test_mine.py", folder=tmp_path / "nowhere")
