"""The weaker mode: scenarios that close over what is around them run in a fork of this very process."""

import asyncio
import http.server
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from socket import create_connection
from time import monotonic
from typing import Any

import pytest

from wavetank.errors import InternalError
from wavetank.plan import Plan
from wavetank.world import inprocess
from wavetank.world.job import Job, RunResult, Target
from wavetank.world.world import World


def run(scenario: Callable[..., Any], **options: Any) -> RunResult:
    job = Job(target=Target(label="scenario"), plan=Plan(seed=1), cwd="/", **options)
    return inprocess.execute(job, scenario)


def test_programs_of_several_kinds_talk_and_what_they_leave_comes_back() -> None:
    answers: list[Any] = []
    times: dict[str, float] = {}
    begun = monotonic()

    def scenario(world: World) -> None:
        async def serve() -> None:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write((await reader.readline()).upper())
                writer.close()

            await (await asyncio.start_server(handle, port=8000)).serve_forever()

        def ask() -> bytes:
            with create_connection(("server", 8000)) as connection, ThreadPoolExecutor() as pool:
                connection.sendall(b"hello\n")
                assert list(pool.map(time.sleep, [100, 200])) == [None, None]
                return pool.submit(connection.recv, 100).result()

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"page")

            def log_message(self, *_: Any) -> None:
                pass

        def browse() -> bytes:
            data: bytes = urllib.request.urlopen("http://server/").read()
            return data

        server = world.host("server")
        server.run(serve)
        server.run(lambda: http.server.ThreadingHTTPServer(("", 80), Page).serve_forever())
        world.sleep(0.1)
        answers.append(world.host("client").run(ask).result())
        answers.append(world.host("browser").run(browse).result())
        times["virtual"] = world.now

    result = run(scenario)
    assert result.failure is None, result.failure
    assert result.weaker
    assert answers == [b"HELLO\n", b"page"]
    assert times["virtual"] >= 200 > monotonic() - begun
    assert run(scenario).digest == result.digest


def test_this_process_stays_as_it_was() -> None:
    before = (socket.socket, threading.Lock, time.time, asyncio.get_event_loop_policy())
    assert run(lambda world: world.sleep(5)).failure is None
    assert (socket.socket, threading.Lock, time.time, asyncio.get_event_loop_policy()) == before
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert listener.fileno() < 1_000_000


def test_a_failure_is_told_at_its_line() -> None:
    def scenario(world: World) -> None:
        world.host("a").run(lambda: 1 / 0).result()

    failure = run(scenario).failure
    assert failure is not None
    assert failure.error == "ZeroDivisionError: division by zero"
    assert failure.where == f"test_world_inprocess.py:{scenario.__code__.co_firstlineno + 1} in <lambda>"


def test_a_hang_is_seen_and_a_spin_too() -> None:
    def hangs(world: World) -> None:
        world.host("a").run(threading.Event().wait).result()

    def spins(world: World) -> None:
        while True:
            pass

    kinds = [failure.kind for scenario in (hangs, spins) if (failure := run(scenario, real_limit_s=3).failure)]
    assert kinds == ["hang", "spin"]


def test_a_run_that_blocks_for_real_is_killed_at_the_limit() -> None:
    lock = threading.Lock()

    def blocks(world: World) -> None:
        lock.acquire()

    with lock:
        failure = run(blocks, real_limit_s=0.1).failure
    assert failure is not None
    assert failure.error == "not finished after 0.1 s of real time"


def test_a_defect_of_ours_is_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavetank.world.runtime.execute", lambda *_: 1 / 0)
    with pytest.raises(InternalError, match="broke inside Wavetank"):
        run(lambda world: None)


def test_what_does_not_pickle_is_not_brought_back() -> None:
    kept: list[Any] = ["before"]
    lost: list[Any] = ["before"]
    words = {"a"}

    def scenario(world: World) -> None:
        kept.append("after")
        lost.append(lambda: None)
        words.discard("a")
        words.add("b")

    assert run(scenario).failure is None
    assert (kept, lost, words) == (["before", "after"], ["before"], {"b"})
