"""Two shops sell from one stock. Each reads how much is left, takes some, and writes what remains."""

import asyncio

from wavetank import World

PORT = 7000
STOCK = 100
SALES = 5


async def store():
    """A number that clients get and set: one line for each request, one for each answer."""
    left = STOCK

    async def answer(reader, writer):
        nonlocal left
        while line := await reader.readline():
            match line.split():
                case [b"get"]:
                    writer.write(b"%d\n" % left)
                case [b"set", number]:
                    left = int(number)
                    writer.write(b"ok\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, port=PORT) as server:
        await server.serve_forever()


async def request(stream, *words):
    """Send one request; the words of its answer."""
    reader, writer = stream
    writer.write(b" ".join(words) + b"\n")
    return (await reader.readline()).split()


async def shop(first):
    """Sell one thing a second, from second `first` on."""
    await asyncio.sleep(first)
    stream = await asyncio.open_connection("store", PORT)
    for _ in range(SALES):
        (left,) = await request(stream, b"get")
        await request(stream, b"set", b"%d" % (int(left) - 1))
        await asyncio.sleep(1)
    stream[1].close()


async def look():
    """What is left."""
    stream = await asyncio.open_connection("store", PORT)
    (left,) = await request(stream, b"get")
    stream[1].close()
    return int(left)


def no_sale_is_lost(world: World) -> None:
    """Whatever the network does: what was sold is gone from the stock."""
    world.host("store").run(store)
    # The second opens a fifth of a second after the first: their sales never fall together, or so it looks.
    shops = [world.host(f"shop{number}").run(shop, 0.1 + number / 5) for number in range(2)]
    for each in shops:
        each.result()
    left = world.host("office").run(look).result()
    assert left == STOCK - 2 * SALES, f"{2 * SALES} sold of {STOCK}, and {left} are left"
