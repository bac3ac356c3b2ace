"""The interfaces of protocols: the standard library's own classes where they exist.

Owns the datagram interface, which asyncio knows by half: `connection_refused`, that its forerunner had beside
`error_received`. It must never change what the others are: `Protocol` here *is* `asyncio.Protocol`, so that an
`isinstance` of a loop sees what it looks for.

Their docstrings state the contract; what of it can be checked is in `lifecycle` and `values`, and `Monitor` checks it.
Sources: the docstrings of asyncio/protocols.py and the page "Transports and Protocols" of the standard library.
"""

from __future__ import annotations

import errno
from asyncio import BaseProtocol, BufferedProtocol, Protocol, SubprocessProtocol
from asyncio import DatagramProtocol as _DatagramProtocol
from typing import Any

__all__ = ["BaseProtocol", "BufferedProtocol", "DatagramProtocol", "Protocol", "SubprocessProtocol", "datagram_error"]


class DatagramProtocol(_DatagramProtocol):
    """Interface for datagram protocols: `asyncio.DatagramProtocol`, with the older `connection_refused`.

    Order of calls: `start -> connection_made [-> datagram_received* | error_received*] -> connection_lost -> end`,
    with `pause_writing` and `resume_writing` in pairs, as for streams. A datagram may be empty; each call of
    `datagram_received(data, addr)` carries exactly one, `data` as bytes.

    `error_received(exc)`: an earlier send or receive failed with this `OSError`; the endpoint stays open.
    `connection_refused(exc)`: the peer of a connected endpoint answered that nobody listens (ECONNREFUSED); called
    after `error_received`, by it unless it is overridden, else by the monitor and the doubles.
    """

    __slots__ = ()

    def error_received(self, exc: Exception) -> None:
        """An earlier send or receive failed with `exc`, an OSError; a refusal goes on to `connection_refused`."""
        if is_refusal(exc):
            self.connection_refused(exc)

    def connection_refused(self, exc: Exception) -> None:
        """The peer of a connected endpoint refused a datagram; `exc` is the OSError with ECONNREFUSED."""


def is_refusal(exc: BaseException) -> bool:
    """Whether this error says that nobody listens at the other end (ECONNREFUSED)."""
    return isinstance(exc, ConnectionRefusedError) or getattr(exc, "errno", None) == errno.ECONNREFUSED


def datagram_error(protocol: Any, exc: Exception) -> None:
    """Tell a datagram protocol of an error: `error_received` and `connection_refused`, each when it is defined.

    `protocol` is any object in asyncio's dialect. `connection_refused` is called for a refusal only, and only once,
    whether `error_received` passes it on (as that of our `DatagramProtocol` does) or not.
    """
    received = getattr(protocol, "error_received", None)
    if received is not None:
        received(exc)
    refused = getattr(protocol, "connection_refused", None)
    passed_on = getattr(received, "__func__", None) is DatagramProtocol.error_received
    if refused is not None and is_refusal(exc) and not passed_on:
        refused(exc)
