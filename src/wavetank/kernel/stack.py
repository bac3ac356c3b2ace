"""One host's network stack: its addresses, which ports are taken, and who gets what arrives.

Owns the tables of a host: bound ports, listeners, established connections, UNIX names. It decides who receives; the
protocols decide what that means. Port rules follow Linux net/ipv4/inet_connection_sock.c (`inet_csk_get_port`,
`inet_bind_conflict`) and net/ipv4/inet_hashtables.c.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from wavetank.kernel.file import error
from wavetank.kernel.profile import DEFAULT, Profile
from wavetank.network.address import is_link_local, is_loopback

if TYPE_CHECKING:
    from wavetank.kernel.clock import HostClock
    from wavetank.kernel.process import Process
    from wavetank.network.fabric import Fabric, Node

#: IPPROTO_UDP, IPPROTO_UDPLITE
UDP, UDPLITE = 17, 136
#: TCP_LISTEN, include/net/tcp_states.h
LISTENING: Final = 10
#: No fault bounds it.
UNLIMITED: Final = 1 << 62


class Ports:
    """The bound ports of one transport protocol on one host."""

    def __init__(self, ephemeral: tuple[int, int], start: int = 0) -> None:
        """`start`: after how many of the ephemeral ports the search begins, so that protocols take different ones."""
        self.bound: dict[int, dict[Any, None]] = {}  # an ordered set
        self.limit = UNLIMITED  # at most so many ephemeral ports are taken
        self.lowest, self.highest = ephemeral
        self.next_even = self.lowest + start % (self.highest - self.lowest) // 2 * 2
        self.next_odd = self.next_even + 1

    def add(self, port: int, owner: Any) -> None:
        """`owner` (with `local_ip`, `v6_only`, `shares_with(other)`) holds `port` now."""
        self.bound.setdefault(port, {})[owner] = None

    def remove(self, port: int, owner: Any) -> None:
        """`owner` gives `port` back."""
        owners = self.bound.get(port)
        if owners is not None:
            owners.pop(owner, None)
            if not owners:
                del self.bound[port]

    def check(self, port: int, owner: Any) -> None:
        """EADDRINUSE when somebody holds `port` on an overlapping address and the two may not share it."""
        for other in self.bound.get(port, ()):
            if other is not owner and overlap(owner, other) and not owner.shares_with(other):
                raise error(errno.EADDRINUSE)

    def check_listen(self, port: int, owner: Any) -> None:
        """EADDRINUSE when another socket listens on an overlapping address and the two do not share it."""
        for other in self.bound.get(port, ()):
            if other is owner or other.state != LISTENING or not overlap(owner, other):
                continue
            if not (owner.reuse_port and other.reuse_port):
                raise error(errno.EADDRINUSE)

    def free_for_bind(self, owner: Any) -> int:
        """A free port for bind to port 0: odd ones, as Linux prefers (the even ones are for connect)."""
        if self._exhausted():
            raise error(errno.EADDRINUSE)
        for _ in range(self.highest - self.lowest + 1):
            port = self.next_odd
            self.next_odd = self._after(port)
            if not any(overlap(owner, other) for other in self.bound.get(port, ())):
                return port
        raise error(errno.EADDRINUSE)

    def _after(self, port: int) -> int:
        """The next port of the same kind, odd or even; behind the last one, the first of the other kind."""
        return port + 2 if port + 2 <= self.highest else self.lowest + (port - self.lowest + 1) % 2

    def free_for_connect(self, taken: Any) -> int:
        """A free local port for a new connection; `taken(port)` says whether this very connection exists."""
        if self._exhausted():
            raise error(errno.EADDRNOTAVAIL)
        for _ in range(self.highest - self.lowest + 1):
            port = self.next_even
            self.next_even = self._after(port)
            if port not in self.bound and not taken(port):
                return port
        raise error(errno.EADDRNOTAVAIL)

    def _exhausted(self) -> bool:
        if self.limit == UNLIMITED:
            return False
        return sum(self.lowest <= port <= self.highest for port in self.bound) >= self.limit


def _datagram_ports(profile: Profile) -> dict[int, Ports]:
    return {UDP: Ports(profile.ip_local_port_range, 10_000), UDPLITE: Ports(profile.ip_local_port_range, 20_000)}


def overlap(one: Any, other: Any) -> bool:
    """Whether the address that `one` is to be bound to collides with that of `other` (`inet_rcv_saddr_equal`)."""
    a, b = one.local_ip, other.local_ip
    if a == b:
        return True
    a6, b6 = ":" in a, ":" in b
    if a6 == b6:
        return a in ("0.0.0.0", "::") or b in ("0.0.0.0", "::")
    six, four = (one, b) if a6 else (other, a)
    if six.local_ip == "::":
        return not six.v6_only
    if six.local_ip.startswith("::ffff:"):
        return "0.0.0.0" in (four, six.local_ip[7:]) or four == six.local_ip[7:]
    # Binding to 0.0.0.0 looks no further than IPV6_V6ONLY, which only `bind` sets, not `connect`.
    return a == "0.0.0.0" and not six.v6_only


class Stack:
    """The network side of one host."""

    def __init__(self, name: str, node: Node, fabric: Fabric, profile: Profile = DEFAULT) -> None:
        self.name = name
        self.profile = profile
        self.node = node
        self.fabric = fabric
        self.tcp = Ports(profile.ip_local_port_range)
        #: By protocol number.
        self.datagram = _datagram_ports(profile)
        #: Established and half-open connections by (local ip, local port, remote ip, remote port).
        self.connections: dict[tuple[str, int, str, int], Any] = {}
        self.listeners: dict[int, list[Any]] = {}
        #: UNIX sockets by type and abstract name.
        self.abstract: dict[bytes, Any] = {}
        self.processes: list[Process] = []
        self.clock: HostClock | None = None  # None: the host's wall clock is exact
        self.counters: dict[str, int] = {}
        self.accepted: tuple[Any, Any] | None = None  # see `tcp.handshake`: the last listener, and whom it has accepted
        # What faults leave of a host's resources.
        self.descriptor_limit = self.backlog_limit = self.port_limit = UNLIMITED

    def tcp_listener(self, key: tuple[str, int, str, int]) -> Any:
        """The listener for a SYN to `key`: the one on the very address first, else a wildcard; None if none listens.

        Among listeners that share a port (SO_REUSEPORT) the connection's addresses decide (`inet_lhash2_lookup`).
        """
        local_ip, local_port, remote_ip, remote_port = key
        found = self.listeners.get(local_port)
        if not found:
            return None
        for wanted in (local_ip, f"::ffff:{local_ip}", "0.0.0.0" if ":" not in local_ip else "::", "::"):
            fitting = [
                listener
                for listener in found
                if listener.local_ip == wanted and not (listener.v6_only and ":" not in local_ip)
            ]
            if fitting:
                return fitting[(crc32(remote_ip.encode()) + remote_port) % len(fitting)]
        return None

    def on_link(self, address: str) -> bool:
        """Whether `address` would be on the link of this host: nobody answers there, rather than no route."""
        return address.startswith(("10.0.", "fd00::")) or is_link_local(address)

    def source_address(self, address: str) -> str:
        """The address of this host from which packets to `address` leave."""
        if is_loopback(address):
            return "::1" if ":" in address else "127.0.0.1"
        if is_link_local(address) and self.node.link_local:
            return self.node.link_local
        own = [mine for mine in self.node.addresses if (":" in mine) == (":" in address)]
        if not own:
            raise error(errno.ENETUNREACH if ":" not in address else errno.EADDRNOTAVAIL)
        return own[0]

    def is_own(self, address: str) -> bool:
        """Whether packets to `address` stay on this host."""
        return is_loopback(address) or self.node.owns(address) or address in ("0.0.0.0", "::")

    def bound_ports(self, limit: int) -> None:
        """From now on at most so many ephemeral ports of each protocol are taken."""
        self.port_limit = limit
        for ports in (self.tcp, *self.datagram.values()):
            ports.limit = limit

    def lose_power(self) -> None:
        """Forget everything, silently: what still arrives for a connection finds none."""
        for endpoint in [*self.connections.values(), *self._sockets()]:
            vanish = getattr(endpoint, "vanish", None)
            if vanish is not None:
                vanish()
        self.tcp = Ports(self.profile.ip_local_port_range)
        self.datagram = _datagram_ports(self.profile)
        self.bound_ports(self.port_limit)
        for table in (self.connections, self.listeners, self.abstract):
            table.clear()
        self.processes.clear()

    def _sockets(self) -> list[Any]:
        return [file for process in self.processes for _, file in sorted(process.fds.items())]
