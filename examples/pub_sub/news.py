"""A broker numbers messages and sends each to all subscribers. Who loses the line to it connects again."""

import asyncio

from wavetank import World

BROKER = ("broker", 7004)
MESSAGES = 30
EVERY_S = 0.2


class Broker:
    """Requests are lines: PUBLISH TEXT, or SUBSCRIBE. What a subscriber gets are lines: NUMBER TEXT."""

    def __init__(self):
        self.log = []
        self.subscribers = set()

    async def serve(self):
        """For ever."""
        async with await asyncio.start_server(self.answer, port=BROKER[1]) as server:
            await server.serve_forever()

    async def answer(self, reader, writer):
        """One connection."""
        try:
            while line := await reader.readline():
                match line.split(maxsplit=1):
                    case [b"PUBLISH", text]:
                        self.publish(text.strip())
                        writer.write(b"%d\n" % len(self.log))
                    case [b"SUBSCRIBE", *_]:
                        self.subscribers.add(writer)
                        writer.write(b"welcome\n")
        except ConnectionError:
            pass
        finally:
            self.subscribers.discard(writer)
            writer.close()

    def publish(self, text):
        """To the log, and to all."""
        self.log.append(text)
        for each in self.subscribers:
            each.write(b"%d %s\n" % (len(self.log), text))


async def broker():
    await Broker().serve()


async def insist(attempt):
    """Try again and again until the line holds."""
    while True:
        try:
            return await attempt()
        except OSError:
            await asyncio.sleep(0.1)


async def publisher():
    """Publish all messages, one after another. Each is published when the broker has said so."""
    for number in range(1, MESSAGES + 1):

        async def attempt(text=b"message %d" % number):
            reader, writer = await asyncio.open_connection(*BROKER)
            writer.write(b"PUBLISH %s\n" % text)
            answer = await reader.readline()
            writer.close()
            if not answer:
                raise ConnectionResetError("the broker has hung up")

        await insist(attempt)
        await asyncio.sleep(EVERY_S)
    return MESSAGES


async def subscriber():
    """Everything up to the last message."""
    got = []

    async def attempt():
        reader, writer = await asyncio.open_connection(*BROKER)
        writer.write(b"SUBSCRIBE\n")
        while line := await reader.readline():
            if line != b"welcome\n":
                _, text = line.split(maxsplit=1)
                got.append(text.strip())
                if text.strip() == b"message %d" % MESSAGES:
                    writer.close()
                    return
        raise ConnectionResetError("the broker has hung up")

    await insist(attempt)
    return got


def nothing_is_missed(world: World) -> None:
    """A subscriber gets each message, in order; one may come twice."""
    world.host("broker").run(broker)
    reading = world.host("reader").run(subscriber)
    world.sleep(5)
    world.host("writer").run(publisher)
    got = reading.result(timeout=120)
    numbers = [int(text.split()[1]) for text in dict.fromkeys(got)]
    assert numbers == list(range(1, MESSAGES + 1)), f"got {numbers}"
