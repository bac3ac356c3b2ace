"""asyncpg, with a pool, and pg8000 in a thread, against a small fake of PostgreSQL: transactions, a syntax error."""

import asyncio

import asyncpg
import pg8000.dbapi

from tests.programs.fakes.postgres import serve

LIBRARIES = ("asyncpg", "pg8000")
DATA = bytes(range(256)) * 600


async def asynchronous(host):
    async with asyncpg.create_pool(host=host, user="me", database="db", min_size=2, max_size=3) as pool:
        async with pool.acquire() as connection, connection.transaction():
            for number in range(3):
                await connection.execute("insert into t values ($1)", b"%d" % number + DATA)
        found = await asyncio.gather(*(pool.fetch("select data from t") for _ in range(4)))
        assert [[row["data"] for row in rows] for rows in found] == [[b"%d" % number + DATA for number in range(3)]] * 4
        try:
            await pool.execute("nonsense")
        except asyncpg.PostgresSyntaxError as error:
            return error.sqlstate


def blocking(host):
    connection = pg8000.dbapi.connect("me", host=host, database="db")
    cursor = connection.cursor()
    cursor.execute("insert into t values (%s)", (DATA,))
    connection.commit()
    cursor.execute("select data from t")
    assert [row[0][-len(DATA) :] for row in cursor.fetchall()] == [DATA] * 4
    try:
        cursor.execute("nonsense")
    except pg8000.dbapi.DatabaseError as error:
        connection.rollback()
        connection.close()
        return error.args[0]["C"]


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 5432)
    world.sleep(0.1)
    for main in (asynchronous, blocking):
        assert client.run(main, "server").result(timeout=60) == "42601"
