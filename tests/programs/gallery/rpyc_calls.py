"""RPyC, a thread for each client: large values, a function of the client called by the server, an error over there."""

import rpyc
from rpyc.utils.server import ThreadedServer

LIBRARIES = ("rpyc",)
LONG = True
DATA = bytes(range(256)) * 450


class Service(rpyc.Service):
    def exposed_reverse(self, data):
        return data[::-1]

    def exposed_apply(self, function, *values):
        return [function(value) for value in values]

    def exposed_fail(self):
        raise ValueError("no such thing")


def serve(port):
    ThreadedServer(Service, port=port).start()


def call(host, port):
    connection = rpyc.connect(host, port, config={"sync_request_timeout": 60})
    assert connection.root.reverse(DATA) == DATA[::-1]
    assert list(connection.root.apply(lambda value: value + 1, 1, 2, 3)) == [2, 3, 4]
    try:
        connection.root.fail()
    except ValueError as error:
        connection.close()
        return error.args[0]


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 18861)
    world.sleep(0.1)
    assert client.run(call, "server", 18861).result(timeout=120) == "no such thing"
