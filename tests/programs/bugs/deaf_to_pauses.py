"""A server that sends more than its reader takes. The bug: it does not wait when its buffer is full."""

import asyncio
import sys

FIXED = "fixed" in sys.argv
CHUNK, COUNT, BOUND = bytes(4096), 400, 256 * 1024


async def serve(reader, writer):
    try:
        for _ in range(COUNT):
            writer.write(CHUNK)
            if FIXED:
                await writer.drain()
            else:
                await asyncio.sleep(0.001)
            size = writer.transport.get_write_buffer_size()
            assert size < BOUND, f"{size} bytes wait"
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 7108)
    reader, writer = await asyncio.open_connection("127.0.0.1", 7108)
    size = 0
    while data := await reader.read(65536):
        size += len(data)
    assert size == COUNT * len(CHUNK), size
    writer.close()
    server.close()


asyncio.run(main())
