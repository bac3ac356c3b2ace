"""The workloads of `peers/work.py` as scenarios, and three that only a simulator of whole networks can do.

Module-level functions, so that an image imports them and each run is a fork of it. Sizes are chosen so that one run
takes a second or so of processor time.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from typing import TYPE_CHECKING, Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))

import work  # the peers' own workloads, for which the path above is needed

if TYPE_CHECKING:
    from wavetank import World

PORT = 8000
ECHOES = 20_000
CLIENTS, EACH = 200, 100
BULK_MIB = 1024
HOSTS = 1_000
CONNECTIONS = 10_000
STEPS = 5_000


def _alone(world: World, main: Any) -> Any:
    return world.host("main").run(main).result()


def echo(world: World) -> None:
    """Round trips of 64 bytes over one stream."""
    _alone(world, work.pingpong(PORT, n=ECHOES))


def echo_50ms(world: World) -> None:
    """So many of them that they take some 50 ms of processor time."""
    _alone(world, work.pingpong(PORT, n=2_500))


def echo_200ms(world: World) -> None:
    """So many of them that they take some 200 ms of processor time."""
    _alone(world, work.pingpong(PORT, n=6_000))


def fanin_50ms(world: World) -> None:
    """Requests of 20 connections at one server, some 50 ms of processor time."""
    _alone(world, work.fanin(PORT, clients=20, each=100))


def echo_hosts(world: World) -> None:
    """The same between two hosts: latency, and another program takes over for each message."""

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("server", PORT)
        for _ in range(ECHOES):
            writer.write(b"x" * 64)
            await reader.readexactly(64)
        writer.close()

    world.host("server").run(_serve, 100)
    world.sleep(0.1)
    world.host("client").run(ask).result()


def fanin(world: World) -> None:
    """Requests of 200 connections at one server."""
    _alone(world, work.fanin(PORT, clients=CLIENTS, each=EACH))


def bulk(world: World) -> None:
    """One GiB one way."""
    _alone(world, work.bulk(PORT, mib=BULK_MIB))


def idle(world: World) -> None:
    """One hour of 100 tasks that each sleep for a second, again and again."""
    _alone(world, work.idle(PORT))


def tiny(world: World) -> None:
    """One server, one client, one exchange, a clean close."""
    _alone(world, work.tiny(PORT))


# ---- networks


def _resident_kib() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def _allow_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


async def _serve(backlog: int) -> None:
    _allow_files(2 * CONNECTIONS)
    server = await asyncio.start_server(_answer, "0.0.0.0", PORT, backlog=backlog)
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(64):
        writer.write(data)
    writer.close()


async def _one_exchange() -> None:
    reader, writer = await asyncio.open_connection("server", PORT)
    writer.write(b"hello\n")
    await reader.readline()
    writer.close()
    await writer.wait_closed()


async def _hold(count: int, seconds: float) -> None:
    _allow_files(2 * count)
    pairs = [await asyncio.open_connection("server", PORT) for _ in range(count)]
    for _, writer in pairs:
        writer.write(b"hello\n")
    for reader, _ in pairs:
        await reader.readline()
    await asyncio.sleep(seconds)
    for _, writer in pairs:
        writer.close()


def hosts(world: World) -> None:
    """1000 hosts that each connect to one server by its name and exchange a line. Prints KiB for each host."""
    world.host("server").run(_serve, HOSTS)
    world.sleep(0.1)
    before = _resident_kib()
    jobs = [world.host(f"client{number}").run(_one_exchange) for number in range(HOSTS)]
    for job in jobs:
        job.result()
    print("kib_each", (_resident_kib() - before) / HOSTS)


def connections(world: World) -> None:
    """10 000 connections from ten hosts, open at the same time, a line each way. Prints KiB for each connection."""
    world.host("server").run(_serve, 4096)
    world.sleep(0.1)
    before = _resident_kib()
    jobs = [world.host(f"client{number}").run(_hold, CONNECTIONS // 10, 100.0) for number in range(10)]
    world.sleep(50.0)
    print("kib_each", (_resident_kib() - before) / CONNECTIONS)
    for job in jobs:
        job.result()


# ---- cost of a step, against how much is waiting


def _steps(waiting: int) -> Any:
    async def main() -> int:
        _allow_files(3 * waiting + 100)
        server = await asyncio.start_server(_answer, "127.0.0.1", PORT, backlog=4096)
        idle = [await asyncio.open_connection("127.0.0.1", PORT) for _ in range(waiting)]
        sleepers = [asyncio.create_task(asyncio.sleep(1e6)) for _ in range(waiting)]
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        start = _cpu_s()
        for _ in range(STEPS):
            writer.write(b"hello\n")
            await reader.readline()
        print("us_each", (_cpu_s() - start) / STEPS * 1e6)
        for task in sleepers:
            task.cancel()
        for _, each in idle:
            each.close()
        server.close()
        return STEPS

    return main


def _cpu_s() -> float:
    """Real processor time: a file, since the clocks that a program reads are simulated."""
    with open("/proc/self/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def waiting_0(world: World) -> None:
    """5000 exchanges on one connection. Prints microseconds of processor time for each."""
    _alone(world, _steps(0))


def waiting_100(world: World) -> None:
    """The same beside 100 idle connections and 100 timers."""
    _alone(world, _steps(100))


def waiting_3000(world: World) -> None:
    """The same beside 3000 idle connections and 3000 timers."""
    _alone(world, _steps(3000))
