"""Datagrams under way: who receives one, and what becomes of one that nobody receives.

Owns the lookup of the receiving socket and the ICMP "port unreachable" that goes back. Behaviour: net/ipv4/udp.c
(`__udp4_lib_lookup`, `compute_score`, `__udp4_lib_rcv`, `__udp4_lib_err`) and net/ipv6/udp.c.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from zlib import crc32

from wavetank.kernel import core
from wavetank.kernel.file import ERR
from wavetank.kernel.tcp.state import ESTABLISHED
from wavetank.kernel.udp import errors
from wavetank.kernel.udp.queue import cost
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack
    from wavetank.kernel.udp.endpoint import Udp
    from wavetank.network.fabric import Node

ANY = ("0.0.0.0", "::")
_DROPPED = int(Kind.DATAGRAM_DROPPED)


class Packet:
    """One datagram. Addresses are plain: IPv4 never written as IPv6."""

    __slots__ = (
        "cost", "data", "hops", "interface", "protocol", "source_ip", "source_port", "target_ip", "target_port",
        "traffic_class",
    )  # fmt: skip

    def __init__(
        self, data: bytes, source: tuple[str, int], target: tuple[str, int], interface: int, protocol: int
    ) -> None:
        self.data = data
        self.protocol = protocol
        self.source_ip, self.source_port = source
        self.target_ip, self.target_port = target
        self.interface = interface  # by which it arrives
        self.hops = 64
        self.traffic_class = 0
        self.cost = cost(len(data), version6=":" in self.target_ip)


def find(stack: Stack, protocol: int, local: tuple[str, int], remote: tuple[str, int]) -> Udp | None:
    """The socket that gets what goes from `remote` to `local`: the closest match, of several the last one bound."""
    owners = stack.datagram[protocol].bound.get(local[1])
    if not owners:
        return None
    best: Udp | None = None
    best_score = 0
    for sock in reversed(owners):
        score = _score(sock, local[0], remote)
        if score > best_score:
            best, best_score = sock, score
    if best is not None and best.reuse_port and best.state is not ESTABLISHED:
        return _one_of_group(list(owners), best, best_score, local, remote)
    return best


def _score(sock: Udp, local_ip: str, remote: tuple[str, int]) -> int:
    """How well a socket fits, 0: not at all. First its own address, then its peer, then its family."""
    bound = sock.local_ip
    if bound == local_ip:
        score = 16
    elif accepts_any(sock, local_ip):
        score = 1
    else:
        return 0
    if sock.state is ESTABLISHED:
        if sock.remote_ip != remote[0] or sock.remote_port not in (0, remote[1]):
            return 0
        score += 8
    if (sock.family == 10) == (":" in local_ip):
        score += 4
    return score


def accepts_any(sock: Udp, local_ip: str) -> bool:
    """Whether the socket is bound to all addresses of the family of `local_ip`."""
    bound = sock.local_ip
    if bound == "::":
        return ":" in local_ip or not sock.v6_only
    return bound == "0.0.0.0" and ":" not in local_ip


def _one_of_group(
    owners: list[Udp], best: Udp, best_score: int, local: tuple[str, int], remote: tuple[str, int]
) -> Udp:
    """SO_REUSEPORT: a hash of the addresses chooses, so that one sender stays with one receiver."""
    group = [sock for sock in owners if sock.reuse_port and _score(sock, local[0], remote) == best_score]
    return group[crc32(f"{remote[0]} {remote[1]} {local[0]} {local[1]}".encode()) % len(group)] if group else best


def arrive(argument: tuple[Node, Packet]) -> None:
    """A datagram has reached a host."""
    node, packet = argument
    if node.down:
        return
    stack: Stack = node.stack
    sock = find(stack, packet.protocol, (packet.target_ip, packet.target_port), (packet.source_ip, packet.source_port))
    if sock is not None:
        sock.arrived(packet)
        return
    kernel = core.K
    kernel.recorder.event(kernel.now, _DROPPED, 0, len(packet.data))
    back = stack.fabric.datagram_path(node, packet.source_ip, packet.source_port, packet.target_port)
    if back is not None:
        sender = stack.fabric.find(node, packet.source_ip)
        back.send_datagram(_refused, (sender, packet), 0)


def truncated(argument: tuple[Node, Packet], size: int) -> tuple[Node, Packet]:
    """The datagram, cut to `size` bytes on its way."""
    node, packet = argument
    source, target = (packet.source_ip, packet.source_port), (packet.target_ip, packet.target_port)
    cut = Packet(packet.data[:size], source, target, packet.interface, packet.protocol)
    cut.hops, cut.traffic_class = packet.hops, packet.traffic_class
    return node, cut


def _refused(argument: tuple[Node, Packet]) -> None:
    """ICMP port unreachable has come back: who is connected, or has asked, learns of it (`__udp4_lib_err`)."""
    node, packet = argument
    if node.down:
        return
    source, target = (packet.source_ip, packet.source_port), (packet.target_ip, packet.target_port)
    sock = find(node.stack, packet.protocol, source, target)
    if sock is None:
        return
    asked = errors.wanted(sock, packet)
    if asked:
        errors.put(sock, packet)
    if asked or sock.state is ESTABLISHED:
        sock.pending_error = errno.ECONNREFUSED
        sock.notify(ERR)
