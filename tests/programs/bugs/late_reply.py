"""Requests with a time limit over one connection. The bug: after a timeout the connection is used on, and the late
reply is taken for the next one's. The reply takes a fifth of the limit."""

import asyncio
import sys

FIXED = "fixed" in sys.argv


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            await asyncio.sleep(0.02)
            writer.write(b"reply to " + line)
    except ConnectionError:
        pass
    writer.close()


class Client:
    writer = None

    async def ask(self, number):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", 7104)
        self.writer.write(b"%d\n" % number)
        try:
            return await asyncio.wait_for(self.reader.readline(), 0.1)
        except asyncio.TimeoutError:
            if FIXED:
                self.writer.close()
                self.writer = None
            return None


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 7104)
    client = Client()
    for number in range(10):
        answer = await client.ask(number)
        assert answer in (None, b"", b"reply to %d\n" % number), (number, answer)
        await asyncio.sleep(0.005)
    if client.writer:
        client.writer.close()
    server.close()


asyncio.run(main())
