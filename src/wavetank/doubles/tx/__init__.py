"""Doubles in Twisted's dialect: drop-in replacements for the names of `twisted.internet.testing`, and more.

Owns the public names, and nothing else. Must never import the global reactor: none of the doubles needs one. What a
double does unless told otherwise is what the name of Twisted 26.10 does, quirks included; `strict=True` gives the
contract of real transports.
"""

from wavetank.doubles.joining import connect
from wavetank.doubles.tx.datagram import AccumulatingDatagramProtocol, FakeDatagramTransport
from wavetank.doubles.tx.network import MemoryNetworkReactor
from wavetank.doubles.tx.process import AccumulatingProcessProtocol, FakeProcessTransport
from wavetank.doubles.tx.protocols import (
    AccumulatingProtocol,
    EventLoggingObserver,
    LineSendingProtocol,
    NonStreamingProducer,
    waitUntilAllDisconnected,
)
from wavetank.doubles.tx.reactor import (
    MemoryReactor,
    MemoryReactorClock,
    RaisingMemoryReactor,
    SynchronousResolver,
    _FakeConnector,
    _FakePort,
)
from wavetank.doubles.tx.string import StringIOWithoutClosing, StringTransport, StringTransportWithDisconnection
from wavetank.doubles.tx.transport import Transport
from wavetank.doubles.wire import chunks
from wavetank.doubles.wire.connection import Connection
from wavetank.doubles.wire.log import Entry, Log

__all__ = [
    "AccumulatingDatagramProtocol",
    "AccumulatingProcessProtocol",
    "AccumulatingProtocol",
    "Connection",
    "Entry",
    "EventLoggingObserver",
    "FakeDatagramTransport",
    "FakeProcessTransport",
    "LineSendingProtocol",
    "Log",
    "MemoryNetworkReactor",
    "MemoryReactor",
    "MemoryReactorClock",
    "NonStreamingProducer",
    "RaisingMemoryReactor",
    "StringIOWithoutClosing",
    "StringTransport",
    "StringTransportWithDisconnection",
    "SynchronousResolver",
    "Transport",
    "_FakeConnector",
    "_FakePort",
    "chunks",
    "connect",
    "waitUntilAllDisconnected",
]
