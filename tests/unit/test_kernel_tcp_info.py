"""What TCP_INFO tells while timers run, in virtual time: each value as the RFC or Linux's source has it.

The scenarios of this file run in simulated worlds.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.support.worlds import Worlds, functions_of
from wavetank.faults import Latency

SCENARIOS = (
    "the_timeout_doubles_up_to_two_minutes", "a_probe_of_a_closed_window_doubles", "the_round_trip_is_measured",
    "a_loss_halves_the_window", "keepalive_to_the_second", "a_user_timeout_to_the_tick",
    "time_wait_of_a_quick_exchange", "late_segments_are_acknowledged_again",
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


# ---- in the simulated world


def info(sock: socket.socket) -> dict[str, int]:
    """`struct tcp_info`, include/uapi/linux/tcp.h."""
    names = (
        "state", "ca_state", "retransmits", "probes", "backoff", "options", "wscale", "limited",
        "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets", "last_data_sent",
        "last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh", "rtt", "rttvar", "snd_ssthresh",
        "snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space", "total_retrans",
    )  # fmt: skip
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return dict(zip(names, struct.unpack("8B24I", raw), strict=True))


def connected(world: Any) -> None:
    """A host `server` that accepts one connection and never reads."""
    world.host("server").run(hold, 80)
    world.sleep(0.1)


def hold(port: int) -> None:
    with socket.create_server(("", port)) as server:
        served, _ = server.accept()
        time.sleep(5_000)
        served.close()


def about(value: float, expected: float, most: float) -> None:
    assert expected - most <= value <= expected + most, (value, expected)


def growing(sock: socket.socket, field: str, seconds: float, step: float) -> list[float]:
    """When a field has become larger, in seconds from now."""
    began, found, last = time.monotonic(), [], info(sock)[field]
    while time.monotonic() - began < seconds:
        time.sleep(step)
        now = info(sock)[field]
        if now > last:
            found.append(time.monotonic() - began)
        last = now
    return found


def retransmissions() -> tuple[list[float], list[int]]:
    sock = socket.create_connection(("server", 80))
    time.sleep(1.0)
    sock.send(b"into the void")
    assert info(sock)["unacked"] == 1
    times = growing(sock, "retransmits", 30, 0.005)
    rto = info(sock)["rto"]
    time.sleep(570)
    return times, [rto, info(sock)["rto"], info(sock)["snd_cwnd"]]


def the_timeout_doubles_up_to_two_minutes(world: Any) -> None:
    connected(world)
    job = world.host("client").run(retransmissions)
    world.sleep(0.5)
    world.partition("client", "server")
    times, (rto, last, window) = job.result()
    # RFC 6298, 5.5; after the tail loss probe 0.2 s (TCP_RTO_MIN), 0.4, 0.8 ... after each other
    gaps = [other - one for one, other in pairwise(times)]
    about(gaps[0], 0.4, 0.03)
    for one, other in pairwise(gaps):
        about(other / one, 2, 0.1)
    assert len(times) == 7
    about(rto / 1e6, 0.204 * 2**7, 0.1)  # in ticks of 4 ms
    assert last == 120_000_000  # TCP_RTO_MAX
    assert window == 1


def probes() -> list[float]:
    sock = socket.create_connection(("server", 80))
    sock.setblocking(False)
    for _ in range(20):
        try:
            while True:
                sock.send(bytes(65536))
        except BlockingIOError:
            time.sleep(0.01)
    assert info(sock)["unacked"] == 0
    began = info(sock)["rto"]
    time.sleep(30)
    return [began, info(sock)["rto"]]


def a_probe_of_a_closed_window_doubles(world: Any) -> None:
    connected(world)
    began, ended = world.host("client").run(probes).result()
    assert began < 500_000
    ratio = ended / 200_000
    assert 30 < ratio < 300, ratio  # after 30 s of doubling from 0.2 s


def echo(port: int) -> None:
    with socket.create_server(("", port)) as server:
        served, _ = server.accept()
        with served:
            while data := served.recv(1000):
                served.send(data)


def round_trips(count: int) -> dict[str, int]:
    with socket.create_connection(("server", 80)) as sock:
        for _ in range(count):
            sock.send(b"x")
            assert sock.recv(1) == b"x"
        return info(sock)


def the_round_trip_is_measured(world: Any) -> None:
    world.inject(Latency(0.050))
    world.host("server").run(echo, 80)
    world.sleep(0.5)
    told = world.host("client").run(round_trips, 1).result()
    about(told["rtt"] / 1e3, 100, 3)
    about(told["rttvar"] / 1e3, 37.5, 3)  # RFC 6298: half of the first, a quarter less with each that is alike
    about(told["rto"] / 1e3, 300, 5)  # the round trip and TCP_RTO_MIN


def lossy() -> list[dict[str, int]]:
    sock = socket.create_connection(("server", 80))
    time.sleep(1)
    before = info(sock)
    sock.send(bytes(14_600))
    time.sleep(1.5)
    return [before, info(sock)]


def a_loss_halves_the_window(world: Any) -> None:
    connected(world)
    job = world.host("client").run(lossy)
    world.sleep(0.5)
    world.partition("client", "server")
    before, after = job.result()
    assert (before["snd_cwnd"], before["snd_ssthresh"]) == (10, 0x7FFFFFFF)  # TCP_INIT_CWND, TCP_INFINITE_SSTHRESH
    assert (after["snd_cwnd"], after["snd_ssthresh"]) == (1, 5)  # tcp_enter_loss; RFC 5681, 3.1: half of what is out


def states(world: Any) -> list[str]:
    return [each.state for each in world.connections() if each.protocol == "tcp"]


def until_timed_out(sock: socket.socket) -> float:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        sock.recv(1)
    return time.monotonic() - start


def keepalive(user_timeout: int) -> float:
    with socket.create_connection(("server", 80)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout)
        return until_timed_out(sock)


def keepalive_to_the_second(world: Any) -> None:
    connected(world)
    job = world.host("client").run(keepalive, 0)
    world.sleep(0.5)
    world.partition("client", "server")
    about(job.result(), 10 + 4 * 3, 0.01)


def user_timeout() -> float:
    with socket.create_connection(("server", 80)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3_000)
        time.sleep(1)
        sock.send(b"x")
        return until_timed_out(sock)


def a_user_timeout_to_the_tick(world: Any) -> None:
    connected(world)
    job = world.host("client").run(user_timeout)
    world.sleep(0.5)
    world.partition("client", "server")
    assert 2.9 < job.result() < 6.5  # at the first retransmission after it, at 3.0 or at 6.2 s


def close_first() -> None:
    with socket.create_server(("", 80)) as server:
        server.accept()[0].close()
        time.sleep(1)


def read_end() -> None:
    with socket.create_connection(("server", 80)) as sock:
        assert sock.recv(1) == b""


def time_wait_of_a_quick_exchange(world: Any) -> None:
    world.host("server").run(close_first)
    world.sleep(0.1)
    world.host("client").run(read_end).result()
    world.sleep(59)
    assert states(world) == ["TIME_WAIT"]
    world.sleep(2)
    assert states(world) == []  # TCP_TIMEWAIT_LEN


def late_segments_are_acknowledged_again(world: Any) -> None:
    """The last acknowledgement is lost: the FIN comes again, and the end in TIME_WAIT answers it."""
    world.host("server").run(close_first)
    world.sleep(0.1)
    job = world.host("client").run(end_after, 1.0)
    world.sleep(0.9)
    world.inject(Latency(0.1))
    job.result()
    world.sleep(5)
    assert states(world) == ["TIME_WAIT"]


def end_after(seconds: float) -> None:
    sock = socket.create_connection(("server", 80))
    assert sock.recv(1) == b""
    time.sleep(seconds)
    sock.close()
