"""Names of hosts and services as simulated programs see them: the resolver part of `_socket`.

Owns the calls from `getaddrinfo` to `if_nameindex`, and the question which name means which host. The hosts of the
world are all there is: a resolver with an /etc/hosts that lists them, and no DNS. A name that no host has is not
known, and `on_unknown` hears of it, because in a program that works for real it means: this host is missing here.
Services and protocols are those of the real /etc/services. Rules and error texts: `kernel.addrinfo`, and CPython's
Modules/socketmodule.c.

Asking for another host costs `LOOKUP_NS`; literal addresses, `localhost` and the host's own name cost nothing more
than the call. Every result is in a fixed order.
"""

from __future__ import annotations

import _socket
import errno
import operator
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from wavetank.kernel import addrinfo, core
from wavetank.kernel.addrinfo import (
    AI_ADDRCONFIG,
    AI_CANONNAME,
    AI_NUMERICHOST,
    EAI_AGAIN,
    EAI_BADFLAGS,
    EAI_FAMILY,
    EAI_NONAME,
    EAI_SERVICE,
    INTERFACES,
    Literal,
    gai_error,
)
from wavetank.kernel.core import TIMEOUT
from wavetank.kernel.endpoint import AF_INET, AF_INET6
from wavetank.kernel.file import error
from wavetank.kernel.replace import public_calls
from wavetank.trace.schema import Kind

#: A question to a name server next door, and its answer.
LOOKUP_NS: Final = 100_000
#: What /etc/hosts of Debian says of the host itself. The first is its canonical name.
_LOCAL: Final = ("localhost", "ip6-localhost", "ip6-loopback")
# include/netdb.h of glibc
_NI_NUMERICHOST, _NI_NUMERICSERV, _NI_NOFQDN, _NI_NAMEREQD, _NI_DGRAM = 1, 2, 4, 8, 16
_NI_KNOWN: Final = 0x1F | 0xE0  # and NI_IDN with its two companions
_HOST_NOT_FOUND, _NO_RECOVERY = 1, 3  # h_errno
_KIND_LOOKUP: Final = int(Kind.LOOKUP)

#: Called with each name that is no host of the world. The world sets it, to tell the user.
on_unknown: Callable[[str], object] = lambda name: None  # noqa: E731  # a seam: a function that is replaced


class _Waiting:
    """Why a thread waits, as text when it is asked for."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"looking up {self.name!r}"


# ---- which name means which host


def _ask(name: str) -> tuple[str, list[str]] | None:
    """Canonical name and addresses for a name, or None. Faults of the family `names` act here: `gaierror`."""
    kernel = core.K
    stack = kernel.process.stack
    plain = name.lower().removesuffix(".")
    if plain in _LOCAL:
        # With AF_INET, nss_files gives the IPv4 loopback for the IPv6 names, too.
        return _LOCAL[0], ["::1", "127.0.0.1"]
    if plain != stack.node.name.lower():
        failure = stack.fabric.name_failure(stack.name, plain)
        slow = failure is not None and failure.kind == "slow"
        deadline = kernel.now + LOOKUP_NS + (round(failure.delay_s * 1e9) if failure is not None and slow else 0)
        while kernel.park(_Waiting(name), deadline) is not TIMEOUT:
            pass
        if failure is not None and not slow:
            code = EAI_AGAIN if failure.kind == "try-again" else EAI_NONAME
            _record(name, code)
            raise gai_error(code)
    node = stack.fabric.nodes.get(plain)
    if node is None:
        node = next((each for key, each in stack.fabric.nodes.items() if key.lower() == plain), None)
    return None if node is None else (node.name, node.addresses)


def _name_of(address: str) -> str | None:
    """The name of the host that has an address."""
    if address in ("127.0.0.1", "::1"):
        return _LOCAL[0]
    node = core.K.process.stack.fabric.by_address.get(address)
    return None if node is None or address not in node.addresses else node.name


def _has(version: int) -> bool:
    """Whether this host has addresses of IP version 4 or 6."""
    return any((":" in each) == (version == 6) for each in core.K.process.stack.node.addresses)


def _record(name: str, value: int) -> None:
    kernel = core.K
    kernel.recorder.event(kernel.now, _KIND_LOOKUP, 0, value, name.encode("utf-8", "surrogateescape"))


def _find(name: str, family: int, flags: int) -> tuple[list[Literal], str]:
    """The addresses of a name, literal or not, and its canonical name. Raises `gaierror`."""
    given = addrinfo.literal(name, family, flags)
    if given is not None:
        return [given], name
    if flags & AI_NUMERICHOST or not name:
        raise gai_error(EAI_NONAME)
    answer = _ask(name)
    found = []
    if answer is not None:
        canonical, addresses = answer
        if name.lower().startswith("ip6-") and family == 0:
            addresses = ["::1"]
        found = addrinfo.choose(addresses, family, flags, ipv6_first=canonical == _LOCAL[0] or _has(6))
    else:
        on_unknown(name)
    if not found or answer is None:  # a host without an address of this family is as unknown
        _record(name, EAI_NONAME)
        raise gai_error(EAI_NONAME)
    _record(name, len(found))
    return found, answer[0]


# ---- names in addresses of sockets


@lru_cache(maxsize=4096)
def _plain_literal(host: str, family: int) -> str | None:
    """An address as inet_pton(3) takes it, in canonical form; None when it is none of this family."""
    try:
        if family in (0, AF_INET) and ":" not in host:
            return _socket.inet_ntop(AF_INET, _socket.inet_pton(AF_INET, host))
        if family in (0, AF_INET6) and "%" not in host:
            return _socket.inet_ntop(AF_INET6, _socket.inet_pton(AF_INET6, host))
    except (OSError, ValueError):
        pass
    return None


def resolve(host: str, family: int) -> str:
    """The IP address that `host` in an address tuple means (CPython's `setipaddr`): canonical, without zone.

    `family` is AF_INET, AF_INET6, or 0 for any. Raises `gaierror`, and `OSError` for a broadcast address of IPv6.
    """
    address = _plain_literal(host, family)
    if address is not None:
        return address if address != "255.255.255.255" or family != AF_INET6 else _mismatch()
    if host == "":
        if family == 0:
            raise OSError("wildcard resolved to multiple address")
        return "0.0.0.0" if family == AF_INET else "::"
    if host in ("<broadcast>", "255.255.255.255"):
        return "255.255.255.255" if family != AF_INET6 else _mismatch()
    found, _ = _find(host if host.isascii() else host.encode("idna").decode("ascii"), family, 0)
    return found[0].address


def _mismatch() -> str:
    raise OSError("address family mismatched")


# ---- the calls


def _host_text(host: Any, call: str) -> str:
    """A host argument ("et" with the codec idna): str, bytes or bytearray."""
    if isinstance(host, str):
        return host.encode("idna").decode("ascii")
    if isinstance(host, (bytes, bytearray)):
        return bytes(host).decode("utf-8", "surrogateescape")
    kind = "None" if host is None else type(host).__name__
    raise TypeError(f"{call}() argument 1 must be str, bytes or bytearray, not {kind}")


def _service_text(port: Any) -> str | None:
    if port is None:
        return None
    if isinstance(port, str):
        port.encode()  # raises what PyUnicode_AsUTF8 raises for lone surrogates
        return port
    if type(port) is int:
        return str(port)
    if isinstance(port, bytes):
        return port.decode("utf-8", "surrogateescape")
    raise OSError("Int or String expected")


class _Names:
    """The calls of `_socket` that concern names."""

    __slots__ = ()

    def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        """`getaddrinfo(3)` as `_socket` gives it: plain integers."""
        family, kind, protocol, flags = map(operator.index, (family, type, proto, flags))
        if host is not None and not isinstance(host, (str, bytes)):
            raise TypeError("getaddrinfo() argument 1 must be string or None")
        name = None if host is None else _host_text(host, "getaddrinfo")
        service = _service_text(port)
        sys.audit("socket.getaddrinfo", host, port, family, kind, protocol)
        core.K.tick()
        name = None if name == "*" else name
        service = None if service == "*" else service
        if name is None and service is None:
            raise gai_error(EAI_NONAME)
        addrinfo.check_flags(flags, has_name=name is not None)
        if flags & AI_ADDRCONFIG:
            family = addrinfo.narrowed(family, has_ipv4=_has(4), has_ipv6=_has(6))
        if family not in (0, AF_INET, AF_INET6):
            raise gai_error(EAI_FAMILY)
        number = addrinfo.service_number(service, flags)
        offers = addrinfo.offers(service, number, kind, protocol)
        if name is None:
            found, canonical = addrinfo.of_no_name(family, flags), ""
        else:
            found, canonical = _find(name, family, flags)
        results = [
            (each.family, offer.kind, offer.protocol, "", addrinfo.sockaddr(each, offer.port))
            for each in found
            for offer in offers
        ]
        if flags & AI_CANONNAME:
            results[0] = (*results[0][:3], canonical, results[0][4])
        return results

    def gethostbyname(self, hostname: Any, /) -> str:
        """The first IPv4 address of a name."""
        name = _host_text(hostname, "gethostbyname")
        sys.audit("socket.gethostbyname", hostname)
        core.K.tick()
        return resolve(name, AF_INET)

    def gethostbyname_ex(self, hostname: Any, /) -> tuple[str, list[str], list[str]]:
        """Canonical name, other names (none here), IPv4 addresses."""
        name = _host_text(hostname, "gethostbyname_ex")
        sys.audit("socket.gethostbyname", hostname)
        core.K.tick()
        first = resolve(name, AF_INET)
        if name in ("", "<broadcast>"):
            raise _socket.herror(_NO_RECOVERY, "Unknown server error")
        if addrinfo.literal(name) is not None:
            return name, [], [first]
        found, canonical = _find(name, AF_INET, 0)
        return canonical, [], [each.address for each in found]

    def gethostbyaddr(self, ip_address: Any, /) -> tuple[str, list[str], list[str]]:
        """The name of the host that has an address; of a name, that of its first address."""
        name = _host_text(ip_address, "gethostbyaddr")
        sys.audit("socket.gethostbyaddr", ip_address)
        core.K.tick()
        address = resolve(name, 0)
        found = _name_of(address)
        if found is None:
            raise _socket.herror(_HOST_NOT_FOUND, "Unknown host")
        return found, list(_LOCAL[1:]) if address == "::1" else [], [address]

    def getnameinfo(self, sockaddr: Any, flags: int, /) -> tuple[str, str]:
        """Host and service of an address tuple."""
        flags = operator.index(flags)
        host, port, scope = _sockaddr_parts(sockaddr)
        sys.audit("socket.getnameinfo", sockaddr)
        core.K.tick()
        number = addrinfo.service_number(str(port), 0)
        if number is None or number < 0:
            raise gai_error(EAI_SERVICE)
        given = addrinfo.literal(host) if host else None
        if given is None:
            raise gai_error(EAI_NONAME)
        if given.family == AF_INET and len(sockaddr) != 2:
            raise OSError("IPv4 sockaddr must be 2 tuple")
        if flags & ~_NI_KNOWN:
            raise gai_error(EAI_BADFLAGS)
        return _host_shown(given.address, scope, flags), _service_shown(number & 0xFFFF, flags)

    def gethostname(self) -> str:
        """The name of this host."""
        sys.audit("socket.gethostname")
        return core.K.process.stack.name

    def sethostname(self, name: Any, /) -> None:
        """Refused, as for every user without CAP_SYS_ADMIN."""
        os.fsencode(name)
        raise error(errno.EPERM)

    def if_nameindex(self) -> list[tuple[int, str]]:
        """The interfaces of a host: the same two on each."""
        return list(INTERFACES)

    def if_nametoindex(self, if_name: Any, /) -> int:
        """The index of an interface."""
        wanted = os.fsdecode(if_name)
        for index, name in INTERFACES:
            if name == wanted:
                return index
        raise OSError("no interface with this name")

    def if_indextoname(self, if_index: Any, /) -> str:
        """The name of an interface."""
        for index, name in INTERFACES:
            if index == if_index:
                return name
        known_to_linux = type(if_index) is int and 0 <= if_index < 1 << 32
        return _real_indextoname(0 if known_to_linux else if_index)  # which refuses it


_real_indextoname = _socket.if_indextoname


def _sockaddr_parts(sockaddr: Any) -> tuple[str, int, int]:
    """Host, port and scope of the argument of `getnameinfo`, checked as CPython does."""
    if not isinstance(sockaddr, tuple):
        raise TypeError("getnameinfo() argument 1 must be a tuple")
    if not 2 <= len(sockaddr) <= 4 or not isinstance(sockaddr[0], str):
        raise TypeError("getnameinfo(): illegal sockaddr argument")
    port, flowinfo, scope = map(operator.index, (*sockaddr[1:], 0, 0)[:3])
    if flowinfo > 0xFFFFF:
        raise OverflowError("getnameinfo(): flowinfo must be 0-1048575.")
    return sockaddr[0], port, scope


def _host_shown(address: str, scope: int, flags: int) -> str:
    if not flags & _NI_NUMERICHOST:
        name = _name_of(address)
        if name is not None:
            return name
    if flags & _NI_NAMEREQD:
        raise gai_error(EAI_NONAME)
    packed = addrinfo.packed_ipv6(address)
    if not scope or packed is None:
        return address
    names = dict(INTERFACES) if addrinfo.zone_is_a_name(packed) else {}
    return f"{address}%{names.get(scope, scope)}"


def _service_shown(port: int, flags: int) -> str:
    if not flags & _NI_NUMERICSERV:
        try:
            return _socket.getservbyport(port, "udp" if flags & _NI_DGRAM else "tcp")
        except OSError:
            pass
    return str(port)


_calls = _Names()
#: Names of the calls that take the place of those of `_socket`; each is an attribute of this module.
FUNCTIONS: Final = tuple(sorted(public_calls(_calls)))
getaddrinfo = _calls.getaddrinfo
gethostbyaddr = _calls.gethostbyaddr
gethostbyname = _calls.gethostbyname
gethostbyname_ex = _calls.gethostbyname_ex
gethostname = _calls.gethostname
getnameinfo = _calls.getnameinfo
if_indextoname = _calls.if_indextoname
if_nameindex = _calls.if_nameindex
if_nametoindex = _calls.if_nametoindex
sethostname = _calls.sethostname


def install() -> None:
    """Put the calls into `_socket`, and into `socket` if it is imported already."""
    for name in FUNCTIONS:
        getattr(_calls, name).__func__.__module__ = "_socket"
    for module in (sys.modules.get("_socket"), sys.modules.get("socket")):
        for name in FUNCTIONS:
            if module is not None and not (module.__name__ == "socket" and name == "getaddrinfo"):
                setattr(module, name, getattr(_calls, name))
