"""Tornado's HTTP and websocket server and AsyncHTTPClient, plain and over TLS; a page that is missing."""

import asyncio
import ssl
from pathlib import Path

from tornado import httpclient, web, websocket

LIBRARIES = ("tornado",)
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


class Reverse(web.RequestHandler):
    def post(self):
        self.write(self.request.body[::-1])


class Stream(web.RequestHandler):
    async def get(self):
        for at in range(0, len(DATA), 10_000):
            self.write(DATA[at : at + 10_000])
            await self.flush()


class Talk(websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message[::-1], binary=True)


async def serve(plain_port, secure_port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    app = web.Application([("/", Reverse), ("/stream", Stream), ("/talk", Talk)])
    servers = [app.listen(plain_port), app.listen(secure_port, ssl_options=context)]
    await asyncio.sleep(60)
    for server in servers:
        server.stop()
        await server.close_all_connections()


async def connect(scheme, port):
    client = httpclient.AsyncHTTPClient()
    context = ssl.create_default_context(cafile=FILES / "authority.pem") if scheme == "https" else None
    base = f"{scheme}://server:{port}"
    answer = await client.fetch(base + "/", method="POST", body=DATA, ssl_options=context)
    assert answer.body == DATA[::-1]
    parts = []
    await client.fetch(base + "/stream", streaming_callback=parts.append, ssl_options=context)
    assert b"".join(parts) == DATA
    request = httpclient.HTTPRequest(base.replace("http", "ws") + "/talk", ssl_options=context)
    socket = await websocket.websocket_connect(request)
    await socket.write_message(DATA, binary=True)
    assert await socket.read_message() == DATA[::-1]
    socket.close()
    assert await socket.read_message() is None
    try:
        await client.fetch(base + "/missing", ssl_options=context)
    except httpclient.HTTPClientError as error:
        return error.code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000, 8443)
    world.sleep(0.1)
    assert client.run(connect, "http", 8000).result(timeout=60) == 404
    assert client.run(connect, "https", 8443).result(timeout=60) == 404
