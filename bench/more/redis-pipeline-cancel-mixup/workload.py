"""Many tasks share one Redis client and send pipelines of two commands; some are given up on.

Invariant: a pipeline that returns, returns the values stored under its own keys.
"""
import asyncio
import random
import socket
import sys

import redis.asyncio as redis


async def server(host, port, started=None):
    """A tiny in-memory Redis: SET, GET, and +OK for anything else."""
    store = {}

    async def handle(reader, writer):
        try:
            while True:
                header = await reader.readline()
                if not header:
                    break
                args = []
                for _ in range(int(header[1:])):
                    size = int((await reader.readline())[1:])
                    args.append((await reader.readexactly(size + 2))[:-2])
                name = args[0].upper()
                if name == b"GET":
                    value = store.get(args[1])
                    writer.write(b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value))
                elif name == b"SET":
                    store[args[1]] = args[2]
                    writer.write(b"+OK\r\n")
                else:
                    writer.write(b"+OK\r\n")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    srv = await asyncio.start_server(handle, host, port)
    if started is not None:
        started.set()
    try:
        await asyncio.Event().wait()
    finally:
        srv.close()


async def client(host, port):
    r = redis.Redis(host=host, port=port)
    keys = [f"key:{i}" for i in range(8)]

    async def retried(make):
        for _ in range(20):
            try:
                return await asyncio.wait_for(make(), 5)
            except (redis.RedisError, OSError, asyncio.TimeoutError):
                await asyncio.sleep(0.05)
        raise AssertionError("the server is up but the client never gets an answer")

    for key in keys:
        await retried(lambda: r.set(key, "value of " + key))

    async def both(one, other):
        async with r.pipeline(transaction=False) as pipe:
            return await pipe.get(one).get(other).execute()

    async def reader():
        for _ in range(10):
            one, other = random.sample(keys, 2)
            task = asyncio.create_task(both(one, other))
            if random.random() < 0.5:
                await asyncio.sleep(10 ** random.uniform(-4, -1.5))
                task.cancel()
            try:
                got = await task
            except (asyncio.CancelledError, redis.RedisError, OSError):
                continue
            assert got == [f"value of {each}".encode() for each in (one, other)], f"GET {one}, {other} returned {got!r}"

    await asyncio.gather(*(reader() for _ in range(3)))
    for key in keys:
        got = await retried(lambda: r.get(key))
        assert got == f"value of {key}".encode(), f"GET {key} returned {got!r}"
    await r.connection_pool.disconnect()


async def main(host="127.0.0.1", port=6379, seed=None):
    if seed is not None:
        random.seed(seed)
    started = asyncio.Event()
    task = asyncio.create_task(server(host, port, started))
    await asyncio.wait_for(started.wait(), 5)
    try:
        await asyncio.wait_for(client(host, port), 30)
    except asyncio.TimeoutError:
        raise AssertionError("the client did not finish in 30 s")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


if __name__ == "__main__":
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        free = s.getsockname()[1]
    asyncio.run(main(port=free, seed=int(sys.argv[1]) if len(sys.argv) > 1 else None))
