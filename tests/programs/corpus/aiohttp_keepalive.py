"""A client of aiohttp looks at the beginning of a file, then asks for something else on the same connection."""

import asyncio

import aiohttp

BIG = b"x" * 200_000
CONVERSATION = [
    ("<", None),
    (">", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG)),
    (">", BIG),
    ("<", None),
    (">", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"),
]


async def factory() -> str:
    async with aiohttp.ClientSession() as session:
        async with session.get("http://127.0.0.1:8080/file") as response:
            assert await response.content.readexactly(16) == b"x" * 16
            await asyncio.sleep(0.002)
        async with session.get("http://127.0.0.1:8080/status") as response:
            return await response.text()
