"""asyncio UNIX sockets on one host: start_unix_server and open_unix_connection, by path and by abstract name."""

import asyncio
import contextlib
import os
import tempfile

LIBRARIES = ()
DATA = bytes(range(256)) * 600


async def handle(reader, writer):
    while data := await reader.read(10_000):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def serve(paths):
    async with contextlib.AsyncExitStack() as stack:
        for path in paths:
            await stack.enter_async_context(await asyncio.start_unix_server(handle, path))
        await asyncio.sleep(30)


async def exchange(path):
    reader, writer = await asyncio.open_unix_connection(path)

    async def send():
        writer.write(DATA)
        await writer.drain()
        writer.write_eof()

    _, got = await asyncio.gather(send(), reader.read())
    assert got == DATA
    writer.close()
    await writer.wait_closed()


async def connect(paths):
    await asyncio.gather(*map(exchange, paths))
    missing = 0
    for path in (os.path.dirname(paths[0]) + "/nothing", "\0nothing"):
        try:
            await asyncio.open_unix_connection(path)
        except (FileNotFoundError, ConnectionRefusedError):
            missing += 1
    return missing


def scenario(world):
    host = world.host("both")
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/socket", "\0abstract"]
        host.run(serve, paths)
        world.sleep(0.1)
        assert host.run(connect, paths).result(timeout=60) == 2
