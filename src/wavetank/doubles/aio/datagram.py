"""Datagrams in asyncio's dialect: a transport that remembers what was sent.

Owns the stand-in for the transport of `create_datagram_endpoint`, and the transport of a joined datagram protocol.
Must never lose or reorder anything (`wire.datagrams` does).

Source: asyncio/selector_events.py of CPython 3.13, `_SelectorDatagramTransport`.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any, Final

from wavetank.doubles.aio.string import PEERNAME, SOCKNAME
from wavetank.doubles.aio.transport import as_bytes
from wavetank.doubles.wire.datagrams import Side
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.violation import violation

#: The longest UDP payload over IPv4: 65535 less 20 bytes of IP and 8 of UDP (RFC 768, RFC 791).
MAX_DATAGRAM: Final = 65507


class FakeDatagramTransport(asyncio.DatagramTransport):
    """Remembers in `written` what was sent: (data, address), the address None where none was given.

    `remote`: the address that the endpoint is connected to, if it is (`remote_addr` of `create_datagram_endpoint`):
    then another one is a `ValueError`. `deliver(data, addr)` and `fail(error)` are what the network does. `close()` and
    `abort()` call `connection_lost(None)` of `protocol`, once; in a running loop soon after, else at once. After them
    `sendto` drops what it is given; with `strict=True` it raises `ContractViolation`. `log` is every call in order.
    """

    def __init__(
        self, protocol: Any = None, *, remote: Any = None, sockname: Any = SOCKNAME, strict: bool = False
    ) -> None:
        super().__init__({"sockname": sockname, "peername": remote})
        self.protocol = protocol
        self.written: list[tuple[bytes, Any]] = []
        self.log = Log()
        self.closed = self.aborted = False
        self._remote = remote
        self._strict = strict
        self._told = False
        if protocol is not None:
            self._tell("connection_made", self)

    # ---- DatagramTransport

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Remember a datagram; TypeError for what is not bytes-like, ValueError for another address than `remote`."""
        data = as_bytes(data)
        self.log.note("protocol", "sendto", (data, addr))
        if self.closed:
            if self._strict:
                raise violation("write-after-close", self.log)
            return
        if self._remote is not None and addr not in (None, self._remote):
            raise ValueError(f"Invalid address: must be None or {self._remote}")
        self.written.append((data, addr))

    def abort(self) -> None:
        """Close at once."""
        self.aborted = True
        self.close()

    def close(self) -> None:
        """Close; the protocol is told."""
        if self.closed:
            return
        self.log.note("protocol", "close")
        self.closed = True
        try:
            asyncio.get_running_loop().call_soon(self._lose)
        except RuntimeError:
            self._lose()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told from now on."""
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def get_write_buffer_size(self) -> int:
        """0: every datagram leaves at once."""
        return 0

    # ---- for tests

    def deliver(self, data: bytes, addr: Any = PEERNAME) -> None:
        """Give the protocol a datagram from `addr`; nothing after `close`."""
        if not self.closed:
            self._tell("datagram_received", data, addr)

    def fail(self, error: OSError) -> None:
        """Tell the protocol that an earlier send failed, as by an ICMP message."""
        self._tell("error_received", error)

    def _lose(self) -> None:
        if not self._told and self.protocol is not None:
            self._told = True
            self._tell("connection_lost", None)

    def _tell(self, call: str, *arguments: Any) -> None:
        self.log.note("transport", call, arguments if call != "connection_made" else None)
        getattr(self.protocol, call)(*arguments)


class JoinedDatagramTransport(asyncio.DatagramTransport):
    """The transport of a joined datagram protocol: connected to the other one."""

    def __init__(self, speaker: DatagramSpeaker, sockname: Any, peername: Any) -> None:
        super().__init__({"sockname": sockname, "peername": peername})
        self._speaker = speaker
        self._peer = peername
        self._side: Side

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram, in a later round; TypeError, ValueError as `FakeDatagramTransport.sendto`."""
        data = as_bytes(data)
        if addr not in (None, self._peer):
            raise ValueError(f"Invalid address: must be None or {self._peer}")
        self._side.send(data)

    def close(self) -> None:
        """Close; `connection_lost(None)` follows in a later round."""
        self._side.close()

    abort = close

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._side.closed

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        protocol: asyncio.BaseProtocol = self._speaker.protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From the next callback on, `protocol` is called."""
        self._speaker.protocol = protocol

    def get_write_buffer_size(self) -> int:
        """0: every datagram leaves at once."""
        return 0


class DatagramSpeaker:
    """Calls one asyncio datagram protocol; `loop` is told what it raises, if there is one."""

    def __init__(self, protocol: Any, host: Any, peer: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.protocol = protocol
        self.transport = JoinedDatagramTransport(self, host, peer)
        self._loop = loop

    def attach(self, side: Side) -> None:
        """Speak for this side from now on."""
        self.transport._side = side

    def made(self) -> None:
        """`connection_made(transport)`."""
        self.protocol.connection_made(self.transport)

    def received(self, data: bytes, address: Any) -> None:
        """`datagram_received(data, address)`."""
        self.protocol.datagram_received(data, address)

    def refused(self) -> None:
        """`error_received(ConnectionRefusedError)`."""
        self.protocol.error_received(ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))

    def lost(self) -> None:
        """`connection_lost(None)`."""
        self.protocol.connection_lost(None)

    def report(self, error: BaseException, call: str) -> None:
        """To the loop's exception handler."""
        if self._loop is not None:
            message = f"Fatal error: protocol.{call}() call failed."
            self._loop.call_exception_handler({"message": message, "exception": error, "protocol": self.protocol})
