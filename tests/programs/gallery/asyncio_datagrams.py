"""asyncio datagrams: numbered packets that are sent again until they are acknowledged; nobody at the other port."""

import asyncio

LIBRARIES = ()
PARTS = [bytes([number]) * 1_400 for number in range(100)]


class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.missing = dict(enumerate(PARTS))
        self.failed = asyncio.get_running_loop().create_future()
        self.all_there = asyncio.Event()

    def datagram_received(self, data, address):
        assert self.missing.pop(data[0], data) == data
        if not self.missing:
            self.all_there.set()

    def error_received(self, error):
        if not self.failed.done():
            self.failed.set_result(error)


async def serve(port):
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, ("0.0.0.0", port))
    await asyncio.sleep(3600)
    transport.close()


async def connect(host, port):
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=(host, port))
    while client.missing:
        for data in list(client.missing.values())[:20]:
            transport.sendto(data)
        await asyncio.sleep(0.1)
    await client.all_there.wait()
    transport.close()
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=(host, port + 1))
    while not client.failed.done():
        transport.sendto(b"is anybody there?")
        await asyncio.sleep(0.1)
    transport.close()
    return client.failed.result()


def scenario(world):
    server, client = world.host("server", addresses=["10.1.0.1"]), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert isinstance(client.run(connect, "server", 8000).result(timeout=60), ConnectionRefusedError)
