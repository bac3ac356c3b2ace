"""One connection through the proxy: the client's socket, the one to the upstream, and a pump each way.

Owns how a connection begins and ends: connecting to the upstream, half close, reset, refusal. Must never decide what
faults are in force. Transparent unless a fault says otherwise: an end of stream in one direction ends only this one, a
reset of one end becomes a reset of the other, an upstream that cannot be reached becomes a reset of the client (whose
connection the kernel had accepted already).

A reset is a real RST: close(2) with SO_LINGER 0 (socket(7)). It comes after all bytes that were written before have
left this machine (SIOCOUTQNSD, linux/sockios.h), or after nobody has taken any for a while. UNIX sockets know no RST:
there the other end gets the end of the stream.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wavetank import faults
from wavetank.proxy.address import Resolved
from wavetank.proxy.events import DOWN, UP
from wavetank.proxy.line import Ends, Force
from wavetank.proxy.pump import Pump
from wavetank.proxy.timers import now_ns

if TYPE_CHECKING:
    from wavetank.proxy.core import Core

#: linux/sockios.h: bytes that were written and not yet sent.
_SIOCOUTQNSD: Final = 0x894B
_LINGER_0: Final = struct.pack("ii", 1, 0)
_FLUSH_LOOK_NS: Final = 1_000_000
_FLUSH_LOOKS: Final = 100
#: A reset of a new connection comes so late that the client's connect(2) has returned, unless the machine is very busy.
_CONNECT_NS: Final = 2_000_000
#: Without descriptors, look again after this.
_NO_DESCRIPTORS_NS: Final = 100_000_000
_WINDOW_BYTES: Final = 1 << 20
#: What may be left to read at an orderly end; more draws RST.
_LAST_READ: Final = 1 << 16
_LAST_READS: Final = 64


class Connection:
    """One connection, from its acceptance to its close."""

    def __init__(self, core: Core, number: int, client: socket.socket, ends: Ends) -> None:
        self._core = core
        self.number = number
        self.ends = ends
        self.client = client
        self.server: socket.socket | None = None
        self.pumps: tuple[Pump, ...] = ()
        self.packets = core.packets
        self.closed = False
        self._begun = False
        self._connecting = False
        self._ways: list[Resolved] = []
        self._striking = False
        self._forgetting = False
        self._forgotten_bytes = 0

    # ---- the beginning

    def begin(self) -> None:
        """Connect to the upstream, once; when the line is down, as soon as it is up again."""
        if self._begun:
            return
        up, down = (self._core.line.shape(self.ends, direction) for direction in (UP, DOWN))
        self._forget(up.drop and not up.hold)
        if self.closed or up.silent or down.silent:
            return
        self._begun = True
        self._ways = [*self._core.ways]
        self._try_next("no address")

    def _forget(self, wanted: bool) -> None:
        """Read and forget what the client sends before there is a connection to the upstream: it is being dropped."""
        if wanted is not self._forgetting:
            self._forgetting = wanted
            if wanted:
                self._core.loop.add_reader(self.client.fileno(), self._on_forgettable)
            else:
                self._core.loop.remove_reader(self.client.fileno())

    def _on_forgettable(self) -> None:
        try:
            data = self.client.recv(_LAST_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()  # reset, and there is nobody who could be told of it
            return
        if not data:
            self._forget(False)  # whoever reads next, when the line is up, finds the end again
            return
        self._core.log.add("dropped", self.number, UP, self._forgotten_bytes, len(data))
        self._forgotten_bytes += len(data)

    def _try_next(self, problem: str) -> None:
        while self._ways:
            way = self._ways.pop(0)
            try:
                server = socket.socket(way.family, self._core.upstream.type)
            except OSError as error:
                # Without descriptors the client waits, as it would in the queue of a listener.
                self._core.log.add("note", self.number, text=f"cannot connect: {error.strerror}")
                self._ways.insert(0, way)
                self._core.timers.at(now_ns() + _NO_DESCRIPTORS_NS, self._try_again)
                return
            server.setblocking(False)
            self.server = server
            # A second call finds the handshake over already when the upstream is on this machine (connect(2)).
            code = server.connect_ex(way.sockaddr)
            if code == errno.EINPROGRESS:
                code = server.connect_ex(way.sockaddr)
            if code in (0, errno.EISCONN):
                self._connected()
                return
            if code in (errno.EINPROGRESS, errno.EALREADY):
                self._connecting = True
                self._core.loop.add_writer(server.fileno(), self._on_connected)
                return
            if code == errno.EAGAIN:  # a UNIX listener whose queue is full (connect(2)): ask again
                server.close()
                self.server = None
                self._ways.insert(0, way)
                self._core.timers.at(now_ns() + _FLUSH_LOOK_NS, self._try_again)
                return
            problem = errno.errorcode.get(code, str(code))
            server.close()
            self.server = None
        self._unreachable(problem)

    def _try_again(self) -> None:
        if not self.closed:
            self._try_next("EAGAIN")

    def _on_connected(self) -> None:
        assert self.server is not None, "connected without a socket"
        self._core.loop.remove_writer(self.server.fileno())
        self._connecting = False
        code = self.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            self._connected()
            return
        self.server.close()
        self.server = None
        self._try_next(errno.errorcode.get(code, str(code)))

    def _unreachable(self, problem: str) -> None:
        self._core.log.add("refused", self.number, text=f"{self._core.upstream}: {problem}")
        self.reset_both("", (self.client,))

    def _connected(self) -> None:
        core, server = self._core, self.server
        assert server is not None, "connected without a socket"
        core.log.add("connect", self.number, text=str(core.upstream))
        for each in (self.client, server):
            if each.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pumps = (
            Pump(core, self, self.client, server, UP),
            Pump(core, self, server, self.client, DOWN),
        )
        core.watch(self.pumps)
        forces = core.line.strikes_for(self.ends)
        if forces:
            core.timers.at(now_ns() + _CONNECT_NS, lambda: self._begin_struck(forces))
        else:
            self._begin_pumps()

    def _begin_struck(self, forces: list[Force]) -> None:
        for force in forces:
            self.strike(force, None)
        self._begin_pumps()

    def _begin_pumps(self) -> None:
        core = self._core
        for pump in self.pumps:
            if not self.closed:
                pump.begin(core.line.shape(self.ends, pump.direction))

    @staticmethod
    def bound_window(source: socket.socket) -> None:
        """Keep the kernel from holding more and more for a source that is emptied as fast as splice does.

        Linux lets the buffer grow to tcp_rmem[2], which is 32 MiB on some machines. Only for loopback, where a megabyte
        is enough at any speed; over a long line the window must be able to grow.
        """
        with contextlib.suppress(OSError, ValueError):
            if source.family != socket.AF_UNIX and ipaddress.ip_address(source.getpeername()[0]).is_loopback:
                source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)

    def reshape(self) -> None:
        """Faults have begun or ended."""
        if not self.pumps:
            if not self.closed:
                self.begin()
            return
        for pump in self.pumps:
            if not self.closed:
                pump.reshape(self._core.line.shape(self.ends, pump.direction))

    def other(self, pump: Pump) -> Pump:
        """The other direction."""
        return self.pumps[1] if pump is self.pumps[0] else self.pumps[0]

    # ---- the end

    def shut(self, sink: socket.socket) -> None:
        """An orderly end of what goes to `sink`."""
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def half_over(self) -> None:
        """One direction has ended; with the other one, the connection has."""
        if all(pump.passed_end and pump.ended for pump in self.pumps):
            self.close()

    def pass_reset(self, pump: Pump) -> None:
        """The source of `pump` was reset: so is its sink, after what was written."""
        if not self.closed and not self._striking:
            self._striking = True
            self._when_flushed(pump.sink, lambda: self.reset_both("", (pump.sink,), pump.direction))

    def strike(self, force: Force, pump: Pump | None) -> None:
        """A reset or an end that a fault asks for. `pump`: the direction that came to its place, None: at once."""
        if self.closed or self._striking:
            return
        words = force.fault.phrase()
        if isinstance(force.fault, faults.Reset):
            self._striking = True
            # The direction that came to its place is told of first.
            sockets = self._sockets() if pump is None or pump.sink is self.client else self._sockets()[::-1]
            # A reset at once does not wait: what is on the way gets lost, as on a real line.
            if pump is None:
                self.reset_both(words, sockets)
            else:
                self._when_flushed(pump.sink, lambda: self.reset_both(words, sockets))
            return
        aim = force.aim
        if aim.second is not None and not aim.both_ways:
            for each in self.pumps:
                if aim.matches(*self.ends.way(each.direction), self.number) and not each.cut_off:
                    each.cut(words)
            self.half_over()
            return
        self._striking = True
        self._end_both(words)

    def _end_both(self, why: str) -> None:
        """Both ends get the end of the stream; what they write from now on draws RST."""
        for pump in self.pumps:
            if not pump.passed_end:
                pump.cut(why)
        for each in self._sockets():
            # Unread bytes would make close(2) send RST instead of FIN (RFC 2525 section 2.17).
            with contextlib.suppress(OSError):
                for _ in range(_LAST_READS):
                    if not each.recv(_LAST_READ):
                        break
        self.close()

    def _when_flushed(self, sink: socket.socket, then: Callable[[], None]) -> None:
        _Flush(self, sink, then)()

    def _sockets(self) -> tuple[socket.socket, ...]:
        return (self.client,) if self.server is None else (self.client, self.server)

    def reset_both(self, why: str, told: tuple[socket.socket, ...], direction: int | None = None) -> None:
        """Close with RST to the sockets `told`."""
        if self.closed:
            return
        for each in told:
            way = DOWN if each is self.client else UP
            offset = self.pumps[way - UP].delivered if self.pumps else 0
            self._core.log.add("reset", self.number, direction or way, offset, 0, why)
            if each.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self.close()

    def close(self) -> None:
        """Close both sockets; nothing is left of the connection but its events."""
        if self.closed:
            return
        self.closed = True
        self._forget(False)
        for pump in self.pumps:
            pump.stop()
        if self._connecting and self.server is not None:
            self._core.loop.remove_writer(self.server.fileno())
        self._core.forget(self)
        for each in self._sockets():
            each.close()
        self._core.log.add("close", self.number)


class _Flush:
    """Waits until all that was written to a socket has left, or nothing has left for a while."""

    __slots__ = ("_connection", "_left", "_looks", "_sink", "_then")

    def __init__(self, connection: Connection, sink: socket.socket, then: Callable[[], None]) -> None:
        self._connection = connection
        self._sink = sink
        self._then = then
        self._left = -1
        self._looks = 0

    def __call__(self) -> None:
        connection = self._connection
        if connection.closed:
            return
        left = _unsent(self._sink)
        self._looks = self._looks + 1 if left == self._left else 0
        self._left = left
        if left and self._looks < _FLUSH_LOOKS:
            connection._core.timers.at(now_ns() + _FLUSH_LOOK_NS, self)
            return
        self._then()


def _unsent(sink: socket.socket) -> int:
    """How many bytes that were written to a TCP socket have not been sent; 0 where the system does not say."""
    if sink.family == socket.AF_UNIX:
        return 0
    try:
        answer = fcntl.ioctl(sink.fileno(), _SIOCOUTQNSD, b"\0\0\0\0")
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
