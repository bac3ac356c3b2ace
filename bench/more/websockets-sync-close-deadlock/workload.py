"""A client of threads subscribes to a stream of messages, reads a few and closes.

Invariant: close() comes back.
"""
import sys
import threading
import time

from websockets.sync.client import connect
from websockets.sync.server import serve


def handler(ws):
    try:
        for number in range(200):
            ws.send(f"message {number} " + "x" * 300)
    except Exception:
        pass


def main():
    server = serve(handler, "127.0.0.1", 0)
    port = server.socket.getsockname()[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for count in (3, 1, 10):
        closed = threading.Event()

        def talk():
            ws = connect(f"ws://127.0.0.1:{port}")
            for number in range(count):
                assert ws.recv().startswith(f"message {number} ")
            time.sleep(0.2)
            ws.close()
            closed.set()

        threading.Thread(target=talk, daemon=True).start()
        assert closed.wait(60), f"close() does not come back after {count} messages were read"
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
