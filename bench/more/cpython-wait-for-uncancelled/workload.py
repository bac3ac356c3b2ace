"""A worker asks a server with a time limit for each question; it is stopped when it is not wanted any more.

Invariant: a worker that is told to stop stops.
"""
import asyncio
import sys


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            await asyncio.sleep(0.003)
            writer.write(line)
            await writer.drain()
    except (OSError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def worker(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            writer.write(b"a question\n")
            await asyncio.wait_for(reader.readline(), 30)
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for number in range(40):
        task = asyncio.create_task(worker(port))
        await asyncio.sleep(0.02 + 0.0007 * number)
        task.cancel()
        _, pending = await asyncio.wait({task}, timeout=20)
        assert not pending, f"worker {number} was told to stop, and goes on"
    server.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
