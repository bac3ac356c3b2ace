"""Pairs of protocols on a Twisted reactor: how they listen, connect, end, and what a reactor may not keep of them.

Owns the endpoints of Twisted and the search of a reactor for what was left behind. It imports Twisted, so it is
imported only when a factory has made a reactor.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import twisted.internet
from twisted.internet import defer, protocol
from twisted.internet import endpoints as _endpoints
from twisted.logger import globalLogBeginner
from twisted.python import log

from wavetank.conformance import certificate
from wavetank.conformance.pairs import Happening, Pair
from wavetank.conformance.wires import NotOffered

#: Not typed there.
endpoints: Any = _endpoints


class _Factory(protocol.Factory):
    """Makes its protocols with a function."""

    noisy = False

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a new connection."""
        made = self.make()
        made.factory = self
        return made


class Endpoint:
    """One named endpoint: `listen`, then `connect` to what listens; both return Deferreds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="wavetank-") if name == "unix" else None

    def listen(self, reactor: Any, factory: Callable[[], Any]) -> Any:
        """A port that makes its protocols with `factory`."""
        if self._folder is not None:
            found: Any = endpoints.UNIXServerEndpoint(reactor, os.path.join(self._folder.name, "socket"))
        else:
            found = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        return found.listen(self._factory(reactor, factory, connects=False))

    def connect(self, reactor: Any, factory: Callable[[], Any], listening: Any) -> Any:
        """Connect a protocol to that port."""
        address = listening.getHost()
        if self._folder is not None:
            found: Any = endpoints.UNIXClientEndpoint(reactor, address.name)
        else:
            found = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
        return found.connect(self._factory(reactor, factory, connects=True))

    def _factory(self, reactor: Any, make: Callable[[], Any], *, connects: bool) -> Any:
        factory = _Factory(make)
        if self.name != "tls":
            return factory
        context = asking() if connects else serving()
        # Its writes are put together by a timer, of the global reactor unless told otherwise.
        return tls().TLSMemoryBIOFactory(context, connects, factory, reactor)

    def clean(self) -> None:
        """Remove what was made for it."""
        if self._folder is not None:
            self._folder.cleanup()


def _ssl() -> Any:
    try:
        from twisted.internet import ssl
    except ImportError as missing:
        raise NotOffered(f"TLS: {missing}") from None
    return ssl


def tls() -> Any:
    """The module twisted.protocols.tls; NotOffered without pyOpenSSL."""
    _ssl()
    from twisted.protocols import tls

    return tls


def serving() -> Any:
    """The context of the side that accepts."""
    return _ssl().PrivateCertificate.loadPEM(certificate.KEY + certificate.CERTIFICATE).options()


def asking(name: str = "localhost") -> Any:
    """The context of the side that connects to a peer of this name."""
    ssl = _ssl()
    return ssl.optionsForClientTLS(name, trustRoot=ssl.Certificate.loadPEM(certificate.CERTIFICATE))


def close_reactor(reactor: Any) -> None:
    """Close what the reactor has open for itself: Twisted has no call for that (its ReactorBuilder does the same)."""
    for reader in [*getattr(reactor, "_internalReaders", ())]:
        reactor.removeReader(reader)
        reader.connectionLost(None)
    for name in ("_poller", "_asyncioEventloop"):
        closing = getattr(getattr(reactor, name, None), "close", None)
        if closing is not None:
            closing()


def _forget_events() -> None:
    """Empty what Twisted keeps of its events for who begins to log later: they hold the protocols they are about."""
    kept: Any = getattr(globalLogBeginner, "_initialBuffer", None)
    if kept is not None:
        kept._buffer.clear()


@contextmanager
def the_reactor(reactor: Any) -> Iterator[None]:
    """For the time being this is the global reactor: parts of Twisted know no other (a pull producer over TLS)."""
    name = "twisted.internet.reactor"
    package: Any = twisted.internet
    module = sys.modules.get(name)
    sys.modules[name] = package.reactor = reactor
    try:
        yield
    finally:
        if module is None:
            del sys.modules[name], package.reactor
        else:
            sys.modules[name] = package.reactor = module


class _Run:
    """One run: starts with the reactor, stops it when both sides have ended or time is up."""

    def __init__(self, reactor: Any, pair: Pair, endpoint: Any, timeout_s: float) -> None:
        self.reactor, self.pair, self.endpoint, self.timeout_s = reactor, pair, endpoint, timeout_s
        self.errors: list[BaseException] = []
        self.left: list[str] = []
        self.timed_out = False
        self.failed: BaseException | None = None
        self._port: Any = None
        self._limit: Any = None

    def observe(self, event: Any) -> None:
        """An event of Twisted's log: errors are kept."""
        if event.get("isError"):
            failure = event.get("failure")
            self.errors.append(failure.value if failure is not None else RuntimeError(str(event.get("message"))))
            if failure is not None:
                # Twisted keeps its last events; their frames would keep the protocols.
                failure.cleanFailure()

    def start(self) -> None:
        """The reactor runs: listen and connect."""
        self._limit = self.reactor.callLater(self.timeout_s, self._time_is_up)
        self.pair.begin(self.reactor, self._both_ended)
        started = defer.maybeDeferred(self.endpoint.listen, self.reactor, lambda server=self.pair.server: server)
        started.addCallback(self._listening)
        started.addErrback(self._could_not)

    def _listening(self, port: Any) -> Any:
        self._port = port
        return self.endpoint.connect(self.reactor, lambda client=self.pair.client: client, port)

    def _could_not(self, failure: Any) -> None:
        # A connection that ends before its endpoint has reported it is the pair's affair, not ours.
        if not (self.pair.client.ended or self.pair.client.wire is not None):
            self.failed = failure.value
            self._stop()

    def _time_is_up(self) -> None:
        self.timed_out = True
        self.pair.freeze()
        self._stop()

    def _both_ended(self) -> None:
        self._limit.cancel()
        self.reactor.callLater(0, self._stop)

    def _stop(self) -> None:
        closed = defer.maybeDeferred(self._port.stopListening) if self._port is not None else defer.succeed(None)
        closed.addBoth(lambda _: self.reactor.callLater(0, self._search_and_stop))
        self._port = None

    def _search_and_stop(self) -> None:
        # Before stop: a reactor may end itself by a timer of its own (AsyncioSelectorReactor does).
        # After a pair that hangs, what is open is closed by the reactor as it stops.
        if not self.timed_out:
            self.left += [f"timer {each}" for each in self.reactor.getDelayedCalls()]
            self.left += [f"reader or writer {each!r}" for each in self.reactor.removeAll()]
        self.reactor.stop()


def run(reactor: Any, pair: Pair, endpoint: Any, timeout_s: float) -> Happening:
    """Run the pair on this reactor until it stops."""
    chosen = Endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    current = _Run(reactor, pair, chosen, timeout_s)
    log.addObserver(current.observe)
    try:
        with the_reactor(reactor):
            reactor.callWhenRunning(current.start)
            reactor.run(installSignalHandlers=False)
    finally:
        log.removeObserver(current.observe)
        close_reactor(reactor)
        _forget_events()
        if isinstance(chosen, Endpoint):
            chosen.clean()
    if current.failed is not None:
        raise current.failed
    happening = pair.release(current.errors, timed_out=current.timed_out)
    if not current.timed_out:
        happening.left += current.left
    return happening
