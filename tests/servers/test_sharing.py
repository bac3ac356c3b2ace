"""One server for several processes: the first starts it, the last one out stops it, a dead owner is replaced."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.support import PROGRAM, ask, misbehaving, wait_until
from wavetank.errors import UsageError
from wavetank.servers import processes

USER = """
import sys
from wavetank.servers import ServerProcess
server = ServerProcess([sys.executable, "-S", sys.argv[1], "{port}"], share="one").start()
print(server.pid, server.port, server._sharing.owner, flush=True)
for line in sys.stdin:
    report = server.stop()
    print(report.steps, flush=True)
"""


class User:
    """A process that uses the shared server."""

    def __init__(self, tmp_path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", USER, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path), "PYTEST_XDIST_TESTRUNUID": str(tmp_path)},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("stop\n")
        self.process.stdin.flush()
        return self.line()

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_last_one_out_stops_the_server_whoever_started_it(tmp_path: Path) -> None:
    with User(tmp_path) as first, User(tmp_path) as second:
        one, other = first.line().split(), second.line().split()
        assert one == other
        server = processes.identity(int(one[0]))
        assert server is not None
        owner, guest = (first, second) if int(one[2]) == first.process.pid else (second, first)
        assert owner.stop() == "['left to its other users (1)']"
        owner.process.kill()
        owner.process.wait()
        assert ask(int(one[1])) == b"pong\n"
        assert guest.stop() == "['SIGTERM']"
        assert not processes.runs(server)


def test_users_that_are_killed_count_no_more(tmp_path: Path) -> None:
    with User(tmp_path) as first, User(tmp_path) as second:
        server = processes.identity(int(first.line().split()[0]))
        second.line()
        assert server is not None
        first.process.kill()
        first.process.wait()
        assert processes.runs(server)
        second.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not processes.runs(server))


def test_a_dead_server_is_taken_over_by_the_next_one(tmp_path: Path) -> None:
    with User(tmp_path) as first:
        pid = int(first.line().split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: processes.identity(pid) is None)
        with User(tmp_path) as second:
            found = second.line().split()
            assert int(found[2]) == second.process.pid
            assert ask(int(found[1])) == b"pong\n"


def test_another_command_under_the_same_name_is_refused() -> None:
    with misbehaving(share="mine") as server, misbehaving(share="mine") as same:
        assert same.pid == server.pid
        with pytest.raises(UsageError, match="a server is shared as 'mine' already, with another command"):
            misbehaving("say=other", share="mine").start()
        with pytest.raises(UsageError, match="is shared, and a restart would surprise"):
            same.restart()
