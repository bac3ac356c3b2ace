"""The proxy without faults does nothing: ends, resets, refusals and back-pressure pass as if it were not there."""

import asyncio
import contextlib
import hashlib
import os
import random
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.lines import (
    connected,
    digest_of_all,
    echo,
    ending_of_a_connection,
    exactly,
    reset,
    serving,
    to_the_end,
)
from wavetank.errors import EnvironmentProblem, UsageError
from wavetank.faults import Latency, Partition, Segments, Stall
from wavetank.proxy import FaultProxy


@pytest.fixture(params=[True, False], ids=["splice", "copy"])
def splice(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_bytes_pass_both_ways() -> None:
    with serving(echo) as server, FaultProxy(server.port) as proxy, connected(proxy.port) as client:
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"
        assert proxy.events.delivered("client -> server") == 5


def test_megabytes_pass_unchanged(splice: bool) -> None:
    blob = random.Random(1).randbytes(16 << 20)
    with serving(digest_of_all) as server, FaultProxy(server.port, splice=splice) as proxy:
        with connected(proxy.address) as client:
            client.sendall(blob)
            client.shutdown(socket.SHUT_WR)
            assert exactly(client, 32) == hashlib.sha256(blob).digest()
        assert proxy.events.carried == (len(blob), 32)


def test_megabytes_pass_both_ways_at_once(splice: bool) -> None:
    blob = random.Random(2).randbytes(8 << 20)
    with serving(echo) as server, FaultProxy(server.port, splice=splice) as proxy, connected(proxy.port) as client:
        writer = threading.Thread(target=lambda: (client.sendall(blob), client.shutdown(socket.SHUT_WR)))
        writer.start()
        data, end = to_the_end(client)
        writer.join()
        assert (hashlib.sha256(data).digest(), end) == (hashlib.sha256(blob).digest(), "EOF")


def test_a_clients_half_close_leaves_the_answer() -> None:
    def answer_after_the_end(peer: socket.socket) -> None:
        asked, _ = to_the_end(peer)
        peer.sendall(b"got " + asked)

    with serving(answer_after_the_end) as server, FaultProxy(server.port) as proxy, connected(proxy.port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert to_the_end(client) == (b"got question", "EOF")


def test_a_servers_half_close_leaves_the_way_to_it() -> None:
    def end_first(peer: socket.socket) -> bytes:
        peer.sendall(b"bye")
        peer.shutdown(socket.SHUT_WR)
        return to_the_end(peer)[0]

    with serving(end_first) as server, FaultProxy(server.port) as proxy:
        with connected(proxy.port) as client:
            assert to_the_end(client) == (b"bye", "EOF")
            client.sendall(b"still here")
        assert server.result() == b"still here"
        proxy.events.wait("close", connection=1)


def test_a_servers_reset_reaches_the_client() -> None:
    def data_then_reset(peer: socket.socket) -> None:
        exactly(peer, 2)
        peer.sendall(b"part")
        reset(peer)

    with serving(data_then_reset) as server, FaultProxy(server.port) as proxy, connected(proxy.port) as client:
        client.sendall(b"go")
        assert to_the_end(client) == (b"part", "RST")
        event = proxy.events.wait("reset")
        assert (event.connection, event.direction, event.offset) == (1, "server -> client", 4)


def test_a_clients_reset_reaches_the_server() -> None:
    with serving(to_the_end) as server, FaultProxy(server.port) as proxy:
        with connected(proxy.port) as client:
            client.sendall(b"part")
            proxy.events.wait("data")
            reset(client)
        assert server.result() == (b"part", "RST")


def test_a_reset_is_told_although_the_other_end_does_not_read() -> None:
    told = threading.Event()

    def do_not_read(peer: socket.socket) -> str:
        poll = select.poll()
        poll.register(peer, 0)  # errors are always reported
        found = poll.poll(30_000)
        told.set()
        return "reset" if found else "nothing"

    with serving(do_not_read) as server, FaultProxy(server.port) as proxy:
        with connected(proxy.port) as client:
            fill(client)
            reset(client)
        assert told.wait(30)
        assert server.result() == "reset"


def test_a_write_to_an_end_that_has_gone_draws_a_reset() -> None:
    def leave(peer: socket.socket) -> None:
        exactly(peer, 1)

    with serving(leave) as server, FaultProxy(server.port) as proxy, connected(proxy.port) as client:
        client.sendall(b"x")
        assert client.recv(1) == b""
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            write_for_ever(client)
        proxy.events.wait("close", connection=1)


def write_for_ever(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"nobody reads this")


def fill(peer: socket.socket) -> int:
    """Write until nobody takes more; returns how much was taken."""
    peer.setblocking(False)
    total, blob = 0, b"b" * (1 << 16)
    while select.select([], [peer], [], 0.5)[1]:
        try:
            total += peer.send(blob)
        except BlockingIOError:
            continue
    peer.settimeout(30)
    return total


def test_back_pressure_is_bounded_and_nothing_is_lost(splice: bool) -> None:
    read = threading.Event()

    def late(peer: socket.socket) -> int:
        read.wait(60)
        return len(to_the_end(peer)[0])

    with serving(late) as server, FaultProxy(server.port, splice=splice) as proxy:
        with connected(proxy.port) as client:
            total = fill(client)
            # Four buffers of sockets, the largest the kernel lets them grow to, and what the proxy says it keeps.
            assert total < 64 << 20
            read.set()
        assert server.result() == total


def test_a_dead_upstream_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with FaultProxy(port) as proxy:
        assert ending_of_a_connection(proxy.port) == "RST"
        assert "ECONNREFUSED" in proxy.events.wait("refused").text


def test_a_port_in_use_is_one_clear_line() -> None:
    with serving(echo) as server, FaultProxy(server.port) as proxy, pytest.raises(EnvironmentProblem) as caught:
        FaultProxy(server.port, listen=proxy.port).start()
    assert (
        str(caught.value)
        == f"listen: cannot listen on 127.0.0.1:{proxy_port(caught)}: port {proxy_port(caught)} is in use"
    )


def proxy_port(caught: pytest.ExceptionInfo[EnvironmentProblem]) -> str:
    return str(caught.value).rpartition("port ")[2].partition(" ")[0]


def test_an_upstream_that_does_not_resolve_is_one_clear_line() -> None:
    with pytest.raises(EnvironmentProblem, match=r"^upstream: the host 'no-such-host.invalid' does not resolve: .*$"):
        FaultProxy("no-such-host.invalid:80").start()


def test_the_async_face_lives_in_the_callers_loop() -> None:
    async def main() -> bytes:
        async with FaultProxy(server.port) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"hello")
            data = await reader.readexactly(5)
            event = await proxy.events.happened("data", direction="server -> client")
            assert event.size == 5
            writer.close()
            await writer.wait_closed()
        return data

    with serving(echo) as server:
        assert asyncio.run(main()) == b"hello"


def test_descriptors_are_given_back() -> None:
    with serving(echo) as server:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with FaultProxy(server.port, control=True) as proxy, connected(proxy.port) as client:
                client.sendall(b"x")
                assert exactly(client, 1) == b"x"
        server.result(2)
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_proxy_that_does_not_run_says_so() -> None:
    proxy = FaultProxy(1)
    with pytest.raises(UsageError, match="does not run"):
        _ = proxy.port
    proxy.stop()


def test_ipv6() -> None:
    with (
        serving(echo, socket.create_server(("::1", 0), family=socket.AF_INET6)) as server,
        FaultProxy(f"[::1]:{server.port}", listen="[::1]:0") as proxy,
        connected(("::1", proxy.port)) as client,
    ):
        client.sendall(b"six")
        assert exactly(client, 3) == b"six"


def test_unix_sockets(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "server"))
    listener.listen()
    path = tmp_path / "proxy"
    with serving(echo, listener), FaultProxy(tmp_path / "server", listen=path) as proxy:
        with connected(proxy.address) as client:
            client.sendall(b"local")
            client.shutdown(socket.SHUT_WR)
            assert to_the_end(client) == (b"local", "EOF")
        with pytest.raises(EnvironmentProblem, match="the path is in use"):
            FaultProxy(tmp_path / "server", listen=path).start()
    assert not path.exists()


def test_megabytes_pass_through_unix_sockets(tmp_path: Path, splice: bool) -> None:
    blob = random.Random(5).randbytes(8 << 20)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "server"))
    listener.listen()
    with (
        serving(digest_of_all, listener),
        FaultProxy(tmp_path / "server", listen=tmp_path / "proxy", splice=splice) as proxy,
        connected(proxy.address) as client,
    ):
        client.sendall(blob)
        client.shutdown(socket.SHUT_WR)
        assert exactly(client, 32) == hashlib.sha256(blob).digest()


def test_a_fault_in_the_middle_of_a_bulk_transfer_loses_nothing() -> None:
    blob = random.Random(6).randbytes(48 << 20)
    with serving(digest_of_all) as server, FaultProxy(server.port) as proxy, connected(proxy.port) as client:
        writer = threading.Thread(target=lambda: (client.sendall(blob), client.shutdown(socket.SHUT_WR)))
        writer.start()
        for fault in (Latency(0.005), Stall(), Segments(100_000), Partition("client", "server"), Latency(0.002, 0.01)):
            proxy.events.wait("data", direction="client -> server")
            proxy.inject(fault)
            proxy.clear()
        writer.join()
        assert exactly(client, 32) == hashlib.sha256(blob).digest()


def test_a_proxy_that_nobody_stops_ends_with_the_interpreter() -> None:
    code = "from wavetank.proxy import FaultProxy; proxy = FaultProxy(1).start(); print(proxy.port > 0)"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_each_address_of_a_name_is_tried() -> None:
    with serving(echo) as server, FaultProxy(f"localhost:{server.port}") as proxy, connected(proxy.port) as client:
        client.sendall(b"named")
        assert exactly(client, 5) == b"named"


def test_clients_wait_for_an_upstream_whose_queue_is_full(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "server"))
    listener.listen(0)
    with FaultProxy(tmp_path / "server") as proxy, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(proxy.port)) for _ in range(4)]
        for number, client in enumerate(clients):
            client.sendall(bytes([number]))
        stack.enter_context(serving(echo, listener))
        assert [exactly(client, 1) for client in clients] == [bytes([number]) for number in range(4)]


def test_packets_keep_their_borders(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "server"))
    listener.listen()
    kind = "unix-seqpacket"
    with (
        serving(echo, listener),
        FaultProxy(f"{kind}:{tmp_path}/server", listen=f"{kind}:{tmp_path}/proxy") as proxy,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client,
    ):
        client.settimeout(30)
        client.connect(str(proxy.address))
        client.send(b"one")
        client.send(b"three")
        assert [client.recv(100), client.recv(100)] == [b"one", b"three"]


@pytest.mark.parametrize(
    ("upstream", "listen", "line"),
    [
        ("abc", None, "upstream: 'abc' is not an address; it is written HOST:PORT, "),
        ("127.0.0.1:99999", None, "upstream: 99999 is not a port; a port is 0 to 65535"),
        ("127.0.0.1:0", None, "upstream: 127.0.0.1:0 has no port that something could listen on"),
        ("::1:80", None, "a host of IPv6 is written in brackets: [::1]:80"),
        ("udb://127.0.0.1:80", None, "the unknown kind 'udb'. Did you mean 'udp'?"),
        (None, None, "upstream: None is not an address"),
        ("unix:" + "x" * 108, None, "is longer than the 107 bytes a UNIX socket can have"),
        ("unix-dgram:/x", None, "listen: say where; for unix-dgram:/x it is unix-dgram:PATH"),
        ("udp:127.0.0.1:53", "unix:/x", "listen: unix:/x cannot carry what udp:127.0.0.1:53 carries"),
    ],
)
def test_wrong_addresses_are_one_clear_line(upstream: object, listen: object, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        FaultProxy(upstream, listen=listen)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
