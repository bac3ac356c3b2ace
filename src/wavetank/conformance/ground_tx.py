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

from twisted.internet import defer, interfaces, protocol, task
from twisted.python import log
from zope.interface import implementer

from wavetank.conformance.actors import Raw, Side
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.pairs_tx import asking, serving, the_reactor, tls
from wavetank.conformance.wires import TWISTED, NotOffered

HOST: Final = "127.0.0.1"


@implementer(interfaces.IHalfCloseableProtocol)
class TwistedSide(Side):
    """A stream protocol of a script, in Twisted's dialect."""

    def makeConnection(self, transport: Any) -> None:
        """Without delay for small writes, as asyncio's sockets are: a script would wait for acknowledgements."""
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        super().makeConnection(transport)

    def readConnectionLost(self) -> None:
        """The peer ended its direction."""
        if not self.eof():
            self.wire.close()

    def writeConnectionLost(self) -> None:
        """One's own direction has ended, as asked."""


class _Factory(protocol.ClientFactory):
    """Makes its protocols with a function."""

    noisy = False

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.failed: defer.Deferred[None] = defer.Deferred()

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a new connection."""
        made = self.make()
        made.factory = self
        return made

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        """Nobody listens."""
        self.failed.errback(reason)


class TwistedGround:
    """One reactor, while it runs one case."""

    dialect = TWISTED

    def __init__(self, reactor: Any, endpoint: Any = None) -> None:
        self.reactor = reactor
        self.endpoint = endpoint

    @property
    def verbs(self) -> Mapping[str, Verb]:
        """The verbs of this ground."""
        return VERBS

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
            reactor.run(installSignalHandlers=False)
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
    assert connecting is not None, f"{kind} is for asyncio only, and the case does not say so"
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
    port = reactor.listenTCP(0, _Factory(lambda: bench.side("server")), interface=HOST)
    reactor.connectTCP(HOST, port.getHost().port, _Factory(lambda: bench.side("client")))
    await bench.wait("server", "made")
    await port.stopListening()


async def _tls(bench: Bench) -> None:
    reactor = bench.ground.reactor
    wrap = tls().TLSMemoryBIOFactory
    accepting = wrap(serving(), False, _Factory(lambda: bench.side("server")), reactor)
    connecting = wrap(asking(), True, _Factory(lambda: bench.side("client")), reactor)
    port = reactor.listenTCP(0, accepting, interface=HOST)
    reactor.connectTCP(HOST, port.getHost().port, connecting)
    await bench.wait("server", "made")
    await port.stopListening()


async def _unix(bench: Bench) -> None:
    reactor = bench.ground.reactor
    folder = tempfile.TemporaryDirectory(prefix="wavetank-")
    bench.extra.setdefault("folders", []).append(folder)
    path = os.path.join(folder.name, "socket")
    port = reactor.listenUNIX(path, _Factory(lambda: bench.side("server")))
    reactor.connectUNIX(path, _Factory(lambda: bench.side("client")))
    await bench.wait("server", "made")
    await port.stopListening()


async def _raw_server(bench: Bench) -> None:
    with socket.create_server((HOST, 0)) as listening:
        listening.setblocking(False)
        bench.ground.reactor.connectTCP(*listening.getsockname(), _Factory(lambda: bench.side("client")))
        accepted = None
        while accepted is None:
            with contextlib.suppress(BlockingIOError):
                accepted, _ = listening.accept()
            await bench.ground.turn()
        bench.add("raw", Raw(accepted))
    await bench.wait("client", "made")


async def _raw_client(bench: Bench) -> None:
    port = bench.ground.reactor.listenTCP(0, _Factory(lambda: bench.side("server")), interface=HOST)
    raw = socket.create_connection((HOST, port.getHost().port))
    bench.add("raw", Raw(raw))
    await bench.wait("server", "made")
    await port.stopListening()


_CONNECTING: Final[dict[str, Callable[[Bench], Any]]] = {
    "tcp": _tcp,
    "tls": _tls,
    "unix": _unix,
    "raw-server": _raw_server,
    "raw-client": _raw_client,
}

VERBS: Final[dict[str, Verb]] = {"connect": _connect}
