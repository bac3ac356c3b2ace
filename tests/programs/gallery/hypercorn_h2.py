"""httpx with HTTP/2 against hypercorn over TLS: many streams on one connection; a server error."""

import asyncio
from pathlib import Path

import httpx
from hypercorn.asyncio import serve as run_hypercorn
from hypercorn.config import Config

LIBRARIES = ("httpx", "hypercorn", "h2")
DATA = bytes(range(256)) * 500
FILES = Path(__file__).parents[1]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    headers = [(b"x-version", scope["http_version"].encode())]
    await send({"type": "http.response.start", "status": 200 if body else 503, "headers": headers})
    await send({"type": "http.response.body", "body": body[::-1]})


async def serve(port):
    config = Config()
    config.bind = [f"0.0.0.0:{port}"]
    config.certfile = config.keyfile = str(FILES / "server.pem")
    config.errorlog = None
    finished = asyncio.Event()
    asyncio.get_running_loop().call_later(30, finished.set)
    await run_hypercorn(app, config, shutdown_trigger=finished.wait)
    return "stopped"


async def connect(base):
    async with httpx.AsyncClient(base_url=base, verify=str(FILES / "authority.pem"), http2=True) as session:
        answers = await asyncio.gather(*(session.post("/", content=DATA) for _ in range(4)))
        assert all(answer.content == DATA[::-1] for answer in answers)
        assert answers[0].headers["x-version"] == "2"
        try:
            (await session.get("/")).raise_for_status()
        except httpx.HTTPStatusError as error:
            return error.response.status_code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    served = server.run(serve, 8443)
    world.sleep(0.1)
    assert client.run(connect, "https://server:8443").result(timeout=60) == 503
    assert served.result(timeout=60) == "stopped"
