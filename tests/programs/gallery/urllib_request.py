"""urllib.request and http.client over blocking TLS: a proxy-free opener, chunked upload, kept connections, an error."""

import http.client
import ssl
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIBRARIES = ()
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.answer(body[::-1])

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self):
        self.send_error(418)

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    with ThreadingHTTPServer(("", port), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.serve_forever()


def connect(host, port):
    context = ssl.create_default_context(cafile=FILES / "authority.pem")
    connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    for _ in range(2):
        connection.request("PUT", "/", iter([DATA[:70_000], DATA[70_000:]]), encode_chunked=True)
        with connection.getresponse() as answer:
            assert answer.read() == DATA[::-1]
    connection.close()
    url = f"https://{host}:{port}/"
    with urllib.request.urlopen(url, DATA, timeout=10, context=context) as answer:
        assert answer.read() == DATA
    try:
        urllib.request.urlopen(url, timeout=10, context=context)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8443)
    world.sleep(0.1)
    assert client.run(connect, "server", 8443).result(timeout=60) == 418
