"""One vocabulary over two dialects: what a transport of asyncio and one of Twisted are asked in the same words.

Owns the translation and the questions to the kernel about a socket (is it writable, how much is queued). It must never
import Twisted, nor hide a difference: a call that one dialect lacks raises `NotOffered`.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from typing import Any, Final

ASYNCIO: Final = "asyncio"
TWISTED: Final = "twisted"


class NotOffered(Exception):
    """The loop, reactor or transport has no such call; `str()` names it."""


def unsent_bytes(sock: Any) -> int:
    """What the kernel has queued to send, in bytes: accepted and not yet acknowledged (TIOCOUTQ, tcp(7))."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def unread_bytes(sock: Any) -> int:
    """What the kernel has received and the program has not read, in bytes (FIONREAD, tcp(7))."""
    answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def is_writable(sock: Any) -> bool:
    """Whether the kernel would take more now."""
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(0))


class Wire:
    """A transport in the neutral words; `transport` is the real one, `dialect` its own."""

    dialect = ASYNCIO

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def write(self, data: Any) -> None:
        """Send `data`."""
        self.transport.write(data)

    def writelines(self, data: Any) -> None:
        """Send all of a list."""
        self.transport.writelines(data)

    def close(self) -> None:
        """End in order: what is queued goes out first."""
        self.transport.close()

    def abort(self) -> None:
        """End at once: what is queued is lost."""
        self.transport.abort()

    def write_eof(self) -> None:
        """End one's own direction."""
        self.transport.write_eof()

    def pause_reading(self) -> None:
        """Take nothing from the kernel until `resume_reading`."""
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self.transport.resume_reading()

    def watch_flow(self, protocol: Any, *, streaming: bool) -> None:
        """Have the protocol told when to pause and to resume; asyncio tells it anyhow."""

    def unwatch_flow(self) -> None:
        """Undo `watch_flow`."""

    def extra(self, name: str) -> Any:
        """What the transport tells of itself by this name (peername, sockname, socket, ...), or None."""
        return self.transport.get_extra_info(name)

    def shakes_hands(self) -> bool:
        """Whether TLS is still being agreed on; asyncio connects its protocols after that."""
        return False

    def socket(self) -> socket.socket:
        """The socket underneath; NotOffered when the transport does not show it."""
        found: Any = self.transport.get_extra_info("socket")
        if found is None:
            raise NotOffered('get_extra_info("socket")')
        return found  # type: ignore[no-any-return]  # asyncio's TransportSocket, which is no socket.socket


#: What asyncio calls extra information, and the calls of Twisted's transports for it.
_EXTRA: Final = {"peername": "getPeer", "sockname": "getHost", "socket": "getHandle", "peercert": "getPeerCertificate"}


class TwistedWire(Wire):
    """A Twisted transport in the neutral words."""

    dialect = TWISTED

    def writelines(self, data: Any) -> None:
        """By writeSequence."""
        self.transport.writeSequence(data)

    def close(self) -> None:
        """By loseConnection."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """By abortConnection."""
        self.transport.abortConnection()

    def write_eof(self) -> None:
        """By loseWriteConnection."""
        if not hasattr(self.transport, "loseWriteConnection"):
            raise NotOffered("loseWriteConnection")
        self.transport.loseWriteConnection()

    def pause_reading(self) -> None:
        """By pauseProducing."""
        self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """By resumeProducing."""
        self.transport.resumeProducing()

    def watch_flow(self, protocol: Any, *, streaming: bool) -> None:
        """By registerProducer."""
        self.transport.registerProducer(protocol, streaming)

    def unwatch_flow(self) -> None:
        """By unregisterProducer."""
        self.transport.unregisterProducer()

    def extra(self, name: str) -> Any:
        """By getPeer, getHost, getHandle, getPeerCertificate; NotOffered for what none of them tells."""
        call = _EXTRA.get(name)
        if call is None or not hasattr(self.transport, call):
            raise NotOffered(f"extra information {name}")
        return getattr(self.transport, call)()

    def shakes_hands(self) -> bool:
        """Before the peer has shown its certificate."""
        return hasattr(self.transport, "getPeerCertificate") and self.transport.getPeerCertificate() is None

    def socket(self) -> socket.socket:
        """The socket of the lowest transport."""
        found: Any = self.transport
        while not hasattr(found, "socket"):
            # TLS: the protocol that speaks it holds the transport below (twisted.protocols.policies.ProtocolWrapper).
            found = found.transport
        return found.socket  # type: ignore[no-any-return]
