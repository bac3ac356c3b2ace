"""The ground of Twisted's reactors: how a script's connections are made there.

Owns the verbs for streams over TCP, UNIX sockets and TLS on a reactor. Half close is asked for by every protocol of a
script (IHalfCloseableProtocol), so that `eof` means the same as on asyncio: unless it is kept open, it closes. It
imports Twisted, so it is imported only for a reactor.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet import defer, interfaces, task
from twisted.internet import endpoints as _endpoints
from twisted.python import log
from zope.interface import implementer

from wavetank.conformance import certificate
from wavetank.conformance.actors import Raw, Side
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.pairs_tx import asking, serving, the_reactor, tls
from wavetank.conformance.verbs_tx import HOST, Factory, adopt
from wavetank.conformance.wires import TWISTED, NotOffered

#: Not typed there.
_tcp_endpoint: Any = _endpoints.TCP4ClientEndpoint


@implementer(interfaces.IHalfCloseableProtocol, interfaces.IHandshakeListener)
class TwistedSide(Side):
    """A stream protocol of a script, in Twisted's dialect."""

    #: Whether TLS is agreed on; Twisted connects its protocols before that.
    has_shaken_hands = False

    def handshakeCompleted(self) -> None:
        """TLS is agreed on."""
        self.has_shaken_hands = True

    def makeConnection(self, transport: Any) -> None:
        """Without delay for small writes, as asyncio's sockets are: a script would wait for acknowledgements."""
        with contextlib.suppress(AttributeError, OSError):  # no TCP; UNIX sockets of older releases have the call, too
            transport.setTcpNoDelay(True)
        super().makeConnection(transport)

    def readConnectionLost(self) -> None:
        """The peer ended its direction."""
        if not self.eof():
            self.wire.close()

    def writeConnectionLost(self) -> None:
        """One's own direction has ended, as asked."""


class TwistedGround:
    """One reactor, while it runs one case."""

    dialect = TWISTED

    def __init__(self, reactor: Any, endpoint: Any = None) -> None:
        self.reactor = reactor
        self.endpoint = endpoint

    @property
    def verbs(self) -> Mapping[str, Verb]:
        """The verbs of this ground."""
        from wavetank.conformance import verbs_tx, verbs_tx_system

        return {**VERBS, **verbs_tx.VERBS, **verbs_tx_system.VERBS}

    def side(self, name: str, react: Callable[[str, str], Any]) -> Side:
        """A stream protocol."""
        return TwistedSide(name, react)

    def now(self) -> float:
        """Seconds."""
        return float(self.reactor.seconds())

    async def turn(self) -> None:
        """One turn of the reactor."""
        await task.deferLater(self.reactor, 0)

    async def sleep(self, seconds: float) -> None:
        """So long."""
        await task.deferLater(self.reactor, seconds)


def run_case(reactor: Any, case: Any, endpoint: Any = None) -> dict[str, list[str]]:
    """Run one case on this reactor; what each actor heard. Raises NotOffered.

    `endpoint`: an object whose `listen` and `connect` make the pairs of plain streams; then there is nothing else.
    """
    bench = Bench(case, TwistedGround(reactor, endpoint))
    outcome: list[Any] = []

    def observe(event: Any) -> None:
        if event.get("isError"):
            failure = event.get("failure")
            bench.trouble(failure.value if failure is not None else None, "an error")

    def start() -> None:
        running = defer.ensureDeferred(bench.run())
        running.addBoth(outcome.append)
        running.addBoth(lambda _: reactor.callLater(0, reactor.stop))

    log.addObserver(observe)
    try:
        with the_reactor(reactor):
            reactor.callWhenRunning(start)
            # A reactor learns of the end of a child by SIGCHLD, and handles that only with all other signals.
            reactor.run(installSignalHandlers="process" in case.wants)
    finally:
        log.removeObserver(observe)
        for folder in bench.extra.get("folders", ()):
            folder.cleanup()
    (heard,) = outcome
    if isinstance(heard, dict):
        return heard
    raise heard.value


async def _connect(bench: Bench, _: str, kind: str = "tcp") -> None:
    """Connect the client to the server; one of them may be a plain socket (`raw`)."""
    connecting = _CONNECTING.get(kind)
    if connecting is None:
        raise NotOffered(f"connect {kind}")
    endpoint, reactor = bench.ground.endpoint, bench.ground.reactor
    if endpoint is None:
        await connecting(bench)
    elif kind == "tcp":
        listening = await endpoint.listen(reactor, lambda: bench.side("server"))
        await endpoint.connect(reactor, lambda: bench.side("client"), listening)
    else:
        raise NotOffered(f"connect {kind}")
    for name in ("client", "server"):
        if name in bench.actors:
            await bench.wait(name, "made")


async def _tcp(bench: Bench) -> None:
    reactor = bench.ground.reactor
    port = reactor.listenTCP(0, Factory(lambda: bench.side("server")), interface=HOST)
    reactor.connectTCP(HOST, port.getHost().port, Factory(lambda: bench.side("client")))
    await bench.wait("server", "made")
    await port.stopListening()


async def _tls(bench: Bench) -> None:
    reactor = bench.ground.reactor
    wrap = tls().TLSMemoryBIOFactory
    accepting = wrap(serving(), False, Factory(lambda: bench.side("server")), reactor)
    connecting = wrap(asking(), True, Factory(lambda: bench.side("client")), reactor)
    port = reactor.listenTCP(0, accepting, interface=HOST)
    reactor.connectTCP(HOST, port.getHost().port, connecting)
    await bench.wait("server", "made")
    while not all(getattr(bench.actors.get(name), "has_shaken_hands", False) for name in ("client", "server")):
        await bench.turn()
    await port.stopListening()


async def _unix(bench: Bench) -> None:
    reactor = bench.ground.reactor
    folder = tempfile.TemporaryDirectory(prefix="wavetank-")
    bench.extra.setdefault("folders", []).append(folder)
    path = os.path.join(folder.name, "socket")
    port = reactor.listenUNIX(path, Factory(lambda: bench.side("server")))
    reactor.connectUNIX(path, Factory(lambda: bench.side("client")))
    await bench.wait("server", "made")
    await port.stopListening()


async def _socketpair(bench: Bench) -> None:
    left, right = socket.socketpair()
    for sock, name in ((left, "client"), (right, "server")):
        adopt(bench, name, sock)


async def _raw_server(bench: Bench, *, secure: bool = False) -> None:
    reactor = bench.ground.reactor
    factory: Any = Factory(lambda: bench.side("client"))
    with socket.create_server((HOST, 0)) as listening:
        listening.setblocking(False)
        wrapped = tls().TLSMemoryBIOFactory(asking(), True, factory, reactor) if secure else factory
        reactor.connectTCP(*listening.getsockname(), wrapped)
        accepted = None
        while accepted is None:
            with contextlib.suppress(BlockingIOError):
                accepted, _ = listening.accept()
            await bench.ground.turn()
        raw = bench.add("raw", Raw(accepted))
    if secure:
        raw.begin_tls(certificate.serving(), server=True)
    await bench.wait("client", "made")
    while raw.is_shaking_hands:
        await bench.turn()


async def _greeting(bench: Bench) -> None:
    """The server speaks first, and what the client knows when its endpoint has connected is kept."""
    reactor = bench.ground.reactor
    port = reactor.listenTCP(0, Factory(lambda: bench.side("server")), interface=HOST)
    endpoint = _tcp_endpoint(reactor, HOST, port.getHost().port)
    await endpoint.connect(Factory(lambda: bench.side("client")))
    for token in bench.log("client").told():
        bench.log("seen at return").add(token)
    await port.stopListening()


async def _raw_client(bench: Bench) -> None:
    port = bench.ground.reactor.listenTCP(0, Factory(lambda: bench.side("server")), interface=HOST)
    raw = socket.create_connection((HOST, port.getHost().port))
    bench.add("raw", Raw(raw))
    await bench.wait("server", "made")
    await port.stopListening()


_CONNECTING: Final[dict[str, Callable[[Bench], Any]]] = {
    "tcp": _tcp,
    "tls": _tls,
    "unix": _unix,
    "pair": _socketpair,
    "raw-server": _raw_server,
    "raw-client": _raw_client,
    "tls-raw-server": lambda bench: _raw_server(bench, secure=True),
    "greeting": _greeting,
}

VERBS: Final[dict[str, Verb]] = {"connect": _connect}
