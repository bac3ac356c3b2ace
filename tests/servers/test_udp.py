"""Servers that are reached by UDP: ready when a UDP socket of their own is bound, and whose it is otherwise."""

import asyncio
import os
import socket
import sys
import time
from typing import Any

import pytest

from tests.servers.support import free_port
from wavetank.errors import PortTaken, ServerNotReady, UsageError
from wavetank.proxy import FaultProxy
from wavetank.servers import ServerProcess

#: Usage: PORT HOST SECONDS; answers in capitals. SECONDS pass before it binds. HOST "tcp" opens TCP and UDP.
CODE = """
import os, socket, sys, time
port, host, before = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
time.sleep(before)
if host == "tcp":
    host = "127.0.0.1"
    listening = socket.create_server((host, port))
    port = listening.getsockname()[1]
    time.sleep(0.2)
bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
bound.bind((host, port))
while True:
    data, peer = bound.recvfrom(9000)
    bound.sendto(data.upper(), peer)
"""
FROM_SYSTEMD = "import socket\ns = socket.socket(fileno=3)\nd, p = s.recvfrom(99)\ns.sendto(d.upper(), p)\ns.recv(9)"


def answering(host: str = "127.0.0.1", *, before: float = 0, **options: Any) -> ServerProcess:
    """A server that answers datagrams."""
    port = options.get("port")
    command = [sys.executable, "-S", "-c", CODE, "{port}" if port is None else str(port), host, str(before)]
    return ServerProcess(command, **{"ready": "udp", **options})


def ask(address: object, data: bytes = b"hello") -> bytes:
    """Its answer. Nothing is sent twice: when it is ready, it hears."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.sendto(data, address)  # type: ignore[arg-type]  # (host, port)
        return client.recv(9000)


@pytest.mark.parametrize("port", [None, 0])
def test_it_is_ready_when_it_has_bound_its_port(port: int | None) -> None:
    with answering(before=0.3, port=port) as server:
        assert ask((server.host, server.port)) == b"HELLO"
        assert server.transport == "udp"
        assert server.report.probe_connections == 0
        before = server.port
        server.restart()
        assert server.port == before or port == 0  # a server that chooses its port may choose another one
        assert ask((server.host, server.port)) == b"HELLO"


def test_a_wildcard_serves_the_loopback() -> None:
    with answering("0.0.0.0") as server:
        assert ask((server.host, server.port)) == b"HELLO"


def test_both_kinds_can_be_asked_for() -> None:
    with answering("tcp", ready=["tcp", "udp"]) as server:
        assert server.transport == "tcp"
        assert ask((server.host, server.port)) == b"HELLO"


def test_a_bound_socket_is_handed_over() -> None:
    with ServerProcess([sys.executable, "-S", "-c", FROM_SYSTEMD], env={"X": "{fd}"}, ready="udp") as server:
        assert ask((server.host, server.port)) == b"HELLO"


def test_a_udp_port_that_is_taken_is_refused_with_its_owner() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as blocker:
        blocker.bind(("127.0.0.1", 0))
        port = blocker.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"UDP port {port} already belongs to pid {os.getpid()} \("):
            answering(port=port).start()


def test_another_process_on_the_udp_port_is_never_accepted() -> None:
    port = free_port()
    server = ServerProcess([sys.executable, "-S", "-c", "import time; time.sleep(600)"], port=port, ready="udp")
    with answering(port=port), pytest.raises(PortTaken, match=f"UDP port {port} already belongs to pid"):
        server.start()

    async def both(impostor: socket.socket) -> None:
        starting = asyncio.create_task(server.start_async())
        while not server._core.pid:  # the impostor comes when the server is already being waited for
            await asyncio.sleep(0.001)
        impostor.bind(("127.0.0.1", port))
        await starting

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as impostor,
        pytest.raises(PortTaken, match=rf"another process listens where .*: UDP port {port} already belongs to pid"),
    ):
        asyncio.run(both(impostor))


@pytest.mark.parametrize(
    ("host", "ready", "says"),
    [
        ("::1", "udp", r"listens on udp:\[::1\]:{0}, expected udp:127.0.0.1:{0}"),
        ("127.0.0.1", "tcp", r"listens on udp:127.0.0.1:{0}, expected 127.0.0.1:{0}"),
    ],
)
def test_datagrams_elsewhere_are_named(host: str, ready: str, says: str) -> None:
    server = answering(host, ready=ready, timeout=4)
    with pytest.raises(ServerNotReady) as caught:
        server.start()
    port = server.command[4]
    assert says.format(port).replace("\\", "") in str(caught.value)


def test_a_server_without_a_udp_socket_is_not_ready() -> None:
    started = time.monotonic()
    server = ServerProcess(
        [sys.executable, "-S", "-c", "import time; time.sleep(600)", "{port}"], ready="udp", timeout=2
    )
    with pytest.raises(ServerNotReady, match=r"has no UDP socket, expected udp:127.0.0.1:\d+"):
        server.start()
    assert time.monotonic() - started >= 2


def test_udp_and_a_unix_socket_make_no_sense() -> None:
    with pytest.raises(UsageError, match="ready='udp' and a UNIX socket"):
        ServerProcess(["cat", "{socket}"], ready="udp")


def test_a_proxy_before_it_carries_datagrams() -> None:
    with answering() as server, FaultProxy(server) as proxy:
        assert proxy.listening.startswith("udp:")
        assert ask(proxy.address) == b"HELLO"
