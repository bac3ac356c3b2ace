"""aiohttp client and server: uploads, streaming, websocket, plain and over TLS; a status that is an error."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
from aiohttp import web

LIBRARIES = ("aiohttp",)
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


async def reverse(request):
    return web.Response(body=(await request.read())[::-1])


async def stream(request):
    answer = web.StreamResponse()
    await answer.prepare(request)
    for at in range(0, len(DATA), 10_000):
        await answer.write(DATA[at : at + 10_000])
    await answer.write_eof()
    return answer


async def talk(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data[::-1])
    return socket


async def serve(port, context):
    app = web.Application()
    app.add_routes([web.post("/", reverse), web.get("/stream", stream), web.get("/talk", talk)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, None, port, ssl_context=context).start()
    await asyncio.sleep(30)
    await runner.cleanup()


async def connect(base):
    context = ssl.create_default_context(cafile=FILES / "authority.pem")
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=context)) as session:
        async with session.post("/", data=DATA) as answer:
            assert await answer.read() == DATA[::-1]
        async with session.get("/stream") as answer:
            assert b"".join([part async for part in answer.content.iter_chunked(4_000)]) == DATA
        async with session.ws_connect("/talk") as socket:
            for size in (1, 200, 70_000):
                await socket.send_bytes(DATA[:size])
                assert await socket.receive_bytes() == DATA[:size][::-1]
        try:
            await session.get("/missing", raise_for_status=True)
        except aiohttp.ClientResponseError as error:
            return error.status


def scenario(world):
    server, client = world.host("server"), world.host("client")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    server.run(serve, 8000, None)
    server.run(serve, 8443, context)
    world.sleep(0.1)
    assert client.run(connect, "http://server:8000").result(timeout=60) == 404
    assert client.run(connect, "https://server:8443").result(timeout=60) == 404
