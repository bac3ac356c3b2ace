"""Datagrams through the proxy: UDP and UNIX datagram sockets, a lane each way for each client.

Owns the mapping of clients to sockets of their own towards the upstream, and what faults do to single datagrams. A
client that has been silent for `IDLE_NS` is forgotten; when it comes back it counts as another one.

Borders are kept. A datagram that finds no room is lost, as in a router or a socket's buffer: more than `QUEUE_BYTES` on
the way in one lane, or a sink that takes none now. Whoever is overtaken (tc-netem(8), `reorder`) waits for the next
datagram of its lane, or for `OVERTAKEN_NS` when none comes. One that overtakes is not overtaken itself: at most every
other one is, and at a rate of 1 neighbours change places.

Refusing: a UDP socket that is connected elsewhere does not get what others send, and Linux answers them with an ICMP
error (udp(7), ECONNREFUSED); connecting it to AF_UNSPEC undoes that (connect(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import random
import socket
import struct
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from wavetank.proxy import address as addresses
from wavetank.proxy.events import DOWN, UP
from wavetank.proxy.line import Ends
from wavetank.proxy.shape import CALM, Shape
from wavetank.proxy.timers import now_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from wavetank.proxy.address import SockAddress
    from wavetank.proxy.core import Core

#: UDP mappings of Linux's connection tracking last 30 s, 120 s for those with answers (nf_conntrack_udp_timeout).
IDLE_NS: Final = 120 * 10**9
_SWEEP_NS: Final = 10 * 10**9
MAX_CLIENTS: Final = 4096
#: The buffer of a socket that nobody reads (net.core.rmem_default), and of a router's queue.
QUEUE_BYTES: Final = 212_992
OVERTAKEN_NS: Final = 50_000_000
#: No datagram of UDP is longer (16 bits of length); those of UNIX may be, and are cut by recv(2) otherwise.
_LONGEST: Final = 1 << 18
_TURN: Final = 64
_BUFFER_BYTES: Final = 4 << 20


class Lane:
    """One direction of one client's datagrams."""

    __slots__ = (
        "_carried",
        "_client",
        "_core",
        "_held",
        "_on_the_way",
        "_overtaken",
        "_rngs",
        "_send",
        "_way",
        "shape",
    )

    def __init__(self, core: Core, client: Client, way: int, send: Callable[[bytes], None]) -> None:
        self._core = core
        self._client = client
        self._way = way
        self._send = send
        self.shape: Shape = CALM
        self._rngs: dict[str, random.Random] = {}
        self._held: deque[bytes] = deque()
        self._overtaken: bytearray | None = None
        self._on_the_way = 0
        self._carried = 0

    def _draw(self, concern: str, rate: float) -> bool:
        if not rate:
            return False
        rng = self._rngs.get(concern)
        if rng is None:
            rng = self._rngs[concern] = self._core.line.rng(concern, self._client.number, self._way)
        return rng.random() < rate

    def _log(self, kind: str, size: int, why: str = "") -> None:
        self._core.log.add(kind, self._client.number, self._way, self._carried, size, why)

    def reshape(self, shape: Shape) -> None:
        """Other faults: what waited for a reader goes on when it reads again."""
        self.shape = shape
        if not shape.hold:
            held, self._held = self._held, deque()
            for data in held:
                self._on_the_way -= len(data)
                self._carry(data)

    def arrive(self, data: bytes) -> None:
        """A datagram came from the sender."""
        shape = self.shape
        if shape is CALM:
            self._deliver(data)
            return
        if shape.drop or shape.silent:
            self._log("lost", len(data), "the line is down")
        elif self._draw("loss", shape.loss):
            self._log("lost", len(data), "loss")
        elif shape.hold:
            if self._room(len(data)):
                self._held.append(data)
        else:
            self._carry(data)

    def _room(self, size: int) -> bool:
        """Whether the lane holds `size` bytes more; they count as on the way then."""
        if self._on_the_way + size > QUEUE_BYTES:
            self._log("lost", size, "no room")
            return False
        self._on_the_way += size
        return True

    def _carry(self, data: bytes) -> None:
        shape = self.shape
        if shape.truncate_bytes is not None and len(data) > shape.truncate_bytes:
            self._log("truncated", len(data), f"to {shape.truncate_bytes}")
            data = data[: shape.truncate_bytes]
        if self._draw("duplicate", shape.duplicate):
            self._log("duplicated", len(data))
            self._schedule(data)
        if self._overtaken is None and self._draw("reorder", _rate_of_the_others(shape.reorder)):
            self._log("reordered", len(data))
            if self._room(len(data)):
                # An object of its own, by which the timer knows it: bytes of equal content may be one.
                waiting = self._overtaken = bytearray(data)
                self._core.timers.at(now_ns() + OVERTAKEN_NS, lambda: self._release(waiting))
            return
        self._schedule(data)
        if self._overtaken is not None:
            self._release(self._overtaken)

    def _release(self, waiting: bytearray) -> None:
        if self._overtaken is waiting:
            self._overtaken = None
            self._on_the_way -= len(waiting)
            self._schedule(bytes(waiting))

    def _schedule(self, data: bytes) -> None:
        now = now_ns()
        due_ns = now
        for delay, jitter in self.shape.delays:
            due_ns += delay
            if jitter:
                rng = self._rngs.setdefault("jitter", self._core.line.rng("jitter", self._client.number, self._way))
                due_ns += int(rng.random() * jitter)
        for bucket in self.shape.buckets:
            bucket.begin(now)
            due_ns = max(due_ns, bucket.next_ns)
            if due_ns == now or self._on_the_way + len(data) <= QUEUE_BYTES:
                bucket.take(len(data), now)
        if due_ns <= now:
            self._deliver(data)
        elif self._room(len(data)):
            self._core.timers.at(due_ns, lambda: self._arrived(data))

    def _arrived(self, data: bytes) -> None:
        self._on_the_way -= len(data)
        if not self._client.closed:
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        try:
            self._send(data)
        except (BlockingIOError, InterruptedError):
            self._log("lost", len(data), "no room")
            return
        except OSError as problem:
            # The answer to an earlier datagram (udp(7)), or an address that cannot be reached: this one is lost.
            self._log("lost", len(data), problem.strerror or str(problem))
            return
        self._log("datagram", len(data))
        self._carried += len(data)


def _rate_of_the_others(rate: float) -> float:
    """How often one is drawn that does not overtake, so that `rate` of all are overtaken: r / (1 + r) of all are."""
    return min(1.0, rate / (1.0 - rate)) if rate < 1.0 else 1.0


class Client:
    """One client: its socket towards the upstream, and two lanes."""

    def __init__(self, house: Datagrams, number: int, name: SockAddress, ends: Ends, server: socket.socket) -> None:
        core = house.core
        self.number = number
        self.name = name
        self.ends = ends
        self.server = server
        self.closed = False
        self.used_ns = now_ns()
        self._house = house
        self.up = Lane(core, self, UP, self._to_server)
        self.down = Lane(core, self, DOWN, self._to_client)
        self.reshape()
        core.loop.add_reader(server.fileno(), self._on_readable)

    def _to_server(self, data: bytes) -> None:
        self.server.send(data)

    def _to_client(self, data: bytes) -> None:
        if not self.name:
            raise OSError(errno.EDESTADDRREQ, "the client has no address")
        self._house.socket.sendto(data, self.name)

    def reshape(self) -> None:
        """Other faults."""
        line = self._house.core.line
        self.up.reshape(line.shape(self.ends, UP))
        self.down.reshape(line.shape(self.ends, DOWN))

    def _on_readable(self) -> None:
        self.used_ns = now_ns()
        for _ in range(_TURN):
            try:
                data = self.server.recv(_LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as problem:
                self._house.core.log.add("refused", self.number, text=problem.strerror or str(problem))
                return
            self.down.arrive(data)

    def close(self) -> None:
        """Forget the client."""
        if not self.closed:
            self.closed = True
            self._house.core.loop.remove_reader(self.server.fileno())
            self.server.close()
            self._house.core.log.add("close", self.number)


class Datagrams:
    """The listening datagram socket of a proxy, and its clients."""

    def __init__(self, core: Core, listener: socket.socket) -> None:
        self.core = core
        self.socket = listener
        self._clients: OrderedDict[SockAddress, Client] = OrderedDict()
        _more_room(listener)
        core.loop.add_reader(listener.fileno(), self._on_readable)
        core.timers.at(now_ns() + _SWEEP_NS, self._sweep)

    def _on_readable(self) -> None:
        for _ in range(_TURN):
            try:
                data, name = self.socket.recvfrom(_LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error about an earlier answer
            client = self._clients.get(name) or self._new_client(name)
            if client is not None:
                client.used_ns = now_ns()
                self._clients.move_to_end(name)
                client.up.arrive(data)

    def _new_client(self, name: SockAddress) -> Client | None:
        core = self.core
        number = core.accepted + 1
        port = name[1] if isinstance(name, tuple) else 0
        ends = core.line.ends(number, port)
        if core.line.refuses(ends):
            return None
        server: socket.socket | None = None
        for way in core.ways:
            try:
                server = socket.socket(way.family, socket.SOCK_DGRAM)
                server.setblocking(False)
                _more_room(server)
                if way.family == socket.AF_UNIX:
                    server.bind("")  # a name of its own (unix(7), autobind), so that answers find it
                server.connect(way.sockaddr)
                break
            except OSError as problem:
                if server is not None:
                    server.close()
                server = None
                core.log.add("refused", number, text=f"{core.upstream}: {problem.strerror or problem}")
        if server is None:
            return None
        core.accepted = number
        if len(self._clients) >= MAX_CLIENTS:
            self._clients.popitem(last=False)[1].close()
        core.log.add("accept", number, text=f"{name[0]}:{port}" if port else str(name or ""))
        client = self._clients[name] = Client(self, number, name, ends, server)
        core.line.happened(ends)
        return client

    def _sweep(self) -> None:
        """Forget clients that have been silent for long; the least recent ones stand first."""
        limit = now_ns() - IDLE_NS
        while self._clients:
            name, client = next(iter(self._clients.items()))
            if client.used_ns > limit:
                break
            del self._clients[name]
            client.close()
        self.core.timers.at(now_ns() + _SWEEP_NS, self._sweep)

    def reshape(self) -> None:
        """Faults have begun or ended."""
        for client in [*self._clients.values()]:
            client.reshape()

    def refuse(self, wanted: bool) -> None:
        """Refuse all datagrams, or take them again."""
        if self.core.listen.path:
            self._refuse_unix(wanted)
            return
        if wanted:
            self.core.loop.remove_reader(self.socket.fileno())
            host, port = self.socket.getsockname()[:2]
            anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            self.socket.connect((anywhere, port))
            return
        nowhere = struct.pack("H30x", socket.AF_UNSPEC)
        failed = ctypes.CDLL(None, use_errno=True).connect(self.socket.fileno(), nowhere, len(nowhere))
        assert not failed, f"connect to AF_UNSPEC: errno {ctypes.get_errno()}"
        self.core.loop.add_reader(self.socket.fileno(), self._on_readable)

    def _refuse_unix(self, wanted: bool) -> None:
        if wanted:
            self.core.loop.remove_reader(self.socket.fileno())
            self.socket.close()  # the name stays: who sends to it gets ECONNREFUSED (unix(7))
            return
        self.socket = addresses.bind(self.core.listen)
        self.core.loop.add_reader(self.socket.fileno(), self._on_readable)

    def close(self) -> None:
        """Forget everybody."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        with contextlib.suppress(OSError, ValueError):
            self.core.loop.remove_reader(self.socket.fileno())
        self.socket.close()


def _more_room(sock: socket.socket) -> None:
    """The kernel loses what a busy loop does not take in time: ask for more, which net.core.rmem_max bounds."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
