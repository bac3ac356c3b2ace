"""Socket options: the common ones of every kind of socket, and those that are only remembered.

Owns `getsockopt` and `setsockopt` as Python offers them: ints or bytes, sizes, errnos. An option that acts belongs to
its protocol (`Endpoint.get_option`, `set_option`), which is asked first. An option that Linux knows and the simulator
does not is refused by name; one that Linux does not know gives ENOPROTOOPT. Sources: socket(7), ip(7), ipv6(7),
net/core/sock.c.
"""

from __future__ import annotations

import errno
import struct
from typing import Any, Final

from wavetank.kernel import refusals
from wavetank.kernel.endpoint import AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM, Endpoint
from wavetank.kernel.file import WRBAND, WRITABLE, error

SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6 = 1, 0, 6, 17, 41
SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF = 1, 2, 3, 4, 5, 6, 7, 8
SO_KEEPALIVE, SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY, SO_LINGER, SO_REUSEPORT, SO_PASSCRED = 9, 10, 11, 12, 13, 15, 16
SO_PEERCRED, SO_RCVLOWAT, SO_SNDLOWAT, SO_RCVTIMEO, SO_SNDTIMEO, SO_BINDTODEVICE = 17, 18, 19, 20, 21, 25
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
SO_TIMESTAMP, SO_ACCEPTCONN, SO_MARK, SO_PROTOCOL, SO_DOMAIN, SO_RXQ_OVFL = 29, 30, 36, 38, 39, 40
SO_INCOMING_CPU, SO_ZEROCOPY = 49, 60
TCP_CONGESTION = 13
SOL_UDPLITE, UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV = 136, 10, 11

_IPV6_UNICAST_HOPS, _IPV6_TCLASS = 16, 67
_IP_TOS, _IP_TTL, _IP_MULTICAST_IF, _IP_MULTICAST_TTL, _IP_MULTICAST_LOOP = 1, 2, 32, 33, 34
_IP_ADD_MEMBERSHIP, _IP_DROP_MEMBERSHIP = 35, 36

#: Stands for net.core.wmem_default and rmem_default of the host's profile; an int that no option has.
_BY_PROFILE: Final = 1 << 40

#: Remembered, without effect on what programs can see here: the values of a new socket.
_IP: Final[dict[int, int | bytes]] = {
    1: 0,  # IP_TOS
    2: 64,  # IP_TTL
    3: 0,  # IP_HDRINCL
    4: b"",  # IP_OPTIONS
    6: 0,  # IP_RECVOPTS
    8: 0,  # IP_PKTINFO
    10: 1,  # IP_MTU_DISCOVER
    11: 0,  # IP_RECVERR
    12: 0,  # IP_RECVTTL
    13: 0,  # IP_RECVTOS
    15: 0,  # IP_FREEBIND
    19: 0,  # IP_TRANSPARENT
    20: 0,  # IP_RECVORIGDSTADDR
    24: 0,  # IP_BIND_ADDRESS_NO_PORT
    33: 1,  # IP_MULTICAST_TTL, which acts for UDP
    34: 1,  # IP_MULTICAST_LOOP
    49: 1,  # IP_MULTICAST_ALL
}
_REMEMBERED: Final[dict[tuple[int, int], int | bytes]] = {
    (SOL_SOCKET, SO_DEBUG): 0,
    (SOL_SOCKET, SO_DONTROUTE): 0,
    (SOL_SOCKET, SO_BROADCAST): 0,
    (SOL_SOCKET, SO_OOBINLINE): 0,
    (SOL_SOCKET, SO_NO_CHECK): 0,
    (SOL_SOCKET, SO_PRIORITY): 0,
    (SOL_SOCKET, SO_PASSCRED): 0,
    (SOL_SOCKET, SO_PEERCRED): struct.pack("iII", 0, 0xFFFF_FFFF, 0xFFFF_FFFF),  # of what is no UNIX socket
    (SOL_SOCKET, SO_RCVLOWAT): 1,
    (SOL_SOCKET, SO_SNDLOWAT): 1,
    (SOL_SOCKET, SO_RCVTIMEO): struct.pack("ll", 0, 0),
    (SOL_SOCKET, SO_SNDTIMEO): struct.pack("ll", 0, 0),
    (SOL_SOCKET, SO_BINDTODEVICE): b"",
    (SOL_SOCKET, SO_TIMESTAMP): 0,
    (SOL_SOCKET, SO_MARK): 0,
    (SOL_SOCKET, SO_RXQ_OVFL): 0,
    (SOL_SOCKET, SO_INCOMING_CPU): 0,
    (SOL_SOCKET, SO_ZEROCOPY): 0,
    (SOL_SOCKET, SO_KEEPALIVE): 0,
    (SOL_SOCKET, SO_REUSEADDR): 0,
    (SOL_SOCKET, SO_REUSEPORT): 0,
    (SOL_SOCKET, SO_LINGER): struct.pack("ii", 0, 0),
    (SOL_UDPLITE, UDPLITE_SEND_CSCOV): 0,
    (SOL_UDPLITE, UDPLITE_RECV_CSCOV): 0,
    **{(SOL_SOCKET, name): _BY_PROFILE for name in (SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE)},
    **{(IPPROTO_IP, name): value for name, value in _IP.items()},
    **{
        (IPPROTO_IPV6, name): value
        for name, value in {
            16: 64,  # IPV6_UNICAST_HOPS
            23: 1,  # IPV6_MTU_DISCOVER
            25: 0,  # IPV6_RECVERR
            26: 0,  # IPV6_V6ONLY
            49: 0,  # IPV6_RECVPKTINFO
            51: 0,  # IPV6_RECVHOPLIMIT
            66: 0,  # IPV6_RECVTCLASS
            67: 0,  # IPV6_TCLASS
        }.items()
    },
}
#: Known to Linux up to this number at these levels, and not simulated when not listed above.
_HIGHEST: Final = {SOL_SOCKET: 83, IPPROTO_IP: 52, IPPROTO_TCP: 45, IPPROTO_UDP: 104, IPPROTO_IPV6: 80}


def _computed(endpoint: Endpoint, level: int, name: int) -> int | None:
    if level != SOL_SOCKET:
        return None
    if name == SO_ERROR:
        return endpoint.take_error()
    if name == SO_TYPE:
        return endpoint.type
    if name == SO_DOMAIN:
        return endpoint.family
    if name == SO_PROTOCOL:
        return endpoint.protocol
    if name == SO_ACCEPTCONN:
        return int(getattr(endpoint, "state", 0) == 10)
    return None


def _applies(endpoint: Endpoint, level: int) -> bool:
    if level == IPPROTO_IPV6:
        return endpoint.family == AF_INET6
    if level == SOL_UDPLITE:
        return endpoint.protocol in (IPPROTO_UDP, SOL_UDPLITE)  # readable of both (`udp_lib_getsockopt`)
    if level in (IPPROTO_TCP, IPPROTO_UDP):
        return endpoint.protocol == level
    return level != IPPROTO_IP or endpoint.family in (AF_INET, AF_INET6)


def _refuse(call: str, endpoint: Endpoint, level: int, name: int) -> OSError:
    if level != SOL_SOCKET and endpoint.family not in (AF_INET, AF_INET6):
        return error(errno.EOPNOTSUPP)  # `sock_no_setsockopt`
    if 0 < name <= _HIGHEST.get(level, 0) and _applies(endpoint, level):
        return refusals.unsupported(
            f"socket.{call}", f"the option {name} of level {level} is not simulated", errno.ENOPROTOOPT
        )
    own = (IPPROTO_UDP, SOL_UDPLITE) if endpoint.protocol == SOL_UDPLITE else (endpoint.protocol,)
    known = level in (SOL_SOCKET, IPPROTO_IP, *own) or endpoint.family == AF_INET6
    return error(errno.ENOPROTOOPT if known or call == "setsockopt" else errno.EOPNOTSUPP)  # `ip_getsockopt`


def get(endpoint: Endpoint, level: int, name: int, size: int) -> int | bytes:
    """`sock.getsockopt(level, name[, size])`."""
    value: int | bytes | None = _computed(endpoint, level, name)
    if value is None:
        value = endpoint.get_option(level, name)
    if value is None and _applies(endpoint, level):
        value = endpoint.options.get((level, name), _REMEMBERED.get((level, name)))
        if value is _BY_PROFILE:
            profile = endpoint.stack.profile
            value = profile.wmem_default if name in (SO_SNDBUF, SO_SNDBUFFORCE) else profile.rmem_default
    if value is None:
        raise _refuse("getsockopt", endpoint, level, name)
    if (level, name) == (SOL_SOCKET, SO_PASSCRED) and not _passes_credentials(endpoint):
        raise error(errno.EOPNOTSUPP)
    if size < 0 or size > 1024:
        raise OSError("getsockopt buflen out of range")
    if size == 0:
        if isinstance(value, bytes):
            value = int.from_bytes(value[:4].ljust(4, b"\0"), "little", signed=True)
        return value if -(1 << 31) <= value < 1 << 31 else value - (1 << 32)
    data = struct.pack("i", value if value < 1 << 31 else value - (1 << 32)) if isinstance(value, int) else value
    return data[:size]


def _passes_credentials(endpoint: Endpoint) -> bool:
    """Since Linux 6.16 SO_PASSCRED is for UNIX sockets (and netlink) alone (`sk_may_scm_recv`)."""
    return endpoint.family == AF_UNIX or endpoint.stack.profile.release < (6, 16)


def _checked_ip(endpoint: Endpoint, name: int, value: int | bytes) -> int | bytes:
    """The value of an option of ip(7) as Linux keeps it (`do_ip_setsockopt`); EINVAL, EPROTO."""
    stream = endpoint.type == SOCK_STREAM
    if stream and name in (_IP_MULTICAST_TTL, _IP_MULTICAST_IF):
        raise error(errno.EINVAL)
    if stream and name in (_IP_ADD_MEMBERSHIP, _IP_DROP_MEMBERSHIP):
        raise error(errno.EPROTO)
    if name not in (_IP_TTL, _IP_TOS, _IP_MULTICAST_LOOP):
        return value
    number = value if isinstance(value, int) else int.from_bytes(value[:1], "little")
    if name == _IP_MULTICAST_LOOP:
        if value == b"":
            raise error(errno.EINVAL)
        return int(bool(number))
    if name == _IP_TOS:  # TCP keeps the bits of ECN to itself
        return number & (0xFC if stream else 0xFF)
    if number != -1 and not 1 <= number <= 255:
        raise error(errno.EINVAL)
    return 64 if number == -1 else number


def put(endpoint: Endpoint, level: int, name: int, value: Any) -> None:
    """`sock.setsockopt(level, name, value)`; `value` an int or bytes."""
    if isinstance(value, int):
        given: int | bytes = int(value)
    else:
        given = bytes(value)
        if (
            len(given) == 4
            and (level, name) != (IPPROTO_TCP, TCP_CONGESTION)
            and not isinstance(_REMEMBERED.get((level, name)), bytes)
        ):
            given = int.from_bytes(given, "little", signed=True)
    if level == SOL_SOCKET and name in (SO_TYPE, SO_ERROR, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_PEERCRED):
        raise error(errno.ENOPROTOOPT)
    if level == IPPROTO_IP and endpoint.family in (AF_INET, AF_INET6):
        given = _checked_ip(endpoint, name, given)
    if level == IPPROTO_IPV6 and given == -1:  # the usual value (`do_ipv6_setsockopt`)
        given = {_IPV6_UNICAST_HOPS: 64, _IPV6_TCLASS: 0}.get(name, given)
    if endpoint.set_option(level, name, given):
        return
    if (level, name) == (SOL_SOCKET, SO_PASSCRED) and not _passes_credentials(endpoint):
        raise error(errno.EOPNOTSUPP)
    if (level, name) == (SOL_SOCKET, SO_REUSEPORT) and given and endpoint.stack.profile.release >= (6, 13):
        raise error(errno.EOPNOTSUPP)  # TCP and UDP have it themselves
    default = _REMEMBERED.get((level, name))
    if level == SOL_UDPLITE and endpoint.protocol != SOL_UDPLITE:
        default = None
    if default is None or not _applies(endpoint, level):
        raise _refuse("setsockopt", endpoint, level, name)
    if isinstance(default, int) and isinstance(given, bytes) and level == SOL_SOCKET:
        raise error(errno.EINVAL)
    if (level, name) in ((SOL_SOCKET, SO_SNDBUF), (SOL_SOCKET, SO_RCVBUF)):
        assert isinstance(given, int)
        profile = endpoint.stack.profile
        most, least = (profile.wmem_max, 4_608) if name == SO_SNDBUF else (profile.rmem_max, 2_304)
        given = max(2 * min(given & 0xFFFF_FFFF, most), least)
    elif isinstance(default, int) and isinstance(given, int) and default == 0 and level == SOL_SOCKET and name != 12:
        given = int(bool(given)) if name not in (SO_MARK, SO_INCOMING_CPU) else given
    endpoint.options[level, name] = given
    if (level, name) == (SOL_SOCKET, SO_SNDBUF):
        endpoint.notify(WRITABLE | WRBAND)  # sk_write_space
