"""redis-py, blocking in threads and on asyncio, against a small fake: values, pipelines, publish and subscribe."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import redis
import redis.asyncio

from tests.programs.fakes.redis import serve

LIBRARIES = ("redis",)
DATA = bytes(range(256)) * 600


def blocking(host):
    with redis.Redis(host, protocol=2) as client, ThreadPoolExecutor(3) as pool:
        keys = [f"blocking {number}" for number in range(6)]
        assert list(pool.map(lambda key: client.set(key, key.encode() + DATA), keys)) == [True] * 6
        assert [value[-len(DATA) :] == DATA for value in pool.map(client.get, keys)] == [True] * 6
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(key).delete(key)
            assert pipeline.execute()[1::2] == [1] * 6
        assert client.get(keys[0]) is None
        with client.pubsub(ignore_subscribe_messages=True) as listening:
            listening.subscribe("news")
            assert listening.get_message(timeout=5) is None
            assert client.publish("news", DATA) == 1
            assert listening.get_message(timeout=5)["data"] == DATA
        try:
            client.get("list")
        except redis.ResponseError as error:
            return str(error)


async def asynchronous(host):
    async with redis.asyncio.Redis(host=host, protocol=2) as client:
        keys = [f"asyncio {number}" for number in range(6)]
        await asyncio.gather(*(client.set(key, DATA) for key in keys))
        assert await asyncio.gather(*(client.get(key) for key in keys)) == [DATA] * 6
        async with client.pubsub(ignore_subscribe_messages=True) as listening:
            await listening.subscribe("events")
            assert await listening.get_message(timeout=5) is None
            await client.publish("events", "something")
            assert (await listening.get_message(timeout=5))["data"] == b"something"
    async with redis.asyncio.Redis(host=host, port=6380) as nobody:
        try:
            await nobody.get("key")
        except redis.ConnectionError:
            return "refused"


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 6379)
    world.sleep(0.1)
    jobs = [client.run(blocking, "server"), client.run(asynchronous, "server")]
    assert "Operation against a key" in jobs[0].result(timeout=60)
    assert jobs[1].result(timeout=60) == "refused"
