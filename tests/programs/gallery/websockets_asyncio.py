"""websockets on asyncio, plain and over TLS, compressed: echo, fragments, pings; a close with a code of its own."""

import asyncio
import ssl
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError, InvalidStatus

LIBRARIES = ("websockets",)
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


async def echo(connection):
    async for message in connection:
        if message == "leave":
            await connection.close(4000, "as you wish")
        await connection.send(message[::-1])


def only_home(connection, request):
    return None if request.path == "/" else connection.respond(404, "nothing here\n")


async def run_server(plain_port, secure_port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    plain = serve(echo, None, plain_port, process_request=only_home)
    secure = serve(echo, None, secure_port, process_request=only_home, ssl=context, compression=None)
    async with plain, secure:
        await asyncio.sleep(120)


async def run_client(uri):
    context = ssl.create_default_context(cafile=FILES / "authority.pem") if uri.startswith("wss") else None
    async with connect(uri, ssl=context) as connection:
        for size in (0, 1, 70_000, len(DATA)):
            await connection.send(DATA[:size])
            assert await connection.recv() == DATA[:size][::-1]
        await connection.send(DATA[at : at + 10_000] for at in range(0, len(DATA), 10_000))
        assert b"".join([part async for part in connection.recv_streaming()]) == DATA[::-1]
        await (await connection.ping())
    try:
        await connect(uri + "elsewhere", ssl=context)
    except InvalidStatus as error:
        status = error.response.status_code
    async with connect(uri, ssl=context) as connection:
        await connection.send("leave")
        try:
            await connection.recv()
        except ConnectionClosedError as error:
            return status, error.rcvd.code, error.rcvd.reason


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(run_server, 8000, 8443)
    world.sleep(0.1)
    for uri in ("ws://server:8000/", "wss://server:8443/"):
        assert client.run(run_client, uri).result(timeout=60) == (404, 4000, "as you wish")
