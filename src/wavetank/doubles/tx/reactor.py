"""Reactors in memory: they remember what was asked of them, and nothing happens.

Owns the records of `listenTCP`, `connectTCP` and the like. Must never complete a connection (`network.MemoryNetwork`
does), nor touch the global reactor. Source of the behaviour: twisted.internet.testing of Twisted 26.10, the flags as
there; so they are with every release of Twisted that this runs on.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET, AF_INET6
from typing import Any, Final, Literal

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import (
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
)
from twisted.internet.task import Clock
from zope.interface import implementer

#: The port of everything that was adopted.
_ADOPTED_PORT: Final = 1234


@implementer(IListeningPort)
class _FakePort:
    """What `listenTCP` and the like return: knows its address, and nothing happens."""

    def __init__(self, hostAddress: Any) -> None:
        self._hostAddress = hostAddress

    def startListening(self) -> None:
        """Do nothing."""

    def stopListening(self) -> None:
        """Do nothing."""

    def getHost(self) -> Any:
        """The address that it was made with."""
        return self._hostAddress


@implementer(IConnector)
class _FakeConnector:
    """What `connectTCP` and the like return: `stoppedConnecting` says whether it was stopped."""

    _disconnected = False
    stoppedConnecting = False

    def __init__(self, address: Any) -> None:
        self._address = address

    def stopConnecting(self) -> None:
        """Set `stoppedConnecting`."""
        self.stoppedConnecting = True

    def disconnect(self) -> None:
        """Set `_disconnected`."""
        self._disconnected = True

    def connect(self) -> None:
        """Do nothing."""

    def getDestination(self) -> Any:
        """The address that it was made with."""
        return self._address


@implementer(IHostResolution)
class _Resolution:
    """A resolution that was complete at once."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Raise: it is complete."""
        raise Exception("already resolved")


@implementer(IHostnameResolver)
class SynchronousResolver:
    """Resolves every name to 127.0.0.1, at once."""

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Give the receiver one address, with the port that was asked for, and say that it was all."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        resolutionReceiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


def tcp_address(host: str, port: int, otherwise: str | None = None) -> IPv4Address | IPv6Address:
    """An IPv6 address where `host` is one, else an IPv4 address of `otherwise`, or of whatever `host` is."""
    if isIPv6Address(host):
        return IPv6Address("TCP", host, port)
    return IPv4Address("TCP", host if otherwise is None else otherwise, port)


def _adopted(kind: Literal["TCP", "UDP"], family: int) -> IPv4Address | IPv6Address:
    if family == AF_INET:
        return IPv4Address(kind, "0.0.0.0", _ADOPTED_PORT)
    if family == AF_INET6:
        return IPv6Address(kind, "::", _ADOPTED_PORT)
    raise UnsupportedAddressFamily()


@implementer(
    IReactorCore,
    IReactorTCP,
    IReactorSSL,
    IReactorUNIX,
    IReactorSocket,
    IReactorFDSet,
    IReactorPluggableNameResolver,
)
class MemoryReactor:
    """Remembers what was asked of it; connections never complete.

    `tcpServers`, `tcpClients`, `sslServers`, `sslClients`, `unixServers`, `unixClients`, `adoptedPorts`,
    `adoptedStreamConnections`: the arguments of each call, as tuples. `connectors`: what the connecting calls
    returned. `running`, `hasRun`, `hasStopped`, `hasCrashed`, `hasInstalled`. `whenRunningHooks`,
    `triggers[phase][event]`: (callable, args, kwargs). `readers`, `writers`: sets.
    """

    def __init__(self) -> None:
        self.hasInstalled = False
        self.running: bool | None = False
        self.hasRun = False
        self.hasStopped = False
        self.hasCrashed = False
        self.whenRunningHooks: list[Any] = []
        self.triggers: dict[str, dict[str, list[Any]]] = {}
        self.tcpClients: list[Any] = []
        self.tcpServers: list[Any] = []
        self.sslClients: list[Any] = []
        self.sslServers: list[Any] = []
        self.unixClients: list[Any] = []
        self.unixServers: list[Any] = []
        self.adoptedPorts: list[Any] = []
        self.adoptedStreamConnections: list[Any] = []
        self.connectors: list[Any] = []
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.nameResolver: Any = SynchronousResolver()

    def install(self) -> None:
        """Set `hasInstalled`."""
        self.hasInstalled = True

    def installNameResolver(self, resolver: Any) -> Any:
        """Use that resolver; returns the one before."""
        previous, self.nameResolver = self.nameResolver, resolver
        return previous

    # ---- IReactorCore

    def resolve(self, name: str, timeout: Any = 10) -> Any:
        """Not there: raises `NotImplementedError`."""
        raise NotImplementedError()

    def run(self) -> None:
        """Call what waits for the reactor to run, then stop."""
        assert self.running is False
        self.running = True
        self.hasRun = True
        for call, args, keywords in self.whenRunningHooks:
            call(*args, **keywords)
        self.stop()

    def stop(self) -> None:
        """Not running any more; set `hasStopped`."""
        self.running = False
        self.hasStopped = True

    def crash(self) -> None:
        """`running` is None; set `hasCrashed`."""
        self.running = None
        self.hasCrashed = True

    def iterate(self, delay: float = 0) -> None:
        """Not there: raises `NotImplementedError`."""
        raise NotImplementedError()

    def fireSystemEvent(self, eventType: str) -> None:
        """Not there: raises `NotImplementedError`."""
        raise NotImplementedError()

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """Remember it in `triggers`; it is never fired."""
        self.triggers.setdefault(phase, {}).setdefault(eventType, []).append((callable, args, kw))

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Not there: raises `NotImplementedError`."""
        raise NotImplementedError()

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Call it at once if the reactor runs or has run, else when it runs."""
        if self.running or self.hasRun:
            callable(*args, **kw)
        else:
            self.whenRunningHooks.append((callable, args, kw))

    # ---- IReactorSocket

    def adoptStreamPort(self, fileno: int, addressFamily: int, factory: Any) -> Any:
        """Remember it; UnsupportedAddressFamily for other families than IPv4 and IPv6."""
        address = _adopted("TCP", addressFamily)
        self.adoptedPorts.append((fileno, addressFamily, factory))
        return _FakePort(address)

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        """Remember it."""
        self.adoptedStreamConnections.append((fileDescriptor, addressFamily, factory))

    def adoptDatagramPort(self, fileno: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192) -> Any:
        """Remember it; UnsupportedAddressFamily as for `adoptStreamPort`."""
        address = _adopted("UDP", addressFamily)
        self.adoptedPorts.append((fileno, addressFamily, protocol, maxPacketSize))
        return _FakePort(address)

    # ---- IReactorTCP, IReactorSSL, IReactorUNIX

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Remember it."""
        self.tcpServers.append((port, factory, backlog, interface))
        return _FakePort(tcp_address(interface, port, "0.0.0.0"))

    def connectTCP(self, host: str, port: int, factory: Any, timeout: Any = 30, bindAddress: Any = None) -> Any:
        """Remember it, and tell the factory that connecting has started."""
        self.tcpClients.append((host, port, factory, timeout, bindAddress))
        return self._connecting(factory, tcp_address(host, port))

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Remember it."""
        self.sslServers.append((port, factory, contextFactory, backlog, interface))
        return _FakePort(IPv4Address("TCP", "0.0.0.0", port))

    def connectSSL(
        self, host: str, port: int, factory: Any, contextFactory: Any, timeout: Any = 30, bindAddress: Any = None
    ) -> Any:
        """Remember it, and tell the factory that connecting has started."""
        self.sslClients.append((host, port, factory, contextFactory, timeout, bindAddress))
        return self._connecting(factory, IPv4Address("TCP", host, port))

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0) -> Any:
        """Remember it."""
        self.unixServers.append((address, factory, backlog, mode, wantPID))
        return _FakePort(UNIXAddress(address))

    def connectUNIX(self, address: Any, factory: Any, timeout: Any = 30, checkPID: Any = 0) -> Any:
        """Remember it, and tell the factory that connecting has started."""
        self.unixClients.append((address, factory, timeout, checkPID))
        return self._connecting(factory, UNIXAddress(address))

    def _connecting(self, factory: Any, address: Any) -> Any:
        connector = _FakeConnector(address)
        factory.startedConnecting(connector)
        self.connectors.append(connector)
        return connector

    # ---- IReactorFDSet

    def addReader(self, reader: Any) -> None:
        """Put it into `readers`."""
        self.readers.add(reader)

    def addWriter(self, writer: Any) -> None:
        """Put it into `writers`."""
        self.writers.add(writer)

    def removeReader(self, reader: Any) -> None:
        """Take it out of `readers`, if it is there."""
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        """Take it out of `writers`, if it is there."""
        self.writers.discard(writer)

    def getReaders(self) -> list[Any]:
        """The readers."""
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        """The writers."""
        return list(self.writers)

    def removeAll(self) -> list[Any]:
        """Forget all readers and writers; returns them."""
        found = list(self.readers | self.writers)
        self.readers.clear()
        self.writers.clear()
        return found


class MemoryReactorClock(MemoryReactor, Clock):
    """A `MemoryReactor` with the time of `task.Clock`: `callLater`, `seconds`, `advance`."""

    def __init__(self) -> None:
        MemoryReactor.__init__(self)
        Clock.__init__(self)


@implementer(IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket, IReactorPluggableNameResolver)
class RaisingMemoryReactor:
    """Refuses: what listens raises `listenException`, what connects raises `connectException`."""

    def __init__(self, listenException: Exception | None = None, connectException: Exception | None = None) -> None:
        self._listenException = listenException
        self._connectException = connectException
        self.nameResolver: Any = SynchronousResolver()

    def installNameResolver(self, nameResolver: Any) -> Any:
        """Use that resolver; returns the one before."""
        previous, self.nameResolver = self.nameResolver, nameResolver
        return previous

    def _refuse(self, error: Exception | None) -> Any:
        raise error  # type: ignore[misc]  # None is a TypeError, as with Twisted's

    def adoptStreamPort(self, fileno: int, addressFamily: int, factory: Any) -> Any:
        """Raise `listenException`."""
        self._refuse(self._listenException)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Raise `listenException`."""
        self._refuse(self._listenException)

    def connectTCP(self, host: str, port: int, factory: Any, timeout: Any = 30, bindAddress: Any = None) -> Any:
        """Raise `connectException`."""
        self._refuse(self._connectException)

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Raise `listenException`."""
        self._refuse(self._listenException)

    def connectSSL(
        self, host: str, port: int, factory: Any, contextFactory: Any, timeout: Any = 30, bindAddress: Any = None
    ) -> Any:
        """Raise `connectException`."""
        self._refuse(self._connectException)

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0) -> Any:
        """Raise `listenException`."""
        self._refuse(self._listenException)

    def connectUNIX(self, address: Any, factory: Any, timeout: Any = 30, checkPID: Any = 0) -> Any:
        """Raise `connectException`."""
        self._refuse(self._connectException)

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192
    ) -> Any:
        """Raise `connectException`."""
        self._refuse(self._connectException)

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """Raise `connectException`."""
        self._refuse(self._connectException)
