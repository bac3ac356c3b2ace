"""Programs of every framework against programs of every other one, in one world."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.passing import passed
from tests.support.worlds import Worlds, functions_of, stdout_of
from wavetank.faults import Latency, Loss, Segments
from wavetank.world.world import World

SIZE = 120 * 1024
PORT = 7000


def payload(size: int) -> bytes:
    return bytes(range(256)) * (size // 256)


def answer(data: bytes) -> bytes:
    return data[::-1]


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


# ---- one server and one client of each framework: a request of SIZE bytes, its answer, an orderly close


async def asyncio_server(clients: int) -> str:
    import asyncio

    left = asyncio.Semaphore(0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await reader.readexactly(SIZE)))
        await writer.drain()
        assert await reader.read() == b""
        writer.close()
        left.release()

    async with await asyncio.start_server(handle, None, PORT):
        for _ in range(clients):
            await left.acquire()
    return "served"


async def asyncio_client(host: str) -> int:
    import asyncio

    reader, writer = await asyncio.open_connection(host, PORT)
    writer.write(payload(SIZE))
    assert await reader.readexactly(SIZE) == answer(payload(SIZE))
    writer.close()
    await writer.wait_closed()
    return SIZE


async def trio_server(clients: int) -> str:
    import trio

    left = clients

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal left
        data = b""
        while len(data) < SIZE:
            data += await stream.receive_some()
        await stream.send_all(answer(data))
        assert await stream.receive_some() == b""
        left -= 1
        if not left:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        await trio.serve_tcp(handle, PORT, handler_nursery=nursery)
    return "served"


async def trio_client(host: str) -> int:
    import trio

    async with await trio.open_tcp_stream(host, PORT) as stream:
        await stream.send_all(payload(SIZE))
        data = b""
        while len(data) < SIZE:
            data += await stream.receive_some()
        assert data == answer(payload(SIZE))
    return SIZE


async def anyio_server(clients: int) -> str:
    import anyio

    left = clients

    async def handle(stream: anyio.abc.SocketStream) -> None:
        nonlocal left
        async with stream:
            data = b""
            while len(data) < SIZE:
                data += await stream.receive()
            await stream.send(answer(data))
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        left -= 1
        if not left:
            group.cancel_scope.cancel()

    listener = await anyio.create_tcp_listener(local_port=PORT)
    async with anyio.create_task_group() as group:
        await listener.serve(handle, group)
    await listener.aclose()
    return "served"


async def anyio_client(host: str) -> int:
    import anyio

    async with await anyio.connect_tcp(host, PORT) as stream:
        await stream.send(payload(SIZE))
        data = b""
        while len(data) < SIZE:
            data += await stream.receive()
        assert data == answer(payload(SIZE))
    return SIZE


def twisted_server(reactor: Any, clients: int) -> Any:
    from twisted.internet import defer, protocol

    done: defer.Deferred[str] = defer.Deferred()
    left = clients

    class Answer(protocol.Protocol):
        data = b""

        def dataReceived(self, data: bytes) -> None:
            self.data += data
            if len(self.data) == SIZE:
                self.transport.write(answer(self.data))

        def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
            nonlocal left
            assert reason.check(*[protocol.connectionDone.type]), reason
            left -= 1
            if not left:
                done.callback("served")

    reactor.listenTCP(PORT, protocol.Factory.forProtocol(Answer))
    return done


async def twisted_client(reactor: Any, host: str) -> int:
    from twisted.internet import defer, endpoints, protocol

    class Ask(protocol.Protocol):
        def __init__(self) -> None:
            self.data = b""
            self.done: defer.Deferred[None] = defer.Deferred()

        def connectionMade(self) -> None:
            self.transport.write(payload(SIZE))

        def dataReceived(self, data: bytes) -> None:
            self.data += data
            if len(self.data) == SIZE:
                self.transport.loseConnection()

        def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
            self.done.callback(None)

    asked = await endpoints.connectProtocol(endpoints.HostnameEndpoint(reactor, host, PORT), Ask())
    await asked.done
    assert asked.data == answer(payload(SIZE))
    return SIZE


def blocking_server(clients: int) -> str:
    import socketserver
    import threading

    left = threading.Semaphore(0)

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(answer(self.rfile.read(SIZE)))
            assert self.rfile.read() == b""
            left.release()

    with socketserver.ThreadingTCPServer(("", PORT), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        for _ in range(clients):
            left.acquire()
        server.shutdown()
        serving.join()
    return "served"


def blocking_client(host: str) -> int:
    import socket

    with socket.create_connection((host, PORT)) as connection:
        connection.sendall(payload(SIZE))
        with connection.makefile("rb") as file:
            assert file.read(SIZE) == answer(payload(SIZE))
    return SIZE


def with_reactor(name: str) -> Callable[..., Any]:
    """A runner: install this reactor, then run the main under it, as a script would."""

    def run(main: Callable[..., Any], *args: Any) -> Any:
        from importlib import import_module

        from wavetank import frameworks

        import_module(f"twisted.internet.{name}").install()
        from twisted.internet import reactor

        assert type(reactor.callLater.__self__).__module__ == f"twisted.internet.{name}"
        return frameworks.runners["twisted"](main, *args)

    return run


def with_anyio(backend: str) -> Callable[..., Any]:
    def run(main: Callable[..., Any], *args: Any) -> Any:
        import anyio

        return anyio.run(main, *args, backend=backend)

    return run


SERVERS: dict[str, tuple[Callable[..., Any], Any]] = {
    "asyncio": (asyncio_server, None),
    "trio": (trio_server, "trio"),
    "anyio on asyncio": (anyio_server, with_anyio("asyncio")),
    "anyio on trio": (anyio_server, with_anyio("trio")),
    "twisted": (twisted_server, "twisted"),
    "twisted select": (twisted_server, with_reactor("selectreactor")),
    "twisted poll": (twisted_server, with_reactor("pollreactor")),
    "twisted asyncio": (twisted_server, with_reactor("asyncioreactor")),
    "blocking": (blocking_server, None),
}
CLIENTS: dict[str, tuple[Callable[..., Any], Any]] = {
    "asyncio": (asyncio_client, None),
    "trio": (trio_client, "trio"),
    "anyio on asyncio": (anyio_client, with_anyio("asyncio")),
    "anyio on trio": (anyio_client, with_anyio("trio")),
    "twisted": (twisted_client, "twisted"),
    "twisted select": (twisted_client, with_reactor("selectreactor")),
    "twisted poll": (twisted_client, with_reactor("pollreactor")),
    "twisted asyncio": (twisted_client, with_reactor("asyncioreactor")),
    "blocking": (blocking_client, None),
}


def one_server(world: World) -> None:
    """A server of the framework that the environment names, and a client of each, all at once."""
    serve, runner = SERVERS[os.environ["SERVER"]]
    server = world.host("server").run(serve, len(CLIENTS), runner=runner)
    world.sleep(1)
    clients = [
        world.host(name.replace(" ", "-")).run(ask, "server", runner=its) for name, (ask, its) in CLIENTS.items()
    ]
    for client in clients:
        assert client.result(30) == SIZE
    assert server.result(30) == "served"


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_serves_clients_of_every_framework(worlds: Worlds, server: str) -> None:
    passed(worlds.run("one_server", environment={"SERVER": server}))


def all_at_once(world: World) -> None:
    servers = {name: world.host(name.replace(" ", "-")) for name in SERVERS}
    serving = [
        servers[name].run(serve, len(CLIENTS), runner=runner, name="server")
        for name, (serve, runner) in SERVERS.items()
    ]
    world.sleep(1)
    clients = [
        world.host(f"{name} to {server}".replace(" ", "-")).run(ask, servers[server].name, runner=runner)
        for server in SERVERS
        for name, (ask, runner) in CLIENTS.items()
    ]
    for client in clients:
        assert client.result(60) == SIZE
    for process in serving:
        assert process.result(60) == "served"


def test_all_of_them_at_once_and_again_the_same(worlds: Worlds) -> None:
    first = passed(worlds.run("all_at_once"))
    assert passed(worlds.run("all_at_once")).digest == first.digest


def test_all_of_them_at_once_on_a_bad_line(worlds: Worlds) -> None:
    faults = [Latency(delay_s=0.001, jitter_s=0.01), Segments(max_bytes=1000), Loss(rate=0.02)]
    passed(worlds.run("all_at_once", faults=faults))


def on_one_host(world: World) -> None:
    host = world.host("alone")
    ports = iter(range(7001, 7100))
    for name, (serve, runner) in SERVERS.items():
        ask, ask_runner = CLIENTS[name]
        globals()["PORT"] = next(ports)
        server = host.run(serve, 1, runner=runner)
        world.sleep(1)
        assert host.run(ask, "localhost", runner=ask_runner).result(30) == SIZE
        assert server.result(30) == "served"


def test_client_and_server_on_one_host(worlds: Worlds) -> None:
    passed(worlds.run("on_one_host"))


def refused(world: World) -> None:
    world.host("server")
    for name, (ask, runner) in CLIENTS.items():
        error = world.host(name.replace(" ", "-")).run(ask, "server", runner=runner).exception(30)
        print(name, type(error).__name__)


def test_a_closed_port_is_refused_in_the_words_of_each_framework(worlds: Worlds) -> None:
    lines = stdout_of(passed(worlds.run("refused")), "director").splitlines()
    assert dict(line.rsplit(" ", 1) for line in lines) == {
        "asyncio": "OSError",
        "trio": "OSError",
        "anyio on asyncio": "OSError",
        "anyio on trio": "OSError",
        "twisted": "ConnectionRefusedError",
        "twisted select": "ConnectionRefusedError",
        "twisted poll": "ConnectionRefusedError",
        "twisted asyncio": "ConnectionRefusedError",
        "blocking": "ConnectionRefusedError",
    }
