"""Hypercorn on Trio serves an ASGI program; httpx on Trio asks."""

import httpx
import hypercorn.trio
import trio
from hypercorn.config import Config

LIBRARIES = ("hypercorn", "httpx", "trio")
DATA = bytes(range(256)) * 500


async def program(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    status = 404 if scope["path"] == "/missing" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body[::-1]})


async def serve(port, seconds):
    config = Config()
    config.bind = [f"0.0.0.0:{port}"]
    config.accesslog = config.errorlog = None
    await hypercorn.trio.serve(program, config, shutdown_trigger=lambda: trio.sleep(seconds))


async def ask(host, port):
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(f"http://{host}:{port}/", content=DATA)
        assert reply.content == DATA[::-1]
        return (await client.get(f"http://{host}:{port}/missing")).status_code


def scenario(world):
    server = world.host("server").run(serve, 8000, 20, runner="trio")
    world.sleep(0.5)
    assert world.host("client").run(ask, "server", 8000, runner="trio").result(timeout=60) == 404
    server.result(timeout=60)
