"""python-socketio: an asyncio server in aiohttp, clients in threads and on asyncio: calls, a room, a refused client."""

import threading

import socketio
from aiohttp import web

LIBRARIES = ("python-socketio", "aiohttp", "requests", "websocket-client")
LONG = True
TEXT = "abcdefgh" * 14_000


def serve(port):
    server = socketio.AsyncServer(async_mode="aiohttp")

    @server.event
    async def connect(sid, environ, auth):
        if auth != "known":
            raise ConnectionRefusedError("who are you?")
        await server.enter_room(sid, "room")

    @server.event
    async def reverse(sid, text):
        return text[::-1]

    @server.event
    async def say(sid, text):
        await server.emit("said", text, room="room", skip_sid=sid)
        return len(text)

    app = web.Application()
    server.attach(app)
    web.run_app(app, port=port, print=None)


def hear(url, ready):
    heard = []
    with socketio.SimpleClient() as client:
        client.connect(url, auth="known")
        ready.set()
        heard += client.receive(timeout=60)
    return heard


async def talk(url):
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(url, auth="known")
        assert await client.call("reverse", TEXT) == TEXT[::-1]
        assert await client.call("say", "hello") == 5
    async with socketio.AsyncSimpleClient() as client:
        try:
            await client.connect(url, auth="unknown")
        except socketio.exceptions.ConnectionError as error:
            return str(error)


def scenario(world):
    server, one, two = (world.host(name) for name in ("server", "one", "two"))
    server.run(serve, 8000)
    world.sleep(0.1)
    ready = threading.Event()
    hearer = one.run(hear, "http://server:8000", ready)
    world.sleep(5)
    refusal = two.run(talk, "http://server:8000").result(timeout=120)
    assert refusal == "One or more namespaces failed to connect: /"
    assert hearer.result(timeout=120) == ["said", "hello"]
