"""Trio's SSLStream on both sides, and a client that does not trust the server."""

import ssl
from pathlib import Path

import trio

LIBRARIES = ("trio",)
DATA = bytes(range(256)) * 500
FILES = Path(__file__).parents[1]


async def answer(stream):
    try:
        data = b""
        while len(data) < len(DATA):
            data += await stream.receive_some()
        await stream.send_all(data[::-1])
        assert await stream.receive_some() == b""
    except trio.BrokenResourceError:
        pass  # the client that does not trust us
    await trio.aclose_forcefully(stream)


async def serve(port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    await trio.serve_ssl_over_tcp(answer, port, context)


async def connect(host, port):
    context = ssl.create_default_context(cafile=FILES / "authority.pem")
    stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context)
    data = b""
    async with stream:
        await stream.send_all(DATA)
        while len(data) < len(DATA):
            data += await stream.receive_some()
    assert data == DATA[::-1]
    stranger = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=ssl.create_default_context())
    try:
        await stranger.do_handshake()
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(stranger)
        return error.__cause__.verify_message


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8443, runner="trio")
    world.sleep(0.1)
    assert "issuer" in client.run(connect, "server", 8443, runner="trio").result(timeout=60)
