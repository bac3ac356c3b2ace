"""httpx, blocking, in threads, against a Starlette application under hypercorn; a time limit."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
from hypercorn.asyncio import serve as run_hypercorn
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

LIBRARIES = ("httpx", "starlette", "hypercorn")
DATA = bytes(range(256)) * 200


async def reverse(request):
    return Response((await request.body())[::-1])


async def slow(request):
    await asyncio.sleep(20)
    return Response(b"late")


async def serve(port):
    config = Config()
    config.bind = [f"0.0.0.0:{port}"]
    config.errorlog = None
    app = Starlette(routes=[Route("/", reverse, methods=["POST"]), Route("/slow", slow)])
    finished = asyncio.Event()
    asyncio.get_running_loop().call_later(60, finished.set)
    await run_hypercorn(app, config, shutdown_trigger=finished.wait)


def connect(base):
    with httpx.Client(base_url=base, limits=httpx.Limits(max_connections=3)) as session:
        with ThreadPoolExecutor(5) as threads:
            answers = list(threads.map(lambda _: session.post("/", content=DATA), range(10)))
        assert all(answer.content == DATA[::-1] for answer in answers)
        try:
            session.get("/slow", timeout=4)
        except httpx.ReadTimeout:
            return "late"


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(connect, "http://server:8000").result(timeout=60) == "late"
