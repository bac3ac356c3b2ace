"""A list kept by a server, and a client that fills it. Each message: its length in 4 bytes, then JSON.

It works on every loopback, and has a bug that a network shows: see docs/first-run.md.
"""

import asyncio
import json
import struct

PORT = 7000
THINGS = [f"thing {number}" for number in range(30)]


async def receive(reader):
    """The next message; None at the end of the stream."""
    head = await reader.read(4)
    if not head:
        return None
    (size,) = struct.unpack("!I", head)
    return json.loads(await reader.read(size))


async def send(writer, message):
    """Send one message."""
    body = json.dumps(message).encode()
    writer.write(struct.pack("!I", len(body)) + body)
    await writer.drain()


async def serve(reader, writer):
    """Add each thing to the list, and answer with the whole list."""
    kept = []
    while (thing := await receive(reader)) is not None:
        kept.append(thing)
        await send(writer, kept)
    writer.close()


async def main():
    """Send all things, and look at each answer."""
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    for count, thing in enumerate(THINGS, start=1):
        await send(writer, thing)
        kept = await receive(reader)
        assert kept == THINGS[:count], f"sent {count} things, the answer is {kept}"
    print(f"the list has {len(kept)} things")
    writer.close()
    await writer.wait_closed()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
