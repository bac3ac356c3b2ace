"""`wavetank check` as it is typed: what is found, what passes, and what is refused in one clear line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.captures import exchange, pcap

COMMAND = Path(sys.executable).with_name("wavetank")

MODULE = """
import asyncio


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.seen = b""

    def data_received(self, data):
        self.seen += data
        self.transport.write(data)


class Pieces(Echo):
    def data_received(self, data):
        self.transport.write(b"<" + data + b">")


class Counts(Echo):
    pieces = 0

    def data_received(self, data):
        self.pieces += 1


class Needs(Echo):
    def __init__(self, host, port):
        pass


class Both(Echo):
    def dataReceived(self, data):
        pass

    def makeConnection(self, transport):
        pass


def pieces(protocol):
    return protocol.pieces


def nothing():
    return None


def raises():
    raise RuntimeError("no database")


echo = Echo()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    (tmp_path / "hello.bin").write_bytes(b"hello\r\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "lines.txt").write_text("> hello\n< hello\n\n> bye\n")
    (tmp_path / "bad.txt").write_text("> hello\nwhat?\n")
    (tmp_path / "one.pcap").write_bytes(pcap(exchange((True, b"hi"), (False, b"hi"))))
    two = exchange((True, b"hi")) + exchange((True, b"ho"), client=("127.0.0.1", 40001))
    (tmp_path / "two.pcap").write_bytes(pcap(two))
    (tmp_path / "garbage.pcap").write_bytes(bytes(range(256)))
    return tmp_path


def check(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), "check", *arguments],
        cwd=here,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["mine:Echo", "--conversation", "hello.bin"],
        ["mine.py::Echo", "--conversation", "lines.txt", "--observe", "seen"],
        ["mine:Echo", "--conversation", "one.pcap", "--dialect", "asyncio"],
        ["mine:Echo", "--conversation", "two.pcap", "--connection", "2", "--for", "1s"],
        ["mine:Both", "--conversation", "hello.bin", "--dialect", "asyncio", "--for", "200ms"],
    ],
)
def test_what_passes(here: Path, arguments: list[str]) -> None:
    done = check(here, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "no failure in " in done.stdout


def test_a_protocol_that_shows_nothing_is_told_of(here: Path) -> None:
    done = check(here, "mine:Counts", "--conversation", "hello.bin", "--examples", "0")
    assert done.returncode == 0
    assert "note: the protocol wrote nothing, and nothing is observed" in done.stderr


def test_what_is_found(here: Path) -> None:
    done = check(here, "mine:Pieces", "--conversation", "hello.bin")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILURE  what the protocol does depends on how its input is cut\n")
    assert "def test_the_cut_does_not_matter():" in done.stdout
    done = check(here, "mine:Counts", "--conversation", "hello.bin", "--observe", "mine:pieces")
    assert done.returncode == 1
    assert "why: what was observed differs" in done.stdout


def test_json(here: Path) -> None:
    found = json.loads(check(here, "mine:Pieces", "--conversation", "hello.bin", "--json").stdout)
    assert {"schema", "target", "runs", "seconds", "failures"} <= {*found}
    assert found["schema"] == 1
    (failure,) = found["failures"]
    assert failure["kind"] == "cut"
    assert failure["where"] == "7 bytes in pieces of 6 and 1"
    assert failure["pieces"] == [[6, 1]]
    assert "from mine import Pieces" in failure["test"]
    passed = json.loads(check(here, "mine:Echo", "--conversation", "hello.bin", "--json").stdout)
    assert passed["failures"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine:Echo"], "no conversation"),
        (["mine:Echo", "--conversation", "none"], "cannot read the conversation none: No such file or directory"),
        (["mine:Echo", "--conversation", "empty"], "the conversation empty is empty: 0 bytes"),
        (["mine:Echo", "--conversation", "bad.txt"], "bad.txt, line 2"),
        (["mine:Echo", "--conversation", "garbage.pcap"], "is not a capture"),
        (["mine:Echo", "--conversation", "two.pcap"], "holds 2 connections: choose one"),
        (["mine:Echo", "--conversation", "two.pcap", "--connection", "3"], "has no connection 3"),
        (["mine:Echo", "--conversation", "hello.bin", "--connection", "1"], "is no capture"),
        (["mine:Echo", "--conversation", "hello.bin", "--form", "txt"], "no such form"),
        (["mine:Echo", "--conversation", "hello.bin", "--side", "peer"], "no such side"),
        (["mine:Echo", "--conversation", "hello.bin", "--dialect", "twistd"], "Did you mean 'twisted'?"),
        (["mine:Echo", "--conversation", "hello.bin", "--observe", "sen"], "observe raised AttributeError"),
        (["mine:Echo", "--conversation", "hello.bin", "--dialect", "twisted"], "Echo speaks asyncio, and the dialect"),
        (["mine:nothing", "--conversation", "hello.bin", "--dialect", "socket"], "nothing takes no argument"),
        (["mine:Needs", "--conversation", "hello.bin"], "Needs needs arguments: host, port"),
        (["mine:Both", "--conversation", "hello.bin"], "the dialect of Both cannot be told"),
        (["mine:nothing", "--conversation", "hello.bin"], "nothing gives None, which is no protocol"),
        (["mine:raises", "--conversation", "hello.bin"], "the factory raises raised RuntimeError: no database"),
        (["mine:echo", "--conversation", "hello.bin"], "it is a Echo, not a factory"),
        (["mine:Ecco", "--conversation", "hello.bin"], "there is no 'Ecco'. Did you mean 'Echo'?"),
        (["mine", "--conversation", "hello.bin"], "mine names no factory"),
        (["yours:Echo", "--conversation", "hello.bin"], "no module 'yours'"),
        (["none.py::Echo", "--conversation", "hello.bin"], "no such file: none.py"),
        (["broken:Echo", "--conversation", "hello.bin"], "importing broken raised ModuleNotFoundError"),
    ],
)
def test_what_is_refused(here: Path, arguments: list[str], words: str) -> None:
    done = check(here, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("wavetank: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
