"""Who is left when a run ends in any way: nobody, or nobody after the next start's sweep."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.support import PROGRAM, wait_until
from wavetank.servers import launcher, processes

#: A run: starts the server with a child, says so, and ends as it is told.
RUN = """
import sys, time
from wavetank.servers import ServerProcess
program, pids, containment, child, how = sys.argv[1:]
command = [sys.executable, "-S", program, "{port}", "pids=" + pids, *(["child=" + child] if child else [])]
server = ServerProcess(command, containment=containment).start()
while child and "child" not in open(pids).read(): time.sleep(0.005)
print(server._core.launched.supervisor, flush=True)
if how == "stop": server.stop()
if how == "raise": raise SystemExit(9)
if how.startswith("SIG"): time.sleep(600)
"""
SWEEP = "from wavetank.servers import sweep\nfor each in sweep(): print(each.pid, each.command)"


def run(tmp_path: Path, code: str, *arguments: str, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},  # runs and sweeps of other tests are elsewhere
        **more,  # type: ignore[call-overload]
    )


def living(pids: Path) -> dict[str, processes.Identity]:
    found = (line.split() for line in pids.read_text().splitlines())
    return {name: identity for name, pid in found if (identity := processes.identity(int(pid)))}


def one(tmp_path: Path, containment: str, child: str, how: str) -> dict[str, processes.Identity]:
    """One run; returns who lived when it was up."""
    pids = tmp_path / "pids"
    with run(tmp_path, RUN, str(PROGRAM), str(pids), containment, child, how) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        up = living(pids)
        if how.startswith("SIG"):
            process.send_signal(signal.Signals[how])
    assert len(up) == (2 if child else 1) or not how.startswith("SIG")
    return up


@pytest.mark.parametrize(
    "how",
    [*(pytest.param(how, marks=pytest.mark.long) for how in ("exit", "raise", "SIGINT")), "stop", "SIGTERM", "SIGKILL"],
)
@pytest.mark.parametrize("containment", launcher.RUNGS[:2])
def test_nobody_is_left_of_a_daemon_that_empties_its_environment(tmp_path: Path, containment: str, how: str) -> None:
    up = one(tmp_path, containment, "daemon", how)
    wait_until(lambda: not any(processes.runs(each) for each in up.values()))


@pytest.mark.parametrize("child", ["", "plain", "setsid"])
def test_nobody_is_left_of_other_children_when_the_run_is_killed(tmp_path: Path, child: str) -> None:
    for containment in launcher.RUNGS[:2]:
        (tmp_path / containment).mkdir()
        up = one(tmp_path / containment, containment, child, "SIGKILL")
        wait_until(lambda up=up: not any(processes.runs(each) for each in up.values()))


def test_what_is_left_on_the_weakest_rung_the_next_start_finds_and_ends(tmp_path: Path) -> None:
    up = one(tmp_path, "death-signal", "daemon", "SIGKILL")
    wait_until(lambda: not processes.runs(up["server"]))
    assert processes.runs(up["child"])  # not below anybody of ours, and without our variable
    with run(tmp_path, SWEEP) as sweeping:
        assert sweeping.stdout is not None
        assert f"{up['child'].pid} " in sweeping.stdout.read()
    wait_until(lambda: not processes.runs(up["child"]))


def test_run_and_supervisor_killed_together_are_swept_up_by_the_next_start(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with run(tmp_path, RUN, str(PROGRAM), str(pids), "subreaper", "setsid", "SIGKILL") as process:
        assert process.stdout is not None
        supervisor = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)
        process.kill()
    up = living(pids)
    with run(tmp_path, RUN, str(PROGRAM), str(tmp_path / "other"), "subreaper", "", "stop") as other:
        assert other.wait() == 0
    wait_until(lambda: not any(processes.runs(each) for each in up.values()))


def test_a_sweep_leaves_living_runs_alone(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with run(tmp_path, RUN, str(PROGRAM), str(pids), "subreaper", "daemon", "SIGTERM") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        up = living(pids)
        with run(tmp_path, SWEEP) as sweeping:
            assert sweeping.stdout is not None
            assert sweeping.stdout.read() == ""
        assert all(processes.runs(each) for each in up.values())
        process.terminate()
    wait_until(lambda: not any(processes.runs(each) for each in up.values()))
