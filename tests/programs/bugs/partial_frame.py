"""Trio: a header of 8 bytes, then a body. The bug: `receive_some(8)` is taken for eight bytes."""

import struct
import sys

import trio

FIXED = "fixed" in sys.argv


async def exactly(stream, size):
    data = await stream.receive_some(size)
    while FIXED and len(data) < size:
        data += await stream.receive_some(size - len(data))
    return data


async def serve(stream):
    for _ in range(3):
        kind, size = struct.unpack("!II", await exactly(stream, 8))
        body = await exactly(stream, size)
        await stream.send_all(struct.pack("!II", kind, len(body)) + body[::-1])


async def main():
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(7103, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        async with await trio.open_tcp_stream("127.0.0.1", 7103) as stream:
            for number in range(3):
                body = bytes([number]) * 100 + b"."
                await stream.send_all(struct.pack("!II", number, len(body)) + body)
                kind, size = struct.unpack("!II", await exactly(stream, 8))
                assert (kind, await exactly(stream, size)) == (number, body[::-1])
        nursery.cancel_scope.cancel()


trio.run(main)
