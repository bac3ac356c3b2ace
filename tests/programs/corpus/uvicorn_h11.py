"""uvicorn's HTTP/1.1 protocol on h11, an application that takes its time, three requests in a row."""

import asyncio
import logging
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

logging.disable(logging.CRITICAL)

CONVERSATION = [
    b"GET /a HTTP/1.1\r\nHost: example\r\n\r\n",
    b"GET /b HTTP/1.1\r\nHost: example\r\n\r\n",
    b"GET /c HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n",
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.3)
    body = b"<" + scope["path"].encode() + b">"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def factory() -> H11Protocol:
    config = Config(app=app, lifespan="off", http="h11", ws="none", log_config=None, timeout_keep_alive=0.2)
    config.load()
    return H11Protocol(config=config, server_state=ServerState(), app_state={})
