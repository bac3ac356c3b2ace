"""`wavetank proxy` as a user types it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.lines import connected, echo, exactly, serving, to_the_end
from wavetank import cli
from wavetank.faults import ClockSkew, Latency
from wavetank.plan import Plan, write_plan
from wavetank.trace.reading import read_trace

COMMAND = Path(sys.executable).with_name("wavetank")


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command, ended by SIGTERM."""
    environment = os.environ | {"NO_COLOR": "1"}
    with subprocess.Popen(
        [COMMAND, "proxy", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def failed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Carries out a command that fails before it starts anything: in this process, which is faster."""

    def carry_out(*words: str) -> tuple[int, str]:
        status = cli.carry_out(["proxy", *words])
        said = capsys.readouterr()
        assert said.out == ""
        return status, said.err

    return carry_out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_in_order(number: signal.Signals) -> None:
    with serving(echo) as server, running(f"127.0.0.1:{server.port}", "--segments", "2") as process:
        ready = line(process).split()
        assert ready[:2] + ready[3:] == ["listening", "on", "upstream", f"127.0.0.1:{server.port}"]
        with connected(int(ready[2].rstrip(",").rpartition(":")[2])) as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stderr is not None
        rest, errors = process.stdout.read(), process.stderr.read()
    assert rest.splitlines() == [
        "  0.00 s: segments of at most 2 bytes",
        "1 connection, 5 bytes to the server, 5 bytes to the client",
    ]
    assert (process.returncode, errors) == (0, "")


def test_the_line_of_the_documentation() -> None:
    with serving(echo) as server:
        words = ("--latency", "10ms", "--reset-after", "1KiB", "--json", "--events")
        with running(f"127.0.0.1:{server.port}", *words) as process:
            ready = json.loads(line(process))
            assert ready["faults"] == [
                {"fault": "latency", "delay_s": 0.01},
                {"fault": "reset", "after_bytes": 1024},
            ]
            with connected(ready["port"]) as client:
                client.sendall(b"x" * 2000)
                assert to_the_end(client)[1] == "RST"
            kinds = [json.loads(line(process))["kind"] for _ in range(3)]
            assert kinds == ["listen", "fault", "fault"]


def test_plan_control_and_trace(tmp_path: Path) -> None:
    plan, trace = tmp_path / "plan.json", tmp_path / "trace"
    write_plan(Plan(seed=3, faults=(Latency(0.001, target="app"),)), plan)
    with serving(echo) as server:
        words = ("--plan", str(plan), "--names", "app,db", "--control", "127.0.0.1:0", "--trace", str(trace), "--json")
        with running(f"127.0.0.1:{server.port}", *words) as process:
            ready = json.loads(line(process))
            assert (ready["seed"], len(ready["faults"])) == (3, 1)
            assert ready["control"].startswith("http://127.0.0.1:")
            assert ready["token"]
    assert [record.verb for record in read_trace(trace)] == ["listen", "fault"]


def test_without_descriptors_clients_wait_and_none_is_lost() -> None:
    limited = f"ulimit -n 24; exec {COMMAND} proxy"
    with serving(echo) as server:
        words = ["bash", "-c", f"{limited} 127.0.0.1:{server.port} --events"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process, contextlib.ExitStack() as stack:
            port = int(line(process).partition(",")[0].rpartition(":")[2])
            clients = [stack.enter_context(connected(port)) for _ in range(16)]
            while "Too many open files" not in line(process):
                pass
            for client in clients:
                client.sendall(b"x")
                assert exactly(client, 1) == b"x"
                client.close()
            process.terminate()


def test_a_target_may_name_the_port_of_the_proxy() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("--listen", f"127.0.0.1:{port}", "--stall", "--target", f"client -> server:{port}")
    with running("127.0.0.1:1", *words) as process:
        assert line(process) == f"listening on 127.0.0.1:{port}, upstream 127.0.0.1:1\n"


def test_it_ends_when_nobody_reads_its_events_any_more() -> None:
    with serving(echo) as server, running(f"127.0.0.1:{server.port}", "--events", "--json") as process:
        port = json.loads(line(process))["port"]
        assert process.stdout is not None
        process.stdout.close()
        with connected(port):
            process.wait(60)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (0, "")


def test_it_ends_after_a_time() -> None:
    done = subprocess.run(
        [COMMAND, "proxy", "127.0.0.1:1", "--exit-after", "10ms"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 connections, 0 bytes to the server, 0 bytes to the client"


@pytest.mark.parametrize(
    ("words", "status", "errors"),
    [
        (["nowhere"], 2, "upstream: 'nowhere' is not an address; it is written HOST:PORT, udp:HOST:PORT, unix:PATH, "),
        (["no-host.invalid:1"], 4, "upstream: the host 'no-host.invalid' does not resolve: "),
        (["127.0.0.1:1", "--latency", "5x"], 2, "Invalid value for '--latency': '5x' is not a length of time"),
        (["127.0.0.1:1", "--bandwidth", "0"], 2, "0 is not a whole number of bytes from 1 to 1,000,000,000,000"),
        (["127.0.0.1:1", "--loss", "120%"], 2, "120% is not from 0 to 1, or 0% to 100%"),
        (["127.0.0.1:1", "--latncy", "5ms"], 2, "No such option '--latncy'"),
        (["127.0.0.1:1", "--duplicate", "1%"], 2, "duplicate does nothing to a stream (127.0.0.1:1): "),
        (
            ["127.0.0.1:1", "--stall", "--target", "db"],
            2,
            "the target names 'db', and the ends of this proxy are",
        ),
        (["127.0.0.1:1", "--fault", "{}"], 2, 'a fault without the key "fault"'),
        (
            ["127.0.0.1:1", "--fault", '{"fault": "ltency"}'],
            2,
            "--fault: unknown fault 'ltency'. Did you mean 'latency'?",
        ),
        (["127.0.0.1:1", "--control", "0.0.0.0:1"], 2, "control: 0.0.0.0:1 is not on loopback"),
        (["127.0.0.1:1", "--token", "12345678"], 2, "--token: there is no control API to protect"),
        (["127.0.0.1:1", "--names", "one"], 2, "names: two names are needed"),
        (["127.0.0.1:1", "--plan", "missing.json"], 2, "missing.json: no such plan"),
        (["127.0.0.1:1", "--", "redis-server"], 2, "proxy starts no program"),
    ],
)
def test_bad_input_is_one_clear_line(
    failed: Callable[..., tuple[int, str]], words: list[str], status: int, errors: str
) -> None:
    found, said = failed(*words)
    assert (found, said.startswith("wavetank: ")) == (status, True)
    assert errors in said
    assert said.count("\n") == 1


def test_a_port_in_use_is_one_clear_line(failed: Callable[..., tuple[int, str]]) -> None:
    with serving(echo) as server:
        assert failed("127.0.0.1:1", "--listen", f"127.0.0.1:{server.port}") == (
            4,
            f"wavetank: listen: cannot listen on 127.0.0.1:{server.port}: port {server.port} is in use\n",
        )


def test_a_plan_of_the_simulator_is_one_clear_line(failed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    write_plan(Plan(faults=(ClockSkew(1.0),)), plan)
    assert failed("127.0.0.1:1", "--plan", str(plan)) == (
        2,
        f"wavetank: {plan}: clock-skew is for the simulator only; on a real line: run the program under faketime\n",
    )
