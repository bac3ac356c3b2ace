"""logging's handlers for the network, behind a queue: socket, datagrams, syslog and HTTP; a port that nobody serves."""

import http.client
import logging
import logging.handlers
import pickle
import queue
import socketserver
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

LIBRARIES = ()
TEXT = "x" * 4000
MESSAGES = 30
received = {"records": 0, "packets": 0, "posts": 0}


class Records(socketserver.StreamRequestHandler):
    def handle(self):
        while header := self.rfile.read(4):
            record = pickle.loads(self.rfile.read(struct.unpack(">L", header)[0]))
            assert record["msg"] == TEXT
            received["records"] += 1


class Packets(socketserver.BaseRequestHandler):
    def handle(self):
        received["packets"] += 1


class Posts(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        received["posts"] += 1
        self.send_response(200)
        self.end_headers()


def serve():
    servers = [
        socketserver.ThreadingTCPServer(("", 9020), Records),
        socketserver.UDPServer(("", 9021), Packets),
        socketserver.UDPServer(("", 9022), Packets),
        HTTPServer(("", 9023), Posts),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    time.sleep(60)
    for server in servers:
        server.shutdown()
        server.server_close()


def log(host):
    handlers = [
        logging.handlers.SocketHandler(host, 9020),
        logging.handlers.DatagramHandler(host, 9021),
        logging.handlers.SysLogHandler((host, 9022)),
        logging.handlers.HTTPHandler(f"{host}:9023", "/log", method="POST"),
    ]
    waiting = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, *handlers)
    logger = logging.getLogger("to the network")
    logger.propagate = False
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    listener.start()
    for _ in range(MESSAGES):
        logger.warning(TEXT)
    listener.stop()
    for handler in handlers:
        handler.close()
    try:
        http.client.HTTPConnection(host, 9024, timeout=30).request("GET", "/")
    except ConnectionRefusedError:
        return "nobody there"


def scenario(world):
    server, client = world.host("server"), world.host("client")
    serving = server.run(serve)
    world.sleep(0.1)
    assert client.run(log, "server").result(timeout=55) == "nobody there"
    serving.result(timeout=70)
    assert received == {"records": MESSAGES, "packets": 2 * MESSAGES, "posts": MESSAGES}
