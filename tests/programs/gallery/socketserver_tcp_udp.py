"""socketserver: threading TCP and UDP servers, blocking clients."""

import socket
import socketserver
import threading

LIBRARIES = ()
DATA = bytes(range(256)) * 600


class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        size = int(self.rfile.readline())
        if size > len(DATA):
            self.wfile.write(b"too large\n")
            return
        self.wfile.write(b"fine\n")
        self.wfile.write(self.rfile.read(size)[::-1])


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, own_socket = self.request
        own_socket.sendto(data[::-1], self.client_address)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


def serve(port):
    with Server(("", port), Stream) as stream, socketserver.ThreadingUDPServer(("", port), Datagram) as datagram:
        threads = [threading.Thread(target=each.serve_forever) for each in (stream, datagram)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def connect(host, port):
    with socket.create_connection((host, port)) as connection, connection.makefile("rb") as lines:
        connection.sendall(b"%d\n%b" % (len(DATA), DATA))
        assert lines.readline() == b"fine\n"
        assert lines.read() == DATA[::-1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(1)
        udp.connect((host, port))
        for number in range(100):
            while True:  # until an answer comes: datagrams may be lost
                udp.send(b"%03d" % number + DATA[:1200])
                try:
                    if udp.recv(2000) == (b"%03d" % number + DATA[:1200])[::-1]:
                        break
                except TimeoutError:
                    pass
    with socket.create_connection((host, port)) as connection:
        connection.sendall(b"999999\n")
        return connection.makefile().readline()


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(connect, "server", 8000).result(timeout=60) == "too large\n"
