"""SOCKS 5, the little of it that forwarding needs: CONNECT without authentication, both sides.

Source: RFC 1928.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from typing import Final

VERSION: Final = 5
_CONNECT: Final = 1
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4
SUCCEEDED: Final = 0
REFUSED: Final = 5


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """The server's side up to the request: whom the client wants. ValueError for anything else than CONNECT."""
    version, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    if version != VERSION:
        raise ValueError(f"SOCKS version {version}")
    writer.write(bytes([VERSION, 0]))
    _, command, _, kind = await reader.readexactly(4)
    if kind == _NAME:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    elif kind in (_IPV4, _IPV6):
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == _IPV4 else 16)))
    else:
        raise ValueError(f"SOCKS address type {kind}")
    port = int.from_bytes(await reader.readexactly(2), "big")
    if command != _CONNECT:
        raise ValueError(f"SOCKS command {command}")
    return host, port


def reply(code: int) -> bytes:
    """The server's answer to a request."""
    return bytes([VERSION, code, 0, _IPV4]) + bytes(6)


def connect(connection: socket.socket, target: tuple[str, int]) -> None:
    """The client's side, on a connected socket. Raises `ConnectionRefusedError` when the server says no."""
    name = target[0].encode()
    connection.sendall(bytes([VERSION, 1, 0]))
    _exactly(connection, 2)
    request = bytes([VERSION, _CONNECT, 0, _NAME, len(name)]) + name + struct.pack("!H", target[1])
    connection.sendall(request)
    _, code, _, kind = _exactly(connection, 4)
    _exactly(connection, {_IPV4: 6, _IPV6: 18}.get(kind) or _exactly(connection, 1)[0] + 2)
    if code != SUCCEEDED:
        raise ConnectionRefusedError(f"SOCKS reply {code} for {target[0]}:{target[1]}")


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError("the SOCKS server has closed the connection")
        data += more
    return data
