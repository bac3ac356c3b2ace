"""Worlds with a network: programs on several hosts, and what a scenario does to the way between them."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.worlds import Worlds, functions_of, stdout_of
from wavetank.faults import Latency, Partition
from wavetank.world.job import RunResult
from wavetank.world.world import World


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


def passed(result: RunResult) -> RunResult:
    assert result.failure is None, f"{result.failure}\n{result.outputs}"
    return result


# ---- programs


async def serve(port: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, port=port)
    async with server:
        await server.serve_forever()


async def ask(host: str, port: int, words: list[bytes]) -> list[bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    answers = []
    for word in words:
        writer.write(word + b"\n")
        answers.append((await reader.readline()).strip())
    writer.close()
    await writer.wait_closed()
    return answers


def serve_with_threads(port: int) -> None:
    def handle(connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as file:
            for line in file:
                file.write(line.upper())
                file.flush()

    with socket.create_server(("", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=handle, args=(connection,), daemon=True).start()


def ask_blocking(host: str, port: int, words: list[bytes]) -> list[bytes]:
    with socket.create_connection((host, port), timeout=5) as connection, connection.makefile("rwb") as file:
        answers = []
        for word in words:
            file.write(word + b"\n")
            file.flush()
            answers.append(file.readline().strip())
        return answers


# ---- talking


def everybody_talks(world: World) -> None:
    world.host("loop").run(serve, 8000)
    world.host("threads").run(serve_with_threads, 8000)
    world.sleep(0.1)
    jobs = [
        world.host(f"client{number}").run(client, server, 8000, [b"one", b"two"])
        for number, (client, server) in enumerate(
            (client, server) for client in (ask, ask_blocking) for server in ("loop", "threads")
        )
    ]
    for job in jobs:
        assert job.result(timeout=10) == [b"ONE", b"TWO"]


def test_programs_of_every_kind_talk_by_host_name(worlds: Worlds) -> None:
    result = passed(worlds.run("everybody_talks"))
    assert result.digest == worlds.run("everybody_talks").digest
    assert sum(each.size_bytes for each in result.payloads if "->" in each.key) == 4 * 2 * 8


def addresses(world: World) -> None:
    first, second = world.host("a"), world.host("b", addresses=["192.0.2.7", "2001:db8::7"])
    assert first.addresses == ("10.0.0.1", "fd00::1")
    second.run(serve, 80)
    world.sleep(0.1)
    for place in ("b", "192.0.2.7", "2001:db8::7"):
        assert first.run(ask, place, 80, [b"x"]).result(timeout=5) == [b"X"]


def test_hosts_have_the_addresses_that_they_are_given(worlds: Worlds) -> None:
    passed(worlds.run("addresses"))


# ---- the network in bad moments


def server_crashes(world: World) -> None:
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)

    async def patient(host: str) -> float:
        reader, writer = await asyncio.open_connection(host, 8000)
        await asyncio.sleep(1)
        writer.write(b"anybody there?\n")
        start = time.monotonic()
        try:
            await reader.readline()
        except OSError as error:
            print(type(error).__name__)
        return time.monotonic() - start

    job = client.run(patient, "server")
    world.sleep(0.5)
    server.crash()
    world.sleep(10)
    assert not job.done()
    server.restart()
    assert job.result(timeout=60) > 9


def test_nobody_is_told_of_a_crash_until_the_rebooted_host_answers_with_a_reset(worlds: Worlds) -> None:
    assert stdout_of(passed(worlds.run("server_crashes")), "client/patient") == "ConnectionResetError\n"


def partitioned(world: World) -> None:
    world.host("server").run(serve, 8000)
    client = world.host("client")
    world.sleep(0.1)
    world.partition("client", "server")
    assert world.link("client", "server").blocked
    job = client.run(ask, "server", 8000, [b"x"])
    world.sleep(5)
    assert not job.done()
    world.heal()
    assert not world.link("server", "client").blocked
    job.result(timeout=10)
    world.inject(Partition(a="client", b="server", duration_s=3))
    begun = world.now
    client.run(ask, "server", 8000, [b"x"]).result(timeout=10)
    assert 3 <= world.now - begun < 8


def test_a_partition_lasts_until_it_is_healed_or_over(worlds: Worlds) -> None:
    passed(worlds.run("partitioned"))


def slow_link(world: World) -> None:
    world.host("server").run(serve, 8000)
    client = world.host("client")
    world.sleep(0.1)
    world.link("client", "server").inject(Latency(delay_s=1))
    begun = world.now
    client.run(ask, "server", 8000, [b"x"]).result()
    assert 2 <= world.now - begun < 2.5


def test_a_fault_on_a_link_aims_at_one_direction(worlds: Worlds) -> None:
    passed(worlds.run("slow_link"))


# ---- looking


def netstat(world: World) -> None:
    def keeps_unread() -> None:
        with socket.create_server(("", 8000)) as listener:
            connection, _ = listener.accept()
            time.sleep(100)
            connection.close()

    def sends() -> None:
        with socket.create_connection(("server", 8000)) as connection:
            connection.sendall(b"x" * 1000)
            time.sleep(100)

    world.host("server").run(keeps_unread, name="server")
    world.sleep(0.1)
    world.host("client").run(sends, name="client")
    world.sleep(1)
    rows = world.connections()
    for row in rows:
        print(row)
    assert [(row.host, row.protocol, row.state, row.receive_queue) for row in rows] == [
        ("server", "tcp", "LISTEN", 0),
        ("server", "tcp", "ESTABLISHED", 1000),
        ("client", "tcp", "ESTABLISHED", 0),
    ]
    assert [row.foreign for row in rows] == ["*", rows[2].local, "10.0.0.1:8000"]


def test_connections_are_shown_as_netstat_does(worlds: Worlds) -> None:
    passed(worlds.run("netstat"))


# ---- what goes wrong in programs


def nobody_answers(world: World) -> None:
    def deaf() -> None:
        with socket.create_server(("", 8000)) as listener:
            connection, _ = listener.accept()
            connection.recv(100)
            threading.Event().wait()

    world.host("server").run(deaf)
    world.sleep(0.1)
    world.host("client").run(ask, "server", 8000, [b"x"]).result()


def test_a_hang_names_the_line_that_waits_for_the_network(worlds: Worlds) -> None:
    failure = worlds.run("nobody_answers").failure
    assert failure is not None
    assert failure.kind == "hang"
    assert failure.host == "client"
    assert failure.where.endswith("in ask")
    assert "server/deaf/MainThread" in failure.traceback


def handler_raises(world: World) -> None:
    async def serve_badly() -> None:
        def broken() -> None:
            raise LookupError("in a callback")

        asyncio.get_running_loop().call_later(1, broken)
        await asyncio.sleep(2)

    world.host("a").run(serve_badly).result()


def thread_raises(world: World) -> None:
    def program() -> None:
        def broken() -> None:
            raise LookupError("in a thread")

        threading.Thread(target=broken).start()

    world.host("a").run(program).result()


@pytest.mark.parametrize(("function", "words"), [("handler_raises", "in a callback"), ("thread_raises", "in a thread")])
def test_an_exception_that_nobody_handles_is_a_failure(worlds: Worlds, function: str, words: str) -> None:
    failure = worlds.run(function).failure
    assert failure is not None
    assert (failure.kind, failure.host, failure.error) == ("unhandled", "a", f"LookupError: {words}")
    assert failure.where.endswith("in broken")
    passed(worlds.run(function, oracles_off=("unhandled",)))
