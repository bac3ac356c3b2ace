"""Which socket a call of `socket(2)` makes, and the errno for combinations that Linux has not.

Owns the table of families, kinds and protocols (net/socket.c, net/ipv4/af_inet.c `inet_create`); what Linux has and
the simulator has not is refused by name.
"""

from __future__ import annotations

import _socket as real
import errno
from typing import Final

from wavetank.kernel import core, refusals
from wavetank.kernel.endpoint import AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, Endpoint
from wavetank.kernel.file import error
from wavetank.kernel.stack import UDP, UDPLITE
from wavetank.kernel.tcp.connection import Tcp
from wavetank.kernel.udp import Udp
from wavetank.kernel.unix import Unix

TYPE_MASK: Final = 0xF
MODIFIERS: Final = real.SOCK_NONBLOCK | real.SOCK_CLOEXEC


def make(family: int, type_: int, proto: int) -> Endpoint:
    """A new kernel socket, or the errno that Linux gives for the combination (socket(2))."""
    stack = core.K.process.stack
    kind = type_ & TYPE_MASK
    if type_ & ~(TYPE_MASK | MODIFIERS):
        raise error(errno.EINVAL)
    if family in (AF_INET, AF_INET6):
        if kind == SOCK_STREAM and proto in (0, 6):
            return Tcp(stack, family, 6)
        if kind == SOCK_DGRAM and proto in (0, UDP, UDPLITE):
            return Udp(stack, family, proto or UDP)
        if kind == real.SOCK_RAW or (kind == SOCK_DGRAM and proto in (1, 58)):
            raise refusals.unsupported("socket.SOCK_RAW", "raw sockets need a real network device", errno.EPERM)
        if (kind, proto) in ((SOCK_STREAM, 132), (SOCK_STREAM, 262), (SOCK_SEQPACKET, 132)):
            raise refusals.unsupported(f"socket protocol {proto}", "SCTP and MPTCP", errno.EPROTONOSUPPORT)
        raise error(errno.EPROTONOSUPPORT if kind in (1, 2, 3) else errno.ESOCKTNOSUPPORT)
    if family == AF_UNIX:
        if kind not in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, real.SOCK_RAW):
            raise error(errno.ESOCKTNOSUPPORT)
        if proto not in (0, AF_UNIX):
            raise error(errno.EPROTONOSUPPORT)
        return Unix(stack, SOCK_DGRAM if kind == real.SOCK_RAW else kind)
    for name in ("AF_PACKET", "AF_NETLINK", "AF_VSOCK", "AF_BLUETOOTH", "AF_CAN", "AF_ALG", "AF_TIPC", "AF_QIPCRTR"):
        if family == getattr(real, name, -1):
            raise refusals.unsupported(f"socket.{name}", "only IPv4, IPv6 and UNIX are simulated", errno.EAFNOSUPPORT)
    raise error(errno.EAFNOSUPPORT)
