"""A line server on Tornado's streams; a client sends a few lines of various lengths."""

import socket
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.tcpserver import TCPServer

LINES = [b"short\n", b"m" * 300 + b"\n", b"l" * 9000 + b"\n"]
CONVERSATION = LINES
dialect = "socket"
SEEN: list[bytes] = []


class LineServer(TCPServer):
    async def handle_stream(self, stream: Any, address: Any) -> None:
        try:
            while True:
                SEEN.append(await stream.read_until(b"\n"))
        except StreamClosedError:
            stream.close()


def factory(sock: socket.socket) -> None:
    SEEN.clear()
    LineServer()._handle_connection(sock, ("127.0.0.1", 49152))


def observe(made: Any) -> list[bytes]:
    return SEEN
