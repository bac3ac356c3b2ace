"""A UDP socket: the operations that programs call.

Owns binding, connecting, sending and receiving. Who receives is `delivery`, copies for many are `groups`, the bounded
receive buffer is `queue`, what came back is `errors`. Behaviour: net/ipv4/udp.c (`udp_sendmsg`, `udp_recvmsg`),
datagram.c (`__ip4_datagram_connect`), af_inet.c (`inet_bind`, `inet_shutdown`), net/ipv6/udp.c; readiness as
`datagram_poll`.
Sending never waits: a link takes every datagram at once, and what it cannot carry it drops.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wavetank.errors import OutsideWorld
from wavetank.kernel import core
from wavetank.kernel.control import Control
from wavetank.kernel.endpoint import (
    AF_INET,
    AF_INET6,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    SOCK_DGRAM,
    Endpoint,
)
from wavetank.kernel.endpoint import Message as Received
from wavetank.kernel.file import ERR, HUP, RDHUP, READABLE, WRBAND, WRITABLE, error
from wavetank.kernel.inet import check_own_zone, check_zone, display, parse_address
from wavetank.kernel.pipe import EVERYTHING
from wavetank.kernel.stack import UDP, UDPLITE
from wavetank.kernel.tcp.state import CLOSE, ESTABLISHED, State
from wavetank.kernel.udp import ancillary, delivery, errors, groups
from wavetank.kernel.udp.delivery import ANY, Packet
from wavetank.kernel.udp.queue import BUFFER_LEAST, Queue
from wavetank.network.address import is_loopback, unmapped
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack

RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK = 1, 2, 3
#: What fits into one IP packet: 65,535 less 20 for IPv4, less 8 for UDP; IPv6 does not count its own header.
LARGEST: Final = {False: 65_507, True: 65_527}
_SOL_SOCKET, _IPPROTO_IP, _IPPROTO_IPV6 = 1, 0, 41
_SO_REUSEADDR, _SO_BROADCAST, _SO_RCVBUF, _SO_REUSEPORT, _SO_RCVBUFFORCE, _IPV6_V6ONLY = 2, 6, 8, 15, 33, 26
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
_UDP_CORK: Final = 1
_DO_NOT_FRAGMENT: Final = (2, 3)  # IP_PMTUDISC_DO, IP_PMTUDISC_PROBE
_LABELS: Final = {UDP: "udp", UDPLITE: "udplite"}
_SEND, _RECEIVE = int(Kind.SEND), int(Kind.RECEIVE)
_SENT, _DELIVERED, _DROPPED = int(Kind.DATAGRAM_SENT), int(Kind.DATAGRAM_DELIVERED), int(Kind.DATAGRAM_DROPPED)


class Begun(NamedTuple):
    """A datagram that is made by several calls (MSG_MORE, UDP_CORK), and where it goes."""

    data: bytes
    ip: str
    port: int
    wishes: ancillary.Wishes


class Udp(Endpoint):
    """A UDP or UDP-Lite socket. `local_ip` and `remote_ip` are plain: IPv4 never written as IPv6."""

    __slots__ = (
        "begun", "corked", "errors", "local_ip", "local_port", "membership", "payload", "queue", "remote_ip",
        "remote_port", "reuse_address", "reuse_port", "shut", "state", "v6_only",
    )  # fmt: skip

    def __init__(self, stack: Stack, family: int, protocol: int = UDP) -> None:
        super().__init__(stack, "udp", family, SOCK_DGRAM, protocol)
        self.state: State = CLOSE  # ESTABLISHED: connected
        self.local_ip = ANY[family == AF_INET6]
        self.local_port = 0
        self.remote_ip = ""
        self.remote_port = 0
        self.v6_only = self.reuse_address = self.reuse_port = False
        self.shut = 0
        self.queue = Queue(stack.profile.rmem_default)
        self.errors = errors.Errors()
        self.membership = groups.Membership()
        self.payload: Any = None  # from the first port on
        self.begun: Begun | None = None
        self.corked = False  # UDP_CORK

    # ---- addresses

    def shares_with(self, other: Udp) -> bool:
        """Whether both may have the same port (`udp_lib_lport_inuse`)."""
        return (self.reuse_address and other.reuse_address) or (self.reuse_port and other.reuse_port)

    def bind(self, address: Any) -> None:
        """`bind(2)`."""
        ip, port = parse_address(self.family, address, "bind")
        ip = unmapped(ip)
        if self.local_port and self.family == AF_INET6:  # `__inet6_bind` looks at this first
            raise error(errno.EINVAL)
        check_own_zone(ip, address)
        if not self.stack.is_own(ip) and not groups.is_for_many(ip):
            raise error(errno.EADDRNOTAVAIL)
        if self.local_port:
            raise error(errno.EINVAL)
        previous, self.local_ip = self.local_ip, ip
        try:
            self._take_port(port)
        except OSError:
            self.local_ip = previous
            raise
        if ":" in ip and ip != "::":
            self.v6_only = True  # `__inet6_bind`

    def _take_port(self, port: int) -> None:
        ports = self.stack.datagram[self.protocol]
        if port:
            ports.check(port, self)
        else:
            port = ports.free_for_bind(self)
        ports.add(port, self)
        self.local_port = port
        recorder = core.K.recorder
        label = f"{_LABELS[self.protocol]} {self.stack.name}:{port}"
        self.number = recorder.define_object(label)
        self.payload = recorder.payload(label, self.number)

    def _rehash(self, ip: str) -> None:
        """The local address has changed: among sockets that fit equally well this is now the newest."""
        self.local_ip = ip
        ports = self.stack.datagram[self.protocol]
        ports.remove(self.local_port, self)
        ports.add(self.local_port, self)

    def local_address(self) -> Any:
        """`getsockname(2)`."""
        return display(self.family, self.local_ip, self.local_port)

    def peer_address(self) -> Any:
        """`getpeername(2)`."""
        if self.state is not ESTABLISHED or not self.remote_port:
            raise error(errno.ENOTCONN)
        return display(self.family, self.remote_ip, self.remote_port)

    def connect(self, address: Any) -> bool:
        """`connect(2)`: from now on only the peer is heard. Sends nothing, so any address will do."""
        ip, port = parse_address(self.family, address, "connect")
        check_zone(ip, address, self.local_ip)
        if not self.local_port:
            self._take_port(0)
        ip = self._destination(ip)
        if groups.is_broadcast(ip) and not self._may_broadcast():
            raise error(errno.EACCES)
        source = groups.route(self, ip, 0)[1] if groups.is_for_many(ip) else self._source(ip)
        self.remote_ip, self.remote_port = ip, port
        self.state = ESTABLISHED
        if self.begun is not None and self.family == AF_INET:  # `__ip4_datagram_connect` and the cork share a place
            self.begun = self.begun._replace(ip=ip, port=port)
        if self.local_ip in ANY:
            self._rehash(source)
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.CONNECT, self.number, port)
        return True

    def _may_broadcast(self) -> bool:
        return bool(self.options.get((_SOL_SOCKET, _SO_BROADCAST)))

    def _destination(self, ip: str) -> str:
        """The plain address that `ip` means for this socket, with the errors of mixed families."""
        plain = unmapped(ip)
        if self.family == AF_INET6:
            mapped = ":" not in plain
            bound6 = ":" in self.local_ip and self.local_ip != "::"
            if mapped and (self.v6_only or bound6):
                raise error(errno.ENETUNREACH)
            if not mapped and ":" not in self.local_ip:
                if plain != "::":
                    raise error(errno.EAFNOSUPPORT)
                return "127.0.0.1"
        if plain in ANY:
            return "::1" if plain == "::" else "127.0.0.1"
        return plain

    def _source(self, ip: str) -> str:
        """The address from which a datagram to the host `ip` leaves; EINVAL when loopback would leave the host."""
        stack = self.stack
        leaves = not stack.is_own(ip)
        if self.local_ip not in ANY and not groups.is_for_many(self.local_ip):
            if leaves and is_loopback(self.local_ip):
                raise error(errno.EINVAL)
            return self.local_ip
        return ip if stack.node.owns(ip) else stack.source_address(ip)

    # ---- sending

    def send(self, data: memoryview | bytes, flags: int) -> int | None:
        """`send(2)`."""
        return self.send_to(data, None, flags, [])

    def send_to(
        self, data: memoryview | bytes, address: Any, flags: int, ancillary_data: list[tuple[int, int, bytes]]
    ) -> int | None:
        """`sendto(2)`, `sendmsg(2)`: always at once, or an error."""
        target = None if address is None else parse_address(self.family, address, "sendto")
        if not self.local_port:
            self._take_port(0)
        if len(data) > 0xFFFF and self.family == AF_INET:  # udpv6_sendmsg looks at the size when it knows the peer
            raise error(errno.EMSGSIZE)
        if flags & MSG_OOB and self.family == AF_INET:
            raise error(errno.EOPNOTSUPP)
        begun = self.begun
        if begun is None:
            ip, port = self._target(target)
            wishes = ancillary.parse(self, ancillary_data)
            if self.family == AF_INET6 and address is not None and len(address) > 3:
                wishes.interface = wishes.interface or address[3]  # scope id
            if flags & MSG_MORE or self.corked:
                begun = Begun(b"", ip, port, wishes)
                if self.shut & SEND_SHUTDOWN:
                    raise error(errno.EPIPE)
            else:
                self._send(bytes(data), ip, port, wishes)
        if begun is not None:  # where it goes was said when it began
            begun = begun._replace(data=begun.data + bytes(data))
            self.begun = None
            if len(begun.data) > LARGEST[":" in begun.ip]:
                raise error(errno.EMSGSIZE)
            if flags & MSG_MORE or self.corked:
                self.begun = begun
            else:
                self._send(*begun, late=True)
        return len(data)

    def _target(self, target: tuple[str, int] | None) -> tuple[str, int]:
        """Where a datagram goes."""
        if target is None:
            if self.state is not ESTABLISHED:
                raise error(errno.EDESTADDRREQ)
            return self.remote_ip, self.remote_port
        ip, port = target
        if not port:
            raise error(errno.EINVAL)
        return self._destination(ip), port

    def _send(self, data: bytes, ip: str, port: int, wishes: ancillary.Wishes, *, late: bool = False) -> None:
        """`late`: it was begun by an earlier call, so that a `shutdown` in between does not count."""
        if groups.is_for_many(ip):
            if groups.is_broadcast(ip) and not self._may_broadcast():
                raise error(errno.EACCES)
            interface, source = groups.route(self, ip, wishes.interface)
            nodes = groups.targets(self, ip, interface)
            arrive: Callable[[Any], None] = groups.arrive
        else:
            interface, source = groups.LOOPBACK, self._wished(wishes) or self._source(ip)
            node = self.stack.fabric.find(self.stack.node, ip)
            if node is None and not self.stack.on_link(ip):
                raise OutsideWorld("socket.sendto", ip)
            if node is not self.stack.node:
                interface = groups.ETHERNET
            nodes = [node] if node is not None else []
            arrive = delivery.arrive
        self._check_size(len(data), ip, interface)
        self.raise_error()
        if self.shut & SEND_SHUTDOWN and not late:
            raise error(errno.EPIPE)
        packet = Packet(data, (source, self.local_port), (ip, port), interface, self.protocol)
        ancillary.mark(self, packet, wishes)
        kernel = core.K
        kernel.recorder.event(kernel.now, _SEND, self.number, len(data), data)
        self.payload.add(data)
        stack = self.stack
        if not nodes:
            kernel.recorder.event(kernel.now, _DROPPED, self.number, len(data))
        for node in nodes:
            address = "127.0.0.1" if node is stack.node else node.addresses[0]
            path = stack.fabric.datagram_path(stack.node, address, port, self.local_port)
            assert path is not None
            if not path.calm:
                kernel.recorder.event(kernel.now, _SENT, self.number, len(data))
            path.send_datagram(arrive, (node, packet), len(data), delivery.truncated)
        if self.watchers:
            self.notify(WRITABLE | WRBAND)  # the memory is free again: an edge for epoll (`sock_wfree`)

    def _wished(self, wishes: ancillary.Wishes) -> str:
        """The source address of IP_PKTINFO, which must be one of ours."""
        if wishes.source and not self.stack.is_own(wishes.source):
            raise error(errno.EINVAL if ":" in wishes.source else errno.ENETUNREACH)
        return wishes.source

    def _check_size(self, size: int, ip: str, interface: int) -> None:
        version6 = ":" in ip
        if size > LARGEST[version6]:
            raise error(errno.EMSGSIZE)
        name = (_IPPROTO_IPV6, _IPV6_MTU_DISCOVER) if version6 else (_IPPROTO_IP, _IP_MTU_DISCOVER)
        if self.options.get(name) in _DO_NOT_FRAGMENT:
            mtu = 65_536 if interface == groups.LOOPBACK else 1_500
            if size > mtu - (48 if version6 else 28):
                raise error(errno.EMSGSIZE)

    # ---- receiving

    def arrived(self, packet: Packet) -> None:
        """A datagram for this socket."""
        kernel = core.K
        if self.queue.put(packet):
            kernel.recorder.event(kernel.now, _DELIVERED, self.number, len(packet.data))
            self.notify(READABLE)
        else:
            kernel.recorder.event(kernel.now, _DROPPED, self.number, len(packet.data))

    def receive_message(self, size: int, flags: int, ancillary_size: int) -> Received | None:
        """`recvmsg(2)`; None when nothing is there yet."""
        if flags & MSG_ERRQUEUE:
            found = errors.take(self, size, ancillary_size)
            if found is None and not self.nonblocking:
                raise error(errno.EAGAIN)  # nobody waits for errors (`sock_dequeue_err_skb`)
            return found
        self.raise_error()
        packets = self.queue.packets
        if not packets:
            # The end shows only to a reader that would wait (`__skb_wait_for_more_packets`).
            return (b"", [], 0, None) if self.shut & RCV_SHUTDOWN and not self.nonblocking else None
        packet = self.queue.first() if flags & MSG_PEEK else self.queue.take()
        whole = packet.data
        data = whole if size >= len(whole) else whole[:size]
        control = Control(ancillary_size)
        if self.options:
            ancillary.put(self, packet, control)
        kernel = core.K
        kernel.recorder.event(kernel.now, _RECEIVE, self.number, len(data), data)
        if flags & MSG_TRUNC:
            data = data.ljust(len(whole), b"\0")  # the true length, whatever the rest of CPython's buffer holds
        message_flags = control.flags | (MSG_TRUNC if size < len(whole) else 0)
        return data, control.items, message_flags, display(self.family, packet.source_ip, packet.source_port)

    def readable_bytes(self) -> int:
        """`FIONREAD`: the size of the next datagram."""
        packets = self.queue.packets
        return len(packets[0].data) if packets else 0

    # ---- readiness and options

    def poll(self) -> int:
        """`udp_poll`."""
        mask = WRITABLE | WRBAND
        if self.queue.packets:
            mask |= READABLE
            if not self.nonblocking and not self.shut & RCV_SHUTDOWN:
                self.queue.first()  # Linux looks here for a wrong checksum
        if self.shut:
            if self.shut & RCV_SHUTDOWN:
                mask |= RDHUP | READABLE
            if self.shut == SHUTDOWN_MASK:
                mask |= HUP
        return mask | ERR if self.pending_error or self.errors.packets else mask

    def get_option(self, level: int, name: int) -> int | bytes | None:
        """Those of UDP that act."""
        if level == _SOL_SOCKET:
            return {
                _SO_REUSEADDR: int(self.reuse_address),
                _SO_REUSEPORT: int(self.reuse_port),
                _SO_RCVBUF: self.queue.limit,
            }.get(name)
        if level == _IPPROTO_IPV6 and name == _IPV6_V6ONLY and self.family == AF_INET6:
            return int(self.v6_only)
        if level == UDP and name == _UDP_CORK:
            return int(self.corked)
        return groups.get_option(self, level, name)

    def set_option(self, level: int, name: int, value: int | bytes) -> bool:
        """Those of UDP that act."""
        if level == UDP and name == _UDP_CORK:
            self._cork(value)
            return True
        own = level == _SOL_SOCKET and name in (_SO_REUSEADDR, _SO_REUSEPORT, _SO_RCVBUF, _SO_RCVBUFFORCE)
        v6_only = level == _IPPROTO_IPV6 and name == _IPV6_V6ONLY and self.family == AF_INET6
        if not own and not v6_only:
            return groups.set_option(self, level, name, value)
        if isinstance(value, bytes):
            raise error(errno.EINVAL)
        if v6_only:
            if self.local_port:
                raise error(errno.EINVAL)
            self.v6_only = bool(value)
        elif name == _SO_REUSEADDR:
            self.reuse_address = bool(value)
        elif name == _SO_REUSEPORT:
            self.reuse_port = bool(value)
        else:
            most = self.stack.profile.rmem_max if name == _SO_RCVBUF else 0x3FFF_FFFF  # INT_MAX / 2
            self.queue.limit = max(2 * min(value & 0xFFFF_FFFF, most), BUFFER_LEAST)
        return True

    def _cork(self, value: int | bytes) -> None:
        """UDP_CORK: one datagram of all that is sent until it is taken away."""
        self.corked = bool(value if isinstance(value, int) else int.from_bytes(value[:4], sys.byteorder))
        if not self.corked and self.begun is not None:
            begun, self.begun = self.begun, None
            self._send(*begun, late=True)

    # ---- ending

    def shutdown(self, how: int) -> None:
        """`shutdown(2)`: acts on an unconnected socket too, and then reports ENOTCONN (`inet_shutdown`)."""
        self.shut |= how + 1
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.SHUTDOWN, self.number, how)
        self.notify(EVERYTHING)
        if self.state is not ESTABLISHED:
            raise error(errno.ENOTCONN)

    def released(self) -> None:
        """The last descriptor is gone."""
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.CLOSE, self.number, len(self.queue.packets))
        groups.leave_all(self)
        if self.local_port:
            self.stack.datagram[self.protocol].remove(self.local_port, self)
        self.queue.packets.clear()
        self.begun = None
        self.state = CLOSE

    def vanish(self) -> None:
        """The host has lost power: it is no member of any group now."""
        groups.leave_all(self)

    def describe(self) -> str:
        """Between which addresses."""
        peer = f" -> {self.remote_ip}:{self.remote_port}" if self.state is ESTABLISHED else ""
        return f"UDP {self.stack.name} {self.local_ip}:{self.local_port}{peer}"
