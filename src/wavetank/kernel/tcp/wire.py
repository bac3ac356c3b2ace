"""The two paths of one connection, and who receives at each end.

Owns the joint between TCP and the network: a connection gets both its paths when it is opened, so that they share one
allowance of delay and one ordinal ("client -> server:8000 #2"). At each end stands an *end*: it finds the socket that
a segment is for, or answers with a reset when there is none (RFC 9293 section 3.10.7.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wavetank.faults import ACCEPTING, CONNECTING, Party
from wavetank.kernel import core
from wavetank.kernel.tcp.state import ACK, FIN, RST, SYN, Segment
from wavetank.network.fabric import Node
from wavetank.network.link import Path, Shape
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack

#: local ip, local port, remote ip, remote port
Key = tuple[str, int, str, int]


class End:
    """Where the segments of one direction arrive."""

    __slots__ = ("arriving", "back", "key", "stack")

    def __init__(self, stack: Stack, key: Key) -> None:
        self.stack = stack
        self.key = key
        self.back: Path = None  # type: ignore[assignment]  # both set by Wire: the way to the other side,
        self.arriving: Path = None  # type: ignore[assignment]  # and the way that ends here

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
            if listener is not None:
                listener.syn_arrived(segment, self)
                return
        if not flags & RST:
            answer = ack if flags & ACK else 0
            length = len(data) + bool(flags & SYN) + bool(flags & FIN)
            kernel = core.K
            kernel.recorder.event(kernel.now, Kind.RESET, 0, self.key[1])
            self.back.transmit((RST | ACK, answer, seq + length, 0, b""), 0)


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
        counter = f"{client.name} {remote_port}"
        self.ordinal = stack.counters.get(counter, 0) + 1
        stack.counters[counter] = self.ordinal
        self.server_end = End(stack, (remote_ip, remote_port, local_ip, local_port))
        self.client_end = End(client, key)
        opener = Party(client.name, local_port, CONNECTING)
        accepter = Party(server.name, remote_port, ACCEPTING)
        allowance = fabric.allowance()
        self.there = fabric.path(opener, accepter, self.ordinal, self.server_end.deliver, _SHAPE, allowance)
        self.back = fabric.path(accepter, opener, self.ordinal, self.client_end.deliver, _SHAPE, allowance)
        self.server_end.back = self.client_end.arriving = self.back
        self.client_end.back = self.server_end.arriving = self.there
