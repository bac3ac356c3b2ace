"""Twisted protocols, producers and helpers for tests.

Owns what records what happened to a protocol. Must never check anything: these are what tests look at. Source of the
behaviour: twisted.internet.testing of Twisted 26.10, whose names, attributes and orders these have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet import protocol, task
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver
from twisted.protocols import basic
from twisted.python.failure import Failure
from zope.interface import implementer


class AccumulatingProtocol(protocol.Protocol):
    """Collects what it receives, and says when it is connected and disconnected.

    `made`, `closed`: 0, then 1. `data`: all bytes received. `closedReason`: the Failure of `connectionLost`.
    `closedDeferred`: set one, and it fires, once, when the connection is lost. `factory`: if it has a Deferred as
    `protocolConnectionMade`, that fires with the first protocol whose connection is made.
    """

    made: int = 0
    closed: int = 0
    closedReason: Failure | None = None
    closedDeferred: Deferred[None] | None = None
    data: bytes = b""
    factory: Any = None

    def connectionMade(self) -> None:
        """Note it, and fire `factory.protocolConnectionMade`, which is None from then on."""
        self.made = 1
        # A factory without the attribute is an AttributeError, as it is with Twisted's.
        if self.factory is not None and self.factory.protocolConnectionMade is not None:
            waiting = self.factory.protocolConnectionMade
            self.factory.protocolConnectionMade = None
            waiting.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """Add to `data`."""
        self.data += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Note it and the reason; fire `closedDeferred`, which is None from then on."""
        self.closed = 1
        self.closedReason = reason
        waiting, self.closedDeferred = self.closedDeferred, None
        if waiting is not None:
            waiting.callback(None)


class LineSendingProtocol(basic.LineReceiver):
    """Sends `lines`, at once or (`start=False`) when the first line comes; keeps what comes in `response`.

    A quirk of Twisted's is kept: with `start=False`, the first entry of `response` is the last line that was sent.
    """

    lostConn = False

    def __init__(self, lines: Sequence[bytes], start: bool = True) -> None:
        self.lines = list(lines)
        self.response: list[bytes] = []
        self.start = start

    def connectionMade(self) -> None:
        """Send the lines, if it starts."""
        if self.start:
            self._send()

    def lineReceived(self, line: bytes) -> None:
        """Keep the line; send the lines if that has not been done."""
        if not self.start:
            self._send()
            # As Twisted's: in place of the first line that comes, the last one sent is kept.
            line = self.lines[-1] if self.lines else line
            self.lines = []
        self.response.append(line)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Set `lostConn`."""
        self.lostConn = True

    def _send(self) -> None:
        send: Any = self.sendLine
        for line in self.lines:
            send(line)


class NonStreamingProducer:
    """A pull producer that writes b"0" to b"9", one each time it is asked, and unregisters itself.

    `result` fires when it is done or stopped. To be asked again after that, and to be paused, is a RuntimeError.
    """

    counter = 0
    stopped = False
    _count = 10

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.result: Deferred[None] = Deferred()

    def resumeProducing(self) -> None:
        """Write the next number."""
        if self.consumer is None or self.counter >= self._count:
            raise RuntimeError("BUG: resume after unregister/stop.")
        self.consumer.write(b"%d" % self.counter)
        self.counter += 1
        if self.counter == self._count:
            self.consumer.unregisterProducer()
            self._done()

    def pauseProducing(self) -> None:
        """Raise: nobody pauses a pull producer."""
        raise RuntimeError("BUG: pause should never be called.")

    def stopProducing(self) -> None:
        """Note it, and fire `result`."""
        self.stopped = True
        self._done()

    def _done(self) -> None:
        self.consumer = None
        result = self.result
        del self.result
        result.callback(None)


def waitUntilAllDisconnected(reactor: Any, protocols: Sequence[Any]) -> Deferred[Any]:
    """A Deferred that fires when no transport of these protocols is connected; asked every 10 ms of its time."""

    def look() -> None:
        if True not in [each.transport.connected for each in protocols]:  # 1, as reactors have it, is True, too
            looking.stop()

    looking = task.LoopingCall(look)
    looking.clock = reactor
    return looking.start(0.01, now=True)


@implementer(ILogObserver)
class EventLoggingObserver(Sequence[Any]):
    """A log observer that keeps its events: a sequence of them."""

    def __init__(self) -> None:
        self._events: list[Any] = []

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, index: Any) -> Any:
        return self._events[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._events)

    def __call__(self, event: Any) -> None:
        """Keep the event."""
        self._events.append(event)

    @classmethod
    def createWithCleanup(cls, testInstance: Any, publisher: Any) -> EventLoggingObserver:
        """One that observes `publisher` until the test is over."""
        made = cls()
        publisher.addObserver(made)
        testInstance.addCleanup(lambda: publisher.removeObserver(made))
        return made
