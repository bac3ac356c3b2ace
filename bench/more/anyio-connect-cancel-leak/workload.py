"""A client connects with a short time limit, over and over; what it gave up must not stay open.

Invariant: once the client has given up or closed every connection, the server has none left.
"""
import sys

import anyio

open_now = set()


async def handle(stream):
    open_now.add(stream)
    try:
        while True:
            await stream.send(await stream.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    finally:
        open_now.discard(stream)
        with anyio.CancelScope(shield=True):
            await stream.aclose()


async def main():
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        for attempt in range(60):
            with anyio.move_on_after(0.0005 * (attempt % 20 + 1)):
                stream = await anyio.connect_tcp("127.0.0.1", port)
                async with stream:
                    await stream.send(b"ping")
                    await stream.receive()
        await anyio.sleep(5)
        assert not open_now, f"{len(open_now)} connections are still open"
        group.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(anyio.run(main))
