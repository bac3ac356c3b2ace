"""A connection that several tasks share. The bug: a task that is cancelled between request and reply gives the
connection back, and its reply is the next task's."""

import asyncio
import random
import sys

FIXED = "fixed" in sys.argv


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(b"value of " + line)
    except ConnectionError:
        pass
    writer.close()


class Connection:
    def __init__(self):
        self.lock, self.writer = asyncio.Lock(), None

    async def get(self, key):
        async with self.lock:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", 7107)
            self.writer.write(key + b"\n")
            try:
                return await self.reader.readline()
            except asyncio.CancelledError:
                if FIXED:
                    self.writer.close()
                    self.writer = None
                raise


async def reader(connection, name):
    for number in range(10):
        key = b"%s-%d" % (name, number)
        try:
            async with asyncio.timeout(random.uniform(0.2, 0.3)):
                assert await connection.get(key) == b"value of " + key + b"\n"
        except TimeoutError:
            pass


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 7107)
    connection = Connection()
    await asyncio.gather(reader(connection, b"a"), reader(connection, b"b"))
    if connection.writer:
        connection.writer.close()
    server.close()


asyncio.run(main())
