"""Text over threads and blocking sockets. The bug: each piece is decoded by itself, and a character is split."""

import codecs
import socket
import sys
import threading

FIXED = "fixed" in sys.argv
TEXT = "plain words, and among them one \N{LATIN SMALL LETTER E WITH ACUTE}, then plain words again, to the end"


def receive(connection, seen):
    decoder = codecs.getincrementaldecoder("utf-8")()
    while data := connection.recv(1000):
        seen.append(decoder.decode(data) if FIXED else data.decode("utf-8"))


listener = socket.create_server(("127.0.0.1", 7101))
client = socket.create_connection(("127.0.0.1", 7101))
served, _ = listener.accept()
seen = []
thread = threading.Thread(target=receive, args=[served, seen])
thread.start()
client.sendall(TEXT.encode())
client.close()
thread.join()
served.close()
listener.close()
assert "".join(seen) == TEXT, seen
