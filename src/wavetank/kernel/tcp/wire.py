"""The two paths of one connection, and who receives at each end.

Owns the joint between TCP and the network: a connection gets both its paths when it is opened, so that they share one
allowance of delay and one ordinal ("client -> server:8000 #2"). At each end stands an *end*: it finds the socket that
a segment is for, or answers with a reset when there is none (RFC 9293 section 3.10.7.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wavetank.faults import ACCEPTING, CONNECTING, AnyFault, Party
from wavetank.kernel import core
from wavetank.kernel.tcp import strikes
from wavetank.kernel.tcp.state import ACK, FIN, RST, SYN, Segment
from wavetank.network.fabric import Node
from wavetank.network.link import Path, Shape
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack

#: local ip, local port, remote ip, remote port
Key = tuple[str, int, str, int]


class End:
    """Where the segments of one direction arrive, and its gate: what faults do to the connection there."""

    __slots__ = ("arriving", "back", "counted", "ended_at", "key", "maker", "spoken", "stack", "struck")

    def __init__(self, stack: Stack, key: Key) -> None:
        self.stack = stack
        self.key = key
        self.back: Path = None  # type: ignore[assignment]  # both set by Wire: the way to the other side,
        self.arriving: Path = None  # type: ignore[assignment]  # and the way that ends here
        self.maker: Any = None  # the thread that asked for the connection, at its end
        self.counted = 0  # data up to here has been seen by who counts pieces of data
        self.spoken = False  # data has come this way since some went the other way
        self.struck = False  # a fault has cut the connection: nothing passes any more
        self.ended_at = -1  # where a fault has put the end of the stream: the number of its FIN

    # ---- the gate (`link.Gate`)

    def passes(self, segment: Segment, size: int) -> bool:
        """Whether a segment on its way here passes; False: it has been dealt with."""
        return strikes.passes(self, segment, size)

    def strike(self, fault: AnyFault) -> bool:
        """Do now what the fault does to the connection; False: it is not open, or this has been done."""
        return strikes.strike(self, fault)

    def passed(self) -> int:
        """How many bytes of the stream have been sent this way; -1: the connection is not open."""
        return strikes.passed(self)

    def stall(self) -> None:
        """The reader here has stalled, or goes on."""
        socket = self.socket()
        if socket is not None:
            socket.stall(self.arriving.stalled)

    def socket(self) -> Any:
        """The socket at this end, open or in TIME_WAIT; None: gone, or of a later connection with the same ports."""
        socket = self.stack.connections.get(self.key)
        return socket if socket is not None and socket.back is self.arriving else None

    # ---- arrival

    def deliver(self, segment: Segment) -> None:
        """A segment has arrived."""
        socket = self.stack.connections.get(self.key)
        if socket is not None:
            socket.arrived(segment)
            return
        if self.stack.node.down:
            return
        flags, seq, ack, _, data = segment
        if flags & SYN and not flags & ACK:
            listener = self.stack.tcp_listener(self.key)
            if listener is not None and not self.arriving.refusing:
                listener.syn_arrived(segment, self)
                return
            self._not_counted()
        if not flags & RST:
            answer = ack if flags & ACK else 0
            length = len(data) + bool(flags & SYN) + bool(flags & FIN)
            kernel = core.K
            kernel.recorder.event(kernel.now, Kind.RESET, 0, self.key[1])
            self.back.transmit((RST | ACK, answer, seq + length, 0, b""), 0)

    def _not_counted(self) -> None:
        """Refused: it is no connection, and the next one has its number ("client -> server:8000 #1")."""
        path, counters = self.arriving, self.stack.counters
        counter = _counter(path.sender.host, path.receiver.port)
        if counters.get(counter) == path.ordinal:
            counters[counter] -= 1


def _counter(client: str, port: int) -> str:
    return f"{client} {port}"


def split(segment: Segment, size: int) -> tuple[Segment, Segment]:
    """A segment cut after `size` bytes of data."""
    flags, seq, ack, edge, data = segment
    head, tail = data[:size], data[size:]
    return (flags & ~FIN, seq, ack, edge, head), (flags, seq + size, ack, edge, tail)


def _content(segment: Segment) -> tuple[int, bytes]:
    return segment[1] - 1, segment[4]  # the stream begins behind SYN


_SHAPE: Final = Shape(split, _content)


class Wire:
    """Both directions of a connection from `client` to `server`."""

    __slots__ = ("back", "client_end", "ordinal", "server_end", "there")

    def __init__(self, client: Stack, server: Node, key: Key) -> None:
        fabric = client.fabric
        local_ip, local_port, remote_ip, remote_port = key
        stack: Stack = server.stack
        counter = _counter(client.name, remote_port)
        self.ordinal = stack.counters.get(counter, 0) + 1
        stack.counters[counter] = self.ordinal
        self.server_end = End(stack, (remote_ip, remote_port, local_ip, local_port))
        self.client_end = End(client, key)
        self.client_end.maker = core.K.running
        opener = Party(client.name, local_port, CONNECTING)
        accepter = Party(server.name, remote_port, ACCEPTING)
        allowance = fabric.allowance()
        here, away = self.client_end, self.server_end
        self.there = fabric.path(opener, accepter, self.ordinal, away.deliver, _SHAPE, allowance, away)
        self.back = fabric.path(accepter, opener, self.ordinal, here.deliver, _SHAPE, allowance, here)
        away.back = here.arriving = self.back
        here.back = away.arriving = self.there
