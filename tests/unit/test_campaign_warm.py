"""The image that `wavetank.run` keeps for the next call: used again, and never when anything has changed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import wavetank
from wavetank.campaign import warm


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    warm.forget()
    yield
    warm.forget()


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "scenario.py"
    file.write_text("def main(world):\n    print('before')\n\ndef other(world):\n    print('other')\n")
    return file


def _image_pid() -> int:
    (loan,) = warm._kept
    return loan.image.pid


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_the_next_run_of_a_target_uses_the_same_image_and_has_the_same_digest(scenario: Path) -> None:
    first = wavetank.run(f"{scenario}::main", seed=5, faults="mild")
    pid = _image_pid()
    second = wavetank.run(f"{scenario}::main", seed=5, faults="mild")
    assert _image_pid() == pid
    warm.forget()
    assert not _alive(pid)
    third = wavetank.run(f"{scenario}::main", seed=5, faults="mild")
    assert first.digest == second.digest == third.digest
    assert first.stdout == second.stdout == third.stdout


def test_a_target_that_was_edited_is_prepared_anew(scenario: Path) -> None:
    assert "before" in wavetank.run(f"{scenario}::main").stdout["director"]
    pid = _image_pid()
    scenario.write_text(scenario.read_text().replace("before", "behind"))
    assert "behind" in wavetank.run(f"{scenario}::main").stdout["director"]
    assert not _alive(pid)


def test_a_module_that_is_new_beside_the_target_is_found(scenario: Path) -> None:
    scenario.write_text("def main(world):\n    import colorsys\n    print(colorsys.__file__)\n")
    wavetank.run(f"{scenario}::main")
    (scenario.parent / "colorsys.py").write_text("")
    assert str(scenario.parent) in wavetank.run(f"{scenario}::main").stdout["director"]


def test_another_target_ends_the_image_of_the_one_before(scenario: Path) -> None:
    wavetank.run(f"{scenario}::main")
    pid = _image_pid()
    assert "other" in wavetank.run(f"{scenario}::other").stdout["director"]
    assert not _alive(pid)


def test_an_image_that_has_died_is_replaced(scenario: Path) -> None:
    wavetank.run(f"{scenario}::main")
    pid = _image_pid()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert wavetank.run(f"{scenario}::main").ok
    assert _image_pid() != pid


def _python(code: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_a_fork_of_the_process_leaves_the_image_alone(scenario: Path) -> None:
    code = """if True:
        import os, sys, wavetank
        from wavetank.campaign import warm

        def run():
            assert wavetank.run(sys.argv[1]).ok
            return warm._kept[0].image.pid

        pid = run()
        child = os.fork()
        if child == 0:
            assert run() != pid
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert run() == pid
    """
    _python(code, f"{scenario}::main")


def test_threads_do_not_share_an_image(scenario: Path) -> None:
    outcomes: list[wavetank.Outcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(wavetank.run(f"{scenario}::main"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.ok for outcome in outcomes] == [True] * 3
    assert len({outcome.digest for outcome in outcomes}) == 1


def test_the_image_ends_with_the_process(scenario: Path) -> None:
    code = """if True:
        import sys, wavetank
        from wavetank.campaign import warm

        wavetank.run(sys.argv[1])
        print(warm._kept[0].image.pid)
    """
    assert not _alive(int(_python(code, f"{scenario}::main")))
