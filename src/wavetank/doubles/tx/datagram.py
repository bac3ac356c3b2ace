"""Datagrams in Twisted's dialect: a port that remembers what was sent, and a protocol that collects what comes.

Owns the fake port, as a stand-in for `twisted.internet.udp.Port`, and the port of a joined datagram protocol. Must
never lose or reorder anything (`wire.datagrams` does). Source: twisted.internet.testing.FakeDatagramTransport of 26.10;
for `strict`, twisted/internet/udp.py.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.python import log as twisted_log
from twisted.python.failure import Failure
from zope.interface import implementer

from wavetank.doubles.tx.string import must_be_bytes
from wavetank.doubles.wire.datagrams import Side
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.violation import violation

#: The longest UDP payload over IPv4: 65535 less 20 bytes of IP and 8 of UDP (RFC 768, RFC 791).
MAX_DATAGRAM = 65507


@implementer(IUDPTransport)
class FakeDatagramTransport:
    """Remembers in `written` what was sent: (packet, address), or (packet, `noAddr`) when there was no address.

    As Twisted's, `write` takes anything. With `strict=True` it is a port of UDP: `write` takes bytes of at most 65507
    bytes (MessageLengthError above), wants an address unless `connect` gave one, and raises `ContractViolation` once
    the port was stopped. `log` is every call in order.
    """

    noAddr = object()

    def __init__(self, *, hostAddress: Any = None, strict: bool = False) -> None:
        self.written: list[tuple[Any, Any]] = []
        self.log = Log()
        self.connectedTo: tuple[str, int] | None = None
        self.stopped = False
        self.protocol: Any = None
        self._host = IPv4Address("UDP", "10.0.0.1", 12345) if hostAddress is None else hostAddress
        self._strict = strict
        self._broadcast = False

    def write(self, packet: Any, addr: Any = noAddr) -> None:
        """Remember a packet, and where it was sent."""
        self.log.note("protocol", "write", (packet, None if addr is self.noAddr else addr))
        if self._strict:
            self._check(packet, addr)
        self.written.append((packet, addr))

    def connect(self, host: str, port: int) -> None:
        """Remember where packets without an address go; RuntimeError the second time."""
        if self.connectedTo is not None:
            raise RuntimeError("already connected, reconnecting is not currently supported")
        self.log.note("protocol", "connect", (host, port))
        self.connectedTo = (host, port)

    def getHost(self) -> Any:
        """The address of the port."""
        return self._host

    def stopListening(self) -> Deferred[None]:
        """Stop the port; a protocol that was given to `listen` is told. Returns a Deferred that has fired."""
        self.log.note("protocol", "stopListening")
        if not self.stopped:
            self.stopped = True
            if self.protocol is not None:
                self.protocol.doStop()
        return succeed(None)

    loseConnection = stopListening

    def getBroadcastAllowed(self) -> bool:
        """What `setBroadcastAllowed` set."""
        return self._broadcast

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Whether packets may be sent to broadcast addresses: remembered."""
        self._broadcast = bool(enabled)

    # ---- for tests

    def listen(self, protocol: Any) -> None:
        """Be the port of `protocol`: it is told, as by `listenUDP`."""
        self.protocol = protocol
        protocol.makeConnection(self)

    def deliver(self, packet: bytes, addr: tuple[str, int] = ("192.168.1.1", 54321)) -> None:
        """Give the protocol a packet from `addr`."""
        self.log.note("port", "datagramReceived", (packet, addr))
        self.protocol.datagramReceived(packet, addr)

    def _check(self, packet: Any, addr: Any) -> None:
        must_be_bytes(packet)
        if self.stopped:
            raise violation("write-after-lost", self.log)
        if len(packet) > MAX_DATAGRAM:
            raise MessageLengthError("message too long")
        if addr in (self.noAddr, None) and self.connectedTo is None:
            raise ValueError("no address: give one, or connect() the port")


class AccumulatingDatagramProtocol(DatagramProtocol):
    """Collects datagrams.

    `received`: (packet, address) of each. `made`, `closed`: 0, then 1, at start and stop of its port. `refused`: how
    often `connectionRefused` was called. `closedDeferred`: set one, and it fires, once, when the port is stopped.
    """

    made = 0
    closed = 0
    refused = 0
    closedDeferred: Deferred[None] | None = None

    def __init__(self) -> None:
        self.received: list[tuple[bytes, Any]] = []

    @property
    def data(self) -> bytes:
        """All packets, joined."""
        return b"".join(packet for packet, _ in self.received)

    def startProtocol(self) -> None:
        """Note it."""
        self.made = 1

    def stopProtocol(self) -> None:
        """Note it; fire `closedDeferred`."""
        self.closed = 1
        waiting, self.closedDeferred = self.closedDeferred, None
        if waiting is not None:
            waiting.callback(None)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Keep it."""
        self.received.append((datagram, addr))

    def connectionRefused(self) -> None:
        """Count it."""
        self.refused += 1


@implementer(IUDPTransport)
class JoinedPort:
    """The port of a joined datagram protocol: connected to the other one."""

    def __init__(self, host: Any, peer: Any) -> None:
        self._host, self._peer = host, peer
        self._side: Side
        self._stopping: Deferred[None] | None = None
        self._broadcast = False

    def write(self, packet: bytes, addr: Any = None) -> None:
        """Send a datagram, in a later round; TypeError unless it is `bytes`, ValueError for another address."""
        must_be_bytes(packet)
        if len(packet) > MAX_DATAGRAM:
            raise MessageLengthError("message too long")
        if addr not in (None, self._peer):
            raise ValueError(f"joined to {self._peer}, not to {addr}")
        self._side.send(packet)

    def connect(self, host: str, port: int) -> None:
        """It is connected to the other one: RuntimeError, as from a port that is connected."""
        raise RuntimeError("already connected, reconnecting is not currently supported")

    def getHost(self) -> Any:
        """The address of this port."""
        return IPv4Address("UDP", *self._host)

    def stopListening(self) -> Deferred[None]:
        """Stop the port; the Deferred fires in a later round, when the protocol has been told."""
        if self._side.lost:
            return succeed(None)
        if self._stopping is None:
            self._stopping = Deferred()
        self._side.close()
        return self._stopping

    loseConnection = stopListening

    def getBroadcastAllowed(self) -> bool:
        """What `setBroadcastAllowed` set."""
        return self._broadcast

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Remembered."""
        self._broadcast = bool(enabled)

    def stopped(self) -> None:
        """The protocol has been told."""
        waiting, self._stopping = self._stopping, None
        if waiting is not None:
            waiting.callback(None)


class DatagramSpeaker:
    """Calls one Twisted datagram protocol."""

    def __init__(self, protocol: Any, host: Any, peer: Any) -> None:
        self.protocol = protocol
        self.transport = JoinedPort(host, peer)

    def attach(self, side: Side) -> None:
        """Speak for this side from now on."""
        self.transport._side = side

    def made(self) -> None:
        """`makeConnection(port)`, which calls `startProtocol`."""
        self.protocol.makeConnection(self.transport)

    def received(self, data: bytes, address: Any) -> None:
        """`datagramReceived(data, address)`."""
        self.protocol.datagramReceived(data, address)

    def refused(self) -> None:
        """`connectionRefused()`."""
        self.protocol.connectionRefused()

    def lost(self) -> None:
        """`doStop()`, which calls `stopProtocol`."""
        self.protocol.doStop()
        self.transport.stopped()

    def report(self, error: BaseException, call: str) -> None:
        """To Twisted's log, where trial finds it."""
        twisted_log.err(Failure(error), f"{call} of {self.protocol!r}")
