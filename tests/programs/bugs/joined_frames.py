"""Frames with a length in front. The bug: only the first frame of a read is handled; a second one waits for more."""

import asyncio
import struct
import sys

FIXED = "fixed" in sys.argv
COUNT = 5


class Frames(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while len(self.buffer) >= 2:
            (size,) = struct.unpack_from("!H", self.buffer)
            if len(self.buffer) < 2 + size:
                return
            body, self.buffer = self.buffer[2 : 2 + size], self.buffer[2 + size :]
            self.transport.write(struct.pack("!H", size) + body)
            if not FIXED:
                return


async def main():
    server = await asyncio.get_running_loop().create_server(Frames, "127.0.0.1", 7102)
    reader, writer = await asyncio.open_connection("127.0.0.1", 7102)
    for number in range(COUNT):
        body = f"frame {number}".encode()
        writer.write(struct.pack("!H", len(body)) + body)
        await asyncio.sleep(0.02)
    for number in range(COUNT):
        async with asyncio.timeout(10):
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            assert await reader.readexactly(size) == f"frame {number}".encode()
    writer.close()
    server.close()


asyncio.run(main())
