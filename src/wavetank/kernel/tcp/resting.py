"""A connection in TIME_WAIT: what is left of it for a minute (`inet_timewait_sock`, net/ipv4/tcp_minisocks.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wavetank.kernel.inet import display
from wavetank.kernel.tcp.state import ACK, FIN, SYN, Segment, State
from wavetank.kernel.tcp.wire import End

if TYPE_CHECKING:
    from wavetank.kernel.tcp.connection import Tcp


class Resting:
    """It holds its port and answers what is late."""

    __slots__ = (
        "advertised", "back", "bound", "family", "key", "local_ip", "path", "received_next", "reuse_address",
        "reuse_port", "sent_next", "stack", "state", "v6_only",
    )  # fmt: skip

    def __init__(self, tcp: Tcp, bound: bool) -> None:
        assert tcp.key is not None
        self.key = tcp.key
        self.local_ip = tcp.local_ip
        self.family = tcp.family
        self.v6_only = tcp.v6_only
        self.reuse_address = tcp.reuse_address
        self.reuse_port = tcp.reuse_port
        self.path, self.back = tcp.path, tcp.back
        self.stack = tcp.stack
        self.bound = bound
        self.state = State.TIME_WAIT
        self.received_next = tcp.received_next
        self.sent_next = tcp.sent_next
        self.advertised = tcp.advertised

    def shares_with(self, other: Any) -> bool:
        """SO_REUSEADDR is made for this."""
        return bool(self.reuse_address and other.reuse_address)

    #: As `Endpoint`, for whoever looks at all connections of a host.
    kind, type = "tcp", 1

    def readable_bytes(self) -> int:
        """None are left."""
        return 0

    def unsent_bytes(self) -> int:
        """None are left."""
        return 0

    def local_address(self) -> tuple[Any, ...]:
        """Where it was."""
        return display(self.family, self.key[0], self.key[1])

    def peer_address(self) -> tuple[Any, ...]:
        """Who was at the other end."""
        return display(self.family, self.key[2], self.key[3])

    def arrived(self, segment: Segment) -> None:
        """Something late: acknowledge again what has data or FIN; a new SYN may take the connection over."""
        flags = segment[0]
        if flags & SYN:
            self.leave(None)
            end = End(self.stack, self.key)
            end.back, end.arriving = self.path, self.back
            listener = self.stack.tcp_listener(self.key)
            if listener is not None:
                listener.syn_arrived(segment, end)
        elif segment[4] or flags & FIN:
            self.path.transmit((ACK, self.sent_next, self.received_next, self.received_next, b""), 0)

    def stall(self, stalled: bool) -> None:
        """Nobody reads any more."""

    def leave(self, _: None) -> None:
        """The minute is over."""
        if self.stack.connections.get(self.key) is self:
            del self.stack.connections[self.key]
        if self.bound:
            self.stack.tcp.remove(self.key[1], self)
