"""Pyro5: a daemon with an object, calls of proxies in threads, an error over there, an object that is missing."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from Pyro5 import api, errors

LIBRARIES = ("pyro5",)
LONG = True
TEXT = "abcdefgh" * 14_000


@api.expose
class Thing:
    def reverse(self, text):
        return text[::-1]

    def divide(self, a, b):
        return a / b


def serve(port):
    with api.Daemon(host="0.0.0.0", port=port) as daemon:
        daemon.register(Thing, "thing")
        daemon.requestLoop()


def reverse(address):
    with api.Proxy(f"PYRO:thing@{address}") as thing:
        return thing.reverse(TEXT)


def call(address):
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(reverse, [address] * 3)) == [TEXT[::-1]] * 3
    with api.Proxy(f"PYRO:thing@{address}") as thing, suppress(ZeroDivisionError):
        thing.divide(1, 0)
        raise AssertionError("no error came back")
    with api.Proxy(f"PYRO:missing@{address}") as missing:
        try:
            missing.reverse("x")
        except errors.CommunicationError as error:
            return "unknown object" in str(error)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 9090)
    world.sleep(0.1)
    assert client.run(call, "server:9090").result(timeout=120)
