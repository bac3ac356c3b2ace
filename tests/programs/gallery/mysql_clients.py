"""aiomysql, with a pool, and PyMySQL in threads, against a small fake of MySQL: transactions, a syntax error."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import aiomysql
import pymysql

from tests.programs.fakes.mysql import serve

LIBRARIES = ("aiomysql", "PyMySQL")
DATA = "it's a wave \N{WATER WAVE}\\\n" * 7_000


async def fetch(pool):
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("select data from t")
        return [row[0] for row in await cursor.fetchall()]


async def asynchronous(host):
    async with aiomysql.create_pool(host=host, user="me", db="db", minsize=1, maxsize=3) as pool:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("insert into t values (%s)", (DATA,))
            await connection.commit()
        assert await asyncio.gather(*(fetch(pool) for _ in range(4))) == [[DATA]] * 4
        async with pool.acquire() as connection, connection.cursor() as cursor:
            try:
                await cursor.execute("nonsense")
            except pymysql.ProgrammingError as error:
                return error.args[0]


def blocking(host):
    def work(number):
        with pymysql.connect(host=host, user="me", database="db") as connection, connection.cursor() as cursor:
            cursor.execute("insert into t values (%s)", (DATA,))
            connection.commit()
            cursor.execute("select data from t")
            assert {row[0] for row in cursor.fetchall()} == {DATA}
            try:
                cursor.execute("nonsense")
            except pymysql.ProgrammingError as error:
                return error.args[0]

    with ThreadPoolExecutor(3) as pool:
        (number,) = set(pool.map(work, range(3)))
    return number


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 3306)
    world.sleep(0.1)
    for main in (asynchronous, blocking):
        assert client.run(main, "server").result(timeout=60) == 1064
