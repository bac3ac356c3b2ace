"""A program sends a report now and then, and gives up on one that takes too long; the peer is slow.

Invariant: what was given up does not pile up: at most a few reports are under way.
"""
import socket
import sys
import threading
import time

import anyio

REPORT = 100_000


def take(listener):
    connection, _ = listener.accept()
    with connection:
        time.sleep(20)                                # busy with something else
        while connection.recv(65536):
            pass


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    threading.Thread(target=take, args=[listener], daemon=True).start()
    given_up = 0
    stream = await anyio.connect_tcp("127.0.0.1", listener.getsockname()[1])
    async with stream:
        stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        for _ in range(60):
            with anyio.move_on_after(0.1) as scope:
                await stream.send(bytes(REPORT))
            given_up += scope.cancelled_caught
        waiting = stream._transport.get_write_buffer_size()
        assert waiting < 20 * REPORT, f"{waiting} bytes wait to be sent, after {given_up} reports were given up"


if __name__ == "__main__":
    sys.exit(anyio.run(main))
