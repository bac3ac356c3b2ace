"""A client of aiohttp (pure-Python parser) reads a body that comes in chunks."""

import os

os.environ["AIOHTTP_NO_EXTENSIONS"] = "1"
import aiohttp

CONVERSATION = [
    ("<", None),
    (">", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    *((">", b"%x\r\n%s\r\n" % (len(line), line)) for line in (b"line 0 of document 2\n", b"line 1\n", b"line 2\n")),
    (">", b"0\r\n\r\n"),
]


async def factory() -> str:
    async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:8080/2") as response:
        return await response.text()
