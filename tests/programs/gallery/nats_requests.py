"""nats-py against a small fake of the NATS server: publish, subscribe, request; no answer, a refused login."""

import asyncio
import contextlib

import nats
import nats.errors

from tests.programs.fakes.nats import serve

LIBRARIES = ("nats-py",)
DATA = bytes(range(256)) * 600


async def answer(host):
    client = await nats.connect(f"nats://{host}:4222")

    async def reverse(message):
        await message.respond(message.data[::-1])

    await client.subscribe("reverse", cb=reverse)
    await asyncio.sleep(20)
    await client.drain()


async def ask(host):
    async with await nats.connect(f"nats://{host}:4222") as client:
        subscription = await client.subscribe("news.>")
        for number in range(5):
            await client.publish(f"news.{number}", DATA)
        assert [(await subscription.next_msg(10)).data for _ in range(5)] == [DATA] * 5
        await subscription.unsubscribe()
        for size in (0, 1, len(DATA)):
            assert (await client.request("reverse", DATA[:size], timeout=10)).data == DATA[:size][::-1]
        with contextlib.suppress(nats.errors.TimeoutError):
            await client.request("nobody", b"", timeout=1)
    refused = []

    async def complain(error):
        refused.append(str(error))

    try:
        await nats.connect(f"nats://me:guess@{host}:4222", allow_reconnect=False, error_cb=complain)
    except nats.errors.Error:
        return refused[0]


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 4222)
    world.sleep(0.1)
    answering = world.host("other").run(answer, "server")
    world.sleep(2)
    assert "Authorization Violation" in client.run(ask, "server").result(timeout=60)
    answering.result(timeout=60)
