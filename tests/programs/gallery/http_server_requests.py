"""requests against a threaded http.server, plain and over TLS: sessions, streaming, redirects, an error."""

import functools
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

LIBRARIES = ("requests",)
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def do_GET(self):
        if self.path == "/old":
            self.answer(302, b"", location="/new")
        else:
            self.answer(200 if self.path == "/new" else 404, DATA)

    def answer(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def serve(port, certificate=None):
    with ThreadingHTTPServer(("", port), Handler) as server:
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.serve_forever()


def exchange(base):
    with requests.Session() as session:
        session.trust_env = False  # which may name other certificates
        session.verify = str(FILES / "authority.pem")
        assert session.post(f"{base}/", DATA, timeout=10).content == DATA[::-1]
        answer = session.get(f"{base}/old", stream=True, timeout=10)
        assert answer.url == f"{base}/new"
        assert b"".join(answer.iter_content(5_000)) == DATA
        try:
            session.get(f"{base}/missing", timeout=10).raise_for_status()
        except requests.HTTPError as error:
            return error.response.status_code


def connect(plain, secure):
    threads = [threading.Thread(target=functools.partial(exchange, base)) for base in (plain, secure)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return exchange(plain), exchange(secure)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    server.run(serve, 8443, FILES / "server.pem")
    world.sleep(0.1)
    job = client.run(connect, "http://server:8000", "https://server:8443")
    assert job.result(timeout=60) == (404, 404)
