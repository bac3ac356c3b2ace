"""asyncio over a kernel that costs nothing: the most that any simulated kernel beneath asyncio can reach.

Owns a selector and sockets that are lists of bytes in memory, with no descriptors, network, clock, faults or trace. The
selector event loop, its transports and streams are the standard library's own, unmodified: only the names `socket` in
two of its modules and the selector given to the loop are ours. It simulates nothing; it measures asyncio.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.selector_events
import ctypes
import selectors
import socket as real
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

#: What one direction holds before the sender must wait: Linux's send buffer on loopback (tcp_wmem, autotuned).
CAPACITY = 2_626_560
WRITE = selectors.EVENT_WRITE
Key = selectors.SelectorKey


class Selector:
    """Readiness is pushed: a wait costs what is ready. asyncio watches descriptors; ours are found by their number."""

    def __init__(self) -> None:
        self.keys: dict[int, Key] = {}
        self.ready: dict[int, Key] = {}

    def register(self, fd: int, events: int, data: Any = None) -> Key:
        """Watch the socket `fd`; what holds already is reported by the next `select`."""
        sock = Socket.by_number[fd]
        key = self.keys[fd] = self.ready[fd] = sock.key = Key(sock, fd, events, data)
        sock.ready = self.ready
        return key

    modify = register

    def unregister(self, fd: int) -> Key:
        """Watch it no longer."""
        key = self.keys.pop(fd)
        self.ready.pop(fd, None)
        key.fileobj.key = None  # type: ignore[union-attr]
        return key

    def select(self, timeout: float | None = None) -> list[tuple[Key, int]]:
        """What is ready now; it never waits."""
        found = []
        for fd, key in list(self.ready.items()):
            events = key.fileobj.events() & key.events  # type: ignore[union-attr]
            if events:
                found.append((key, events))
            else:
                del self.ready[fd]
        return found

    def get_key(self, fd: int) -> Key:
        """The key of a watched socket."""
        return self.keys[fd]

    def get_map(self) -> dict[int, Key]:
        """All keys."""
        return self.keys

    def close(self) -> None:
        """Nothing to close."""


class Socket:
    """One end of a connection, or a listener."""

    listeners: dict[int, Socket] = {}
    by_number: weakref.WeakValueDictionary[int, Socket] = weakref.WeakValueDictionary()
    numbers = 1_000_000

    def __init__(self, family: int = real.AF_INET, type: int = real.SOCK_STREAM, proto: int = 0) -> None:
        self.family, self.type, self.proto = family, type, proto
        Socket.numbers += 1
        self.number = Socket.numbers
        Socket.by_number[self.number] = self
        self.parts: deque[bytes] = deque()
        self.held_bytes = 0
        self.at_end = False
        self.peer: Socket | None = None
        self.waiting: deque[Socket] = deque()
        self.key: Key | None = None
        self.ready: dict[int, Key] = {}  # its selector's
        self.name: tuple[str, int] = ("127.0.0.1", self.number & 0xFFFF)

    def fileno(self) -> int:
        """A number that names no descriptor."""
        return self.number

    def events(self) -> int:
        """What can be done without waiting."""
        readable = bool(self.parts or self.waiting or self.at_end)
        peer = self.peer
        return readable | (WRITE if peer is not None and peer.held_bytes < CAPACITY else 0)

    def tell(self) -> None:
        """Something changed."""
        key = self.key
        if key is not None:
            self.ready[self.number] = key

    def bind(self, address: tuple[str, int]) -> None:
        """Take a port."""
        self.name = address

    def listen(self, backlog: int = 0) -> None:
        """Be found by `connect`."""
        Socket.listeners[self.name[1]] = self

    def connect(self, address: tuple[str, int]) -> None:
        """Connected at once."""
        listener = Socket.listeners[address[1]]
        other = Socket()
        self.peer, other.peer = other, self
        listener.waiting.append(other)
        listener.tell()

    def accept(self) -> tuple[Socket, tuple[str, int]]:
        """The next connection."""
        if not self.waiting:
            raise BlockingIOError
        found = self.waiting.popleft()
        return found, found.getpeername()

    def send(self, data: Any) -> int:
        """Hand over what there is room for."""
        peer = self.peer
        if peer is None:
            raise BrokenPipeError
        size = len(data)
        room = CAPACITY - peer.held_bytes
        if size > room:
            if room <= 0:
                raise BlockingIOError
            data, size = data[:room], room
        peer.parts.append(data if data.__class__ is bytes else bytes(data))
        peer.held_bytes += size
        peer.tell()
        return size

    def sendmsg(self, buffers: Any) -> int:
        """Hand over several buffers."""
        return self.send(b"".join(buffers))

    def recv(self, size: int) -> bytes:
        """Take at most `size` bytes."""
        parts = self.parts
        if not parts:
            if self.at_end:
                return b""
            raise BlockingIOError
        data = parts.popleft()
        if len(data) > size:
            parts.appendleft(data[size:])
            data = data[:size]
        elif parts and len(data) < size:
            data = self._join(data, size)
        full = self.held_bytes >= CAPACITY
        self.held_bytes -= len(data)
        if full and self.peer is not None:
            self.peer.tell()
        return data

    def _join(self, first: bytes, size: int) -> bytes:
        found, length = [first], len(first)
        while self.parts and length < size:
            part = self.parts.popleft()
            if length + len(part) > size:
                self.parts.appendleft(part[size - length :])
                part = part[: size - length]
            found.append(part)
            length += len(part)
        return b"".join(found)

    def shutdown(self, how: int) -> None:
        """Say that no more will come."""
        if self.peer is not None:
            self.peer.at_end = True
            self.peer.tell()

    def close(self) -> None:
        """Gone."""
        if self.peer is not None:
            self.shutdown(real.SHUT_RDWR)
            self.peer.peer = None
            self.peer = None
        if Socket.listeners.get(self.name[1]) is self:
            del Socket.listeners[self.name[1]]

    def getsockname(self) -> tuple[str, int]:
        """Its name."""
        return self.name

    def getpeername(self) -> tuple[str, int]:
        """The other end's."""
        assert self.peer is not None
        return self.peer.name

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def settimeout(self, timeout: float | None) -> None:
        """It never blocks."""

    def gettimeout(self) -> float:
        """It never blocks."""
        return 0.0

    def setsockopt(self, *_: object) -> None:
        """No options."""

    def getsockopt(self, *_: object) -> int:
        """No options, and no pending error."""
        return 0

    def get_inheritable(self) -> bool:
        """Never."""
        return False


def _socketpair(*_: object) -> tuple[Socket, Socket]:
    one, other = Socket(), Socket()
    one.peer, other.peer = other, one
    return one, other


def _names() -> ModuleType:
    """The module `socket` with our class in it."""
    module = ModuleType("socket")
    module.__dict__.update(real.__dict__)
    module.__dict__.update(socket=Socket, socketpair=_socketpair)
    return module


def _keep_memory() -> None:
    # Blocks of 128 KiB and more are otherwise mapped anew each time, and the page faults of that are most of what bulk
    # transfer costs: they are the real kernel's, not asyncio's (mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD).
    library = ctypes.CDLL(None)
    library.mallopt(-3, 32 << 20)
    library.mallopt(-1, 256 << 20)


def run(main: Callable[[], Coroutine[Any, Any, Any]], seed: int = 0) -> Any:
    """Run `main()` as `asyncio.run` does."""
    _keep_memory()
    modules: tuple[Any, ...] = (asyncio.base_events, asyncio.selector_events)
    for module in modules:
        module.socket = _names()
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Selector())) as runner:  # type: ignore[arg-type]
            return runner.run(main())
    finally:
        Socket.listeners.clear()
        for module in modules:
            module.socket = real
