"""A client downloads files and tries again when a download fails.

Invariant: a download that succeeds has all bytes of the file.
"""
import http.server
import sys
import threading
import time

import urllib3

FILE = bytes(range(256)) * 80


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(FILE)))
        self.end_headers()
        self.wfile.write(FILE)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass                                         # a client has gone: the next one, please


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pool = urllib3.HTTPConnectionPool("127.0.0.1", server.server_port, timeout=20)
    for number in range(4):
        for _ in range(6):
            try:
                answer = pool.request("GET", f"/{number}", retries=False, preload_content=False)
                if "Content-Length" not in answer.headers:
                    continue                         # cut off in the head
                data = b"".join(answer.stream(2048))
                break
            except (urllib3.exceptions.HTTPError, OSError):
                time.sleep(0.1)
        else:
            raise AssertionError("no download succeeds in six attempts")
        assert data == FILE, f"a download of {len(FILE)} bytes gave {len(data)}"
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
