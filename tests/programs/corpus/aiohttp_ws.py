"""A WebSocket server of aiohttp; a client sends a few masked messages."""

import base64
from typing import Any

from aiohttp import WSMsgType, web

KEY = b"\x11\x22\x33\x44"
MESSAGES = [b"hi", b"a somewhat longer message", bytes(range(200)), b"x" * 3000]


def masked(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | (size if size < 126 else 126)])
    longer = b"" if size < 126 else size.to_bytes(2, "big")
    return head + longer + KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))


CONVERSATION = [
    (
        ">",
        b"GET /ws HTTP/1.1\r\nHost: example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(b"k" * 16) + b"\r\n\r\n",
    ),
    ("<", None),
    *((">", masked(2, message)) for message in MESSAGES),
    (">", masked(8, (1000).to_bytes(2, "big"))),
]


#: What the server of the present run has seen.
SEEN: list[bytes] = []


async def factory() -> Any:
    SEEN.clear()

    async def echo(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            if message.type == WSMsgType.BINARY:
                SEEN.append(bytes(message.data))
        return ws

    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    return runner.server()


def observe(protocol: Any) -> list[bytes]:
    return SEEN
