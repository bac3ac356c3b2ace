"""Datagrams in asyncio's dialect: a transport that remembers what was sent.

Owns the stand-in for the transport of `create_datagram_endpoint`. Must never lose or reorder anything (that is for
joined datagram protocols). Source: asyncio/selector_events.py of CPython 3.13, `_SelectorDatagramTransport`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from wavetank.doubles.aio.string import PEERNAME, SOCKNAME
from wavetank.doubles.aio.transport import as_bytes
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
