"""A client uploads forms with a file in them, piece by piece; the server reads the parts.

Invariant: what the server reads is what the client sent.
"""
import asyncio
import sys

from aiohttp import web

FILE = b"a line of text\r\n" * 12


async def upload(request):
    parts = {}
    reader = await request.multipart()
    while part := await reader.next():
        data = b""
        while piece := await part.read_chunk(64):
            data += piece
        parts[part.name] = data
    assert parts == {"title": b"a file", "file": FILE}, f"read {parts}"
    return web.Response(text="thank you")


async def send(port, number):
    boundary = b"boundary-%d" % number
    body = (b'--%b\r\nContent-Disposition: form-data; name="title"\r\n\r\na file\r\n'
            b'--%b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n%b\r\n--%b--\r\n'
            % (boundary, boundary, FILE, boundary))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: %d\r\n"
                 b"Content-Type: multipart/form-data; boundary=%b\r\n\r\n" % (len(body), boundary))
    writer.write(body)
    answer = await reader.read()
    assert b"thank you" in answer, f"upload {number}: {answer[:60]!r}"
    writer.close()


async def main():
    application = web.Application()
    application.router.add_post("/", upload)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    for number in range(8):
        await asyncio.wait_for(send(port, number), 30)
    await runner.cleanup()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
