"""A forwarder for tests.

Usage: forward_once.py PORT [mode]

Echoes what it gets up to a newline, then closes. Modes: `silent` never listens, `open` never closes, `exit` ends at
once, `die` ends in the midst of an answer, `late` waits before it listens, `serve-and-exit` ends after one connection.
"""

import os
import socket
import sys
import time

port, mode = int(sys.argv[1]), (sys.argv[2:] or [""])[0]
print("forwarder: starting", file=sys.stderr, flush=True)
if mode == "exit":
    sys.exit("forwarder: permission denied")
if mode == "silent":
    time.sleep(600)
if mode == "late":
    time.sleep(0.2)
listening = socket.create_server(("127.0.0.1", port))
while True:
    connection, _ = listening.accept()
    data = b""
    while not data.endswith(b"\n"):
        data += connection.recv(65536)
    if mode == "die":
        connection.sendall(data[:3])
        os._exit(7)
    connection.sendall(data)
    if mode == "open":
        time.sleep(600)
    connection.close()
    if mode == "serve-and-exit":
        sys.exit(0)
