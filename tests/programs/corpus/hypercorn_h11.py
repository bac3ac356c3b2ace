"""A server of Hypercorn, an application that answers in three parts; a client that sends one request."""

import asyncio
import logging
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config

logging.disable(logging.CRITICAL)

CONVERSATION = [
    b"POST /reverse HTTP/1.1\r\nHost: example\r\nContent-Length: 6\r\nConnection: close\r\n\r\n",
    b"abcdef",
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = [(b"content-length", b"%d" % (3 * len(body)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(3):
        await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": body[::-1], "more_body": number < 2})


def factory() -> asyncio.StreamReaderProtocol:
    loop = asyncio.get_running_loop()
    config = Config()
    config.accesslog = config.errorlog = None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await TCPServer(app, loop, config, reader, writer)

    return asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)
