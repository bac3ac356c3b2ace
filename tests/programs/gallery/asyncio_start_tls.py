"""asyncio start_tls: a plain line, then TLS on the same connection; and a server that refuses it."""

import asyncio
import ssl
from pathlib import Path

LIBRARIES = ()
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


async def serve(port, context):
    async def handle(reader, writer):
        assert await reader.readline() == b"TLS\n"
        writer.write(b"OK\n" if context else b"NO\n")
        if context:
            await writer.start_tls(context)
            while data := await reader.read(10_000):
                writer.write(data)
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(handle, None, port) as server:
        await server.serve_forever()


async def connect(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"TLS\n")
    if await reader.readline() != b"OK\n":
        assert await reader.read() == b""
        writer.close()
        return "refused"
    await writer.start_tls(ssl.create_default_context(cafile=FILES / "authority.pem"), server_hostname=host)
    writer.write(DATA)
    assert await reader.readexactly(len(DATA)) == DATA
    writer.close()
    await writer.wait_closed()
    return "done"


def scenario(world):
    server, client = world.host("server"), world.host("client")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    server.run(serve, 8000, context)
    server.run(serve, 8001, None)
    world.sleep(0.1)
    assert client.run(connect, "server", 8000).result(timeout=60) == "done"
    assert client.run(connect, "server", 8001).result(timeout=60) == "refused"
