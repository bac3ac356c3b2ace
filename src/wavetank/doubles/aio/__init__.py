"""Doubles in asyncio's dialect: transports, protocols and joined connections, without a socket.

Owns the public names, and nothing else. Must never import Twisted. No event loop is needed; inside one, joined
protocols are served by it.
"""

from wavetank.doubles.aio.transport import Transport
from wavetank.doubles.joining import connect
from wavetank.doubles.wire import chunks
from wavetank.doubles.wire.connection import Connection
from wavetank.doubles.wire.log import Entry, Log
from wavetank.doubles.wire.watermarks import Watermarks

__all__ = ["Connection", "Entry", "Log", "Transport", "Watermarks", "chunks", "connect"]
