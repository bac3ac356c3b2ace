"""TCP where loopback cannot show it: retries, retransmission, lost segments, closed windows, Nagle, in virtual time.

The scenarios of this file run in simulated worlds; the numbers are those documented for Linux (net/ipv4/tcp_timer.c,
Documentation/networking/ip-sysctl.rst).
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.worlds import Worlds, functions_of
from wavetank.faults import Bandwidth, Buffers, Latency, Loss, Partition, Segments, SlowReader

SCENARIOS = (
    "no_answer_to_a_syn", "a_dead_host_on_the_link", "a_peer_that_is_gone", "keepalive_finds_a_dead_peer",
    "user_timeout", "nagle_waits_for_the_acknowledgement", "a_partition_that_heals_loses_nothing",
    "a_closed_window_opens_again", "fin_wait_2_and_time_wait", "a_crashed_peer_that_restarts_resets",
)  # fmt: skip


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(worlds: Worlds, name: str) -> None:
    result = worlds.run(name, virtual_limit_ns=20_000 * 10**9)
    assert result.failure is None, result.failure


FAULTS = {
    "loss": (Loss(0.05),),
    "segments of one byte": (Segments(1),),
    "segments of any size": (Segments(1460),),
    "small buffers": (Buffers(2304, 2304),),
    "a slow reader": (SlowReader(100_000),),
    "latency and jitter": (Latency(0.02, 0.05),),
    "bandwidth": (Bandwidth(200_000),),
    "everything": (Loss(0.02), Segments(700), Buffers(4000, 3000), SlowReader(100_000), Latency(0.01, 0.02)),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("seed", range(3))
def test_bytes_arrive_whole_and_in_order(worlds: Worlds, name: str, seed: int) -> None:
    result = worlds.run("transfer_both_ways", seed=seed, faults=FAULTS[name])
    assert result.failure is None, result.failure
    again = worlds.run("transfer_both_ways", seed=seed, faults=FAULTS[name])
    assert again.digest == result.digest


def test_more_than_one_segment_is_acknowledged_at_once(worlds: Worlds) -> None:
    # Less than two whole segments are on their way; a delay of 40 ms for each would be seconds.
    result = worlds.run("through_a_small_buffer", faults=[Buffers(2_700, 23_000)])
    assert result.failure is None, result.failure


# ---- in the simulated world


def took(seconds: float, least: float, most: float) -> None:
    assert least <= seconds <= most, f"took {seconds} s"


def connect_timed(host: str) -> tuple[int, float]:
    start = time.monotonic()
    sock = socket.socket()
    number = sock.connect_ex((socket.gethostbyname(host), 80))
    return number, time.monotonic() - start


def accept_one(port: int, then: Any = None) -> Any:
    with socket.create_server(("", port)) as server:
        served, _ = server.accept()
        return then(served) if then else served


def no_answer_to_a_syn(world: Any) -> None:
    world.host("server")
    client = world.host("client")
    world.inject(Partition("client", "server"))
    number, seconds = client.run(connect_timed, "server").result()
    assert number == errno.ETIMEDOUT
    took(seconds, 130, 132)  # 1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 64: Linux 6.5 and later


def a_dead_host_on_the_link(world: Any) -> None:
    world.host("server").crash()
    number, seconds = world.host("client").run(connect_timed, "server").result()
    assert number == errno.EHOSTUNREACH
    took(seconds, 2.9, 3.2)


def send_until_it_fails(host: str, options: tuple[tuple[int, int, int], ...] = ()) -> tuple[int | None, float]:
    with socket.create_connection((host, 80)) as sock:
        for level, name, value in options:
            sock.setsockopt(level, name, value)
        time.sleep(1.0)
        sock.send(b"into the void")
        start = time.monotonic()
        try:
            sock.recv(1)
        except OSError as problem:
            return problem.errno, time.monotonic() - start
        raise AssertionError("nobody is there")


def keep(served: socket.socket) -> None:
    time.sleep(100_000)
    served.close()


def a_peer_that_is_gone(world: Any) -> None:
    world.host("server").run(accept_one, 80, keep)
    job = world.host("client").run(send_until_it_fails, "server")
    world.sleep(0.5)
    world.partition("client", "server")
    number, seconds = job.result()
    assert number == errno.ETIMEDOUT
    took(seconds, 900, 960)  # tcp_retries2 = 15: 924.6 s with an RTO of 200 ms


def user_timeout(world: Any) -> None:
    world.host("server").run(accept_one, 80, keep)
    options = ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),)
    job = world.host("client").run(send_until_it_fails, "server", options)
    world.sleep(0.5)
    world.partition("client", "server")
    number, seconds = job.result()
    assert number == errno.ETIMEDOUT
    took(seconds, 4.5, 10)


def wait_with_keepalive(host: str) -> tuple[int | None, float]:
    with socket.create_connection((host, 80)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        start = time.monotonic()
        try:
            sock.recv(1)
        except OSError as problem:
            return problem.errno, time.monotonic() - start
        raise AssertionError("nobody is there")


def keepalive_finds_a_dead_peer(world: Any) -> None:
    server = world.host("server")
    server.run(accept_one, 80, keep)
    job = world.host("client").run(wait_with_keepalive, "server")
    world.sleep(60)
    assert not job.done(), "a peer that answers is alive"
    world.partition("client", "server")
    number, seconds = job.result()
    assert number == errno.ETIMEDOUT
    took(seconds - 60, 10, 26)  # at most idle 10 s, then 4 probes 3 s apart


def two_small_writes(host: str, no_delay: int) -> float:
    with socket.create_connection((host, 80)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, no_delay)
        for _ in range(30):  # the receiver acknowledges the first ones at once
            sock.send(b"?")
            assert sock.recv(10) == b"!"
        start = time.monotonic()
        sock.send(b"first ")
        sock.send(b"second")
        assert sock.recv(10) == b"!"
        return time.monotonic() - start


def answer_after_second(served: socket.socket) -> None:
    with served:
        while served.recv(1) == b"?":
            served.send(b"!")
        got = b"f"
        while not got.endswith(b"second"):
            got += served.recv(100)
        served.send(b"!")


def nagle_waits_for_the_acknowledgement(world: Any) -> None:
    server, client = world.host("server"), world.host("client")
    for no_delay, least, most in ((1, 0.0005, 0.002), (0, 0.040, 0.045)):  # the delayed acknowledgement: 40 ms
        server.run(accept_one, 80, answer_after_second)
        world.sleep(0.1)
        took(client.run(two_small_writes, "server", no_delay).result(), least, most)
        world.sleep(120)


def read_all(served: socket.socket) -> bytes:
    with served:
        parts = []
        while part := served.recv(65536):
            parts.append(part)
        return b"".join(parts)


def send_all(host: str, data: bytes) -> None:
    with socket.create_connection((host, 80)) as sock:
        sock.sendall(data)


def a_partition_that_heals_loses_nothing(world: Any) -> None:
    data = bytes(range(256)) * 2000
    job = world.host("server").run(accept_one, 80, read_all)
    world.inject(Bandwidth(100_000))
    world.host("client").run(send_all, "server", data)
    for _ in range(3):
        world.sleep(0.5)
        world.partition("client", "server")
        world.sleep(2.0)
        world.heal()
        world.inject(Bandwidth(100_000))
    assert job.result(timeout=300) == data


def read_late(served: socket.socket) -> int:
    time.sleep(100)
    return len(read_all(served))


def a_closed_window_opens_again(world: Any) -> None:
    data = bytes(5_000_000)
    job = world.host("server").run(accept_one, 80, read_late)
    sender = world.host("client").run(send_all, "server", data)
    world.sleep(50)
    assert not sender.done(), "five megabytes do not fit into the buffers"
    assert job.result(timeout=200) == len(data)


def close_both(served: socket.socket) -> None:
    served.close()


def fin_wait_2_and_time_wait(world: Any) -> None:
    server, client = world.host("server"), world.host("client")

    def open_and_wait() -> None:
        with socket.create_connection(("server", 80)) as sock:
            assert sock.recv(1) == b""

    server.run(accept_one, 80, close_both)
    world.sleep(0.1)
    client.run(open_and_wait).result()
    world.sleep(0.1)
    assert [each.state for each in world.connections() if each.protocol == "tcp"] == ["TIME_WAIT"]
    world.sleep(61)
    assert not [each for each in world.connections() if each.protocol == "tcp"]


def a_crashed_peer_that_restarts_resets(world: Any) -> None:
    server = world.host("server")
    server.run(accept_one, 80, keep)
    job = world.host("client").run(send_until_it_fails, "server")
    world.sleep(0.5)
    server.crash()
    world.sleep(5)
    server.restart()
    number, seconds = job.result()
    assert number == errno.ECONNRESET
    took(seconds, 3, 10)


def answer_each_hundred_thousand(sock: socket.socket) -> None:
    for _ in range(2):
        assert len(sock.recv(100_000, socket.MSG_WAITALL)) == 100_000
        sock.sendall(b"x")
    assert sock.recv(1) == b""


def seconds_through_a_small_buffer() -> float:
    sock = socket.create_connection(("server", 80))
    start = 0.0
    for _ in range(2):  # at first each segment is acknowledged at once (TCP_MAX_QUICKACKS)
        start = time.monotonic()
        sock.sendall(b"." * 100_000)
        assert sock.recv(1) == b"x"
    sock.close()
    return time.monotonic() - start


def through_a_small_buffer(world: Any) -> None:
    # __tcp_ack_snd_check: more than rcv_mss is owed. Two whole segments are not needed for it.
    world.host("server").run(accept_one, 80, answer_each_hundred_thousand)
    world.sleep(0.1)
    took(world.host("client").run(seconds_through_a_small_buffer).result(), 0, 0.3)


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Send `data` and read to the end at the same time."""
    import threading

    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(_to_the_end(sock)))
    reader.start()
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    reader.join()
    sock.close()
    return got[0]


def _to_the_end(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(10_000):
        parts.append(part)
    return b"".join(parts)


def transfer_both_ways(world: Any) -> None:
    there = bytes(index * 7 & 255 for index in range(30_000))
    back = bytes(index * 11 & 255 for index in range(30_000))

    def server_side(served: socket.socket) -> bytes:
        return exchange(served, back)

    def client_side() -> bytes:
        return exchange(socket.create_connection(("server", 80)), there)

    job = world.host("server").run(accept_one, 80, server_side)
    world.sleep(0.1)
    assert world.host("client").run(client_side).result(timeout=600) == back
    assert job.result(timeout=600) == there
