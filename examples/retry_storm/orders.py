"""A server answers one request after another. Clients that have waited too long ask again, at once."""

import asyncio

from wavetank import World

PORT = 7002
WORK_S = 0.08
PATIENCE_S = 0.5
CLIENTS = 10
QUESTIONS = 4
#: How many requests wait in the server: the scenario looks at it.
queued = 0


async def server():
    """One worker, one queue."""
    global queued
    queue = asyncio.Queue()

    async def take(reader, writer):
        global queued
        try:
            while line := await reader.readline():
                queued += 1
                queue.put_nowait((line, writer))
        except ConnectionError:
            pass  # the client has gone
        writer.close()

    async with await asyncio.start_server(take, port=PORT):
        while True:
            line, writer = await queue.get()
            queued -= 1
            await asyncio.sleep(WORK_S)
            writer.write(line)


async def client(name):
    """Ask a question a second: ten clients together are three quarters of what the server can do."""
    for number in range(QUESTIONS):
        await insist(f"{name} {number}\n".encode())
        await asyncio.sleep(1)


async def insist(question):
    """Ask until there is an answer."""
    while True:
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection("server", PORT)
                writer.write(question)
                if await reader.readline() == question:
                    writer.close()
                    return
        except (TimeoutError, OSError):
            pass  # again


def the_queue_stays_short(world: World) -> None:
    """The load is for five seconds. After twenty, the server has no more to do than one request for each client."""
    global queued
    queued = 0
    world.host("server").run(server)
    for number in range(CLIENTS):
        world.host(f"client{number}").run(client, f"client{number}")
    world.sleep(20)
    assert queued <= CLIENTS, f"{queued} requests wait, and there are {CLIENTS} clients"
