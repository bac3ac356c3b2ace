"""The transport of a joined Twisted protocol, and how such a protocol is spoken to.

Owns Twisted's words: which callback, which reason, and the rules by which producers are paused and resumed. Must never
hold bytes or decide when something happens: `wire` does. Source: twisted/internet/abstract.py (FileDescriptor,
_ConsumerMixin) and tcp.py (Connection, _AbortingMixin) of Twisted 26.10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.python import log as twisted_log
from twisted.python.failure import Failure
from zope.interface import implementer

from wavetank.contract import Monitor
from wavetank.doubles.tx.string import BUFFER_SIZE, must_be_bytes
from wavetank.doubles.wire.end import End, Loss
from wavetank.doubles.wire.log import KEPT_BYTES
from wavetank.doubles.wire.watermarks import Watermarks
from wavetank.doubles.wire.way import Way
from wavetank.errors import UsageError

#: A producer is paused when more than `bufferSize` bytes wait, and resumed when none does.
_MARKS: Final = Watermarks(0, BUFFER_SIZE)
_REASONS: Final = {
    Loss.DONE: error.ConnectionDone,
    Loss.ABORTED: error.ConnectionAborted,
    Loss.RESET: error.ConnectionLost,
    Loss.BROKEN: error.ConnectionLost,
}


class Speaker:
    """Calls one Twisted protocol."""

    #: Connection.doRead reads at most `bufferSize` bytes.
    max_read = BUFFER_SIZE
    #: A streaming producer is paused at each write while the buffer is full.
    insists = True
    #: A protocol that cannot half close loses the connection when the other side does, and what it has not sent.
    ends_at_once = True
    words: Mapping[str, str] = MappingProxyType({
        "connection_made": "makeConnection",
        "connection_lost": "connectionLost",
        "eof_received": "readConnectionLost",
        "write_ended": "writeConnectionLost",
        "write_eof": "loseWriteConnection",
        "close": "loseConnection",
        "abort": "abortConnection",
        "pause_reading": "pauseProducing",
        "resume_reading": "resumeProducing",
        "pause_writing": "producer.pauseProducing",
        "resume_writing": "producer.resumeProducing",
    })  # fmt: skip

    def __init__(self, protocol: Any, watermarks: Watermarks | None, host: Any, peer: Any) -> None:
        self.watermarks = _MARKS if watermarks is None else watermarks
        self.transport = Transport(protocol, host, peer)
        #: Who else is told of the loss: a connector.
        self.on_lost: Callable[[Failure], None] | None = None
        self._monitor = protocol if isinstance(protocol, Monitor) else None

    def attach(self, end: End) -> None:
        """Speak for this end from now on."""
        transport = self.transport
        transport._end = end
        transport._way = end.outward
        end.target, end.word = transport._protocol, "dataReceived"

    def face(self) -> Any:
        """The transport, or what a monitor shows of it."""
        return self.transport if self._monitor is None else self._monitor.transport or self.transport

    def made(self) -> None:
        """`makeConnection(transport)`, which calls `connectionMade`."""
        self.transport._protocol.makeConnection(self.transport)

    def fill(self, data: bytes) -> int:
        """Twisted has no buffered protocols."""
        raise AssertionError("a Twisted protocol is never filled")

    def filled(self, size: int) -> None:
        """Twisted has no buffered protocols."""
        raise AssertionError("a Twisted protocol is never filled")

    def ended(self) -> bool:
        """`readConnectionLost()` of a protocol that can half close, which stays open; others lose the connection."""
        half: Any = IHalfCloseableProtocol(self.transport._protocol, None)
        if half is None:
            return False
        half.readConnectionLost()
        return True

    def lost(self, loss: Loss, error: BaseException | None) -> None:
        """Stop the producer, and `connectionLost(reason)`."""
        transport = self.transport
        producer, transport.producer = transport.producer, None
        protocol = transport._protocol
        self.transport._end.target = None
        try:
            if producer is not None:
                producer.stopProducing()
        finally:
            transport._protocol = None
            reason = Failure(_REASONS[loss]()) if error is None else Failure(error)
            try:
                protocol.connectionLost(reason)
            finally:
                if self.on_lost is not None:
                    self.on_lost(reason)

    def pausing(self) -> Callable[[], Any] | None:
        """`pauseProducing()` of a streaming producer."""
        transport = self.transport
        if transport.producer is None or not transport.streamingProducer:
            return None
        transport.producerPaused = True
        pause: Callable[[], Any] = transport.producer.pauseProducing
        return pause

    def resuming(self) -> Callable[[], Any] | None:
        """`resumeProducing()` of a streaming producer that was paused."""
        transport = self.transport
        if transport.producer is None or not transport.producerPaused:
            return None
        transport.producerPaused = False
        resume: Callable[[], Any] = transport.producer.resumeProducing
        return resume

    def emptied(self) -> Callable[[], Any] | None:
        """`resumeProducing()` of a pull producer, whenever nothing waits."""
        transport = self.transport
        if transport.producer is None or transport.streamingProducer:
            return None
        resume: Callable[[], Any] = transport.producer.resumeProducing
        return resume

    def half_closed(self) -> Callable[[], Any] | None:
        """`writeConnectionLost()` of a protocol that can half close."""
        half: Any = IHalfCloseableProtocol(self.transport._protocol, None)
        return None if half is None else half.writeConnectionLost

    def report(self, error: BaseException, call: str) -> None:
        """To Twisted's log, where trial finds it."""
        twisted_log.err(Failure(error), f"{call} of {self.transport._protocol!r}")


@implementer(ITransport, ITCPTransport, IConsumer, IPushProducer)
class Transport:
    """A real transport in every way that a protocol can see, without a socket below it.

    `write` never gives the other side anything inside the call; `connectionLost` is called by a later round, with
    ConnectionDone, ConnectionAborted or ConnectionLost. Producers: a streaming one is paused at each write while more
    than `bufferSize` bytes wait, and resumed when none does; a pull one is resumed at registration and whenever
    nothing waits; a registered producer keeps a connection that is being lost until it is unregistered.
    """

    bufferSize = BUFFER_SIZE
    producer: Any = None
    streamingProducer = False
    producerPaused = False
    _disconnecting = False

    def __init__(self, protocol: Any, host: Any, peer: Any) -> None:
        self._protocol = protocol
        self._end: End
        self._way: Way
        self._host, self._peer = address_of(host), address_of(peer)
        self._options: dict[str, bool] = {"no delay": False, "keep alive": False}

    def __repr__(self) -> str:
        end = self._end
        state = "lost" if end.lost else "disconnecting" if end.closing else "open"
        return f"<{type(self).__name__} {end.name} {state} write={end.outward.size}>"

    @property
    def name(self) -> str:
        """The name of this end in the log and in targets of faults."""
        return self._end.name

    @property
    def protocol(self) -> Any:
        """Who is called; None after its `connectionLost`. May be set to another."""
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self._protocol = self._end.target = protocol

    @property
    def connected(self) -> int:
        """1, and 0 after the loss."""
        return int(not self._end.lost)

    @property
    def disconnected(self) -> int:
        """0, and 1 after the loss."""
        return int(self._end.lost)

    @property
    def disconnecting(self) -> bool:
        """Whether `loseConnection` was called."""
        return self._disconnecting

    # ---- ITransport

    def write(self, data: bytes) -> None:
        """Send `data`, in a later round; TypeError unless it is `bytes`. Dropped after loss and half close."""
        way = self._way
        if type(data) is bytes and data and way.open:
            # What `End.write` does, for the most frequent case.
            raw = way.raw
            size = len(data)
            raw.append(way.wrote)
            if size <= KEPT_BYTES:
                raw.append(data)
            else:
                raw.append(data[:KEPT_BYTES])
                raw.append(size)
            way.queue.append(data)
            way.size = size = way.size + size
            if size > way.limit:
                self._end.written()
            return
        must_be_bytes(data)
        if data:
            end = self._end
            if end.eof_written and not end.outward.size:
                end.outward.dropped += len(data)
            else:
                end.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send all of them, as one write; TypeError unless they are all `bytes`."""
        iovec = list(iovec)
        for each in iovec:
            must_be_bytes(each)
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Lose the connection when all that waits has been sent, and no producer is registered."""
        self._disconnecting = True
        self._end.close()

    def abortConnection(self) -> None:
        """Lose the connection at once, and what waits; ConnectionAborted here, ConnectionLost there."""
        self._end.abort()

    def getHost(self) -> Any:
        """The address of this side."""
        return self._host

    def getPeer(self) -> Any:
        """The address of the other side."""
        return self._peer

    # ---- ITCPTransport

    def loseWriteConnection(self) -> None:
        """Half close, when all that waits has been sent; `writeConnectionLost` follows for those who want it."""
        self._end.write_eof()

    def getTcpNoDelay(self) -> bool:
        """What `setTcpNoDelay` set."""
        return self._options["no delay"]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Remembered; there are no segments to be joined."""
        self._options["no delay"] = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """What `setTcpKeepAlive` set."""
        return self._options["keep alive"]

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Remembered; nobody's peer vanishes here unless told to."""
        self._options["keep alive"] = bool(enabled)

    # ---- IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Register a producer: stopped at once after the loss; a pull producer is resumed at once.

        RuntimeError when there is one already.
        """
        end = self._end
        end.connection.log.note(end.name, "registerProducer", producer)
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self.producer} was never unregistered."
            )
        if end.lost:
            producer.stopProducing()
            return
        self.producer, self.streamingProducer = producer, streaming
        self.producerPaused = False
        end.held_open = True
        end.attend()
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer; a connection that is being lost waits for it no longer."""
        end = self._end
        end.connection.log.note(end.name, "unregisterProducer")
        self.producer = None
        end.held_open = False
        end.attend()
        end.release()

    def stopConsuming(self) -> None:
        """Forget the producer and lose the connection."""
        self.unregisterProducer()
        self.loseConnection()

    # ---- IPushProducer

    def pauseProducing(self) -> None:
        """Take nothing until `resumeProducing`."""
        self._end.pause_reading()

    def stopReading(self) -> None:
        """As `pauseProducing`."""
        self.pauseProducing()

    def startReading(self) -> None:
        """As `resumeProducing`."""
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """Take what comes; nothing when the connection is being lost, or is lost."""
        if not self._end.closing:
            self._end.resume_reading()

    def stopProducing(self) -> None:
        """Lose the connection."""
        self.loseConnection()


def address_of(given: Any) -> Any:
    """An address object: a pair becomes a TCP address, anything else is taken as it is."""
    if isinstance(given, tuple) and len(given) == 2:
        return IPv4Address("TCP", given[0], given[1])
    return given


def speaker_for(protocol: Any, watermarks: Watermarks | None, host: Any, peer: Any) -> Speaker:
    """A speaker for `protocol`; raises `UsageError` where a callback is missing that will be called."""
    missing = [name for name in ("makeConnection", "connectionLost") if not callable(getattr(protocol, name, None))]
    if missing:
        raise UsageError(
            f"{type(protocol).__name__} has no {' and no '.join(missing)}",
            why="a stream protocol of Twisted has them all",
            next="derive it from twisted.internet.protocol.Protocol",
        )
    return Speaker(protocol, watermarks, host, peer)
