"""The words of scripts for servers, connecting, TLS in mid-stream and files on Twisted's reactors.

Owns what a reactor is asked for beyond plain pairs of streams: the same words as `verbs_server` and `ground_aio` have
for asyncio's loops. What Twisted has no call for is not here, and so not offered. It imports Twisted, so it is imported
only for a reactor.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import defer, error, protocol
from twisted.internet import endpoints as _endpoints
from twisted.protocols import basic

from wavetank.conformance.actors import Raw, Side, payload
from wavetank.conformance.case import amount
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.pairs_tx import asking, serving, tls
from wavetank.conformance.wires import NotOffered, TwistedWire

HOST: Final = "127.0.0.1"
#: Not typed there.
_hostname_endpoint: Any = _endpoints.HostnameEndpoint
_file_sender: Any = basic.FileSender


class Factory(protocol.ClientFactory):
    """Makes its protocols with a function; `arrived` fires with the first, or fails when there is nobody to talk to."""

    noisy = False

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.arrived: defer.Deferred[Any] = defer.Deferred()

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a new connection."""
        made = self.make()
        made.factory = self
        arrived, self.arrived = self.arrived, defer.Deferred()
        arrived.callback(made)
        return made

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        """Nobody listens, or it was stopped."""
        self.arrived.errback(reason)


def _reactor(bench: Bench) -> Any:
    return bench.ground.reactor


def _many(bench: Bench) -> Callable[[], Side]:
    """A factory of protocols that are named server, server2, ..."""
    numbers = bench.extra.setdefault("accepted", [])

    def make() -> Side:
        numbers.append(None)
        return bench.side("server" if len(numbers) == 1 else f"server{len(numbers)}")

    return make


async def _listen(bench: Bench, name: str, *words: str) -> None:
    """Listen: `again` on the port of before, `both` on two addresses, `tls`."""
    if "later" in words:
        raise NotOffered("a port that listens later")
    factory: Any = Factory(_many(bench))
    if "tls" in words:
        factory = tls().TLSMemoryBIOFactory(serving(), False, factory, _reactor(bench))
    port = bench.extra["port"] if "again" in words else 0
    bench.extra["listening"] = listening = _reactor(bench).listenTCP(port, factory, interface=HOST)
    bench.extra["port"] = listening.getHost().port
    if "both" in words:
        bench.extra["port6"] = _reactor(bench).listenTCP(0, factory, interface="::1").getHost().port
    bench.log(name).add("listens 2" if "both" in words else "listens")


async def _connected(bench: Bench, name: str, host: str, port: int, **options: Any) -> Any:
    factory = Factory(lambda: bench.side(name))
    arrived = factory.arrived
    _reactor(bench).connectTCP(host, port, factory, **options)
    await arrived
    await bench.wait(name, "made")


async def _dial(bench: Bench, name: str, *words: str) -> None:
    """Connect a client by this name to the port; `bound` from an address, `eyeballs` by name over all families."""
    if "eyeballs" in words:
        endpoint = _hostname_endpoint(_reactor(bench), HOST, bench.extra["port"], attemptDelay=0.01)
        await endpoint.connect(Factory(lambda: bench.side(name)))
        return
    options = {"bindAddress": (HOST, 0)} if "bound" in words else {}
    await _connected(bench, name, HOST, bench.extra["port"], **options)


async def _dial_taken(bench: Bench, name: str) -> None:
    """Connect to a port that is bound and not listening."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        await _connected(bench, name, *taken.getsockname())


async def _dial_cancelled(bench: Bench, name: str, turns: str) -> None:
    """Begin to connect, and stop that after so many turns of the reactor."""
    factory = Factory(lambda: bench.side(name))
    arrived = factory.arrived
    connector = _reactor(bench).connectTCP(HOST, bench.extra["port"], factory)
    for _ in range(int(turns)):
        await bench.ground.turn()
    try:
        connector.stopConnecting()
        await arrived
    except error.NotConnectingError:
        connector.disconnect()
        bench.log(name).add("closed")
    except error.UserError:
        bench.log(name).add("cancelled")


async def _dial_wrong_name(bench: Bench, name: str) -> None:
    """TLS with a certificate for another name; Twisted connects its protocol first, and tells of it at the end."""
    factory = Factory(lambda: bench.side(name))
    wrapped = tls().TLSMemoryBIOFactory(asking("elsewhere"), True, factory, _reactor(bench))
    _reactor(bench).connectTCP(HOST, bench.extra["port"], wrapped)
    await bench.wait(name, "lost")


async def _dial_timeout(bench: Bench, name: str) -> None:
    """A connect with a limit that does not get through: the backlog is full."""
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
            await _connected(bench, name, *full.getsockname(), timeout=0.05)
        finally:
            for sock in waiting:
                sock.close()


async def _dial_family(bench: Bench, name: str, family: str) -> None:
    host, port = ("::1", bench.extra["port6"]) if family == "6" else (HOST, bench.extra["port"])
    await _connected(bench, name, host, port)


async def _close_server(bench: Bench, name: str) -> None:
    """A port is stopped and waited for in one call: its Deferred is kept for `wait_closed`."""
    bench.extra["closing"] = defer.maybeDeferred(bench.extra["listening"].stopListening)
    bench.log(name).add("closed")


async def _wait_closed(bench: Bench, name: str) -> None:
    """`wait listening gone` is for the end of the port."""
    bench.extra["closing"].addBoth(lambda _: bench.log(name).add("gone"))
    await bench.settle()


async def _accept(bench: Bench, name: str) -> None:
    """adoptStreamConnection: a socket that somebody else accepted."""
    with socket.create_server((HOST, 0)) as listening:
        raw = socket.create_connection(listening.getsockname())
        bench.add("raw", Raw(raw))
        accepted, _ = listening.accept()
    adopt(bench, name, accepted)
    await bench.wait(name, "made")


def adopt(bench: Bench, name: str, sock: socket.socket) -> None:
    """Have the reactor take over a connected socket; it keeps a duplicate."""
    with sock:
        _reactor(bench).adoptStreamConnection(sock.fileno(), sock.family, Factory(lambda: bench.side(name)))


async def _start_tls(bench: Bench, _: str) -> None:
    """Both sides go over to TLS at once; the handshake begins by itself."""
    tls()
    for name in ("client", "server"):
        side = bench.actors[name]
        side.transport.startTLS(serving() if name == "server" else asking())
        side.wire = TwistedWire(side.transport)
        bench.log(name).add("secured")


async def _sendfile(bench: Bench, name: str, count: str, *words: str) -> None:
    """Send a file of so many bytes, by FileSender; it knows no part of a file."""
    if words:
        raise NotOffered("FileSender of a part")
    log = bench.log(name)
    with tempfile.TemporaryFile() as file:
        file.write(payload(log.sent_bytes, amount(count)))
        log.sent_bytes += amount(count)
        file.seek(0)
        side = bench.actors[name]
        await _file_sender().beginFileTransfer(file, side.transport)
    log.add("sendfile all")


VERBS: Final[dict[str, Verb]] = {
    "listen": _listen,
    "dial": _dial,
    "dial_taken": _dial_taken,
    "dial_cancelled": _dial_cancelled,
    "dial_wrong_name": _dial_wrong_name,
    "dial_timeout": _dial_timeout,
    "dial_family": _dial_family,
    "close_server": _close_server,
    "wait_closed": _wait_closed,
    "accept": _accept,
    "start_tls": _start_tls,
    "sendfile": _sendfile,
}
