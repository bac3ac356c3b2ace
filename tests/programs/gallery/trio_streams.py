"""Trio streams: a server of framed messages and a client, cancelled reads, a refused connection."""

import trio

LIBRARIES = ("trio",)
DATA = bytes(range(256)) * 500


async def reverse(stream):
    size = int.from_bytes(await read_exactly(stream, 4), "big")
    await stream.send_all((await read_exactly(stream, size))[::-1])
    assert await stream.receive_some() == b""
    await stream.aclose()


async def read_exactly(stream, size):
    data = b""
    while len(data) < size:
        part = await stream.receive_some(size - len(data))
        assert part, "the end came too early"
        data += part
    return data


async def serve(port):
    await trio.serve_tcp(reverse, port)


async def connect(host, port):
    stream = await trio.open_tcp_stream(host, port)
    with trio.move_on_after(0.2) as scope:
        await stream.receive_some()
    assert scope.cancelled_caught
    await stream.send_all(len(DATA).to_bytes(4, "big") + DATA)
    assert await read_exactly(stream, len(DATA)) == DATA[::-1]
    await stream.aclose()
    try:
        await trio.open_tcp_stream(host, port + 1)
    except OSError as error:
        return type(error).__name__


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000, runner="trio")
    world.sleep(0.1)
    assert client.run(connect, "server", 8000, runner="trio").result(timeout=60) == "OSError"
