"""A tiny MySQL: client/server protocol 4.1 over one table of texts that all connections share.

`insert ... '...'` keeps the string, `select ...` gives everything kept, `nonsense` is a syntax error.
"""

import asyncio
import contextlib
import re
import struct

#: LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.
CAPABILITIES = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
OK = b"\0\0\0\2\0\0\0"
END = b"\xfe\0\0\2\0"
SYNTAX = b"\xff" + struct.pack("<H", 1064) + b"#42000You have an error in your SQL syntax"
GREETING = (
    b"\x0a8.4.0\0"
    + struct.pack("<I8sxHBHHB10x", 1, b"saltsalt", CAPABILITIES & 0xFFFF, 255, 2, CAPABILITIES >> 16, 21)
    + b"saltsaltsalt\0mysql_native_password\0"
)
ESCAPES = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"Z": b"\x1a"}


def text(data):
    """A string with its length in front, as the protocol packs it."""
    size = len(data)
    return (bytes([size]) if size < 251 else b"\xfd" + size.to_bytes(3, "little")) + data


def column(name):
    return b"".join(map(text, (b"def", b"db", b"t", b"t", name, name))) + struct.pack(
        "<BHIBHBxx", 12, 45, 1 << 24, 252, 0, 0
    )


def query(rows, statement):
    """The packets that answer a statement."""
    if statement.startswith(b"nonsense"):
        return [SYNTAX]
    if statement.startswith(b"insert"):
        quoted = re.search(rb"'(.*)'", statement, re.DOTALL)[1]
        rows.append(re.sub(rb"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), quoted, flags=re.DOTALL))
    if statement.startswith(b"select"):
        return [b"\1", column(b"data"), END, *map(text, rows), END]
    return [OK]


async def serve(port):
    rows = []

    async def talk(reader, writer):
        async def receive():
            head = await reader.readexactly(4)
            return await reader.readexactly(int.from_bytes(head[:3], "little"))

        def send(packets, number):
            for each, packet in enumerate(packets, number):
                writer.write(len(packet).to_bytes(3, "little") + bytes([each & 255]) + packet)

        send([GREETING], 0)
        await receive()
        send([OK], 2)
        with contextlib.suppress(asyncio.IncompleteReadError):  # not all clients say COM_QUIT
            while (command := await receive())[:1] != b"\1":
                send(query(rows, command[1:]) if command[:1] == b"\3" else [OK], 1)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, None, port) as server:
        await server.serve_forever()
