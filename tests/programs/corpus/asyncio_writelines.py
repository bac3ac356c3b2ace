"""A server on asyncio's streams that sends a download in pieces, with writelines() and drain()."""

import asyncio

PIECE = [b"head", b"x" * 8192, b"y" * 8192, b"tail"]
CONVERSATION = [b"\n"]


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        for _ in range(1500):
            writer.writelines(PIECE)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def factory() -> asyncio.StreamReaderProtocol:
    return asyncio.StreamReaderProtocol(asyncio.StreamReader(), handle)
