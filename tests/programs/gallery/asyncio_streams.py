"""asyncio streams: a framed echo server and a client."""

import asyncio

LIBRARIES = ()
SIZE = 150_000


async def serve(port):
    async def handle(reader, writer):
        while header := await reader.read(1):
            if header == b"!":
                break
            size = int.from_bytes(await reader.readexactly(4), "big")
            body = await reader.readexactly(size)
            writer.write(body[::-1])
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(handle, None, port) as server:
        await server.serve_forever()


async def connect(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    body = bytes(range(256)) * (SIZE // 256)
    writer.write(b"=" + len(body).to_bytes(4, "big") + body)
    await writer.drain()
    assert await reader.readexactly(len(body)) == body[::-1]
    writer.write(b"!")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    try:
        await asyncio.open_connection(host, port + 1)
    except OSError:  # one for each address of the host
        return "refused"
    raise AssertionError("nobody listens there")


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(connect, "server", 8000).result(timeout=60) == "refused"
