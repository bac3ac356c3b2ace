"""The ground of asyncio's loops: how a script's connections are made there, and the words that only asyncio has.

Owns the verbs for streams over TCP, UNIX sockets, socket pairs and TLS, for replaced protocols, `start_tls` and
`sendfile`. Datagrams, pipes, processes and servers are in modules of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Final

from wavetank.conformance import certificate
from wavetank.conformance.actors import Raw, Side, payload
from wavetank.conformance.case import amount
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.wires import ASYNCIO, NotOffered, Wire

HOST: Final = "127.0.0.1"


class AsyncioGround:
    """One loop, while it runs one case."""

    dialect = ASYNCIO

    def __init__(self, loop: Any, endpoint: Any = None) -> None:
        self.loop = loop
        self.endpoint = endpoint

    @property
    def verbs(self) -> Mapping[str, Verb]:
        """The verbs of this ground."""
        from wavetank.conformance import verbs_datagram, verbs_server, verbs_system

        return {**VERBS, **verbs_datagram.VERBS, **verbs_system.VERBS, **verbs_server.VERBS}

    def side(self, name: str, react: Callable[[str, str], Any]) -> Side:
        """A stream protocol."""
        return Side(name, react)

    def now(self) -> float:
        """Seconds."""
        return float(self.loop.time())

    async def turn(self) -> None:
        """One turn of the loop."""
        await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        """So long."""
        await asyncio.sleep(seconds)


def run_case(loop: Any, case: Any, endpoint: Any = None) -> dict[str, list[str]]:
    """Run one case on this loop; what each actor heard. Raises NotOffered.

    `endpoint`: an object whose `listen` and `connect` make the pairs of plain streams; then there is nothing else.
    """
    bench = Bench(case, AsyncioGround(loop, endpoint))
    if "log" in case.wants:
        _listen_to_log(bench)
    loop.set_exception_handler(lambda _, context: bench.trouble(context.get("exception"), str(context["message"])))
    asyncio.set_event_loop(loop)
    try:
        heard: dict[str, list[str]] = loop.run_until_complete(_run(bench))
        return heard
    finally:
        # What a case leaves open goes down with its process.
        asyncio.set_event_loop(None)


def _listen_to_log(bench: Bench) -> None:
    """What asyncio logs is a token of the actor `log`, by its level; this process has no other use for logging."""
    handler = logging.Handler()
    handler.emit = lambda record: bench.log("log").add(record.levelname.lower())  # type: ignore[method-assign]
    logging.disable(logging.NOTSET)
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    logger.propagate = False


async def _run(bench: Bench) -> dict[str, list[str]]:
    try:
        return await bench.run()
    finally:
        for folder in bench.extra.get("folders", ()):
            folder.cleanup()


def loop_of(bench: Bench) -> Any:
    """The loop of a run."""
    return bench.ground.loop


def offered(bench: Bench, name: str) -> Any:
    """A method of the loop; NotOffered when it has none, or one that says so."""
    found = getattr(loop_of(bench), name, None)
    if found is None:
        raise NotOffered(name)
    return found


def folder(bench: Bench) -> str:
    """A folder for this run."""
    made = tempfile.TemporaryDirectory(prefix="wavetank-")
    bench.extra.setdefault("folders", []).append(made)
    return made.name


async def _connect(bench: Bench, _: str, kind: str = "tcp") -> None:
    """Connect the client to the server; one of them may be a plain socket (`raw`)."""
    if bench.ground.endpoint is None:
        await _CONNECTING[kind](bench)
    elif kind == "tcp":
        await _own(bench)
    else:
        raise NotOffered(f"connect {kind}")
    for name in ("client", "server"):
        if name in bench.actors:
            await bench.wait(name, "made")


async def _own(bench: Bench) -> None:
    """By the transports that are under test."""
    endpoint, loop = bench.ground.endpoint, loop_of(bench)
    listening = await endpoint.listen(loop, lambda: bench.side("server"))
    await endpoint.connect(loop, lambda: bench.side("client"), listening)


async def _tcp(bench: Bench) -> None:
    await _pair(bench, tls=False)


async def _tls(bench: Bench) -> None:
    await _pair(bench, tls=True)


async def _pair(bench: Bench, *, tls: bool) -> None:
    loop = loop_of(bench)
    context = certificate.serving() if tls else None
    server = await loop.create_server(lambda: bench.side("server"), HOST, 0, ssl=context)
    bench.extra["listening"] = server
    address = server.sockets[0].getsockname()
    asking = {"ssl": certificate.asking(), "server_hostname": "localhost"} if tls else {}
    await loop.create_connection(lambda: bench.side("client"), *address, **asking)
    await bench.wait("server", "made")
    server.close()


async def _unix(bench: Bench) -> None:
    loop = loop_of(bench)
    path = os.path.join(folder(bench), "socket")
    server = await offered(bench, "create_unix_server")(lambda: bench.side("server"), path)
    await loop.create_unix_connection(lambda: bench.side("client"), path)
    await bench.wait("server", "made")
    server.close()


async def _socketpair(bench: Bench) -> None:
    left, right = socket.socketpair()
    for sock, name in ((left, "client"), (right, "server")):
        sock.setblocking(False)
        await loop_of(bench).create_connection(lambda name=name: bench.side(name), sock=sock)


async def _raw_server(bench: Bench, *, buffered: bool = False, tls: bool = False) -> None:
    with socket.create_server((HOST, 0)) as listening:
        listening.setblocking(False)
        context = {"ssl": certificate.asking(), "server_hostname": "localhost"} if tls else {}

        def make() -> Any:
            if not buffered:
                return bench.side("client")
            protocol = bench.add("client", Buffered("client", bench.react))
            protocol.tells_hint = "hint" in bench.case.wants
            return protocol

        connecting = asyncio.ensure_future(loop_of(bench).create_connection(make, *listening.getsockname(), **context))
        accepted = None
        while accepted is None:
            with contextlib.suppress(BlockingIOError):
                accepted, _ = listening.accept()
            await bench.ground.turn()
    raw = bench.add("raw", Raw(accepted))
    if tls:
        raw.begin_tls(certificate.serving(), server=True)
    while not connecting.done() or raw.is_shaking_hands:
        await bench.turn()
    await connecting


async def _raw_client(bench: Bench) -> None:
    server = await loop_of(bench).create_server(lambda: bench.side("server"), HOST, 0)
    raw = socket.create_connection(server.sockets[0].getsockname())
    bench.add("raw", Raw(raw))
    await bench.wait("server", "made")
    server.close()


async def _greeting(bench: Bench) -> None:
    """The server speaks first, and what the client knows when `create_connection` returns is kept."""
    loop = loop_of(bench)
    server = await loop.create_server(lambda: bench.side("server"), HOST, 0)
    await loop.create_connection(lambda: bench.side("client"), *server.sockets[0].getsockname())
    for token in bench.log("client").told():
        bench.log("seen at return").add(token)
    server.close()


_CONNECTING: Final[dict[str, Callable[[Bench], Any]]] = {
    "tcp": _tcp,
    "tls": _tls,
    "unix": _unix,
    "pair": _socketpair,
    "raw-server": _raw_server,
    "raw-client": _raw_client,
    "buffered": lambda bench: _raw_server(bench, buffered=True),
    "tls-raw-server": lambda bench: _raw_server(bench, tls=True),
    "tls-buffered": lambda bench: _raw_server(bench, buffered=True, tls=True),
    "greeting": _greeting,
}


class Buffered(asyncio.BufferedProtocol):
    """A buffered protocol of a script; `size` bytes of buffer, and what it gives can be made wrong."""

    size = 4096
    gives = "buffer"

    def __init__(self, name: str, react: Callable[[str, str], Any]) -> None:
        self.side = Side(name, react)
        self.log = self.side.log
        self._buffer = bytearray(self.size)
        #: Whether the first size hint is noted.
        self.tells_hint = False

    @property
    def wire(self) -> Any:
        """As a Side."""
        return self.side.wire

    @property
    def transport(self) -> Any:
        """As a Side."""
        return self.side.transport

    def connection_made(self, transport: Any) -> None:
        """As a Side."""
        self.side.connection_made(transport)

    def get_buffer(self, sizehint: int) -> Any:
        """The buffer; the first hint is noted by its sort, where the script is about that."""
        if self.tells_hint:
            self.tells_hint = False
            self.log.add(f"hint {'any' if sizehint == -1 else 'positive' if sizehint > 0 else sizehint}")
        if self.gives == "empty":
            return bytearray()
        if self.gives == "raising":
            raise ZeroDivisionError("raised on purpose")
        if len(self._buffer) != self.size:
            self._buffer = bytearray(self.size)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Some bytes came."""
        if not 1 <= nbytes <= self.size:
            self.log.add(f"updated {nbytes}")
        self.side.received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> Any:
        """As a Side."""
        return self.side.eof()

    def pause_writing(self) -> None:
        """As a Side."""
        self.side.paused()

    def resume_writing(self) -> None:
        """As a Side."""
        self.side.resumed()

    def connection_lost(self, exc: BaseException | None) -> None:
        """As a Side."""
        self.side.connection_lost(exc)


def _buffer(bench: Bench, name: str, word: str) -> None:
    """What the buffered protocol gives from now on: a size, or `empty`, or `raising`."""
    protocol = bench.actors[name]
    if word in ("empty", "raising"):
        protocol.gives = word
    else:
        protocol.size = amount(word)
        protocol._buffer = bytearray(protocol.size)


def _replace(bench: Bench, name: str, new: str, kind: str = "stream") -> None:
    """Another protocol takes over the transport."""
    transport = bench.actors[name].transport
    protocol: Any = Buffered(new, bench.react) if kind == "buffered" else Side(new, bench.react)
    bench.actors[new] = protocol
    bench.logs[new] = protocol.log
    protocol.log.peer = bench.logs[name].peer
    protocol.log.received_bytes = bench.logs[name].received_bytes
    side = protocol.side if kind == "buffered" else protocol
    side.transport, side.wire = transport, Wire(transport)
    transport.set_protocol(protocol)
    bench.log(name).add(f"protocol is {'new' if transport.get_protocol() is protocol else 'old'}")


async def _start_tls(bench: Bench, _: str) -> None:
    """Both sides go over to TLS at once."""
    start = offered(bench, "start_tls")
    made = {}
    for name in ("client", "server"):
        side = bench.actors[name]
        context = certificate.serving() if name == "server" else certificate.asking()
        asked = {"server_side": True} if name == "server" else {"server_hostname": "localhost"}
        made[name] = asyncio.ensure_future(start(side.transport, side, context, **asked))
    for name, future in made.items():
        transport = await future
        bench.actors[name].transport, bench.actors[name].wire = transport, Wire(transport)
        bench.log(name).add("secured")


async def _sendfile(bench: Bench, name: str, count: str, *words: str) -> None:
    """Send a file of so many bytes; `from=N` and `count=N` of it."""
    sendfile = offered(bench, "sendfile")
    given = {key: amount(value) for key, value in (word.split("=") for word in words)}
    log = bench.log(name)
    skipped = given.get("from", 0)
    sending = given.get("count", amount(count) - skipped)
    with tempfile.TemporaryFile() as file:
        file.write(bytes(skipped) + payload(log.sent_bytes, amount(count) - skipped))
        log.sent_bytes += max(0, min(sending, amount(count) - skipped))
        file.seek(0)
        asked = {"offset": skipped} | ({"count": given["count"]} if "count" in given else {})
        number = await sendfile(bench.actors[name].transport, file, **asked)
    log.add("sendfile all" if number == min(sending, amount(count) - skipped) else f"sendfile {number}")


VERBS: Final[dict[str, Verb]] = {
    "connect": _connect,
    "buffer": _buffer,
    "replace": _replace,
    "start_tls": _start_tls,
    "sendfile": _sendfile,
}
