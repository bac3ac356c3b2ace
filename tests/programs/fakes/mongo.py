"""A tiny MongoDB: OP_MSG and the first OP_QUERY of the wire protocol; insert, find, count of one database."""

import asyncio
import struct

import bson

HELLO = {
    "helloOk": True, "isWritablePrimary": True, "ismaster": True, "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "minWireVersion": 0, "maxWireVersion": 25,
    "readOnly": False, "ok": 1,
}  # fmt: skip


def answer(kept, command):
    name = next(iter(command))
    if name.lower() in ("hello", "ismaster"):
        return HELLO
    if name == "insert":
        documents = kept.setdefault(command["insert"], {})
        for at, document in enumerate(command["documents"]):
            if document["_id"] in documents:
                error = {"index": at, "code": 11000, "errmsg": "E11000 duplicate key error"}
                return {"n": at, "writeErrors": [error], "ok": 1}
            documents[document["_id"]] = document
        return {"n": len(command["documents"]), "ok": 1}
    if name == "find":
        wanted = command.get("filter", {})
        found = [
            document
            for document in kept.get(command["find"], {}).values()
            if all(document.get(key) == value for key, value in wanted.items())
        ]
        return {"cursor": {"id": 0, "ns": f"db.{command['find']}", "firstBatch": found}, "ok": 1}
    return {"ok": 1}


def command_in(body):
    """The command of an OP_MSG, with the documents of its second kind of section put where they belong."""
    command, at = {}, 4
    while at < len(body):
        kind, at = body[at], at + 1
        (size,) = struct.unpack_from("<i", body, at)
        if kind == 0:
            command |= bson.decode(body[at : at + size])
        else:
            name, documents = body[at + 4 : at + size].split(b"\0", 1)
            command[name.decode()] = bson.decode_all(documents)
        at += size
    return command


async def serve(port):
    kept = {}

    async def talk(reader, writer):
        while head := await reader.read(16):
            head += await reader.readexactly(16 - len(head)) if len(head) < 16 else b""
            size, number, _, code = struct.unpack("<4i", head)
            body = await reader.readexactly(size - 16)
            if code == 2004:  # OP_QUERY, answered by OP_REPLY
                reply, code = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(HELLO), 1
            else:
                reply, code = bytes(5) + bson.encode(answer(kept, command_in(body))), 2013
            writer.write(struct.pack("<4i", 16 + len(reply), 0, number, code) + reply)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, None, port) as server:
        await server.serve_forever()
