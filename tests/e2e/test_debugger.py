"""`wavetank replay --pdb`: looking at a failure where it was raised, on the terminal of the command."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("wavetank")
SCRIPT = "def check(answer):\n    assert answer == 42, 'wrong'\ncheck(6 * 9)\n"


@pytest.fixture
def failure(tmp_path: Path) -> str:
    (tmp_path / "script.py").write_text(SCRIPT)
    found = subprocess.run(
        [COMMAND, "explore", "script.py", "--runs", "1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 1, found.stderr
    (file,) = (tmp_path / ".wavetank" / "failures").glob("*.json")
    return str(file)


def test_the_debugger_opens_at_the_line_that_raised(failure: str) -> None:
    master, slave = pty.openpty()
    try:
        os.write(master, b"p answer + 1\nup\nq\n")  # waits in the terminal until it is asked for
        done = subprocess.run([COMMAND, "replay", "--pdb", failure], stdin=slave, capture_output=True, text=True)
        shown = os.read(master, 1 << 16).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 1, done.stderr
    assert "fails as before" in done.stdout
    assert "AssertionError: wrong" in shown
    assert "script.py(2)check()" in shown
    assert "(wavetank pdb) 55" in shown
    assert "script.py(3)<module>()" in shown


def test_without_a_terminal_it_says_so(failure: str) -> None:
    done = subprocess.run(
        [COMMAND, "replay", "--pdb", failure], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--pdb: standard input is no terminal" in done.stderr
