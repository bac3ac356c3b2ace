"""Daphne (Twisted's asyncio reactor) serves an ASGI program to requests and to websocket-client; a page that fails."""

import requests
import websocket
from daphne.server import Server

LIBRARIES = ("daphne", "twisted", "requests", "websocket-client")
LONG = True
DATA = bytes(range(256)) * 450


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body")
    status = 404 if scope["path"] == "/missing" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body[::-1]})


def serve(port):
    Server(application, endpoints=[f"tcp:port={port}:interface=0.0.0.0"], signal_handlers=False).run()


def ask(host, port):
    assert requests.post(f"http://{host}:{port}/", data=DATA, timeout=60).content == DATA[::-1]
    socket = websocket.create_connection(f"ws://{host}:{port}/", timeout=60)
    socket.send("hello")
    assert socket.recv() == "HELLO"
    socket.close()
    return requests.get(f"http://{host}:{port}/missing", timeout=60).status_code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(ask, "server", 8000).result(timeout=120) == 404
