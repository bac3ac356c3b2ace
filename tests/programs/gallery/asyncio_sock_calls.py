"""asyncio sock_* calls: sock_accept, sock_connect, sock_sendall, sock_recv, sock_recv_into, sock_sendfile."""

import asyncio
import socket
import tempfile

LIBRARIES = ()
DATA = bytes(range(256)) * 600


async def serve(port):
    loop = asyncio.get_running_loop()
    with socket.create_server(("", port)) as listener:
        listener.setblocking(False)
        for _ in range(2):
            connection, _ = await loop.sock_accept(listener)
            with connection:
                connection.setblocking(False)
                while data := await loop.sock_recv(connection, 10_000):
                    await loop.sock_sendall(connection, data)


async def exchange(loop, connection, send):
    received = bytearray()
    buffer = bytearray(4_096)

    async def receive():
        while count := await loop.sock_recv_into(connection, buffer):
            received.extend(memoryview(buffer)[:count])

    reading = asyncio.create_task(receive())
    await send
    connection.shutdown(socket.SHUT_WR)
    await reading
    assert received == DATA


async def connect(host, port):
    loop = asyncio.get_running_loop()
    info = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, info[0][4])
        await exchange(loop, connection, loop.sock_sendall(connection, DATA))
    with socket.socket() as connection, tempfile.TemporaryFile() as file:
        file.write(DATA)
        connection.setblocking(False)
        await loop.sock_connect(connection, (host, port))
        await exchange(loop, connection, loop.sock_sendfile(connection, file))
    with socket.socket() as connection:
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, (host, port))
        except ConnectionRefusedError:
            return "refused"
    raise AssertionError("nobody listens any more")


def scenario(world):
    server, client = world.host("server"), world.host("client")
    done = server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(connect, "server", 8000).result(timeout=60) == "refused"
    done.result(timeout=60)
