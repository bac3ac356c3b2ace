"""Doubles in asyncio's dialect: transports, protocols, streams and joined connections, without a socket.

Owns the public names, and nothing else. Must never import Twisted. No event loop is needed; inside one, joined
protocols are served by it.
"""

from wavetank.doubles.aio.datagram import FakeDatagramTransport
from wavetank.doubles.aio.process import FakeSubprocessTransport
from wavetank.doubles.aio.protocols import (
    AccumulatingDatagramProtocol,
    AccumulatingProtocol,
    AccumulatingSubprocessProtocol,
)
from wavetank.doubles.aio.streams import Stream, StreamPair, stream_pair
from wavetank.doubles.aio.string import StringTransport, StringTransportWithDisconnection
from wavetank.doubles.aio.transport import Transport
from wavetank.doubles.joining import connect
from wavetank.doubles.wire import chunks
from wavetank.doubles.wire.connection import Connection
from wavetank.doubles.wire.log import Entry, Log
from wavetank.doubles.wire.watermarks import Watermarks

#: The names that Twisted's dialect has for them: one process is one process.
AccumulatingProcessProtocol = AccumulatingSubprocessProtocol
FakeProcessTransport = FakeSubprocessTransport

__all__ = [
    "AccumulatingDatagramProtocol",
    "AccumulatingProcessProtocol",
    "AccumulatingProtocol",
    "AccumulatingSubprocessProtocol",
    "Connection",
    "Entry",
    "FakeDatagramTransport",
    "FakeProcessTransport",
    "FakeSubprocessTransport",
    "Log",
    "Stream",
    "StreamPair",
    "StringTransport",
    "StringTransportWithDisconnection",
    "Transport",
    "Watermarks",
    "chunks",
    "connect",
    "stream_pair",
]
