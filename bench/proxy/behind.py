"""What stands behind the relays: the first byte of a connection says what is done with the rest.

S: discard in the kernel as many bytes as the next eight say, then answer with their number. E: echo. 1: one answer of
16 bytes. G: as many bytes as the next eight say. H: read to the end, then answer. h: end first, then read. R: reset.
r: how does the client end? B: never read. Prints its port; writes what h and r found into the folder of its argument.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from pathlib import Path

LINGER_0 = struct.pack("ii", 1, 0)
FOLDER = Path(sys.argv[1])


def all_of(peer: socket.socket) -> int:
    """How many bytes come before the end."""
    total = 0
    while data := peer.recv(1 << 16):
        total += len(data)
    return total


def sink(peer: socket.socket) -> None:
    """Discard without copying (MSG_TRUNC, tcp(7))."""
    wanted = struct.unpack("<Q", peer.recv(8, socket.MSG_WAITALL))[0]
    total, buffer = 0, bytearray(1 << 20)
    while total < wanted and (size := peer.recv_into(buffer, 0, socket.MSG_TRUNC)):
        total += size
    peer.sendall(struct.pack("<Q", total))
    peer.recv(1)


def talk(peer: socket.socket) -> None:
    """One connection."""
    what = peer.recv(1)
    if what == b"S":
        sink(peer)
    elif what == b"E":
        while data := peer.recv(1 << 16):
            peer.sendall(data)
    elif what == b"1":
        peer.recv(15)
        peer.sendall(b"x" * 16)
    elif what == b"G":
        left = struct.unpack("<Q", peer.recv(8, socket.MSG_WAITALL))[0]
        blob = b"z" * (1 << 20)
        while left:
            left -= peer.send(blob[:left])
        all_of(peer)
    elif what == b"H":
        total = all_of(peer)
        time.sleep(0.2)
        peer.sendall(b"after-eof %d" % total)
    elif what == b"h":
        peer.sendall(b"bye")
        peer.shutdown(socket.SHUT_WR)
        (FOLDER / "h").write_text(str(all_of(peer)))
    elif what == b"R":
        peer.recv(1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    elif what == b"r":
        try:
            all_of(peer)
            (FOLDER / "r").write_text("EOF")
        except ConnectionResetError:
            (FOLDER / "r").write_text("RST")
    elif what == b"B":
        time.sleep(6)


def serve(peer: socket.socket) -> None:
    """In a thread of its own."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError), peer:
        talk(peer)


listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
