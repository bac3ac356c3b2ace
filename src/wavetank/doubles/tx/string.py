"""`StringTransport` and its kin: transports that only remember what was written.

Owns what such a transport remembers, and, with `strict=True`, the contract of real transports. Must never call a
protocol unless it is the kind that disconnects. Source of the behaviour: twisted.internet.testing of Twisted 26.10,
quirks included; for `strict`, twisted.internet.abstract.FileDescriptor and the rules of `wavetank.contract`.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.violation import violation

HOST: Final = IPv4Address("TCP", "10.0.0.1", 12345)
PEER: Final = IPv4Address("TCP", "192.168.1.1", 54321)
#: twisted/internet/abstract.py, FileDescriptor.bufferSize: a buffer with more bytes than that is full.
BUFFER_SIZE: Final = 65536
#: The name of the one end that such a transport has, in its log.
_END: Final = "protocol"


def must_be_bytes(data: Any) -> None:
    """Raise `TypeError`, in Twisted's words, for what is not `bytes` (twisted/internet/abstract.py)."""
    if not isinstance(data, bytes):
        raise TypeError("Data must be bytes")


class StringIOWithoutClosing(BytesIO):
    """A BytesIO that cannot be closed."""

    def close(self) -> None:
        """Do nothing."""


@implementer(ITransport, IConsumer, IPushProducer)
class StringTransport:
    """Remembers what was written: `value()` is all of it since the last `clear()`; never calls a protocol.

    As Twisted's, `write` works whatever happened before, `connected` stays True, and pausing or resuming after
    `loseConnection` is a RuntimeError unless `lenient`. `log` is every call in order.

    With `strict=True` it keeps the contract of real transports:

    - `write` after the loss raises `ContractViolation`; the loss comes with `abortConnection`, and with
      `loseConnection` when nothing waits to be sent (what is written while something waits is still sent);
    - what was written waits until `flush()` or `clear()`: a streaming producer is paused at each write while more than
      65536 bytes wait, and resumed when nothing does; a pull producer is resumed when it is registered, and whenever
      nothing waits; a producer registered after the loss is stopped at once, and so is one when the connection is lost;
    - a registered producer keeps the connection until it is unregistered;
    - pausing and resuming after the loss do nothing.
    """

    disconnecting = False
    disconnected = False
    producer: Any = None
    streaming: Any = None
    hostAddr: Any = None
    peerAddr: Any = None
    producerState = "producing"
    bufferSize = BUFFER_SIZE
    _lenient = False
    _strict = False
    _pending = 0
    _producer_paused = False
    _log: Log | None = None

    def __init__(
        self, hostAddress: Any = None, peerAddress: Any = None, lenient: bool = False, *, strict: bool = False
    ) -> None:
        self._strict = strict
        self.clear()
        if hostAddress is not None:
            self.hostAddr = hostAddress
        if peerAddress is not None:
            self.peerAddr = peerAddress
        self.connected = True
        self._lenient = lenient

    # ---- for tests

    @property
    def log(self) -> Log:
        """Every call, in order."""
        if self._log is None:
            self._log = Log()
        return self._log

    def clear(self) -> None:
        """Forget what was written. When strict, it has been sent as well: see `flush`."""
        self.io = BytesIO()
        if self._strict:
            self.flush()

    def value(self) -> bytes:
        """All that was written since the last `clear()`."""
        return self.io.getvalue()

    def flush(self) -> None:
        """Strict: all that waits is sent; producers are resumed, and a connection that was to be lost is lost."""
        if not self._strict:
            return
        self._pending = 0
        producer = self.producer
        if self.disconnected:
            return
        if producer is not None and (self._producer_paused or not self.streaming):
            self._producer_paused = False
            producer.resumeProducing()
        elif producer is None and self.disconnecting:
            self._lose(error.ConnectionDone())

    # ---- ITransport

    def write(self, data: bytes) -> None:
        """Remember `data`; TypeError unless it is `bytes`."""
        must_be_bytes(data)
        self.log.data(_END, "write", data)
        if self._strict and not self._may_write():
            return
        self.io.write(data)
        if self._strict:
            self._written(len(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Remember all of them, joined; anything that b"".join takes, when not strict."""
        if self._strict:
            data = list(data)
            for each in data:
                must_be_bytes(each)
        joined = b"".join(data)
        self.log.data(_END, "writeSequence", joined)
        if self._strict and not self._may_write():
            return
        self.io.write(joined)
        if self._strict:
            self._written(len(joined))

    def loseConnection(self) -> None:
        """Set `disconnecting`; nothing else, unless strict."""
        self.log.note(_END, "loseConnection")
        self.disconnecting = True
        if self._strict and not self._pending and self.producer is None:
            self._lose(error.ConnectionDone())

    def abortConnection(self) -> None:
        """Set `disconnected` and `disconnecting`."""
        self.log.note(_END, "abortConnection")
        if not self._strict:
            self.disconnected = True
            self.loseConnection()
            return
        self.disconnecting = True
        if not self.disconnected:
            self._pending = 0
            self._lose(error.ConnectionAborted())

    def getPeer(self) -> Any:
        """`peerAddress`, or a TCP address."""
        return PEER if self.peerAddr is None else self.peerAddr

    def getHost(self) -> Any:
        """`hostAddress`, or a TCP address."""
        return HOST if self.hostAddr is None else self.hostAddr

    # ---- IConsumer

    def registerProducer(self, producer: Any, streaming: Any) -> None:
        """Keep both; RuntimeError when there is one already. Calls the producer only when strict."""
        self.log.note(_END, "registerProducer", producer)
        if self.producer is not None:
            raise RuntimeError("Cannot register two producers")
        if self._strict and self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streaming = streaming
        if self._strict and not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer; RuntimeError when there is none."""
        self.log.note(_END, "unregisterProducer")
        if self.producer is None:
            raise RuntimeError("Cannot unregister a producer unless one is registered")
        self.producer = None
        self.streaming = None
        if self._strict and self.disconnecting and not self._pending and not self.disconnected:
            self._lose(error.ConnectionDone())

    # ---- IPushProducer

    def pauseProducing(self) -> None:
        """Set `producerState` to "paused"; RuntimeError after `loseConnection`, unless lenient, and when stopped."""
        self._producer_state("pauseProducing", "paused")

    def resumeProducing(self) -> None:
        """Set `producerState` to "producing"; RuntimeError as for `pauseProducing`."""
        self._producer_state("resumeProducing", "producing")

    def stopProducing(self) -> None:
        """Set `producerState` to "stopped", at any time. Strict: lose the connection, as real transports do."""
        self.log.note(_END, "stopProducing")
        self.producerState = "stopped"
        if self._strict:
            self.loseConnection()

    def _producer_state(self, call: str, state: str) -> None:
        self.log.note(_END, call)
        self._checkState()
        if not (self._strict and self.disconnecting):
            self.producerState = state

    def _checkState(self) -> None:
        """Twisted's name for it: subclasses there override it."""
        if self.disconnecting and not self._lenient and not self._strict:
            raise RuntimeError("Cannot resume producing after loseConnection")
        if self.producerState == "stopped" and not (self._strict and self.disconnecting):
            raise RuntimeError("Cannot resume a stopped producer")

    # ---- strict

    def _may_write(self) -> bool:
        if self.disconnected:
            raise violation("write-after-lost", self.log)
        return True

    def _written(self, size: int) -> None:
        self._pending += size
        if self.producer is not None and self.streaming and self._pending > self.bufferSize:
            self._producer_paused = True
            self.producer.pauseProducing()

    def _lose(self, reason: Exception) -> None:
        self.disconnected = True
        self.connected = False
        producer, self.producer = self.producer, None
        self.streaming = None
        if producer is not None:
            producer.stopProducing()
        self._tell(Failure(reason))

    def _tell(self, reason: Failure) -> None:
        """Nobody to tell: there is no protocol."""


class StringTransportWithDisconnection(StringTransport):
    """A `StringTransport` that tells its `protocol` (an attribute to be set) that the connection is lost.

    As Twisted's, it does so inside `loseConnection`, with ConnectionDone whether lost or aborted, and `disconnecting`
    stays False. With `strict=True` the protocol is told by `flush()` or `clear()`, never inside its own call, with
    ConnectionDone or ConnectionAborted.
    """

    protocol: Any
    _reason: Failure | None = None

    def loseConnection(self) -> None:
        """Lose the connection, if it is connected; AttributeError when no `protocol` was set."""
        if self._strict:
            super().loseConnection()
            return
        self.log.note(_END, "loseConnection")
        if self.connected:
            self.connected = False
            self.log.note(_END, "connectionLost")
            self.protocol.connectionLost(Failure(error.ConnectionDone("Bye.")))

    def flush(self) -> None:
        """Strict: as in `StringTransport`; and tell the protocol of a loss."""
        super().flush()
        reason, self._reason = self._reason, None
        if reason is not None:
            self.log.note(_END, "connectionLost")
            self.protocol.connectionLost(reason)

    def _tell(self, reason: Failure) -> None:
        self._reason = reason
