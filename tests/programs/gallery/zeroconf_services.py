"""zeroconf, multicast DNS: a service registered on one host is found on another, and one that is not there is not."""

import socket
import threading
import time

from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

LIBRARIES = ("zeroconf",)
LONG = True
KIND = "_bench._tcp.local."


class Listener(ServiceListener):
    def __init__(self):
        self.found = threading.Event()

    def add_service(self, zc, type_, name):
        self.found.set()

    def update_service(self, zc, type_, name):
        pass

    def remove_service(self, zc, type_, name):
        pass


def register():
    address = socket.inet_aton(socket.gethostbyname(socket.gethostname()))
    with Zeroconf() as zeroconf:
        zeroconf.register_service(ServiceInfo(KIND, f"tank.{KIND}", addresses=[address], port=99))
        time.sleep(60)


def browse():
    listener = Listener()
    with Zeroconf() as zeroconf:
        ServiceBrowser(zeroconf, KIND, listener)
        assert listener.found.wait(30)
        found = zeroconf.get_service_info(KIND, f"tank.{KIND}", timeout=10_000)
        missing = zeroconf.get_service_info(KIND, f"other.{KIND}", timeout=3_000)
        return found.parsed_addresses(), found.port, missing


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(register)
    world.sleep(5)
    assert client.run(browse).result(timeout=120) == ([server.addresses[0]], 99, None)
