"""A pool of one connection. The bug: who is woken and runs into its time limit in the same turn of the loop takes the
connection with it. So the reply must come within a millisecond of another task's time limit."""

import asyncio
import sys

FIXED = "fixed" in sys.argv


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line)
    writer.close()


class Pool:
    def __init__(self):
        self.free, self.waiters = True, []

    async def acquire(self):
        if self.free:
            self.free = False
            return
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            if FIXED and waiter.done() and not waiter.cancelled():
                self.release()
            raise

    def release(self):
        while self.waiters:
            waiter = self.waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free = True


async def ask(pool, streams, line):
    await pool.acquire()
    try:
        reader, writer = streams
        writer.write(line)
        assert await reader.readline() == line
    finally:
        pool.release()


async def impatient(pool, streams):
    try:
        async with asyncio.timeout(0.05):
            await pool.acquire()
    except TimeoutError:
        return
    pool.release()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 7105)
    streams = await asyncio.open_connection("127.0.0.1", 7105)
    pool = Pool()
    for number in range(10):
        await asyncio.gather(ask(pool, streams, b"%d\n" % number), impatient(pool, streams))
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await ask(pool, streams, b"last\n")
    streams[1].close()
    server.close()


asyncio.run(main())
