"""`wavetank serve`, as it is typed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.support import PROGRAM, ask, wait_until

WAVETANK = str(Path(sys.executable).with_name("wavetank"))
SERVER = [sys.executable, "-S", str(PROGRAM), "{port}"]


def serve(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([WAVETANK, "serve", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_ready_and_ends_with_the_command(ending: signal.Signals) -> None:
    with serve("--json", "--", *SERVER) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["schema"] == 1
        assert ask(told["port"]) == b"pong\n"
        assert told["ready_s"] >= told["listening_s"] >= told["spawned_s"]
        process.send_signal(ending)
        output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("", "")
    assert process.returncode == (0 if ending == signal.SIGINT else 128 + signal.SIGTERM)
    assert not os.path.exists(f"/proc/{told['pid']}")


def test_the_text_names_address_pid_and_containment() -> None:
    with serve("--ready", "tcp", "--env", "A=b", "--", *SERVER) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert first.startswith(f"{Path(sys.executable).name} is ready on 127.0.0.1:")
    assert ", pid " in first
    assert "ready after" in second
    assert "containment: " in second


def test_a_server_that_dies_is_exit_status_1() -> None:
    with serve("--json", "--", *SERVER) as process:
        assert process.stdout is not None
        os.kill(json.loads(process.stdout.readline())["pid"], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed by someone else (SIGKILL" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 2, "no command to serve"),
        (["--ready", "redsi", "--", "redis-server"], 2, "unknown readiness 'redsi'. Did you mean 'redis'?"),
        (["--stop-signal", "TREM", "--", "x"], 2, "unknown signal 'TREM'. Did you mean 'TERM'?"),
        (["--env", "A", "--", "x"], 2, "--env 'A' is not NAME=VALUE"),
        (["--port", "70000", "--", "x"], 2, "70000 is out of range"),
        (["--", "no-such-program-here"], 4, "program 'no-such-program-here' not found"),
        (["--timeout", "4s", "--", "sleep", "600"], 1, "does not listen anywhere"),
        (["--", "true"], 1, "exited with status 0"),
    ],
)
def test_bad_input_is_one_clear_error(words: list[str], status: int, says: str) -> None:
    with serve(*words) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert output == ""
    assert errors.startswith("wavetank: ")
    assert says in errors
    assert "Traceback" not in errors


def test_a_killed_command_leaves_nothing() -> None:
    with serve("--json", "--", *SERVER) as process:
        assert process.stdout is not None
        pid = json.loads(process.stdout.readline())["pid"]
        process.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
