"""xmlrpc: a threaded server, a client with large values, multicalls and a fault."""

import socketserver
import xmlrpc.client
from xmlrpc.server import SimpleXMLRPCServer

LIBRARIES = ()
DATA = bytes(range(256)) * 600


class Server(socketserver.ThreadingMixIn, SimpleXMLRPCServer):
    """One thread a request."""


def reverse(binary):
    return xmlrpc.client.Binary(binary.data[::-1])


def serve(port):
    with Server(("", port), logRequests=False) as server:
        server.register_function(reverse)
        server.register_function(pow)
        server.register_introspection_functions()
        server.register_multicall_functions()
        server.serve_forever()


def connect(url):
    with xmlrpc.client.ServerProxy(url) as server:
        assert server.reverse(xmlrpc.client.Binary(DATA)).data == DATA[::-1]
        assert "pow" in server.system.listMethods()
        many = xmlrpc.client.MultiCall(server)
        for number in range(10):
            many.pow(number, 2)
        assert list(many()) == [number * number for number in range(10)]
        try:
            server.pow("a", "b")
        except xmlrpc.client.Fault as fault:
            return fault.faultString


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert "TypeError" in client.run(connect, "http://server:8000/").result(timeout=60)
