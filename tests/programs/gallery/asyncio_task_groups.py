"""asyncio TaskGroup, timeouts, queues and threads: a crowd of clients, one of them too slow."""

import asyncio
import contextlib
import time

LIBRARIES = ()
DATA = bytes(range(256)) * 20


async def serve(port):
    queue = asyncio.Queue(5)
    slots = asyncio.Semaphore(8)

    async def handle(reader, writer):
        async with slots:
            await queue.put((await reader.readline()).strip())
            with contextlib.suppress(asyncio.IncompleteReadError):  # from the one that is too slow
                body = await reader.readexactly(len(DATA))
                writer.write(await asyncio.to_thread(slowly, body))
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def count():
        seen = set()
        while len(seen) < 31:
            seen.add(int(await queue.get()))
        return seen

    server = await asyncio.start_server(handle, None, port)
    async with server, asyncio.timeout(60):
        return await count()


def slowly(body):
    time.sleep(0.05)
    return body[::-1]


async def request(host, port, number, delay=0.0):
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"%d\n" % number)
        await asyncio.sleep(delay)
        writer.write(DATA)
        assert await reader.read() == DATA[::-1]
    finally:
        writer.close()


async def connect(host, port):
    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(request(host, port, number))
    try:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(request(host, port, 30, delay=20))
            group.create_task(asyncio.sleep(100))
    except TimeoutError:
        return "too slow"


def scenario(world):
    server, client = world.host("server"), world.host("client")
    served = server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(connect, "server", 8000).result(timeout=60) == "too slow"
    assert served.result(timeout=60) == set(range(31))
