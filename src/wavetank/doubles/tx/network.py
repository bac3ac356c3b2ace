"""A reactor whose connections complete: what listens and what connects on it are joined in memory, by its clock.

Owns who listens where, and the life of connectors and ports. Must never open a socket, nor move time by itself: the
test does (`advance`). Source of the behaviour: twisted/internet/tcp.py (Port, Connector), base.py (BaseConnector),
udp.py and posixbase.py (how TLS is put on top) of Twisted 26.10.
Twisted's own of this kind is iosim's ConnectionCompleter.
"""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet import error
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IReactorProcess,
    IReactorTime,
    IReactorUDP,
    IUDPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from wavetank.doubles.joining import connect
from wavetank.doubles.tx.datagram import MAX_DATAGRAM
from wavetank.doubles.tx.process import CHILD_FDS, FakeProcessTransport
from wavetank.doubles.tx.reactor import MemoryReactorClock, tcp_address
from wavetank.doubles.tx.string import must_be_bytes
from wavetank.doubles.tx.transport import Speaker
from wavetank.doubles.wire.connection import Connection
from wavetank.errors import UsageError

#: The first port given to those who ask for none: Linux, net.ipv4.ip_local_port_range.
FIRST_PORT: Final = 32768
_EVERY: Final = ("", "0.0.0.0", "::")
_LOCAL: Final = ("127.0.0.1", "localhost")
HERE: Final = "127.0.0.1"


@implementer(IListeningPort)
class ListeningPort:
    """What listens: `connections` counts those that it has accepted."""

    def __init__(self, reactor: MemoryNetworkReactor, key: Any, factory: Any, address: Any) -> None:
        self._reactor = reactor
        self._key = key
        self._address = address
        self.factory = factory
        self.connections = 0

    def startListening(self) -> None:
        """Listen; CannotListenError when somebody does already."""
        listening = self._reactor.listening
        if self._key in listening:
            interface, port = self._key if isinstance(self._key, tuple) else ("", self._key)
            raise error.CannotListenError(interface, port, OSError("Address already in use"))
        listening[self._key] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Stop listening; connections go on. Returns a Deferred that has fired."""
        if self._reactor.listening.get(self._key) is self:
            del self._reactor.listening[self._key]
            self.factory.doStop()
        return succeed(None)

    loseConnection = stopListening

    def getHost(self) -> Any:
        """Where it listens."""
        return self._address


@implementer(IConnector)
class Connector:
    """What connects: `state` is "disconnected", "connecting" or "connected"."""

    def __init__(
        self, reactor: MemoryNetworkReactor, key: Any, factory: Any, address: Any, timeout: float | None
    ) -> None:
        self._reactor = reactor
        self._key = key
        self._address = address
        self._timeout = timeout
        self.factory = factory
        self.state = "disconnected"
        self.transport: Any = None
        self._started = False
        self._call: Any = None

    def connect(self) -> None:
        """Connect (again); RuntimeError unless it is disconnected."""
        if self.state != "disconnected":
            raise RuntimeError("can't connect in this state")
        self.state = "connecting"
        if not self._started:
            self._started = True
            self.factory.doStart()
        self.factory.startedConnecting(self)
        if self.state == "connecting":
            self._call = self._reactor.callLater(0, self._complete)

    def stopConnecting(self) -> None:
        """Give up; NotConnectingError unless it is connecting."""
        if self.state != "connecting":
            raise error.NotConnectingError("we're not trying to connect")
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._fail(error.UserError())

    def disconnect(self) -> None:
        """Give up, or lose the connection."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.state == "connected":
            self.transport.loseConnection()

    def getDestination(self) -> Any:
        """Where it connects to."""
        return self._address

    def _complete(self) -> None:
        port = self._reactor.listener(self._key)
        if port is None:
            self._fail(error.ConnectionRefusedError())
            return
        client = self.factory.buildProtocol(self._address)
        if client is None:
            self.state = "disconnected"
            return
        host = self._reactor.next_address(self._key)
        server = port.factory.buildProtocol(host)
        if server is None:
            self._fail(error.ConnectionRefusedError())
            return
        port.connections += 1
        self.state = "connected"
        self._reactor.join(client, server, host, self._address, self)

    def lost(self, reason: Failure) -> None:
        """The connection is lost: the factory is told, after its protocol."""
        self.state = "disconnected"
        self.transport = None
        self.factory.clientConnectionLost(self, reason)
        self._done()

    def _fail(self, reason: Exception) -> None:
        self.state = "disconnected"
        self.factory.clientConnectionFailed(self, Failure(reason))
        self._done()

    def _done(self) -> None:
        if self.state == "disconnected":
            self._started = False
            self.factory.doStop()


@implementer(IReactorTime, IReactorUDP, IReactorProcess)
class MemoryNetworkReactor(MemoryReactorClock):
    """A `MemoryReactorClock` that joins what connects with what listens: TCP, UNIX sockets, TLS, UDP.

    Everything is recorded as by `MemoryReactor`, and happens when the clock moves: `flush()`, which is
    `advance(0)`, for all that is due now and what follows from it. `connections`: the joined `Connection`s, with their
    logs. `options` are those of `connect`, for each of them: chunks, watermarks, faults, seed, abort, strict. Nobody
    listening is ConnectionRefusedError. Hosts are not looked at unless a port listens at one address. `processes`:
    (transport, arguments) of each `spawnProcess`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        unknown = {*options} - {"chunks", "watermarks", "faults", "seed", "abort", "strict"}
        if unknown:
            raise UsageError(f"MemoryNetworkReactor takes no {', '.join(sorted(unknown))}")
        self._options = options
        self.listening: dict[Any, ListeningPort] = {}
        self.connections: list[Connection] = []
        self.ports: dict[int, UDPPort] = {}
        self.processes: list[tuple[FakeProcessTransport, dict[str, Any]]] = []
        self._next_port = FIRST_PORT

    def flush(self) -> None:
        """Let everything happen that is due now, and what follows from it without waiting: `advance(0)`."""
        self.advance(0)

    # ---- streams

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen; port 0 is any that is free. CannotListenError when the port is taken."""
        super().listenTCP(port, factory, backlog, interface)
        port = port or self._free_port()
        return self._listen((interface, port), factory, tcp_address(interface, port, interface or "0.0.0.0"))

    def connectTCP(self, host: str, port: int, factory: Any, timeout: Any = 30, bindAddress: Any = None) -> Any:
        """Connect, in the next turn."""
        self.tcpClients.append((host, port, factory, timeout, bindAddress))
        return self._connect((host, port), factory, tcp_address(host, port), timeout)

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen with TLS, which is real: wants pyOpenSSL."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        self.sslServers.append((port, factory, contextFactory, backlog, interface))
        port = port or self._free_port()
        wrapped = TLSMemoryBIOFactory(contextFactory, False, factory, cast("Any", self))
        return self._listen((interface, port), wrapped, IPv4Address("TCP", interface or "0.0.0.0", port))

    def connectSSL(
        self, host: str, port: int, factory: Any, contextFactory: Any, timeout: Any = 30, bindAddress: Any = None
    ) -> Any:
        """Connect with TLS, which is real: wants pyOpenSSL."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        self.sslClients.append((host, port, factory, contextFactory, timeout, bindAddress))
        wrapped = TLSMemoryBIOFactory(contextFactory, True, factory, cast("Any", self))
        return self._connect((host, port), wrapped, tcp_address(host, port), timeout)

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0) -> Any:
        """Listen at a path, which is no file."""
        super().listenUNIX(address, factory, backlog, mode, wantPID)
        return self._listen(address, factory, UNIXAddress(address))

    def connectUNIX(self, address: Any, factory: Any, timeout: Any = 30, checkPID: Any = 0) -> Any:
        """Connect to a path, in the next turn."""
        self.unixClients.append((address, factory, timeout, checkPID))
        return self._connect(address, factory, UNIXAddress(address), timeout)

    def listener(self, key: Any) -> ListeningPort | None:
        """Who listens there: at this address, or at every one."""
        if not isinstance(key, tuple):
            return self.listening.get(key)
        host, port = key
        hosts = _LOCAL if host in _LOCAL else (host,)
        return next((self.listening[each, port] for each in (*hosts, *_EVERY) if (each, port) in self.listening), None)

    def next_address(self, key: Any) -> Any:
        """The address that the next client has."""
        return UNIXAddress(None) if not isinstance(key, tuple) else IPv4Address("TCP", HERE, self._free_port())

    def join(self, client: Any, server: Any, host: Any, peer: Any, connector: Connector) -> None:
        """Join the two protocols of a new connection."""
        connection: Connection = connect(client, server, clock=self, addresses=(host, peer), **self._options)
        connector.transport = connection.a
        speaker = connection.ends[0].speaker
        assert isinstance(speaker, Speaker)
        speaker.on_lost = connector.lost
        self.connections.append(connection)

    def _listen(self, key: Any, factory: Any, address: Any) -> ListeningPort:
        port = ListeningPort(self, key, factory, address)
        port.startListening()
        return port

    def _connect(self, key: Any, factory: Any, address: Any, timeout: float | None) -> Connector:
        connector = Connector(self, key, factory, address, timeout)
        self.connectors.append(connector)
        connector.connect()
        return connector

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port - 1

    # ---- datagrams and processes

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        """Listen for datagrams; port 0 is any that is free. CannotListenError when the port is taken."""
        port = port or self._free_port()
        if port in self.ports:
            raise error.CannotListenError(interface, port, OSError("Address already in use"))
        self.ports[port] = found = UDPPort(self, port, protocol, interface or HERE, maxPacketSize)
        protocol.makeConnection(found)
        return found

    def spawnProcess(self, processProtocol: Any, executable: Any, args: Any = (), env: Any = None, path: Any = None,
                     uid: Any = None, gid: Any = None, usePTY: Any = 0, childFDs: Any = None) -> Any:  # fmt: skip
        """No process: a `FakeProcessTransport`, on which the test does what the process would."""
        modes = {fd: mode for fd, mode in (childFDs or CHILD_FDS).items() if isinstance(mode, str)}
        transport = FakeProcessTransport(processProtocol, childFDs=modes)
        given = {"executable": executable, "args": args, "env": env, "path": path}
        self.processes.append((transport, given))
        return transport


@implementer(IUDPTransport)
class UDPPort:
    """A UDP port of the reactor."""

    def __init__(self, reactor: MemoryNetworkReactor, port: int, protocol: Any, interface: str, most: int) -> None:
        self._reactor, self._port, self._interface, self._most = reactor, port, interface, most
        self.protocol = protocol
        self._connected: tuple[str, int] | None = None
        self._broadcast = False

    def getBroadcastAllowed(self) -> bool:
        """What `setBroadcastAllowed` set."""
        return self._broadcast

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Remembered."""
        self._broadcast = bool(enabled)

    def write(self, packet: bytes, addr: Any = None) -> None:
        """Send a datagram, in the next turn; it is lost when nobody listens there."""
        must_be_bytes(packet)
        if len(packet) > MAX_DATAGRAM:
            raise error.MessageLengthError("message too long")
        target = addr or self._connected
        if target is None:
            raise ValueError("no address: give one, or connect() the port")
        self._reactor.callLater(0, self._send, packet, target[1])

    def _send(self, packet: bytes, number: int) -> None:
        found = self._reactor.ports.get(number)
        if found is not None:
            # A datagram longer than the receiver's buffer is cut (recv(2)).
            found.protocol.datagramReceived(packet[: found._most], (self._interface, self._port))
        elif self._connected is not None:
            self.protocol.connectionRefused()

    def connect(self, host: str, port: int) -> None:
        """Where datagrams without an address go; RuntimeError the second time."""
        if self._connected is not None:
            raise RuntimeError("already connected, reconnecting is not currently supported")
        self._connected = (host, port)

    def getHost(self) -> Any:
        """The address of the port."""
        return IPv4Address("UDP", self._interface, self._port)

    def stopListening(self) -> Deferred[None]:
        """Stop the port; the protocol is told. Returns a Deferred that has fired."""
        if self._reactor.ports.get(self._port) is self:
            del self._reactor.ports[self._port]
            self.protocol.doStop()
        return succeed(None)

    loseConnection = stopListening
