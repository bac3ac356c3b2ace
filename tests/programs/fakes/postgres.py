"""A tiny PostgreSQL: frontend/backend protocol 3.0 over one table of byte strings that all connections share.

`insert ...` keeps its one parameter, `select ...` gives everything kept, others but transactions are syntax errors.
"""

import asyncio
import struct

BYTEA = 17
TAGS = {"begin": b"BEGIN", "begin transaction": b"BEGIN", "commit": b"COMMIT", "rollback": b"ROLLBACK"}


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def error(code, text):
    fields = b"".join(kind + value + b"\0" for kind, value in ((b"S", b"ERROR"), (b"V", b"ERROR"), (b"C", code)))
    return message(b"E", fields + b"M" + text + b"\0\0")


class Session:
    """One connection; the rows are shared by all."""

    def __init__(self, rows):
        self.rows = rows
        self.texts, self.portals = {}, {}
        self.transaction = self.failed = False

    def ready(self):
        self.failed = False
        return message(b"Z", b"T" if self.transaction else b"I")

    def columns(self, text, formats=(1,)):
        if not text.startswith("select"):
            return message(b"n")
        return message(b"T", b"\0\1data\0" + struct.pack("!IHIhih", 0, 0, BYTEA, -1, -1, formats[0] if formats else 0))

    def execute(self, text, values, formats):
        if text.startswith("insert"):
            self.rows.append(values[0])
            return message(b"C", b"INSERT 0 1\0")
        if text.startswith("select"):
            shown = [row if formats[:1] == (1,) else b"\\x" + row.hex().encode() for row in self.rows]
            data = b"".join(message(b"D", struct.pack("!HI", 1, len(row)) + row) for row in shown)
            return data + message(b"C", b"SELECT %d\0" % len(shown))
        self.transaction = text.startswith("begin") or (self.transaction and text not in ("commit", "rollback"))
        return message(b"C", TAGS.get(text, b"SET") + b"\0")

    def known(self, text):
        return text.startswith(("insert", "select", "begin", "commit", "rollback", "set"))

    def answer(self, kind, body):
        if kind == b"S":
            return self.ready()
        if self.failed:
            return b""
        if kind == b"Q":
            text = body[:-1].decode().strip("; ").lower()
            if not self.known(text):
                return error(b"42601", b"syntax error") + self.ready()
            columns = self.columns(text, (0,)) if text.startswith("select") else b""
            return columns + self.execute(text, (), (0,)) + self.ready()
        return self.extended(kind, body)

    def extended(self, kind, body):
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self.texts[name] = text.decode().strip("; ").lower()
            if not self.known(self.texts[name]):
                self.failed = True
                return error(b"42601", b"syntax error")
            return message(b"1")
        if kind == b"D":
            if body[:1] == b"P":
                text, _, formats = self.portals[body[1:-1]]
                return self.columns(text, formats)
            text = self.texts[body[1:-1]]
            types = (BYTEA,) if "$1" in text else ()
            return message(b"t", struct.pack(f"!H{len(types)}I", len(types), *types)) + self.columns(text, (0,))
        if kind == b"B":
            self.bind(body)
            return message(b"2")
        if kind == b"E":
            return self.execute(*self.portals[body.split(b"\0")[0]])
        return message(b"3") if kind == b"C" else b""

    def bind(self, body):
        portal, name, rest = body.split(b"\0", 2)
        at = 0

        def take(form):
            nonlocal at
            values = struct.unpack_from("!" + form, rest, at)
            at += struct.calcsize("!" + form)
            return values

        formats = take(f"{take('H')[0]}h")
        values = []
        for _ in range(take("H")[0]):
            (size,) = take("i")
            values += take(f"{size}s")
            if formats[:1] != (1,) and values[-1].startswith(b"\\x"):
                values[-1] = bytes.fromhex(values[-1][2:].decode())
        self.portals[portal] = (self.texts[name], values, take(f"{take('H')[0]}h"))


async def serve(port):
    rows = []

    async def talk(reader, writer):
        session = Session(rows)
        size = int.from_bytes(await reader.readexactly(4), "big")
        code = int.from_bytes((await reader.readexactly(size - 4))[:4], "big")
        if code == 80877103:  # SSLRequest
            writer.write(b"N")
            size = int.from_bytes(await reader.readexactly(4), "big")
            await reader.readexactly(size - 4)
        settings = {b"server_version": b"17.0", b"client_encoding": b"UTF8", b"standard_conforming_strings": b"on"}
        writer.write(message(b"R", b"\0\0\0\0"))
        writer.writelines(message(b"S", name + b"\0" + value + b"\0") for name, value in settings.items())
        writer.write(message(b"K", bytes(8)) + session.ready())
        while (kind := await reader.read(1)) not in (b"X", b""):
            size = int.from_bytes(await reader.readexactly(4), "big")
            writer.write(session.answer(kind, await reader.readexactly(size - 4)))
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, None, port) as server:
        await server.serve_forever()
