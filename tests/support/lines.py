"""A server for the tests of the proxy, and clients: real sockets, blocking, with a limit on every wait."""

import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

LIMIT_S: Final = 30.0
LINGER_0: Final = struct.pack("ii", 1, 0)


class Server:
    """Accepts, and gives each connection to `talk` in a thread; what each talk returned, or its error, is kept."""

    def __init__(self, talk: Callable[[socket.socket], object], listener: socket.socket | None = None) -> None:
        self._talk = talk
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=64)
        self.results: list[object] = []
        self._more = threading.Condition()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        name = self.listener.getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.settimeout(LIMIT_S)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                result = self._talk(peer)
            except OSError as error:
                result = type(error).__name__
        with self._more:
            self.results.append(result)
            self._more.notify_all()

    def result(self, index: int = 0) -> object:
        """What the talk that ended as the `index`th returned."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.results) > index, LIMIT_S), "no talk has ended"
            return self.results[index]

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@contextmanager
def serving(talk: Callable[[socket.socket], object], listener: socket.socket | None = None) -> Iterator[Server]:
    server = Server(talk, listener)
    try:
        yield server
    finally:
        server.close()


def echo(peer: socket.socket) -> int:
    """Sends back what comes; returns how much came before the end."""
    total = 0
    while data := peer.recv(1 << 16):
        total += len(data)
        peer.sendall(data)
    return total


def digest_of_all(peer: socket.socket) -> str:
    """Reads to the end and answers with the digest."""
    digest = hashlib.sha256()
    while data := peer.recv(1 << 20):
        digest.update(data)
    peer.sendall(digest.digest())
    return digest.hexdigest()


def reset(peer: socket.socket) -> None:
    """Close with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    peer.close()


@contextmanager
def connected(address: object) -> Iterator[socket.socket]:
    """A connection to (host, port), a port of 127.0.0.1, or a path."""
    if isinstance(address, int):
        address = ("127.0.0.1", address)
    if isinstance(address, tuple):
        made = socket.create_connection(address, LIMIT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(LIMIT_S)
    with closing(made):
        if made.family == socket.AF_UNIX:
            made.connect(address)  # type: ignore[arg-type]
        yield made


def exactly(peer: socket.socket, size: int) -> bytes:
    """`size` bytes, or fewer when the end comes before."""
    data = b""
    while len(data) < size and (more := peer.recv(size - len(data))):
        data += more
    return data


def to_the_end(peer: socket.socket) -> tuple[bytes, str]:
    """All that comes, and how it ended: "EOF" or "RST"."""
    data = b""
    while True:
        try:
            more = peer.recv(1 << 16)
        except ConnectionResetError:
            return data, "RST"
        if not more:
            return data, "EOF"
        data += more


def ending_of_a_connection(port: int) -> str:
    """How a new connection ends that says nothing: a reset may come before connect(2) has returned."""
    try:
        with connected(port) as client:
            return to_the_end(client)[1]
    except ConnectionResetError:
        return "RST"


def silent(peer: socket.socket, seconds: float = 0.05) -> bool:
    """Whether nothing comes for a while: that nothing happens cannot be waited for otherwise."""
    peer.settimeout(seconds)
    try:
        return peer.recv(1, socket.MSG_PEEK) is None
    except TimeoutError:
        return True
    finally:
        peer.settimeout(LIMIT_S)
