"""A WSGI server with some clients; each client gets its answer, even when others go away at once.

Invariant: the server serves, and does not burn the processor on connections that are gone.
"""
import socket
import sys
import threading
import time

import waitress.server


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := sock.recv(4096):
            answer += data
        return answer


def main():
    server = waitress.server.create_server(application, host="127.0.0.1", port=0, threads=2)
    threading.Thread(target=server.run, daemon=True).start()
    answered = 0
    for _ in range(10):
        try:
            answered += b"hello" in ask(server.effective_port)
        except OSError:
            pass                                     # this one was lost: the next may do better
    time.sleep(1)
    before, start = server_cpu(), time.monotonic()
    time.sleep(5)
    turns = server_cpu() - before
    assert turns < 500, f"{turns} turns of the idle server's loop in {time.monotonic() - start:.0f} s"
    for _ in range(20):
        try:
            if b"hello" in ask(server.effective_port):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server does not answer any more")


_turns = 0


def server_cpu():
    return _turns


def count(original):
    def counted(*args, **keywords):
        global _turns
        _turns += 1
        return original(*args, **keywords)
    return counted


if __name__ == "__main__":
    import select
    select.select = count(select.select)             # the server's loop comes by here once a turn
    if hasattr(select, "poll"):
        select.poll = count(select.poll)
    sys.exit(main())
