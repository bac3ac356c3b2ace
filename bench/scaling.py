"""Scenarios about size: many hosts, idle connections, datagrams, parked programs; and what fidelity costs.

Each prints what it has measured itself, on one line a number: its name, its value.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import sys
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))

import work  # the peers' own workloads, for which the path above is needed

if TYPE_CHECKING:
    from wavetank import World

PORT = 8000
EXCHANGES = 20_000
CONNECTIONS = 10_000
DATAGRAMS = 1_000_000
PARKED = 1_000
ECHOES = 20_000


def cpu_s() -> float:
    """Real processor time: a file, since the clocks that a program reads are simulated."""
    with open("/proc/self/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def resident_bytes() -> int:
    """Memory in use, of which garbage is no part."""
    gc.collect()
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024


def _allow_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


# ---- hosts


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(64):
        writer.write(data)
    writer.close()


async def _serve() -> None:
    _allow_files(3_000)
    server = await asyncio.start_server(_answer, "0.0.0.0", PORT, backlog=2_000)
    await server.serve_forever()


async def _exchange(count: int, number: int, hosts: int) -> None:
    reader, writer = await asyncio.open_connection("server", PORT)
    await asyncio.sleep(10.0 - asyncio.get_running_loop().time() % 10.0 + number / hosts)
    for _ in range(count):
        writer.write(b"hello\n")
        await reader.readline()
    await asyncio.sleep(1_000.0)
    writer.close()


def _hosts(world: World, hosts: int) -> None:
    world.host("server").run(_serve)
    world.sleep(0.1)
    for number in range(hosts):
        world.host(f"client{number}").run(_exchange, EXCHANGES // hosts, number, hosts)
    world.sleep(9.5)
    cpu, events = cpu_s(), len(world.trace)
    world.sleep(900.0)
    cpu, events = cpu_s() - cpu, len(world.trace) - events
    print("us_per_event", cpu / events * 1e6)
    print("us_per_exchange", cpu / EXCHANGES * 1e6)
    print("events", events)


def hosts_10(world: World) -> None:
    """20 000 exchanges with one server, by 10 hosts."""
    _hosts(world, 10)


def hosts_100(world: World) -> None:
    """As many, by 100 hosts."""
    _hosts(world, 100)


def hosts_1000(world: World) -> None:
    """As many, by 1 000 hosts."""
    _hosts(world, 1_000)


# ---- connections


def _connect(count: int) -> tuple[list[socket.socket], list[socket.socket]]:
    ours, theirs = [], []
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        for _ in range(count):
            ours.append(socket.create_connection(listener.getsockname()))
            theirs.append(listener.accept()[0])
    for one, other in zip(ours, theirs, strict=True):
        one.send(b"hello\n")
        other.recv(64)
    return ours, theirs


def _idle(traced: bool) -> None:
    _allow_files(3 * CONNECTIONS)
    _connect(10)
    if traced:
        tracemalloc.start()
        before = 0
    else:
        before = resident_bytes()
    pairs = _connect(CONNECTIONS)
    if traced:
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    else:
        used = resident_bytes() - before
    print("bytes_per_connection", used / CONNECTIONS)
    for each in (*pairs[0], *pairs[1]):
        each.close()


def connections_kernel(world: World) -> None:
    """10 000 idle connections, each with both its ends: what has been allocated (tracemalloc)."""
    world.host("main").run(_idle, True).result()


def connections_resident(world: World) -> None:
    """The same: resident memory, with the socket objects of the program."""
    world.host("main").run(_idle, False).result()


# ---- datagrams


def _receive_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", PORT))
        received = 0
        while received < DATAGRAMS:
            _, sender = sock.recvfrom(1_500)
            received += 1
            if not received % 100:
                sock.sendto(b"go on", sender)
        print("received", received)


def _send_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("server", PORT))
        for _ in range(DATAGRAMS // 100):
            for _ in range(100):
                sock.send(b"x" * 64)
            sock.recv(64)


def datagrams(world: World) -> None:
    """A million datagrams of 64 bytes between two hosts, an answer to every hundredth."""
    server = world.host("server").run(_receive_datagrams)
    world.sleep(0.1)
    cpu, events = cpu_s(), len(world.trace)
    world.host("client").run(_send_datagrams).result()
    server.result()
    cpu, events = cpu_s() - cpu, len(world.trace) - events
    print("us_per_datagram", cpu / DATAGRAMS * 1e6)
    print("us_per_event", cpu / events * 1e6)


# ---- parked programs


def _park() -> None:
    time.sleep(1_000.0)


def parked_processes(world: World) -> None:
    """1 000 hosts with a program that sleeps: resident memory for each."""
    world.host("first").run(_park)
    world.sleep(1.0)
    before = resident_bytes()
    for number in range(PARKED):
        world.host(f"host{number}").run(_park)
    world.sleep(1.0)
    print("bytes_each", (resident_bytes() - before) / PARKED)


def _park_threads() -> None:
    def begin(count: int) -> list[threading.Thread]:
        made = [threading.Thread(target=_park) for _ in range(count)]
        for each in made:
            each.start()
        time.sleep(1.0)
        return made

    first = begin(1)
    before = resident_bytes()
    more = begin(PARKED)
    print("bytes_each", (resident_bytes() - before) / PARKED)
    for each in first + more:
        each.join()


def parked_threads(world: World) -> None:
    """A program with 1 000 threads that sleep: resident memory for each."""
    world.host("main").run(_park_threads).result()


# ---- what fidelity costs


def _make_ideal() -> None:
    """Streams over an ideal network: what is written is there at once, and nobody acknowledges, waits or counts."""
    from wavetank.kernel import core
    from wavetank.kernel.file import READABLE
    from wavetank.kernel.tcp import connection, output
    from wavetank.kernel.tcp import input as tcp_input
    from wavetank.kernel.tcp.state import ACK, PSH
    from wavetank.trace.schema import Kind

    sent, plain, faithful = int(Kind.SEND), ACK | PSH, tcp_input.arrived

    def queue(tcp: Any, data: bytes) -> None:
        kernel, seq = core.K, tcp.sent_next
        kernel.recorder.event(kernel.now, sent, tcp.number, len(data))
        tcp.payload.add(data)
        tcp.sent_next = tcp.acked = seq + len(data)
        tcp.path.transmit((plain, seq, tcp.received_next, tcp.advertised, data), len(data))

    def arrived(tcp: Any, segment: Any) -> None:
        flags, _, _, _, data = segment
        if flags != plain:
            faithful(tcp, segment)
            return
        tcp.received_next += len(data)
        tcp.unread_parts.append(data)
        tcp.unread += len(data)
        tcp.notify(READABLE)

    def room_made(tcp: Any, size: int) -> None:
        pass

    output.queue, tcp_input.room_made = queue, room_made  # type: ignore[assignment]
    connection.Tcp.arrived = arrived  # type: ignore[assignment,method-assign]


def echo_faithful(world: World) -> None:
    """Round trips of 64 bytes over one stream, as Linux does it."""
    world.host("main").run(work.pingpong(PORT, n=ECHOES)).result()


def echo_ideal(world: World) -> None:
    """The same without acknowledgements, windows, Nagle's rule, congestion control and timers."""
    _make_ideal()
    echo_faithful(world)
