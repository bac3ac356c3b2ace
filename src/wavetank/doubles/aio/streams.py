"""A pair of asyncio streams, joined in memory.

Owns nothing: asyncio's own `StreamReader` and `StreamWriter` on two joined transports. Needs a running loop.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from wavetank.doubles.joining import connect
from wavetank.doubles.wire.connection import Connection
from wavetank.errors import UsageError

#: asyncio/streams.py, `_DEFAULT_LIMIT`: 64 KiB.
LIMIT = 2**16


class Stream(NamedTuple):
    """What `asyncio.open_connection` gives."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class StreamPair(NamedTuple):
    """Both ends: what one writes, the other reads. `connection` has the log, faults and the time."""

    a: Stream
    b: Stream
    connection: Connection


def stream_pair(*, limit: int = LIMIT, **options: Any) -> StreamPair:
    """Two streams that are joined; `options` are those of `connect`, `limit` is that of `StreamReader`, in bytes.

    Use it inside a running loop: `(reader, writer), (other_reader, other_writer), connection = stream_pair()`. Raises
    `UsageError` outside of one.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "stream_pair() outside of an event loop",
            why="asyncio's streams wait in a loop",
            next="call it in an async function; for protocols alone, connect() needs no loop",
        ) from None
    readers = [asyncio.StreamReader(limit, loop) for _ in range(2)]
    protocols = [asyncio.StreamReaderProtocol(reader, loop=loop) for reader in readers]
    connection = connect(*protocols, clock=loop, **options)
    streams = [
        Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        for reader, protocol, transport in zip(readers, protocols, (connection.a, connection.b), strict=True)
    ]
    return StreamPair(streams[0], streams[1], connection)
