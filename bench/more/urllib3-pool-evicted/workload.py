"""Some threads ask many small web servers in turn, with one PoolManager that keeps connections to a few of them.

Invariant: the servers being up, every request is answered.
"""
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2000")
        self.end_headers()
        self.wfile.write(b"x" * 2000)

    def log_message(self, *args):
        pass


def ask(http, ports, problems):
    for port in ports:
        try:
            answer = http.request("GET", f"http://127.0.0.1:{port}/", retries=False, timeout=30)
            assert answer.status == 200 and len(answer.data) == 2000, answer.status
        except Exception as error:
            problems.append(error)


def main():
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(6)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = [server.server_address[1] for server in servers]
    http = urllib3.PoolManager(num_pools=3)
    problems = []
    threads = [threading.Thread(target=ask, args=[http, (ports[n:] + ports[:n]) * 2, problems]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, f"{len(problems)} requests failed; the first: {problems[0]!r}"


if __name__ == "__main__":
    sys.exit(main())
