"""FastAPI (Starlette) under uvicorn, called by httpx: validation, plain functions in threads, a stop by signal."""

import asyncio
import contextlib

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

LIBRARIES = ("fastapi", "starlette", "uvicorn", "httpx")
DATA = bytes(range(256)) * 600
events = []


@contextlib.asynccontextmanager
async def lifespan(app):
    events.append("up")
    yield
    events.append("down")


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float


@app.post("/items")
def create(item: Item):  # in a thread of anyio's pool
    if item.price < 0:
        raise HTTPException(400, "too cheap")
    return {"total": item.price * 2, "name": item.name}


@app.put("/echo")
async def echo(request: Request):
    body = await request.body()
    return StreamingResponse(body[at : at + 10_000] for at in range(0, len(body), 10_000))


async def serve(port):
    server = uvicorn.Server(uvicorn.Config(app, None, port, log_level="critical"))
    await server.serve()


async def connect(base):
    async with httpx.AsyncClient(base_url=base) as session:
        items = [{"name": "x" * 1000, "price": number} for number in range(20)]
        answers = await asyncio.gather(*(session.post("/items", json=item) for item in items))
        assert [answer.json()["total"] for answer in answers] == [2.0 * number for number in range(20)]
        assert (await session.put("/echo", content=DATA)).content == DATA
        assert (await session.post("/items", json={"name": "x"})).status_code == 422
        return (await session.post("/items", json={"name": "x", "price": -1})).json()


def scenario(world):
    server, client = world.host("server"), world.host("client")
    served = server.run(serve, 8000)
    world.sleep(1)
    assert client.run(connect, "http://server:8000").result(timeout=60) == {"detail": "too cheap"}
    server.send_signal(2)
    served.exception(timeout=60)
    assert events == ["up", "down"]
