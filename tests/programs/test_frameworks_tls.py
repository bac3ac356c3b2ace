"""TLS of every framework against TLS of every other one: asyncio's, Trio's, Twisted's (with pyOpenSSL), blocking."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import certificates
from tests.support.passing import passed
from tests.support.worlds import Worlds, functions_of
from wavetank.world.world import World

SIZE = 120 * 1024
PORT = 7443
DATA = bytes(range(256)) * (SIZE // 256)


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["SERVER_FILE"])
    return context


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ["AUTHORITY_FILE"])


def read_bytes(name: str) -> bytes:
    return Path(os.environ[name]).read_bytes()


async def asyncio_server() -> None:
    import asyncio

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(SIZE))[::-1])
        await reader.read()
        writer.close()

    async with await asyncio.start_server(handle, None, PORT, ssl=server_context()) as server:
        await server.serve_forever()


async def asyncio_client(host: str) -> bytes:
    import asyncio

    reader, writer = await asyncio.open_connection(host, PORT, ssl=client_context())
    writer.write(DATA)
    data = await reader.readexactly(SIZE)
    writer.close()
    await writer.wait_closed()
    return data


async def trio_server() -> None:
    import trio

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        data = b""
        while len(data) < SIZE:
            data += await stream.receive_some()
        await stream.send_all(data[::-1])
        await stream.receive_some()

    await trio.serve_ssl_over_tcp(handle, PORT, server_context(), https_compatible=True)


async def trio_client(host: str) -> bytes:
    import trio

    async with await trio.open_ssl_over_tcp_stream(
        host, PORT, ssl_context=client_context(), https_compatible=True
    ) as stream:
        await stream.send_all(DATA)
        data = b""
        while len(data) < SIZE:
            data += await stream.receive_some()
        return data


def twisted_server(reactor: Any) -> Any:
    from twisted.internet import defer, protocol
    from twisted.internet.ssl import PrivateCertificate

    class Reverse(protocol.Protocol):
        data = b""

        def dataReceived(self, data: bytes) -> None:
            self.data += data
            if len(self.data) == SIZE:
                self.transport.write(self.data[::-1])

    options = PrivateCertificate.loadPEM(read_bytes("SERVER_FILE")).options()
    reactor.listenSSL(PORT, protocol.Factory.forProtocol(Reverse), options)
    return defer.Deferred()


async def twisted_client(reactor: Any, host: str) -> bytes:
    from twisted.internet import defer, endpoints, protocol
    from twisted.internet.ssl import Certificate, optionsForClientTLS

    class Ask(protocol.Protocol):
        def __init__(self) -> None:
            self.data = b""
            self.done: defer.Deferred[bytes] = defer.Deferred()

        def dataReceived(self, data: bytes) -> None:
            self.data += data
            if len(self.data) == SIZE:
                self.transport.loseConnection()

        def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
            self.done.callback(self.data)

    options = optionsForClientTLS(host, Certificate.loadPEM(read_bytes("AUTHORITY_FILE")))
    endpoint = endpoints.wrapClientTLS(options, endpoints.HostnameEndpoint(reactor, host, PORT))
    asked = await endpoints.connectProtocol(endpoint, Ask())
    asked.transport.write(DATA)
    data: bytes = await asked.done
    return data


def blocking_server() -> None:
    import socket

    with socket.create_server(("", PORT)) as listener:
        while True:
            connection, _ = listener.accept()
            with server_context().wrap_socket(connection, server_side=True) as stream:
                data = b""
                while len(data) < SIZE:
                    data += stream.recv(1 << 16)
                stream.sendall(data[::-1])
                stream.recv(1)


def blocking_client(host: str) -> bytes:
    import socket

    with (
        socket.create_connection((host, PORT)) as connection,
        client_context().wrap_socket(connection, server_hostname=host) as stream,
    ):
        stream.sendall(DATA)
        data = b""
        while len(data) < SIZE:
            data += stream.recv(1 << 16)
        return data


SERVERS: dict[str, tuple[Callable[..., Any], str | None]] = {
    "asyncio": (asyncio_server, None),
    "trio": (trio_server, "trio"),
    "twisted": (twisted_server, "twisted"),
    "blocking": (blocking_server, None),
}
CLIENTS: dict[str, tuple[Callable[..., Any], str | None]] = {
    "asyncio": (asyncio_client, None),
    "trio": (trio_client, "trio"),
    "twisted": (twisted_client, "twisted"),
    "blocking": (blocking_client, None),
}


def one_server(world: World) -> None:
    serve, runner = SERVERS[os.environ["SERVER"]]
    world.host("server").run(serve, runner=runner)
    world.sleep(1)
    for name, (ask, its) in CLIENTS.items():
        assert world.host(name).run(ask, "server", runner=its).result(30) == DATA[::-1], name


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_serves_clients_of_every_framework(worlds: Worlds, tmp_path: Path, server: str) -> None:
    files = certificates.write(tmp_path)
    names = {"SERVER": server, "SERVER_FILE": files.server, "AUTHORITY_FILE": files.authority}
    passed(worlds.run("one_server", environment=names))
