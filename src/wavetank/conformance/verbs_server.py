"""The words of scripts for servers and for connecting on asyncio's loops."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from wavetank.conformance import certificate
from wavetank.conformance.actors import Raw, Side
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.ground_aio import HOST, loop_of
from wavetank.conformance.wires import NotOffered


def _many(bench: Bench) -> Any:
    """A factory of protocols that are named server, server2, ..."""
    numbers = bench.extra.setdefault("accepted", [])

    def make() -> Side:
        numbers.append(None)
        return bench.side("server" if len(numbers) == 1 else f"server{len(numbers)}")

    return make


async def _listen(bench: Bench, name: str, *words: str) -> None:
    """Listen: `again` on the port of before, `later` without serving yet, `both` on two addresses, `tls`."""
    port = bench.extra["port"] if "again" in words else 0
    context = certificate.serving() if "tls" in words else None
    server = await loop_of(bench).create_server(
        _many(bench), [HOST, "::1"] if "both" in words else HOST, port, ssl=context, start_serving="later" not in words
    )
    bench.extra["listening"] = server
    for sock in server.sockets:
        # Each address may have a port of its own.
        bench.extra["port6" if sock.family == socket.AF_INET6 else "port"] = sock.getsockname()[1]
    bench.log(name).add(f"listens {len(server.sockets)}" if "both" in words else "listens")


async def _serve(bench: Bench, name: str) -> None:
    await bench.extra["listening"].start_serving()
    bench.log(name).add("serves")


async def _dial(bench: Bench, name: str, *words: str) -> None:
    """Connect a client by this name to the port; `refused` after it was closed, `badly` with a failing protocol."""
    if "raw" in words:
        raw = socket.create_connection((HOST, bench.extra["port"]))
        bench.add(name, Raw(raw))
        return
    options: dict[str, Any] = {}
    if "bound" in words:
        options["local_addr"] = (HOST, 0)
    if "eyeballs" in words:
        options["happy_eyeballs_delay"] = 0.01
    try:
        await loop_of(bench).create_connection(lambda: bench.side(name), HOST, bench.extra["port"], **options)
    except TypeError as error:
        raise NotOffered(f"create_connection: {error}") from None


async def _dial_taken(bench: Bench, name: str) -> None:
    """Connect to a port that is bound and not listening."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        await loop_of(bench).create_connection(lambda: bench.side(name), *taken.getsockname())


async def _dial_cancelled(bench: Bench, name: str, turns: str) -> None:
    """Begin to connect, and cancel after so many turns of the loop."""
    dialling = asyncio.ensure_future(
        loop_of(bench).create_connection(lambda: bench.side(name), HOST, bench.extra["port"])
    )
    for _ in range(int(turns)):
        await bench.ground.turn()
    dialling.cancel()
    try:
        transport, _ = await dialling
        transport.close()
        bench.log(name).add("closed")
    except asyncio.CancelledError:
        bench.log(name).add("cancelled")


async def _dial_slowly(bench: Bench, name: str) -> None:
    """TLS with a server that says nothing: the handshake has a limit."""
    with socket.create_server((HOST, 0)) as silent:
        await loop_of(bench).create_connection(
            lambda: bench.side(name),
            *silent.getsockname(),
            ssl=certificate.asking(),
            server_hostname="localhost",
            ssl_handshake_timeout=0.05,
        )


async def _dial_wrong_name(bench: Bench, name: str) -> None:
    """TLS with a certificate for another name."""
    await loop_of(bench).create_connection(
        lambda: bench.side(name), HOST, bench.extra["port"], ssl=certificate.asking(), server_hostname="elsewhere"
    )


async def _dial_timeout(bench: Bench, name: str) -> None:
    """A connect within `wait_for` that does not get through: the backlog is full."""
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
            waiting.append(sock)
        try:
            await asyncio.wait_for(
                loop_of(bench).create_connection(lambda: bench.side(name), *full.getsockname()), 0.05
            )
        finally:
            for sock in waiting:
                sock.close()


async def _dial_family(bench: Bench, name: str, family: str) -> None:
    host, port = ("::1", bench.extra["port6"]) if family == "6" else (HOST, bench.extra["port"])
    await loop_of(bench).create_connection(lambda: bench.side(name), host, port)


def _close_server(bench: Bench, name: str) -> None:
    bench.extra["listening"].close()
    bench.log(name).add("closed")


async def _wait_closed(bench: Bench, name: str) -> None:
    """Begin to wait for the end of the server; `wait listening gone` is for its end."""

    async def waiting() -> None:
        await bench.extra["listening"].wait_closed()
        bench.log(name).add("gone")

    bench.extra["waiting"] = asyncio.ensure_future(waiting())
    await bench.settle()


def _serving(bench: Bench, name: str) -> None:
    bench.log(name).add(f"is_serving {bench.extra['listening'].is_serving()}")


def _close_clients(bench: Bench, name: str) -> None:
    """Server.close_clients or abort_clients (3.13)."""
    call = getattr(bench.extra["listening"], name, None)
    if call is None:
        raise NotOffered(f"Server.{name}")
    call()


async def _serve_with(bench: Bench, name: str) -> None:
    """`async with` closes the server at its end."""
    async with bench.extra["listening"] as server:
        bench.log(name).add(f"is_serving {server.is_serving()}")
    bench.log(name).add(f"is_serving {server.is_serving()}")


async def _accept(bench: Bench, name: str) -> None:
    """connect_accepted_socket: a socket that somebody else accepted."""
    with socket.create_server((HOST, 0)) as listening:
        raw = socket.create_connection(listening.getsockname())
        bench.add("raw", Raw(raw))
        accepted, _ = listening.accept()
        accepted.setblocking(False)
    await loop_of(bench).connect_accepted_socket(lambda: bench.side(name), accepted)


VERBS: Final[dict[str, Verb]] = {
    "listen": _listen,
    "serve": _serve,
    "dial": _dial,
    "dial_taken": _dial_taken,
    "dial_cancelled": _dial_cancelled,
    "dial_slowly": _dial_slowly,
    "dial_wrong_name": _dial_wrong_name,
    "dial_timeout": _dial_timeout,
    "dial_family": _dial_family,
    "close_server": _close_server,
    "wait_closed": _wait_closed,
    "serving": _serving,
    "call": lambda bench, name, method: _close_clients(bench, method),
    "serve_with": _serve_with,
    "accept": _accept,
}
