"""asyncio streams over TLS: the certificate is checked against the host's name; a client that does not trust."""

import asyncio
import ssl
from pathlib import Path

LIBRARIES = ()
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


async def serve(port):
    async def handle(reader, writer):
        size = int.from_bytes(await reader.readexactly(4), "big")
        writer.write((await reader.readexactly(size))[::-1])
        await writer.drain()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    async with await asyncio.start_server(handle, None, port, ssl=context) as server:
        await server.serve_forever()


async def connect(host, port):
    context = ssl.create_default_context(cafile=FILES / "authority.pem")
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    writer.write(len(DATA).to_bytes(4, "big") + DATA)
    await writer.drain()
    assert await reader.readexactly(len(DATA)) == DATA[::-1]
    writer.close()
    await writer.wait_closed()
    try:
        await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8443)
    world.sleep(0.1)
    assert "unable to get local issuer" in client.run(connect, "server", 8443).result(timeout=60)
