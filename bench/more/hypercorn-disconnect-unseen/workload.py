"""An application holds requests open until something happens; clients come, wait a while and go.

Invariant: what the application does for a client ends when the client has gone.
"""
import asyncio
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config

waiting = set()


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    waiting.add(id(scope))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"wait", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        waiting.discard(id(scope))


async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n")
    await reader.readuntil(b"wait")
    await asyncio.sleep(0.5)
    writer.close()
    await writer.wait_closed()


async def main():
    config = Config()
    config.bind = ["127.0.0.1:8004"]
    config.errorlog = config.accesslog = None
    stop = asyncio.Event()
    server = asyncio.create_task(serve(application, config, shutdown_trigger=stop.wait))
    await asyncio.sleep(1)
    for _ in range(5):
        await asyncio.wait_for(client(8004), 20)
    await asyncio.sleep(10)
    assert not waiting, f"{len(waiting)} requests are still worked on, though their clients have gone"
    stop.set()
    await server


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
