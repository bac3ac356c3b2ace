"""The relay of about 40 lines on asyncio's streams that everybody writes: `relay.py PORT BEHIND`."""

from __future__ import annotations

import asyncio
import socket
import sys

LIMIT = 1 << 18


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end; a reset becomes a reset."""
    try:
        while data := await reader.read(LIMIT):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        own = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        behind, towards = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]), limit=LIMIT)
    except OSError:
        writer.transport.abort()
        return
    for each in (writer, towards):
        each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.gather(pump(reader, towards), pump(behind, writer))
    finally:
        writer.close()
        towards.close()


async def main() -> None:
    """Listen for ever."""
    server = await asyncio.start_server(relay, "127.0.0.1", int(sys.argv[1]), limit=LIMIT, backlog=1024)
    await server.serve_forever()


asyncio.run(main())
