"""Datagrams for many: multicast groups and broadcast, and the two interfaces that a host has for them.

Owns who is a member of which group, and which hosts and sockets get a copy. Each host has the interfaces `lo` and
`eth0`; all hosts' `eth0` are on one link, whose switch knows the members (RFC 4541). It is the host that is a member:
a socket bound to the port gets a copy even if another one joined, unless it says IP_MULTICAST_ALL = 0.
Behaviour: net/ipv4/igmp.c (`ip_mc_join_group`, `ip_mc_sf_allow`), net/ipv4/udp.c (`__udp4_lib_mcast_deliver`),
net/ipv4/route.c (`ip_route_output_key_hash_rcu`), net/ipv6/mcast.c, ip(7).
"""

from __future__ import annotations

import errno
import struct
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING, Final

from wavetank.kernel.file import error
from wavetank.kernel.tcp.state import ESTABLISHED
from wavetank.network.address import is_loopback, is_multicast

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack
    from wavetank.kernel.udp.delivery import Packet
    from wavetank.kernel.udp.endpoint import Udp
    from wavetank.network.fabric import Node

LOOPBACK, ETHERNET = 1, 2
IPPROTO_IP, IPPROTO_IPV6 = 0, 41
IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP = 32, 33, 34, 35, 36
IP_MULTICAST_ALL: Final = 49
IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP = 17, 18, 19, 20, 21
#: Every host is in these: RFC 1112 section 4, RFC 4291 section 2.7.1.
_ALL_HOSTS: Final = frozenset({"224.0.0.1", "ff02::1", "ff01::1"})
_LOOPBACK_BROADCAST: Final = "127.255.255.255"
#: Of everybody, of the hosts' network (10.0.0.0/16, `network.address`), and of 127.0.0.0/8.
_BROADCAST: Final = frozenset({"255.255.255.255", "10.0.255.255", _LOOPBACK_BROADCAST})
_ANY: Final = ("0.0.0.0", "::")


class Membership:
    """What a socket has set about groups."""

    __slots__ = ("address", "all_groups", "hops", "interface", "joined", "loop")

    def __init__(self) -> None:
        self.joined: dict[tuple[str, int], str] = {}  # by group and interface: the address it was joined with
        self.address = _ANY[0]  # what IP_MULTICAST_IF has named
        self.interface = 0  # by which to send; 0: the routing table decides
        self.hops = 1
        self.loop = True
        self.all_groups = True


def is_broadcast(ip: str) -> bool:
    """Whether a datagram to `ip` is for every host on the link."""
    return ip in _BROADCAST


def is_for_many(ip: str) -> bool:
    """Multicast or broadcast."""
    return is_broadcast(ip) or is_multicast(ip)


# ---- interfaces


def _own_address(stack: Stack, interface: int, *, version6: bool) -> str:
    """The address of an interface, "" if it has none of this version."""
    if interface == LOOPBACK:
        return "::1" if version6 else "127.0.0.1"
    return next((mine for mine in stack.node.addresses if (":" in mine) == version6), "")


def _interface_of(stack: Stack, ip: str) -> int:
    """The interface with this address, 0 if none has it."""
    if is_loopback(ip):
        return LOOPBACK
    return ETHERNET if stack.node.owns(ip) else 0


def _usual_interface(stack: Stack, *, version6: bool) -> int:
    """Where the routing table sends groups: to the network, if the host has one."""
    return ETHERNET if _own_address(stack, ETHERNET, version6=version6) else 0


def receiving_address(stack: Stack, packet: Packet) -> str:
    """`ipi_spec_dst`: the address by which this host got a datagram."""
    if not is_for_many(packet.target_ip):
        return packet.target_ip
    return _own_address(stack, packet.interface, version6=":" in packet.target_ip) or packet.target_ip


def route(sock: Udp, group: str, wanted: int) -> tuple[int, str]:
    """The interface and the source address for a datagram to a group or a broadcast address; ENETUNREACH, ENODEV."""
    version6 = ":" in group
    stack = sock.stack
    bound = "" if sock.local_ip in _ANY or is_for_many(sock.local_ip) else sock.local_ip
    if group == _LOOPBACK_BROADCAST:
        interface = LOOPBACK
    else:
        chosen = 0 if is_broadcast(group) else sock.membership.interface
        interface = wanted or chosen or _interface_of(stack, bound) or _usual_interface(stack, version6=version6)
    # lo has no route for IPv6 groups (measured: ENETUNREACH).
    if not interface or (version6 and interface == LOOPBACK):
        raise error(errno.ENETUNREACH)
    named = "" if version6 or sock.membership.address == _ANY[0] or is_broadcast(group) else sock.membership.address
    source = named or _own_address(stack, interface, version6=version6)
    if not source:
        raise error(errno.ENETUNREACH)
    return interface, bound or source


def targets(sock: Udp, group: str, interface: int) -> list[Node]:
    """The hosts that get a copy, the sender's own included."""
    stack = sock.stack
    own = stack.node
    if interface == LOOPBACK:
        return [own]
    others = [
        node for node in stack.fabric.nodes.values() if node is not own and node.addresses and node.stack is not None
    ]
    if is_broadcast(group):
        return [own, *others]
    nodes = [own] if sock.membership.loop else []
    nodes += others if sock.membership.hops else []
    return [node for node in nodes if _is_member(node.stack, group, interface)]


# ---- arrival


def _is_member(stack: Stack, group: str, interface: int) -> bool:
    return group in _ALL_HOSTS or stack.counters.get(f"group {interface} {group}", 0) > 0


def arrive(argument: tuple[Node, Packet]) -> None:
    """A datagram for many has reached a host: every socket that fits gets it."""
    node, packet = argument
    if node.down:
        return
    stack: Stack = node.stack
    group, interface = packet.target_ip, packet.interface
    multicast = not is_broadcast(group)
    if multicast and not _is_member(stack, group, interface):
        return
    for sock in tuple(stack.datagram[packet.protocol].bound.get(packet.target_port, ())):
        if _fits(sock, packet) and not (multicast and _declines(sock, group, interface)):
            sock.arrived(packet)


def _fits(sock: Udp, packet: Packet) -> bool:
    """`__udp_is_mcast_sock`."""
    ip = packet.target_ip
    if sock.state is ESTABLISHED and (sock.remote_ip, sock.remote_port) != (packet.source_ip, packet.source_port):
        return False
    if (":" in ip and sock.family != AF_INET6) or (":" not in ip and sock.v6_only):
        return False
    return sock.local_ip in _ANY or sock.local_ip == ip


def _declines(sock: Udp, group: str, interface: int) -> bool:
    return not sock.membership.all_groups and (group, interface) not in sock.membership.joined


# ---- joining and leaving


def _join(sock: Udp, group: str, interface: int, address: str = "") -> None:
    if (group, interface) in sock.membership.joined:
        raise error(errno.EADDRINUSE)
    sock.membership.joined[group, interface] = address
    counters = sock.stack.counters
    key = f"group {interface} {group}"
    counters[key] = counters.get(key, 0) + 1


def _leave(sock: Udp, group: str, interface: int, address: str = "") -> None:
    """By interface; without one, by the address it was joined with, or, without that, wherever it is."""
    joined = sock.membership.joined
    fitting = [
        item
        for item in sorted(joined)
        if item[0] == group and (item[1] == interface if interface else address in ("", joined[item]))
    ]
    if not fitting:
        raise error(errno.EADDRNOTAVAIL)
    found = fitting[0]
    del joined[found]
    sock.stack.counters[f"group {found[1]} {group}"] -= 1


def leave_all(sock: Udp) -> None:
    """The socket is closed (`ip_mc_drop_socket`)."""
    for group, interface in sorted(sock.membership.joined):
        _leave(sock, group, interface)


# ---- options


def get_option(sock: Udp, level: int, name: int) -> int | bytes | None:
    """Options about groups; None: not one of these."""
    membership = sock.membership
    if level == IPPROTO_IP:
        if name == IP_MULTICAST_IF:
            return inet_pton(AF_INET, membership.address)
        return {
            IP_MULTICAST_TTL: membership.hops,
            IP_MULTICAST_LOOP: int(membership.loop),
            IP_MULTICAST_ALL: int(membership.all_groups),
        }.get(name)
    if level == IPPROTO_IPV6 and sock.family == AF_INET6:
        return {
            IPV6_MULTICAST_IF: membership.interface,
            IPV6_MULTICAST_HOPS: membership.hops,
            IPV6_MULTICAST_LOOP: int(membership.loop),
        }.get(name)
    return None


def set_option(sock: Udp, level: int, name: int, value: int | bytes) -> bool:
    """Options about groups; False: not one of these."""
    if level == IPPROTO_IP:
        return _set_ip(sock, name, value)
    return level == IPPROTO_IPV6 and sock.family == AF_INET6 and _set_ipv6(sock, name, value)


def _number(value: int | bytes, least: int, most: int) -> int:
    """An int, or a byte (which Linux takes for most options of ip(7))."""
    number = value if isinstance(value, int) else int.from_bytes(value[:1], "little")
    if not least <= number <= most or value == b"":
        raise error(errno.EINVAL)
    return number


def _set_ip(sock: Udp, name: int, value: int | bytes) -> bool:
    membership = sock.membership
    if name in (IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP):
        _change_ip_membership(sock, value, join=name == IP_ADD_MEMBERSHIP)
    elif name == IP_MULTICAST_IF:
        membership.interface, membership.address = _interface_option(sock, value)
    elif name == IP_MULTICAST_TTL:
        membership.hops = abs(_number(value, -1, 255))  # -1 stands for the usual 1
    elif name == IP_MULTICAST_LOOP:
        membership.loop = bool(_number(value, -(1 << 31), (1 << 31) - 1))
    elif name == IP_MULTICAST_ALL:
        membership.all_groups = bool(_number(value, 0, 1))
    else:
        return False
    return True


def _change_ip_membership(sock: Udp, value: int | bytes, *, join: bool) -> None:
    """`struct ip_mreq` (8 bytes) or `struct ip_mreqn` (12)."""
    if isinstance(value, int) or len(value) < 8:
        raise error(errno.EINVAL)
    group, ip = inet_ntop(AF_INET, value[:4]), inet_ntop(AF_INET, value[4:8])
    index = struct.unpack_from("=i", value, 8)[0] if len(value) >= 12 else 0
    if not is_multicast(group):
        raise error(errno.EINVAL if join else errno.EADDRNOTAVAIL)
    interface = index if index in (LOOPBACK, ETHERNET) else 0
    if not index:
        interface = _usual_interface(sock.stack, version6=False) if ip == _ANY[0] else _interface_of(sock.stack, ip)
    if join:
        if not interface:
            raise error(errno.ENODEV)
        _join(sock, group, interface, ip)
    elif ip == _ANY[0] and not index and not interface:
        raise error(errno.ENODEV)
    else:
        _leave(sock, group, index or interface, ip)


def _interface_option(sock: Udp, value: int | bytes) -> tuple[int, str]:
    """IP_MULTICAST_IF: `struct in_addr`, `ip_mreq` or `ip_mreqn`; the interface, and the address as it was given."""
    data = value.to_bytes(4, "little", signed=value < 0) if isinstance(value, int) else value
    if len(data) < 4:
        raise error(errno.EINVAL)
    index = struct.unpack_from("=i", data, 8)[0] if len(data) >= 12 else 0
    ip = inet_ntop(AF_INET, data[4:8] if len(data) >= 8 else data[:4])
    if index:
        if index not in (LOOPBACK, ETHERNET):
            raise error(errno.EADDRNOTAVAIL)
        return int(index), ip
    if ip == _ANY[0]:
        return 0, ip
    interface = _interface_of(sock.stack, ip)
    if not interface:
        raise error(errno.EADDRNOTAVAIL)
    return interface, ip


def _set_ipv6(sock: Udp, name: int, value: int | bytes) -> bool:
    membership = sock.membership
    if name in (IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP):
        if isinstance(value, int) or len(value) < 20:
            raise error(errno.EINVAL)
        group, index = inet_ntop(AF_INET6, value[:16]), struct.unpack_from("=i", value, 16)[0]
        _change_ipv6_membership(sock, group, index, join=name == IPV6_JOIN_GROUP)
        return True
    if name not in (IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP):
        return False
    if not isinstance(value, int):
        raise error(errno.EINVAL)
    if name == IPV6_MULTICAST_IF:
        if value not in (0, LOOPBACK, ETHERNET):
            raise error(errno.ENODEV)
        membership.interface = value
    elif name == IPV6_MULTICAST_HOPS:
        membership.hops = abs(_number(value, -1, 255))
    else:
        membership.loop = bool(_number(value, 0, 1))
    return True


def _change_ipv6_membership(sock: Udp, group: str, index: int, *, join: bool) -> None:
    if not is_multicast(group):
        raise error(errno.EINVAL)
    if not join:
        _leave(sock, group, index)
        return
    interface = index or _usual_interface(sock.stack, version6=True)
    if interface not in (LOOPBACK, ETHERNET):
        raise error(errno.ENODEV)
    _join(sock, group, interface)
