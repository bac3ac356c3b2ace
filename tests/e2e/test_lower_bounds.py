"""The lower bounds of pyproject.toml are true: Wavetank works with the oldest release of each requirement."""

import os
import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TALK = """
import socket, threading

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: listener.accept()[0].sendall(b"hello")).start()
assert socket.create_connection(listener.getsockname()).recv(5) == b"hello"
"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_simulated_run_with_the_oldest_requirements(tmp_path: Path) -> None:
    requirements = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    oldest = [requirement.replace(">=", "==") for requirement in requirements]
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    tools = tmp_path / "venv" / "bin"
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([tools / "python", "-m", "pip", "install", "--quiet", TOP, *oldest], check=True, env=environment)
    script = tmp_path / "talk.py"
    script.write_text(TALK)
    subprocess.run([tools / "wavetank", "run", script], check=True, env=environment, cwd=tmp_path)
