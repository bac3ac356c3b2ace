"""The oracles `leak`, `buffer` and `contract`: what they see, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.worlds import run_script
from wavetank.world.job import FailureRecord

SERVER = """
import asyncio, gc

kept = []

async def serve(reader, writer):
    {serve}

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 7000)
    {main}

asyncio.run(main())
"""


def failure(folder: Path, serve: str, main: str, **options: object) -> FailureRecord | None:
    text = SERVER.format(serve=serve.replace("\n", "\n    "), main=main.replace("\n", "\n    "))
    return run_script(folder, text, **options).failure


KEEPS = "kept.append(writer)\nwhile await reader.readline(): pass"
COMES_AND_GOES = """for _ in range({count}):
    reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
    writer.close()
    await writer.wait_closed()
await asyncio.sleep({seconds})"""


@pytest.mark.parametrize(("count", "seconds", "leaks"), [(3, 0.01, True), (1, 2, True), (2, 0.01, False)])
def test_sockets_that_are_kept_after_their_peers_went(tmp_path: Path, count: int, seconds: float, leaks: bool) -> None:
    found = failure(tmp_path, KEEPS, COMES_AND_GOES.format(count=count, seconds=seconds))
    assert (found is not None and found.kind == "leak") == leaks
    if found is not None:
        assert "TCP main:7000 -> main #1 (CLOSE_WAIT)" in found.error
        assert found.host == "main"


@pytest.mark.parametrize(
    ("serve", "main"),
    [
        ("kept.append(writer)\nwhile await reader.readline(): pass\nwriter.close()",
         COMES_AND_GOES.format(count=5, seconds=5)),
        ("kept.append(writer)\nawait asyncio.sleep(100)", "for _ in range(5):\n"
         "    kept.append(await asyncio.open_connection('127.0.0.1', 7000))\nawait asyncio.sleep(5)"),
        ("await reader.readline()", "asyncio.create_task(asyncio.sleep(1000))\nawait asyncio.sleep(1)"),
        ("writer.write(bytes(8_000_000))\nawait writer.drain()\nwriter.close()",
         "reader, writer = await asyncio.open_connection('127.0.0.1', 7000)\nawait asyncio.sleep(3)\n"
         "assert len(await reader.read()) == 8_000_000\nwriter.close()"),
        ("for _ in range(2000): writer.write(bytes(4000))\nawait writer.drain()\nwriter.close()",
         "reader, writer = await asyncio.open_connection('127.0.0.1', 7000)\nawait asyncio.sleep(3)\n"
         "assert len(await reader.read()) == 8_000_000\nwriter.close()"),
    ],
    ids=["closes", "idle at the end", "task at the end", "one large write", "many writes at once"],
)  # fmt: skip
def test_what_programs_may_do(tmp_path: Path, serve: str, main: str) -> None:
    assert failure(tmp_path, serve, main) is None


def test_a_task_that_is_lost_while_it_waits(tmp_path: Path) -> None:
    lost = "async def lost(): await asyncio.get_running_loop().create_future()\n"
    found = failure(tmp_path, "pass", lost + "asyncio.create_task(lost())\nawait asyncio.sleep(1)\ngc.collect()")
    assert found is not None
    assert (found.kind, found.error) == ("leak", "Task-3 was dropped while it waited: nothing refers to it")


FLOODS = "for _ in range(100):\n    writer.write(bytes(100_000))\n    await asyncio.sleep(0.01)"
IS_BUSY = "kept.append(await asyncio.open_connection('127.0.0.1', 7000))\nawait asyncio.sleep(5)"


def test_writing_on_and_on_to_a_peer_that_does_not_read(tmp_path: Path) -> None:
    found = failure(tmp_path, FLOODS, IS_BUSY)
    assert found is not None
    assert found.kind == "buffer"
    assert "bytes wait to be sent on TCP main:7000 -> main #1 (ESTABLISHED)" in found.error


@pytest.mark.parametrize(
    ("kind", "serve", "main"),
    [("buffer", FLOODS, IS_BUSY), ("leak", KEEPS, COMES_AND_GOES.format(count=3, seconds=1))],
)
def test_each_can_be_switched_off(tmp_path: Path, kind: str, serve: str, main: str) -> None:
    assert failure(tmp_path, serve, main, oracles_off=(kind,)) is None


PRODUCES = """
from twisted.internet import reactor, protocol
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

class Answer(protocol.Protocol):
    left = 3

    def connectionMade(self):
        self.transport.registerProducer(self, False)

    def dataReceived(self, data):
        self.transport.loseConnection()

    def resumeProducing(self):
        if self.left:
            self.left -= 1
            self.transport.write(b"part")
        else:
            {then}

    def stopProducing(self):
        pass

class Ask(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"all, please")

made = []

class Answers(protocol.Factory):
    def buildProtocol(self, address):
        made.append(Answer())
        return made[-1]{kept}

reactor.listenTCP(7000, Answers())
connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", 7000), Ask())
reactor.callLater(5, reactor.stop)
reactor.run()
"""


@pytest.mark.parametrize("kept", ["", " if made[:-1] else made.pop()"], ids=["kept", "garbage"])
def test_a_producer_that_is_never_unregistered(tmp_path: Path, kept: str) -> None:
    found = run_script(tmp_path, PRODUCES.format(then="pass", kept=kept)).failure
    assert found is not None
    assert (found.kind, found.host) == ("leak", "main")
    assert found.error.startswith("script never unregistered the producer Answer of a connection that it wanted to ")
    assert run_script(tmp_path, PRODUCES.format(then="self.transport.unregisterProducer()", kept=kept)).failure is None


WATCHED = """
import asyncio
from wavetank.contract import Monitor

class Late(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.close()
        {then}

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Monitor(Late(), on_violation="record"), "127.0.0.1", 7000)
    reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
    writer.write(b"x")
    await asyncio.sleep(1)
    writer.close()

asyncio.run(main())
"""


def test_a_broken_rule_that_a_monitor_only_records(tmp_path: Path) -> None:
    found = run_script(tmp_path, WATCHED.format(then="self.transport.write(b'late')")).failure
    assert found is not None
    assert (found.kind, found.where) == ("contract", "script.py:11 in data_received")
    assert "write-after-close" in found.error
    assert "data_received(1 byte)" in found.traceback
    assert run_script(tmp_path, WATCHED.format(then="pass")).failure is None


BUFFERED = """
import asyncio

class Empty(asyncio.BufferedProtocol):
    def get_buffer(self, sizehint):
        return bytearray({size})

    def buffer_updated(self, nbytes):
        pass

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    server = await loop.create_server(Empty, "127.0.0.1", 7000)
    reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
    writer.write(b"x")
    await asyncio.sleep(1)
    writer.close()

asyncio.run(main())
"""
TWO_PRODUCERS = """
from twisted.internet import reactor, protocol
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

class Twice(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.registerProducer(self, True)
        {again}
        self.transport.unregisterProducer()

    def stopProducing(self):
        pass

class Ask(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"x")

reactor.listenTCP(7000, protocol.Factory.forProtocol(Twice))
connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", 7000), Ask())
reactor.callLater(5, reactor.stop)
reactor.run()
"""
TWO_PRODUCERS_OF_PIPES = """
import os
from twisted.internet import reactor, protocol, stdio

class Twice(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.registerProducer(self, True)
        {again}
        self.transport.unregisterProducer()

    def stopProducing(self):
        pass

ours, theirs = os.pipe()
os.write(theirs, b"x")
stdio.StandardIO(Twice(), stdin=ours, stdout=os.dup(theirs))
reactor.callLater(5, reactor.stop)
reactor.run()
"""
AGAIN = """try:
            self.transport.registerProducer(self, True)
        except RuntimeError:
            pass"""


@pytest.mark.parametrize(
    ("wrong", "right", "rule"),
    [
        (BUFFERED.format(size=0), BUFFERED.format(size=9), "get-buffer-is-a-buffer"),
        (TWO_PRODUCERS.format(again=AGAIN), TWO_PRODUCERS.format(again=""), "one-producer"),
        (TWO_PRODUCERS_OF_PIPES.format(again=AGAIN), TWO_PRODUCERS_OF_PIPES.format(again=""), "one-producer"),
    ],
    ids=["asyncio", "twisted", "twisted's pipes"],
)
def test_protocols_are_watched_when_the_oracle_is_on_by_name(tmp_path: Path, wrong: str, right: str, rule: str) -> None:
    assert run_script(tmp_path, wrong).failure is None
    found = run_script(tmp_path, wrong, oracles_on=("contract",)).failure
    assert found is not None
    assert (found.kind, found.sort) == ("contract", rule)
    assert run_script(tmp_path, right, oracles_on=("contract",)).failure is None


def test_what_does_no_harm_in_a_real_loop_is_left_alone_then(tmp_path: Path) -> None:
    late = WATCHED.format(then="self.transport.write(b'late')")
    late = late.replace('Monitor(Late(), on_violation="record")', "Late()")
    assert run_script(tmp_path, late, oracles_on=("contract",)).failure is None
