"""A pool of two connections to a service, and workers that give up when an answer takes too long."""

import asyncio

from wavetank import World

PORT = 7003
SIZE = 2
WORKERS, QUESTIONS = 6, 5
PATIENCE_S = 0.1


async def service():
    """Says everything in capitals."""

    async def answer(reader, writer):
        try:
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
        except ConnectionError:
            pass  # the client has gone
        writer.close()

    async with await asyncio.start_server(answer, port=PORT) as server:
        await server.serve_forever()


class Pool:
    """At most so many connections, made when they are needed and kept when they are not."""

    def __init__(self, host, port, size):
        self.address = host, port
        self.idle = []
        self.places = asyncio.Semaphore(size)

    async def take(self):
        """A connection: one that is idle, else a new one, as soon as there is a place."""
        await self.places.acquire()
        if self.idle:
            return self.idle.pop()
        try:
            return await asyncio.open_connection(*self.address)
        except BaseException:
            self.places.release()
            raise

    def give_back(self, connection):
        """Done with it."""
        self.idle.append(connection)
        self.places.release()

    def throw_away(self, connection):
        """It cannot be used any more: an answer may still be on its way."""
        connection[1].close()
        self.places.release()


async def ask(pool, question):
    """The answer to a question, from any connection."""
    connection = await pool.take()
    try:
        reader, writer = connection
        writer.write(question)
        answer = await reader.readline()
    except BaseException:
        pool.throw_away(connection)
        raise
    pool.give_back(connection)
    return answer


async def work(pool, name):
    """Ask some questions. It does not matter if one takes too long: then we do without the answer."""
    for number in range(QUESTIONS):
        question = f"{name} {number}\n".encode()
        try:
            answer = await asyncio.wait_for(ask(pool, question), PATIENCE_S)
            assert answer == question.upper(), f"asked {question!r}, got {answer!r}"
        except (TimeoutError, OSError):
            await asyncio.sleep(PATIENCE_S)


async def application():
    """Workers that share a pool; then one more question, for which we have all the time of the world."""
    pool = Pool("service", PORT, SIZE)
    await asyncio.gather(*(work(pool, f"worker {number}") for number in range(WORKERS)))
    async with asyncio.timeout(120):
        assert await ask(pool, b"the last one\n") == b"THE LAST ONE\n"


def the_pool_lives_on(world: World) -> None:
    """Slow answers may cost a worker its patience, but not the pool its places."""
    world.host("service").run(service)
    world.host("app").run(application).result()
