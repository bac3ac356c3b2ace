"""grpclib server and client over h2, plain and over TLS: unary and streaming calls; a call that fails."""

import asyncio
import ssl
from pathlib import Path

from grpclib.client import Channel, StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server

LIBRARIES = ("grpclib", "h2")
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


class Plain(CodecBase):
    __content_subtype__ = "bytes"

    def encode(self, message, message_type):
        return message

    def decode(self, data, message_type):
        return data


class Service:
    async def reverse(self, stream):
        message = await stream.recv_message()
        if not message:
            raise GRPCError(Status.INVALID_ARGUMENT, "nothing to reverse")
        await stream.send_message(message[::-1])

    async def echo(self, stream):
        async for message in stream:
            await stream.send_message(message)

    def __mapping__(self):
        return {
            "/Service/Reverse": Handler(self.reverse, Cardinality.UNARY_UNARY, bytes, bytes),
            "/Service/Echo": Handler(self.echo, Cardinality.STREAM_STREAM, bytes, bytes),
        }


async def serve(plain_port, secure_port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    context.set_alpn_protocols(["h2"])
    plain, secure = Server([Service()], codec=Plain()), Server([Service()], codec=Plain())
    await plain.start(None, plain_port)
    await secure.start(None, secure_port, ssl=context)
    await asyncio.sleep(60)
    for server in (plain, secure):
        server.close()
        await server.wait_closed()


async def connect(host, port, secure):
    context = None
    if secure:
        context = ssl.create_default_context(cafile=FILES / "authority.pem")
        context.set_alpn_protocols(["h2"])
    async with Channel(host, port, ssl=context, codec=Plain()) as channel:
        reverse = UnaryUnaryMethod(channel, "/Service/Reverse", bytes, bytes)
        assert await asyncio.gather(*(reverse(DATA) for _ in range(3))) == [DATA[::-1]] * 3
        parts = [DATA[at : at + 10_000] for at in range(0, len(DATA), 10_000)]
        assert await StreamStreamMethod(channel, "/Service/Echo", bytes, bytes)(parts) == parts
        try:
            await reverse(b"")
        except GRPCError as error:
            return error.status


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000, 8443)
    world.sleep(0.1)
    assert client.run(connect, "server", 8000, False).result(timeout=60) is Status.INVALID_ARGUMENT
    assert client.run(connect, "server", 8443, True).result(timeout=60) is Status.INVALID_ARGUMENT
