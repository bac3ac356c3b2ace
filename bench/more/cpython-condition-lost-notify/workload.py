"""Clients get work from a server over long polls; those who have waited long enough go away.

Invariant: work that is there is handed out: a client that asks gets it.
"""
import asyncio
import sys


class Board:
    """Work for whoever asks first."""

    def __init__(self):
        self.changed = asyncio.Condition()
        self.work = []

    async def put(self, item):
        async with self.changed:
            self.work.append(item)
            self.changed.notify()

    async def take(self):
        async with self.changed:
            while not self.work:
                await self.changed.wait()
            return self.work.pop(0)


async def main():
    board = Board()

    async def serve(reader, writer):
        """A line from the client: "put TEXT", or "take": the answer comes when there is work, or the client has gone."""
        words = (await reader.readline()).decode().split()
        if words[:1] == ["put"]:
            await board.put(words[1])
        elif words[:1] == ["take"]:
            taking = asyncio.create_task(board.take())
            leaving = asyncio.create_task(reader.read())
            await asyncio.wait({taking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            taking.cancel()
            try:
                item = await taking
            except asyncio.CancelledError:
                item = None
            if item is not None and not reader.at_eof():
                writer.write(item.encode() + b"\n")
            elif item is not None:
                await board.put(item)                # nobody is there any more: somebody else shall have it
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def put(number):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"put %d\n" % number)
        await writer.drain()
        await asyncio.sleep(1)
        writer.close()

    async def take(patience):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"take\n")
        try:
            return await asyncio.wait_for(reader.readline(), patience)
        except asyncio.TimeoutError:
            return b""
        finally:
            writer.close()

    for number in range(20):
        faithful = asyncio.create_task(take(20))
        hasty = [asyncio.create_task(take(0.02 + each * 0.01)) for each in range(3)]
        await asyncio.sleep(0.03)
        await put(number)
        got = [await each for each in (*hasty, faithful)]
        if not any(got):
            assert board.work == [], f"there is work ({board.work}), and the client that waits gets none in 20 s"
        board.work.clear()
    server.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
