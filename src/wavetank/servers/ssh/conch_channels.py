"""Forwarded connections over Conch's channels, relayed to asyncio's streams.

Owns the channel that relays both ways, with half close and back-pressure, and the link that lets Conch's protocols run
on an asyncio transport, so that no reactor is needed. What is forwarded is decided in `with_conch`.

Conch's own forwarding (twisted.conch.ssh.forwarding) opens a channel before it has reached the target, has no UNIX
sockets, and widens the window whatever the receiver has taken; so the channel is ours, on Conch's connection.

Source: RFC 4254 sections 5 (channels, windows, EOF), 7.1, 7.2 (forwarding); OpenSSH's PROTOCOL, sections 2.4
(streamlocal); twisted.conch.ssh.connection and channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.conch.error import ConchError
from twisted.conch.ssh import channel, common, connection
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from wavetank.servers.ssh.access import Target

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# Conch is typed in part only: its classes are taken as they come.
_Connection: Any = connection.SSHConnection
_Channel: Any = channel.SSHChannel

#: Bytes that may wait for a slow local peer before the window of its channel stays shut.
_MOST_WAITING: Final = 1 << 20
_CHUNK: Final = 32_768


class Link(asyncio.Protocol):
    """A Twisted protocol on an asyncio transport: the few transport methods that Conch calls."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport: Any = None
        #: Called when the connection is lost.
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = transport
        self.protocol.makeConnection(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the network."""
        self.protocol.dataReceived(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.protocol.connectionLost(Failure(ConnectionLost() if exc else ConnectionDone()))
        if not self.lost.done():
            self.lost.set_result(None)

    def write(self, data: bytes) -> None:
        """Twisted's ITransport."""
        self.transport.write(data)

    def writeSequence(self, seq: list[bytes]) -> None:
        """Twisted's ITransport."""
        self.transport.write(b"".join(seq))

    def loseConnection(self) -> None:
        """Twisted's ITransport."""
        self.transport.close()

    def abortConnection(self) -> None:
        """Twisted's ITCPTransport."""
        self.transport.abort()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to do: asyncio sets it for every connection (`asyncio.base_events._set_nodelay`)."""

    def getPeer(self) -> Any:
        """Twisted's ITransport."""
        return self.transport.get_extra_info("peername")

    getHost = getPeer


class Relay(_Channel):  # type: ignore[misc]
    """One forwarded connection: a channel and the streams of a local socket. `opened` is done when it is open."""

    def __init__(self, name: bytes, streams: Streams | None, **windows: Any) -> None:
        super().__init__(**windows)
        self.name = name
        self.streams = streams
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = False
        self._heard_eof = False
        self._sent_eof = False
        self._may_send = asyncio.Event()
        self._pumping: asyncio.Task[None] | None = None

    def channelOpen(self, specificData: bytes) -> None:
        """The other side has agreed."""
        if not self.opened.done():
            self.opened.set_result(None)
        if self.streams is not None:
            self._pumping = asyncio.ensure_future(self._pump(*self.streams))

    def openFailed(self, reason: Any) -> None:
        """The other side has refused: so has its target."""
        if not self.opened.done():
            self.opened.set_exception(ConnectionRefusedError(str(reason)))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the socket to the channel, as fast as the window opens."""
        try:
            while data := await reader.read(_CHUNK):
                self.write(data)
                await self._until_sent()
        except OSError:
            self.loseConnection()  # a reset cannot be told to the other side: it becomes an end
            return
        self._sent_eof = True
        self.conn.sendEOF(self)
        self._close_when_done()

    async def _until_sent(self) -> None:
        while self.buf and not self.gone:
            self._may_send.clear()
            await self._may_send.wait()

    def startWriting(self) -> None:
        """The window has opened."""
        self._may_send.set()

    def dataReceived(self, data: bytes) -> None:
        """From the channel to the socket."""
        assert self.streams is not None
        self.streams[1].write(data)

    @property
    def is_full(self) -> bool:
        """Whether too much waits for the local peer: the window must not open."""
        return self.streams is not None and self.streams[1].transport.get_write_buffer_size() > _MOST_WAITING

    def eofReceived(self) -> None:
        """The other side sends no more."""
        self._heard_eof = True
        if self.streams is not None:
            with contextlib.suppress(OSError, RuntimeError):  # the socket may be closed already
                self.streams[1].write_eof()
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._heard_eof and self._sent_eof:
            self.loseConnection()

    def closed(self) -> None:
        """Both sides have closed, or the connection is lost."""
        self.gone = True
        self._may_send.set()
        if self._pumping is not None and self._pumping is not asyncio.current_task():
            self._pumping.cancel()
        if self.streams is not None:
            self.streams[1].close()
        self.openFailed("the connection was lost")


class Connection(_Connection):  # type: ignore[misc]
    """Conch's connection, which opens relay channels only when their target has been reached, and throttles them."""

    #: Given the type of a channel and its data, what connects it; None for other types. Set by `with_conch`.
    connector: Callable[[bytes, bytes], Coroutine[Any, Any, Streams] | None]

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[Any]] = set()

    def in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """A task that is kept until it is done."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        """Reach the target first, then answer (RFC 4254, section 5.1)."""
        kind, rest = common.getNS(packet)
        sender, window, most = struct.unpack(">3L", rest[:12])
        connecting = self.connector(kind, rest[12:])
        if connecting is None:
            super().ssh_CHANNEL_OPEN(packet)
            return
        self.in_background(self._open(connecting, kind, sender, window, most))

    async def _open(
        self, connecting: Coroutine[Any, Any, Streams], kind: bytes, sender: int, window: int, most: int
    ) -> None:
        try:
            streams = await connecting
        except (OSError, ConchError) as error:
            reason = struct.pack(">2L", sender, connection.OPEN_CONNECT_FAILED)
            text = common.NS(str(error).encode()) + common.NS(b"")
            self.transport.sendPacket(connection.MSG_CHANNEL_OPEN_FAILURE, reason + text)
            return
        relay = Relay(kind, streams, remoteWindow=window, remoteMaxPacket=most)
        relay.conn = self
        relay.id = self.localChannelID
        self.localChannelID += 1
        self.channels[relay.id] = relay
        self.channelsToRemoteChannel[relay] = sender
        self.localToRemoteChannel[relay.id] = sender
        agreed = struct.pack(">4L", sender, relay.id, relay.localWindowSize, relay.localMaxPacket)
        self.transport.sendPacket(connection.MSG_CHANNEL_OPEN_CONFIRMATION, agreed)
        relay.channelOpen(b"")

    def adjustWindow(self, channel: Any, bytesToAdd: int) -> None:
        """Only when the local peer keeps up; else once it has caught up."""
        if isinstance(channel, Relay) and channel.is_full:
            if not getattr(channel, "catching_up", False):
                channel.catching_up = True
                self.in_background(self._catch_up(channel))
            return
        super().adjustWindow(channel, bytesToAdd)

    async def _catch_up(self, channel: Relay) -> None:
        assert channel.streams is not None
        with contextlib.suppress(OSError):
            await channel.streams[1].drain()
            while channel.is_full and not channel.gone:
                await asyncio.sleep(0.005)
        channel.catching_up = False
        if not channel.gone:
            super().adjustWindow(channel, channel.localWindowSize - channel.localWindowLeft)

    async def open_relay(self, target: Target, streams: Streams | None) -> Relay:
        """A channel to a target at the other side. Raises `ConnectionRefusedError`."""
        if isinstance(target, str):
            name, data = b"direct-streamlocal@openssh.com", common.NS(target.encode()) + common.NS(b"") + bytes(4)
        else:
            name = b"direct-tcpip"
            data = common.NS(target[0].encode()) + struct.pack(">L", target[1]) + common.NS(b"127.0.0.1") + bytes(4)
        relay = Relay(name, streams)
        self.openChannel(relay, data)
        await relay.opened
        return relay
