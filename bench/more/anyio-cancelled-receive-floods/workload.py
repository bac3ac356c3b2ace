"""A reader polls a stream with a short time limit and then stops for a while; memory must not fill meanwhile.

Invariant: while nobody receives, the sender is held back.
"""
import socket
import sys

import anyio

TOTAL = 4_000_000
sent = 0


async def handle(stream):
    global sent
    async with stream:
        try:
            stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            await stream.receive()
            while sent < TOTAL:
                await stream.send(bytes(20_000))
                sent += 20_000
        except (anyio.BrokenResourceError, anyio.EndOfStream):
            pass


async def main():
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        stream = await anyio.connect_tcp("127.0.0.1", port)
        stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        with anyio.move_on_after(0.02):
            await stream.receive()                    # nothing has been asked for: this gives up
        await stream.send(b"go")
        await anyio.sleep(3)                          # busy with something else
        assert sent < TOTAL // 2, f"{sent} bytes were taken although nobody receives"
        await stream.aclose()
        group.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(anyio.run(main))
