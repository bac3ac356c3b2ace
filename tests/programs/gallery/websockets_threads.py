"""websockets in threads: the synchronous server and three synchronous clients at once; a server that shuts down."""

import threading

from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect
from websockets.sync.server import serve

LIBRARIES = ("websockets",)
DATA = bytes(range(256)) * 600


def echo(connection):
    for message in connection:
        connection.send(message[::-1])


def run_server(port, seconds):
    with serve(echo, "server", port) as server:
        stop = threading.Timer(seconds, server.shutdown)
        stop.start()
        server.serve_forever()
        stop.join()


def run_client(uri):
    with connect(uri) as connection:
        for size in (0, 1, 70_000, len(DATA)):
            connection.send(DATA[:size])
            assert connection.recv(timeout=30) == DATA[:size][::-1]
        connection.send(DATA[at : at + 10_000] for at in range(0, len(DATA), 10_000))
        assert b"".join(connection.recv_streaming()) == DATA[::-1]
        assert connection.ping().wait(10)
        connection.close(1001, "home now")
        try:
            connection.recv()
        except ConnectionClosedOK as error:
            return error.sent.code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    served = server.run(run_server, 8000, 50)
    world.sleep(0.1)
    jobs = [client.run(run_client, "ws://server:8000/") for _ in range(3)]
    assert [job.result(timeout=45) for job in jobs] == [1001] * 3
    served.result(timeout=60)
    try:
        client.run(run_client, "ws://server:8000/").result(timeout=10)
    except ConnectionRefusedError:
        return
    raise AssertionError("nobody listens any more")
