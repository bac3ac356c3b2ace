"""urllib3: a pool of connections shared by threads, retries, time limits, TLS."""

import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import urllib3

LIBRARIES = ("urllib3",)
DATA = bytes(range(256)) * 200
FILES = Path(__file__).parents[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failures = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(float(self.headers.get("X-Wait", "0")))
        if self.path == "/busy" and Handler.failures < 2:
            Handler.failures += 1
            self.send_response(503)
            body = b""
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    with ThreadingHTTPServer(("", port), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.serve_forever()


def connect(base):
    retry = urllib3.Retry(3, backoff_factor=0.5, status_forcelist=[503], allowed_methods=None)
    with urllib3.PoolManager(maxsize=3, block=True, ca_certs=str(FILES / "authority.pem"), retries=retry) as pool:
        with ThreadPoolExecutor(6) as threads:
            for answer in threads.map(lambda _: pool.request("POST", f"{base}/", body=DATA), range(12)):
                assert answer.data == DATA
        answer = pool.request("POST", f"{base}/busy", body=b"later")
        assert (answer.data, len(answer.retries.history)) == (b"later", 2)
        try:
            pool.request("POST", f"{base}/", headers={"X-Wait": "60"}, timeout=3.0, retries=False)
        except urllib3.exceptions.ReadTimeoutError:
            return "too slow"


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8443)
    world.sleep(0.1)
    assert client.run(connect, "https://server:8443").result(timeout=60) == "too slow"
