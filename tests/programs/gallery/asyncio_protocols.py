"""asyncio protocols: create_server and create_connection, flow control, write_eof, a connection that is cut."""

import asyncio

LIBRARIES = ()
DATA = bytes(range(256)) * 600


class Upper(asyncio.Protocol):
    """Sends back what it gets, two bytes for one; if the first byte is "!" it breaks off."""

    def connection_made(self, transport):
        self.transport = transport
        self.first = True
        transport.set_write_buffer_limits(high=20_000)

    def data_received(self, data):
        first, self.first = self.first, False
        if first and data[:1] == b"!":
            self.transport.abort()
        else:
            self.transport.write(data + data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def eof_received(self):
        self.transport.write(b"end")


class Collect(asyncio.Protocol):
    def __init__(self, first):
        self.first = first
        self.got = bytearray()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.write(self.first)
        if self.first == DATA:
            transport.writelines([DATA[:10], DATA[10:]])
            transport.write_eof()

    def data_received(self, data):
        self.got += data

    def connection_lost(self, error):
        self.lost.set_result(error)


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upper, "server", port)
    async with server:
        await server.serve_forever()


async def connect(host, port):
    loop = asyncio.get_running_loop()
    _, whole = await loop.create_connection(lambda: Collect(DATA), host, port)
    assert await whole.lost is None
    assert len(whole.got) == 4 * len(DATA) + 3
    assert whole.got.endswith(b"end")
    _, broken = await loop.create_connection(lambda: Collect(b"!"), host, port)
    assert await broken.lost is None
    assert broken.got == b""
    try:
        await loop.create_connection(lambda: Collect(b""), "nowhere", port)
    except OSError as error:
        return str(error)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert "not known" in client.run(connect, "server", 8000).result(timeout=60)
