"""The error queue of a UDP socket: what ICMP told of datagrams that it sent (IP_RECVERR and its IPv6 twin).

Owns the queue, and what `recvmsg(..., MSG_ERRQUEUE)` reads out of it: the head of the datagram that came back, where it
was sent, and a `struct sock_extended_err`. Behaviour: net/ipv4/ip_sockglue.c (`ip_icmp_error`, `ip_recv_error`),
net/ipv6/datagram.c (`ipv6_icmp_error`, `ipv6_recv_error`), net/core/skbuff.c (`sock_queue_err_skb`,
`sock_dequeue_err_skb`). Must never touch the queue of datagrams that arrived.
"""

from __future__ import annotations

import errno
import struct
from _socket import AF_INET, AF_INET6, inet_pton
from collections import deque
from typing import TYPE_CHECKING, Final

from wavetank.kernel.control import Control
from wavetank.kernel.endpoint import MSG_ERRQUEUE, MSG_TRUNC
from wavetank.kernel.inet import display

if TYPE_CHECKING:
    from wavetank.kernel.endpoint import Message
    from wavetank.kernel.udp.delivery import Packet
    from wavetank.kernel.udp.endpoint import Udp

_IPPROTO_IP, _IPPROTO_IPV6 = 0, 41
IP_RECVERR, IPV6_RECVERR = 11, 25
#: An ICMP message is at most 576 bytes long (net/ipv4/icmp.c, `__icmp_send`), an ICMPv6 message 1,280 (RFC 4443, 2.4);
#: both hold two IP headers, their own and the one that they quote, and eight bytes each of ICMP and UDP.
_QUOTED: Final = {False: 576 - 2 * (20 + 8), True: 1_280 - 2 * (40 + 8)}
#: linux/errqueue.h: errno, origin (ICMP, ICMPv6), type, code (port unreachable), padding, info, data.
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_UNREACHABLE: Final = {False: (2, 3, 3), True: (3, 1, 4)}
#: sk_buff and its data, roughly: so much of the receive buffer each entry takes.
_COST: Final = 832


class Errors:
    """Datagrams that came back, oldest first."""

    __slots__ = ("packets",)

    def __init__(self) -> None:
        self.packets: deque[Packet] = deque()


def wanted(sock: Udp, packet: Packet) -> bool:
    """Whether the sender of `packet` asked to be told what became of it."""
    name = (_IPPROTO_IPV6, IPV6_RECVERR) if ":" in packet.target_ip else (_IPPROTO_IP, IP_RECVERR)
    return bool(sock.options.get(name))


def put(sock: Udp, packet: Packet) -> None:
    """A port was unreachable; forgotten when the receive buffer has no room for the news."""
    waiting = sock.errors.packets
    if (len(waiting) + 1) * _COST + sock.queue.used < sock.queue.limit:
        waiting.append(packet)


def take(sock: Udp, size: int, ancillary_size: int) -> Message | None:
    """The oldest entry as `recvmsg(2)` gives it; None when there is none."""
    waiting = sock.errors.packets
    if not waiting:
        return None
    packet = waiting.popleft()
    sock.pending_error = errno.ECONNREFUSED if waiting else 0
    version6 = ":" in packet.target_ip
    quoted = packet.data[: _QUOTED[version6]]
    control = Control(ancillary_size)
    origin, kind, code = _UNREACHABLE[version6]
    news = _EXTENDED_ERROR.pack(errno.ECONNREFUSED, origin, kind, code, 0, 0, 0)
    if sock.family == AF_INET:
        control.put(_IPPROTO_IP, IP_RECVERR, news + _offender(packet.target_ip))
    else:
        control.put(_IPPROTO_IPV6, IPV6_RECVERR, news + _offender6(packet.target_ip))
    flags = MSG_ERRQUEUE | control.flags | (MSG_TRUNC if size < len(quoted) else 0)
    return quoted[:size], control.items, flags, display(sock.family, packet.target_ip, packet.target_port)


def _offender(ip: str) -> bytes:
    """Who sent the ICMP message, as a `struct sockaddr_in`."""
    return struct.pack("=HH4s8x", AF_INET, 0, inet_pton(AF_INET, ip))


def _offender6(ip: str) -> bytes:
    """The same as a `struct sockaddr_in6`."""
    full = ip if ":" in ip else f"::ffff:{ip}"
    return struct.pack("=HHI16sI", AF_INET6, 0, 0, inet_pton(AF_INET6, full), 0)
