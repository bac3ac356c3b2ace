"""Control messages of UDP sockets: by which address a datagram came, and from which one to send.

Owns packing and unpacking of IP_PKTINFO, IP_TTL, IP_TOS and their IPv6 twins. Behaviour: net/ipv4/ip_sockglue.c
(`ip_cmsg_send`, `ip_cmsg_recv_offset`), net/ipv6/datagram.c (`ip6_datagram_send_ctl`, `ip6_datagram_recv_ctl`).
"""

from __future__ import annotations

import errno
import struct
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING, Final

from wavetank.kernel import refusals
from wavetank.kernel.file import error
from wavetank.kernel.udp import groups
from wavetank.network.address import is_multicast, unmapped

if TYPE_CHECKING:
    from wavetank.kernel.control import Control
    from wavetank.kernel.udp.delivery import Packet
    from wavetank.kernel.udp.endpoint import Udp

SOL_SOCKET, IPPROTO_IP, IPPROTO_UDP, IPPROTO_IPV6 = 1, 0, 17, 41
IP_TOS, IP_TTL, IP_PKTINFO, IP_RECVTTL, IP_RECVTOS = 1, 2, 8, 12, 13
IPV6_UNICAST_HOPS, IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT = 16, 49, 50, 51, 52
IPV6_RECVTCLASS, IPV6_TCLASS = 66, 67
_HARMLESS: Final = frozenset({1, 2})  # SCM_RIGHTS, SCM_CREDENTIALS: ignored (`__sock_cmsg_send`)


class Wishes:
    """What the sender asks for one datagram: "" and -1 where it asks for nothing."""

    __slots__ = ("hops", "interface", "source", "traffic_class")

    def __init__(self) -> None:
        self.source = ""
        self.interface = 0
        self.hops = -1
        self.traffic_class = -1


def parse(sock: Udp, items: list[tuple[int, int, bytes]]) -> Wishes:
    """The control messages of `sendmsg(2)`; EINVAL for one that Linux does not know at a level that it reads."""
    wishes = Wishes()
    for level, kind, data in items:
        if level == IPPROTO_UDP:
            raise refusals.unsupported("socket.sendmsg(UDP_SEGMENT)", "segmentation offload", errno.EIO)
        if level == SOL_SOCKET and kind not in _HARMLESS:
            raise error(errno.EINVAL)
        if level == IPPROTO_IP and sock.family == AF_INET:
            _parse_ip(wishes, kind, data)
        elif level == IPPROTO_IPV6 and sock.family == AF_INET6:
            _parse_ipv6(wishes, kind, data)
    return wishes


def _parse_ip(wishes: Wishes, kind: int, data: bytes) -> None:
    if kind == IP_PKTINFO and len(data) == 12:
        interface, source = struct.unpack("=i4s4x", data)
        wishes.interface = interface
        wishes.source = inet_ntop(AF_INET, source) if any(source) else ""
    elif kind == IP_TTL and len(data) == 4:
        wishes.hops = _bounded(data, 1)
    elif kind == IP_TOS and len(data) in (1, 4):
        wishes.traffic_class = data[0] if len(data) == 1 else _bounded(data, 0)
    else:
        raise error(errno.EINVAL)


def _parse_ipv6(wishes: Wishes, kind: int, data: bytes) -> None:
    if kind == IPV6_PKTINFO and len(data) >= 20:
        source, interface = struct.unpack("=16sI", data[:20])
        wishes.interface = interface
        wishes.source = unmapped(inet_ntop(AF_INET6, source)) if any(source) else ""
    elif kind == IPV6_HOPLIMIT and len(data) == 4:
        wishes.hops = _bounded(data, -1)
    elif kind == IPV6_TCLASS and len(data) == 4:
        wishes.traffic_class = _bounded(data, -1) & 0xFF  # -1 leaves as it is
    else:
        raise error(errno.EINVAL)


def _bounded(data: bytes, least: int) -> int:
    (value,) = struct.unpack("=i", data)
    if not least <= value <= 255:
        raise error(errno.EINVAL)
    return int(value)


def mark(sock: Udp, packet: Packet, wishes: Wishes) -> None:
    """Write hop limit and traffic class into a datagram: the call's own, else the socket's."""
    names = (
        ((IPPROTO_IPV6, IPV6_UNICAST_HOPS), (IPPROTO_IPV6, IPV6_TCLASS))
        if ":" in packet.target_ip
        else ((IPPROTO_IP, IP_TTL), (IPPROTO_IP, IP_TOS))
    )
    if is_multicast(packet.target_ip):
        packet.hops = sock.membership.hops if wishes.hops < 0 else wishes.hops
    else:
        packet.hops = _chosen(sock, wishes.hops, names[0], packet.hops)
    packet.traffic_class = _chosen(sock, wishes.traffic_class, names[1], packet.traffic_class)


def _chosen(sock: Udp, wish: int, name: tuple[int, int], usual: int) -> int:
    option = sock.options.get(name, -1)
    if wish >= 0:
        return wish
    return option if isinstance(option, int) and option >= 0 else usual


def put(sock: Udp, packet: Packet, control: Control) -> None:
    """What the receiver asked to be told about a datagram."""
    options = sock.options
    if sock.family == AF_INET:
        if options.get((IPPROTO_IP, IP_PKTINFO)):
            target = inet_pton(AF_INET, packet.target_ip)
            local = inet_pton(AF_INET, groups.receiving_address(sock.stack, packet))
            control.put(IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", packet.interface, local, target))
        if options.get((IPPROTO_IP, IP_RECVTTL)):
            control.put(IPPROTO_IP, IP_TTL, struct.pack("=i", packet.hops))
        if options.get((IPPROTO_IP, IP_RECVTOS)):
            control.put(IPPROTO_IP, IP_TOS, bytes((packet.traffic_class,)))
        return
    if options.get((IPPROTO_IPV6, IPV6_RECVPKTINFO)):
        ip = packet.target_ip if ":" in packet.target_ip else f"::ffff:{packet.target_ip}"
        control.put(IPPROTO_IPV6, IPV6_PKTINFO, struct.pack("=16sI", inet_pton(AF_INET6, ip), packet.interface))
    if ":" not in packet.target_ip:
        return  # an IPv4 datagram tells an IPv6 socket no more (`ip6_datagram_recv_specific_ctl` is for IPv6)
    if options.get((IPPROTO_IPV6, IPV6_RECVHOPLIMIT)):
        control.put(IPPROTO_IPV6, IPV6_HOPLIMIT, struct.pack("=i", packet.hops))
    if options.get((IPPROTO_IPV6, IPV6_RECVTCLASS)):
        control.put(IPPROTO_IPV6, IPV6_TCLASS, struct.pack("=i", packet.traffic_class))
