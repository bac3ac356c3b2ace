"""PyMongo, blocking in threads and on asyncio, against a small fake of MongoDB: documents, a duplicate key."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pymongo
from pymongo.errors import DuplicateKeyError, ServerSelectionTimeoutError

from tests.programs.fakes.mongo import serve

LIBRARIES = ("pymongo",)
DATA = bytes(range(256)) * 600


def blocking(host):
    with pymongo.MongoClient(host, 27017) as client, ThreadPoolExecutor(3) as pool:
        table = client.db.blocking
        assert table.insert_many([{"_id": number, "data": DATA} for number in range(3)]).inserted_ids == [0, 1, 2]
        found = pool.map(lambda number: table.find_one({"_id": number}), range(3))
        assert [(each["_id"], each["data"]) for each in found] == [(number, DATA) for number in range(3)]
        assert len(table.insert_one({"data": b"id from the client"}).inserted_id.binary) == 12
        try:
            table.insert_one({"_id": 0})
        except DuplicateKeyError as error:
            return error.code


async def asynchronous(host):
    async with pymongo.AsyncMongoClient(host, 27017) as client:
        table = client.db.asynchronous
        await asyncio.gather(*(table.insert_one({"_id": number, "data": DATA}) for number in range(3)))
        assert [each["data"] async for each in table.find()] == [DATA] * 3
    async with pymongo.AsyncMongoClient(host, 27018, serverSelectionTimeoutMS=2_000) as nobody:
        try:
            await nobody.db.asynchronous.find_one()
        except ServerSelectionTimeoutError:
            return "nobody there"


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 27017)
    world.sleep(0.1)
    assert client.run(blocking, "server").result(timeout=60) == 11000
    assert client.run(asynchronous, "server").result(timeout=60) == "nobody there"
