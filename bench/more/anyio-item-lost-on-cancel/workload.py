"""A reader puts numbered messages from a connection into a queue; a worker takes them with a short time limit.

Invariant: every message reaches the worker, once and in order.
"""
import sys

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

COUNT = 60


async def handle(stream):
    async with stream:
        for number in range(COUNT):
            await stream.send(b"%d\n" % number)
            await anyio.sleep(0.003)


async def main():
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    put, take = anyio.create_memory_object_stream(10)

    async def read():
        async with await anyio.connect_tcp("127.0.0.1", port) as stream, put:
            lines = BufferedByteReceiveStream(stream)
            for _ in range(COUNT):
                await put.send(int(await lines.receive_until(b"\n", 100)))

    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        group.start_soon(read)
        taken = []
        with anyio.move_on_after(60):
            while True:
                with anyio.move_on_after(0.01):
                    try:
                        taken.append(await take.receive())
                    except anyio.EndOfStream:
                        break
        missing = sorted(set(range(COUNT)) - set(taken))
        assert taken == list(range(COUNT)), f"lost: {missing}" if missing else f"out of order: {taken}"
        group.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(anyio.run(main))
