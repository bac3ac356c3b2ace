"""What `getaddrinfo` does besides asking for names: flags, families, services, literal addresses, order of results.

Owns the rules of glibc's resolver (sysdeps/posix/getaddrinfo.c, release 2.36) as pure functions over text: nothing here
knows a host. `kernel.names` asks the world and puts both together.
"""

from __future__ import annotations

import _socket
import re
from typing import Final, NamedTuple

from wavetank.kernel.endpoint import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM

# include/netdb.h of glibc
AI_PASSIVE, AI_CANONNAME, AI_NUMERICHOST, AI_V4MAPPED, AI_ALL, AI_ADDRCONFIG = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
AI_NUMERICSERV: Final = 0x400
#: AI_IDN, AI_CANONIDN and their two deprecated companions: accepted, and of no effect on ASCII names.
_AI_IDN: Final = 0x40 | 0x80 | 0x100 | 0x200
_KNOWN_FLAGS: Final = (
    AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_V4MAPPED | AI_ALL | AI_ADDRCONFIG | AI_NUMERICSERV | _AI_IDN
)
EAI_BADFLAGS, EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_FAMILY, EAI_SOCKTYPE = -1, -2, -3, -4, -6, -7
EAI_SERVICE, EAI_ADDRFAMILY = -8, -9
#: sysdeps/posix/gai_strerror.c
_TEXTS: Final = {
    EAI_BADFLAGS: "Bad value for ai_flags",
    EAI_NONAME: "Name or service not known",
    EAI_AGAIN: "Temporary failure in name resolution",
    EAI_FAIL: "Non-recoverable failure in name resolution",
    EAI_FAMILY: "ai_family not supported",
    EAI_SOCKTYPE: "ai_socktype not supported",
    EAI_SERVICE: "Servname not supported for ai_socktype",
    EAI_ADDRFAMILY: "Address family for hostname not supported",
}
_SOCK_RAW, _SOCK_DCCP = 3, 6
_IPPROTO_TCP, _IPPROTO_UDP, _IPPROTO_DCCP, _IPPROTO_SCTP, _IPPROTO_UDPLITE = 6, 17, 33, 132, 136

#: The network interfaces of every host: index and name.
INTERFACES: Final = ((1, "lo"), (2, "eth0"))

#: ::ffff:0:0/96 (RFC 4291, 2.5.5.2)
_MAPPED: Final = bytes(10) + b"\xff\xff"
_IPV4_LETTERS: Final = re.compile(r"[0-9a-fA-FxX.]+", re.ASCII)
#: strtoul(3) on the whole text, as far as it is accepted.
_NUMBER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", re.ASCII)


def gai_error(number: int) -> _socket.gaierror:
    """The `socket.gaierror` for an EAI number."""
    return _socket.gaierror(number, _TEXTS[number])


class Offer(NamedTuple):
    """One combination that a result is made for: `socktype`, `protocol` and port."""

    kind: int
    protocol: int
    port: int


class Literal(NamedTuple):
    """A literal address: family, canonical text, and scope (the index of an interface, 0 for none)."""

    family: int
    address: str
    scope: int = 0


class _Protocol(NamedTuple):
    kind: int
    protocol: int
    default: bool
    name: str

    @property
    def raw(self) -> bool:
        """Any protocol goes, and services mean nothing (GAI_PROTO_PROTOANY, GAI_PROTO_NOSERVICE)."""
        return self.kind == _SOCK_RAW

    def suits(self, kind: int, protocol: int) -> bool:
        return kind in (0, self.kind) and (protocol in (0, self.protocol) or self.raw)


#: gaih_inet_typeproto
_PROTOCOLS: Final = (
    _Protocol(SOCK_STREAM, _IPPROTO_TCP, True, "tcp"),
    _Protocol(SOCK_DGRAM, _IPPROTO_UDP, True, "udp"),
    _Protocol(_SOCK_DCCP, _IPPROTO_DCCP, False, "dccp"),
    _Protocol(SOCK_DGRAM, _IPPROTO_UDPLITE, False, "udplite"),
    _Protocol(SOCK_STREAM, _IPPROTO_SCTP, False, "sctp"),
    _Protocol(SOCK_SEQPACKET, _IPPROTO_SCTP, False, "sctp"),
    _Protocol(_SOCK_RAW, 0, True, "raw"),
)


def check_flags(flags: int, *, has_name: bool) -> None:
    """EAI_BADFLAGS for unknown flags, and for a canonical name of nothing."""
    if flags & ~_KNOWN_FLAGS or (flags & AI_CANONNAME and not has_name):
        raise gai_error(EAI_BADFLAGS)


# ---- services


def service_number(service: str | None, flags: int) -> int | None:
    """The port that a service is: a number, -1 for a name (which AI_NUMERICSERV forbids), None for no service."""
    if not service:
        return None
    match = _NUMBER.fullmatch(service)
    if match is None:
        if flags & AI_NUMERICSERV:
            raise gai_error(EAI_NONAME)
        return -1
    # An unsigned long that is put into an int: what overflows the one is ULONG_MAX, -1 in the other.
    value = int(match[1])
    number = (value if -(2**64) < value < 2**64 else -1) & 0xFFFF_FFFF
    return number if number < 2**31 else -1


def offers(service: str | None, number: int | None, kind: int, protocol: int) -> list[Offer]:
    """The combinations of `get_servtuples`, for a service and its number (see `service_number`)."""
    asked = kind or protocol
    first = next((each for each in _PROTOCOLS if each.suits(kind, protocol)), None)
    if first is None:
        raise gai_error(EAI_SOCKTYPE if kind else EAI_SERVICE)
    if asked and number is not None and first.raw:
        raise gai_error(EAI_SERVICE)
    if number is None or number >= 0:
        port = (number or 0) & 0xFFFF
        if asked:
            return [Offer(first.kind, protocol if first.raw else first.protocol, port)]
        return [Offer(each.kind, each.protocol, port) for each in _PROTOCOLS if each.default]
    assert service is not None
    candidates = (first,) if asked else tuple(each for each in _PROTOCOLS if not each.raw)
    found = [Offer(each.kind, each.protocol, port) for each in candidates if (port := _port_of(service, each.name))]
    if not found:
        raise gai_error(EAI_SERVICE)
    return found


def _port_of(service: str, protocol: str) -> int:
    """The port of a named service, from the real /etc/services; 0 when there is none."""
    try:
        return _socket.getservbyname(service, protocol)
    except (OSError, UnicodeError):
        return 0


# ---- literal addresses


def literal(name: str, family: int = 0, flags: int = 0) -> Literal | None:
    """`name` as an address in any form that inet_aton(3) or inet_pton(3) knows, with zone; None when it is none.

    Made fit for the family asked for: mapped (AI_V4MAPPED), unmapped, or refused (EAI_ADDRFAMILY).
    """
    if _IPV4_LETTERS.fullmatch(name):
        try:
            address = _socket.inet_ntoa(_socket.inet_aton(name))
        except OSError:
            pass
        else:
            if family == AF_INET6 and not flags & AI_V4MAPPED:
                raise gai_error(EAI_ADDRFAMILY)
            return mapped(address) if family == AF_INET6 else Literal(AF_INET, address)
    address, percent, zone = name.partition("%")
    packed = packed_ipv6(address)
    if packed is None:
        return None
    address = _socket.inet_ntop(AF_INET6, packed)
    is_mapped = packed.startswith(_MAPPED)
    if family == AF_INET and not is_mapped:
        raise gai_error(EAI_ADDRFAMILY)
    scope = _scope(packed, zone) if percent else 0
    return Literal(AF_INET, address[7:]) if family == AF_INET else Literal(AF_INET6, address, scope)


def packed_ipv6(address: str) -> bytes | None:
    """The bytes of an IPv6 address without zone; None when it is none."""
    if ":" not in address or "\0" in address:
        return None
    try:
        return _socket.inet_pton(AF_INET6, address)
    except (OSError, UnicodeError):
        return None


def zone_is_a_name(packed: bytes) -> bool:
    """Whether an address is of one link (fe80::/10, ff01::/16, ff02::/16), so that its zone is an interface."""
    return (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80) or (packed[0] == 0xFF and packed[1] & 0x0F in (1, 2))


def _scope(packed: bytes, zone: str) -> int:
    """`__inet6_scopeid_pton`; EAI_NONAME for a zone that does not exist."""
    if zone_is_a_name(packed):
        for index, interface in INTERFACES:
            if interface == zone:
                return index
    if zone.isascii() and zone.isdigit() and int(zone) < 2**32:
        return int(zone)
    raise gai_error(EAI_NONAME)


def mapped(address: str) -> Literal:
    """An IPv4 address as an IPv6 one (RFC 4291, 2.5.5.2)."""
    return Literal(AF_INET6, f"::ffff:{address}")


def of_no_name(family: int, flags: int) -> list[Literal]:
    """The addresses for no name: to bind to (AI_PASSIVE), or of this host.

    The order is that of RFC 3484 as glibc sorts: for the wildcards, IPv4 is first, measured on Linux 6.12 and 6.18.
    """
    if flags & AI_PASSIVE:
        both = [Literal(AF_INET, "0.0.0.0"), Literal(AF_INET6, "::")]
    else:
        both = [Literal(AF_INET6, "::1"), Literal(AF_INET, "127.0.0.1")]
    return [each for each in both if family in (0, each.family)]


def choose(addresses: list[str], family: int, flags: int, *, ipv6_first: bool) -> list[Literal]:
    """Of a host's addresses those for the family asked for, in RFC 6724's order.

    Its table (section 2.1) puts unique local addresses, fc00::/7, behind IPv4; glibc's, which is older, before. Hosts
    of a world have such an address each, unlike most networks, where a program that listens on IPv4 alone and a
    client that tries the first address alone find each other: so here they do, too.
    """
    four = [Literal(AF_INET, each) for each in addresses if ":" not in each]
    six = [Literal(AF_INET6, each) for each in addresses if ":" in each]
    if family == AF_INET:
        return four
    if family == AF_INET6:
        if flags & AI_V4MAPPED and (flags & AI_ALL or not six):
            return six + [mapped(each.address) for each in four]
        return six
    if not ipv6_first:
        return four + six
    local = [each for each in six if _is_unique_local(each.address)]
    return [each for each in six if each not in local] + four + local


def _is_unique_local(address: str) -> bool:
    """RFC 4193: fc00::/7."""
    packed = packed_ipv6(address)
    return packed is not None and packed[0] & 0xFE == 0xFC


def narrowed(family: int, *, has_ipv4: bool, has_ipv6: bool) -> int:
    """AI_ADDRCONFIG: the family to look for on a host with these kinds of addresses, loopback not counted."""
    if family == 0:
        return 0 if has_ipv4 == has_ipv6 else AF_INET if has_ipv4 else AF_INET6
    if (family == AF_INET and not has_ipv4) or (family == AF_INET6 and not has_ipv6):
        raise gai_error(EAI_NONAME)
    return family


def sockaddr(found: Literal, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """The address tuple of a result."""
    if found.family == AF_INET:
        return found.address, port
    return found.address, port, 0, found.scope
