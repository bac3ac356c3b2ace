"""anyio: the same server and client on asyncio and on Trio, in all four pairs."""

import contextlib

import anyio

LIBRARIES = ("anyio", "trio")
DATA = bytes(range(256)) * 500


async def answer(stream):
    async with stream:
        data = b""
        while len(data) < len(DATA):
            data += await stream.receive()
        await stream.send(data[::-1])


async def serve(port):
    listener = await anyio.create_tcp_listener(local_port=port)
    await listener.serve(answer)


async def connect(host, port):
    async with await anyio.connect_tcp(host, port) as stream:
        data = b""
        await stream.send(DATA)
        while len(data) < len(DATA):
            data += await stream.receive()
        assert data == DATA[::-1]
        with contextlib.suppress(anyio.EndOfStream):
            await stream.receive()
    try:
        await anyio.connect_tcp(host, 9999)
    except OSError as error:
        return str(error)


def on(backend, function, *args):
    return anyio.run(function, *args, backend=backend)


def scenario(world):
    client = world.host("client")
    for number, server_backend in enumerate(("asyncio", "trio")):
        world.host(f"server-{server_backend}").run(on, server_backend, serve, 8000 + number)
    world.sleep(0.1)
    for number, server_backend in enumerate(("asyncio", "trio")):
        for client_backend in ("asyncio", "trio"):
            job = client.run(on, client_backend, connect, f"server-{server_backend}", 8000 + number)
            assert "All connection attempts failed" in job.result(timeout=60)
