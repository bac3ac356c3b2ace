"""A program asks a web server for its state, which must be quick, and uploads reports, which may take long.

Invariant: an upload for which 60 s are allowed does not fail sooner.
"""
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(b"all is well")

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 4096)))
        self.answer(b"thank you")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    http = urllib3.PoolManager()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    for _ in range(3):
        try:
            http.request("GET", f"{base}/state", retries=False, timeout=urllib3.Timeout(connect=60, read=0.2))
        except urllib3.exceptions.ReadTimeoutError:
            continue                                 # too slow this time
        answer = http.request("POST", f"{base}/report", body=b"r" * 300_000, retries=False, timeout=60)
        assert answer.data == b"thank you", answer.data


if __name__ == "__main__":
    sys.exit(main())
