"""httpx against uvicorn with its h11 parser, plain and TLS: uploads, streaming; an answer that breaks off."""

import asyncio
from pathlib import Path

import httpx
import uvicorn

LIBRARIES = ("httpx", "uvicorn", "h11")
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    length = str(len(body) or len(DATA)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body[::-1] or DATA[:1000], "more_body": not body})
    if scope["path"] == "/stream":
        for at in range(1000, len(DATA), 10_000):
            await send({"type": "http.response.body", "body": DATA[at : at + 10_000], "more_body": True})
        await send({"type": "http.response.body"})
    elif not body:
        await asyncio.sleep(1)
        return  # without the rest of the body: uvicorn closes the connection


async def serve(port, **options):
    config = uvicorn.Config(app, None, port, http="h11", lifespan="off", log_level="critical", **options)
    await uvicorn.Server(config).serve()


async def connect(base):
    async with httpx.AsyncClient(base_url=base, verify=str(FILES / "authority.pem")) as session:
        answers = await asyncio.gather(*(session.post("/", content=DATA) for _ in range(3)))
        assert all(answer.content == DATA[::-1] for answer in answers)
        async with session.stream("GET", "/stream") as answer:
            assert b"".join([part async for part in answer.aiter_bytes()]) == DATA
        try:
            await session.get("/broken")
        except httpx.RemoteProtocolError as error:
            return str(error)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    server.run(lambda: asyncio.run(serve(8443, ssl_certfile=FILES / "server.pem")), name="secure")
    world.sleep(1)
    for base in ("http://server:8000", "https://server:8443"):
        assert "without sending complete" in client.run(connect, base).result(timeout=60)
    server.send_signal(15)
