"""Conch in this process: a server that forwards everything, and a client.

Owns all that knows Conch's transports and authentication; Twisted is optional (`pip install wavetank[conch]`).
Everything here runs in the thread of `loop`, on asyncio's transports: no reactor runs.

Source: twisted.conch.ssh.transport, userauth and factory; RFC 4252 (publickey), RFC 4254 section 7 (forwarding).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.conch import avatar
from twisted.conch.error import ValidPublicKey
from twisted.conch.ssh import common, connection, factory, keys, transport, userauth
from twisted.cred import checkers, credentials, portal
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import defer, task
from twisted.internet.address import IPv4Address
from zope.interface import implementer

from wavetank.errors import UsageError
from wavetank.servers.ssh import socks
from wavetank.servers.ssh.access import Access, Keys, Target, this_user
from wavetank.servers.ssh.conch_channels import Connection, Link, Relay, Streams

# Conch is typed in part only, and zope's interfaces not at all: its classes are taken as they come.
_AuthServer: Any = userauth.SSHUserAuthServer
_AuthClient: Any = userauth.SSHUserAuthClient
_SSHFactory: Any = factory.SSHFactory
_SSHClientTransport: Any = transport.SSHClientTransport
_Portal: Any = portal.Portal
_UNIX = b"direct-streamlocal@openssh.com"


async def _connected(target: Target) -> Streams:
    if isinstance(target, str):
        return await asyncio.open_unix_connection(target)
    return await asyncio.open_connection(*target)


# The server.


class _ServerConnection(Connection):
    """Connects what its client asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: dict[tuple[str, int], asyncio.Server] = {}

    def connector(self, kind: bytes, data: bytes) -> Coroutine[Any, Any, Streams] | None:
        first, rest = common.getNS(data) if data else (b"", b"")
        if kind == b"direct-tcpip":
            return _connected((first.decode(), struct.unpack(">L", rest[:4])[0]))
        return _connected(first.decode()) if kind == _UNIX else None

    def ssh_GLOBAL_REQUEST(self, packet: bytes) -> None:
        """`tcpip-forward` and its cancelling; Conch's way for the rest."""
        kind, rest = common.getNS(packet)
        if kind == b"tcpip-forward":
            host, tail = common.getNS(rest[1:])
            self.in_background(self._listen(host.decode(), struct.unpack(">L", tail[:4])[0]))
        elif kind == b"cancel-tcpip-forward":
            host, tail = common.getNS(rest[1:])
            listener = self.listeners.pop((host.decode(), struct.unpack(">L", tail[:4])[0]), None)
            if listener is not None:
                listener.close()
            self.transport.sendPacket(connection.MSG_REQUEST_SUCCESS, b"")
        else:
            super().ssh_GLOBAL_REQUEST(packet)

    async def _listen(self, host: str, port: int) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            relay = Relay(b"forwarded-tcpip", (reader, writer))
            origin = common.NS(b"127.0.0.1") + bytes(4)
            self.openChannel(relay, common.NS(host.encode()) + struct.pack(">L", bound) + origin)
            try:
                await relay.opened
            except OSError:
                writer.close()

        bound = port
        try:
            listener = await asyncio.start_server(connected, host or "127.0.0.1", port)
        except OSError:
            self.transport.sendPacket(connection.MSG_REQUEST_FAILURE, b"")
            return
        bound = listener.sockets[0].getsockname()[1]
        self.listeners[host, bound] = listener
        self.transport.sendPacket(connection.MSG_REQUEST_SUCCESS, b"" if port else struct.pack(">L", bound))

    def serviceStopped(self) -> None:
        """The connection has ended, and with it its listeners."""
        for listener in self.listeners.values():
            listener.close()
        super().serviceStopped()


class _UserAuth(_AuthServer):  # type: ignore[misc]
    clock = task.Clock()  # the login timeout would need a reactor; tests have their own deadlines


@implementer(portal.IRealm)
class _Realm:
    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        return interfaces[0], avatar.ConchUser(), lambda: None


@implementer(checkers.ICredentialsChecker)
class _OneKey:
    """One user, one key.

    Not by twisted.conch.checkers: it imports spwd, which warns on 3.11 and 3.12 (and is gone from 3.13).
    """

    credentialInterfaces = (credentials.ISSHPrivateKey,)

    def __init__(self, user: bytes, key: Any) -> None:
        self._user = user
        self._key = key

    def requestAvatarId(self, offered: Any) -> bytes:
        if offered.username != self._user or offered.blob != self._key.blob():
            raise UnauthorizedLogin("another user or key")
        if offered.signature is None:
            raise ValidPublicKey  # "that key would do": RFC 4252, section 7
        if not self._key.verify(offered.signature, offered.sigData):
            raise UnauthorizedLogin("the signature is wrong")
        return self._user


class _Factory(_SSHFactory):  # type: ignore[misc]
    def __init__(self, pair: Keys) -> None:
        private = keys.Key.fromFile(str(pair.host))
        self.privateKeys = {private.sshType(): private}
        self.publicKeys = {private.sshType(): private.public()}
        self.services = {b"ssh-userauth": _UserAuth, b"ssh-connection": _ServerConnection}
        checker = _OneKey(this_user().encode(), keys.Key.fromString(pair.public("client")))
        self.portal = _Portal(_Realm(), [checker])
        self.startFactory()


class Server:
    """An SSH server in this process."""

    def __init__(self, pair: Keys) -> None:
        self._factory = _Factory(pair)
        self._acceptor: asyncio.Server | None = None
        self._links: list[Link] = []

    async def open(self, host: str) -> int:
        """Listen on a free port; returns it."""
        loop = asyncio.get_running_loop()

        def accept() -> Link:
            link = Link(self._factory.buildProtocol(IPv4Address("TCP", host, 0)))
            self._links = [*(each for each in self._links if not each.lost.done()), link]
            return link

        self._acceptor = await loop.create_server(accept, host, 0)
        port: int = self._acceptor.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening, end the connections."""
        assert self._acceptor is not None
        self._acceptor.close()
        for link in self._links:
            if not link.lost.done():
                link.abortConnection()
                await link.lost


# The client.


class _ClientTransport(_SSHClientTransport):  # type: ignore[misc]
    def __init__(self, access: Access, service: _ClientConnection) -> None:
        self._access = access
        self._service = service

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Any:
        if hostKey != keys.Key.fromString(self._access.keys.public("host")).blob():
            return defer.fail(ConnectionRefusedError("the host key is another one"))
        return defer.succeed(1)

    def connectionSecure(self) -> None:
        self.requestService(_ClientAuth(self._access, self._service))

    def connectionLost(self, reason: Any) -> None:
        super().connectionLost(reason)
        self._service.failed(ConnectionResetError("the SSH connection was lost"))


class _ClientAuth(_AuthClient):  # type: ignore[misc]
    preferredOrder = (b"publickey",)

    def __init__(self, access: Access, instance: Any) -> None:
        super().__init__(access.user.encode(), instance)
        self._key = keys.Key.fromFile(str(access.keys.client))
        self._offered = False

    def getPublicKey(self) -> Any:
        offered, self._offered = self._offered, True
        return None if offered else self._key.public()

    def getPrivateKey(self) -> Any:
        return defer.succeed(self._key)


class _ClientConnection(Connection):
    """Starts when the user is authenticated; connects what the server brings to the forward's target."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.target: Target | None = None

    def serviceStarted(self) -> None:
        super().serviceStarted()
        if not self.ready.done():
            self.ready.set_result(None)

    def failed(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)

    def connector(self, kind: bytes, data: bytes) -> Coroutine[Any, Any, Streams] | None:
        return _connected(self.target) if kind == b"forwarded-tcpip" and self.target is not None else None


class Client:
    """One connection (through the hops before the last) with one forward."""

    def __init__(self, hops: Sequence[Access], direction: str, target: Target | None, listen: Target | None) -> None:
        if direction == "remote" and isinstance(listen, str):
            raise UsageError(
                "Conch's client cannot have the server listen on a UNIX socket", next="client='openssh' or 'asyncssh'"
            )
        self.hops = hops
        self.direction = direction
        self.target = target
        self.listen = listen
        self._links: list[Link] = []
        self._servers: list[asyncio.Server] = []

    async def open(self) -> Target:
        """Connect, forward, and see that a channel carries; returns where the forward listens."""
        through: _ClientConnection | None = None
        for hop in self.hops:
            through = await self._connect(hop, through)
        assert through is not None
        await self._see_that_it_carries(through)
        if self.direction == "remote":
            return await self._forward_remote(through)
        return await self._serve(
            self._socks(through) if self.direction == "dynamic" else self._local(through), self.listen
        )

    async def _connect(self, hop: Access, through: _ClientConnection | None) -> _ClientConnection:
        """A connection to `hop`: direct, or through a local forward of the hop before."""
        service = _ClientConnection()
        link = Link(_ClientTransport(hop, service))
        where: Target = (hop.host, hop.port)
        if through is not None:
            where = await self._serve(self._local(through, where), None)
        loop = asyncio.get_running_loop()
        assert isinstance(where, tuple)
        await loop.create_connection(lambda: link, *where)
        self._links.append(link)
        await service.ready
        return service

    async def _see_that_it_carries(self, through: _ClientConnection) -> None:
        """The banner of the SSH server's own port has come through a channel."""
        where = await self._serve(self._local(through, (self.hops[-1].host, self.hops[-1].port)), None)
        reader, writer = await _connected(where)
        await reader.readuntil(b"SSH-")
        writer.close()

    async def _forward_remote(self, through: _ClientConnection) -> Target:
        host, port = self.listen if isinstance(self.listen, tuple) else ("127.0.0.1", 0)
        through.target = self.target
        request = common.NS(host.encode()) + struct.pack(">L", port)
        reply = through.sendGlobalRequest(b"tcpip-forward", request, wantReply=1)
        data: bytes = await reply.asFuture(asyncio.get_running_loop())
        return host, port or struct.unpack(">L", data[:4])[0]

    def _local(self, through: _ClientConnection, target: Target | None = None) -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            wanted = target or self.target
            assert wanted is not None
            try:
                await through.open_relay(wanted, (reader, writer))
            except OSError:
                writer.close()

        return connected

    def _socks(self, through: _ClientConnection) -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                wanted = await socks.read_request(reader, writer)
                relay = await through.open_relay(wanted, None)
            except (OSError, ValueError, EOFError):
                writer.write(socks.reply(socks.REFUSED))
                writer.close()
                return
            writer.write(socks.reply(socks.SUCCEEDED))
            relay.streams = (reader, writer)
            relay.channelOpen(b"")

        return connected

    async def _serve(self, connected: Any, listen: Target | None) -> Target:
        if isinstance(listen, str):
            self._servers.append(await asyncio.start_unix_server(connected, listen))
            return listen
        server = await asyncio.start_server(connected, *(listen or ("127.0.0.1", 0)))
        self._servers.append(server)
        name = server.sockets[0].getsockname()
        return name[0], name[1]

    async def close(self) -> None:
        """Stop forwarding, end the connections."""
        await self.kill()

    async def kill(self) -> None:
        """Cut the connection, without a word to the other side."""
        for server in self._servers:
            server.close()
        for link in self._links[::-1]:
            if not link.lost.done():
                link.abortConnection()
                await link.lost

    def is_alive(self) -> bool:
        """Whether the connection stands."""
        return not self._links[-1].lost.done()
