"""asyncio add_reader and add_writer on bare non-blocking sockets."""

import asyncio
import socket

LIBRARIES = ()
DATA = bytes(range(256)) * 600


def pump(loop, connection, finished):
    """Send back whatever comes."""
    waiting = bytearray()

    def readable():
        try:
            data = connection.recv(50_000)
            waiting.extend(data)
            ending = "end"
        except ConnectionResetError as error:
            data, ending = b"", str(error)
        if data:
            loop.add_writer(connection, writable)
        else:
            assert loop.remove_reader(connection)
            connection.close()
            finished.set_result(ending)

    def writable():
        del waiting[: connection.send(waiting)]
        if not waiting:
            assert loop.remove_writer(connection)

    loop.add_reader(connection, readable)


async def serve(port):
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("", port))
    listener.setblocking(False)
    endings = []

    def acceptable():
        connection, _ = listener.accept()
        connection.setblocking(False)
        endings.append(loop.create_future())
        pump(loop, connection, endings[-1])

    loop.add_reader(listener, acceptable)
    while len(endings) < 2:
        await asyncio.sleep(0.1)
    loop.remove_reader(listener)
    listener.close()
    return await asyncio.gather(*endings)


def connect(host, port):
    with socket.create_connection((host, port)) as connection:
        for at in range(0, len(DATA), 30_000):
            part = DATA[at : at + 30_000]
            connection.sendall(part)
            assert connection.recv(len(part), socket.MSG_WAITALL) == part
    with socket.create_connection((host, port)) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset


def scenario(world):
    server, client = world.host("server"), world.host("client")
    served = server.run(serve, 8000)
    world.sleep(0.1)
    client.run(connect, "server", 8000).result(timeout=60)
    assert served.result(timeout=60) == ["end", "[Errno 104] Connection reset by peer"]
