"""A server tells its clients some numbers over a WebSocket and closes; clients read until it is closed.

Invariant: a client that reads gets messages or is told that the connection is over, within a minute.
"""
import sys

import trio
from trio_websocket import ConnectionClosed, ConnectionTimeout, HandshakeError, open_websocket, serve_websocket


async def handler(request):
    try:
        websocket = await request.accept()
        for number in range(5):
            await websocket.send_message(f"number {number}")
        await websocket.aclose()
    except (ConnectionClosed, trio.BrokenResourceError):
        pass


async def listen(port):
    seen = 0
    async with open_websocket("127.0.0.1", port, "/", use_ssl=False, connect_timeout=10) as websocket:
        try:
            while True:
                assert await websocket.get_message() == f"number {seen}"
                seen += 1
        except ConnectionClosed:
            pass


async def main():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
        for attempt in range(8):
            with trio.move_on_after(60) as scope:
                try:
                    await listen(server.port)
                except (ConnectionClosed, ConnectionTimeout, HandshakeError, OSError, trio.BrokenResourceError):
                    await trio.sleep(0.1)            # lost: the next one
            assert not scope.cancelled_caught, f"client {attempt} is not told that the connection is over"
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(trio.run(main))
