"""A subscriber polls for messages, a tenth of a second at a time, and does other things in between.

Invariant: every message that is published arrives, whole and in order.
"""
import asyncio
import sys

import redis.asyncio as redis

TEXTS = [f"message {number}: " + "x" * 300 for number in range(20)]


async def handle(reader, writer):
    """A small Redis server for one subscriber: it publishes its messages as soon as somebody has subscribed."""
    try:
        while header := await reader.readline():
            words = []
            for _ in range(int(header[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            if words[0].upper() != b"SUBSCRIBE":
                writer.write(b"+OK\r\n")
                continue
            writer.write(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
            for text in TEXTS:
                writer.write(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n%s\r\n" % (len(text), text.encode()))
                await writer.drain()
                await asyncio.sleep(0.15)
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    client = redis.Redis(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    subscriber = client.pubsub(ignore_subscribe_messages=True)
    await subscriber.subscribe("news")
    seen = []
    for _ in range(600):
        message = await subscriber.get_message(timeout=0.1)
        if message is not None:
            seen.append(message["data"].decode())
            assert seen == TEXTS[: len(seen)], f"after {len(seen) - 1} messages came {seen[-1][:40]!r}"
        if len(seen) == len(TEXTS):
            break
    assert len(seen) == len(TEXTS), f"{len(seen)} of {len(TEXTS)} messages have come in a minute"
    await subscriber.close()
    await client.close()
    server.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
