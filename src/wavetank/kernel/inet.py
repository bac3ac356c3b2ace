"""Internet addresses in Python's form: what `_socket` accepts as an address tuple, and what it gives back.

Owns checking and its error texts (CPython Modules/socketmodule.c, `getsockaddrarg`), resolution of names in addresses,
and presentation. Inside the kernel an address is a string without zone, IPv4 ones always plain: all hosts are on one
link, so that of an address of fe80::/10 is known, and only what a program says about it is checked. Measured on Linux
6.18; net/ipv6/af_inet6.c (`__inet6_bind`), net/ipv6/tcp_ipv6.c (`tcp_v6_connect`).
"""

from __future__ import annotations

import errno
from operator import index
from typing import Any

from wavetank.kernel import names
from wavetank.kernel.addrinfo import INTERFACES
from wavetank.kernel.file import error
from wavetank.network.address import is_link_local, unmapped

_FAMILY_NAMES = {2: "AF_INET", 10: "AF_INET6"}
_ETHERNET = 2  # the index of `eth0` in `INTERFACES`


def parse_address(family: int, address: Any, call: str) -> tuple[str, int]:
    """`(ip, port)` of an address tuple; TypeError, OverflowError, OSError as CPython's `sock.bind` and its kin."""
    name = _FAMILY_NAMES[family]
    if not isinstance(address, tuple):
        raise TypeError(f"{call}(): {name} address must be tuple, not {type(address).__name__}")
    if family == 2 and len(address) != 2:
        raise TypeError(f"{name} address must be a pair (host, port)")
    if family == 10 and not 2 <= len(address) <= 4:
        raise TypeError(f"{name} address must be a tuple (host, port[, flowinfo[, scopeid]])")
    host, port = address[0], address[1]
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "surrogateescape")
    if not isinstance(host, str):
        raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")
    port = index(port)
    flow, _ = (index(each) & 0xFFFFFFFF for each in (*address[2:], 0, 0)[:2])
    ip = names.resolve(host, family)
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    if flow > 0xFFFFF:
        raise OverflowError(f"{call}(): flowinfo must be 0-1048575.")
    return ip, port


def display(family: int, ip: str, port: int) -> tuple[Any, ...]:
    """The address tuple that a program sees: `(host, port)` or `(host, port, flowinfo, scope)`."""
    if family == 2:
        return ip, port
    return (ip if ":" in ip else f"::ffff:{ip}"), port, 0, _ETHERNET if is_link_local(ip) else 0


def _zone(address: tuple[Any, ...]) -> int:
    return index(address[3]) & 0xFFFFFFFF if len(address) > 3 else 0


def check_own_zone(ip: str, address: tuple[Any, ...]) -> None:
    """What `bind` says to the scope of an address of fe80::/10: EINVAL for none, ENODEV, EADDRNOTAVAIL for another."""
    zone = _zone(address)
    if is_link_local(ip) and zone != _ETHERNET:
        known = any(number == zone for number, _ in INTERFACES)
        raise error(errno.EADDRNOTAVAIL if known else errno.ENODEV if zone else errno.EINVAL)


def check_zone(ip: str, address: tuple[Any, ...], local_ip: str) -> None:
    """What `connect` says to the scope of an address of fe80::/10: EINVAL for none, ENETUNREACH for another.

    A socket bound to such an address is bound to its interface: it needs no scope, and bears no other one (EINVAL).
    """
    if is_link_local(ip):
        zone, is_bound = _zone(address), is_link_local(local_ip)
        if zone != _ETHERNET and not (is_bound and not zone):
            raise error(errno.ENETUNREACH if zone and not is_bound else errno.EINVAL)


def plain(family: int, ip: str) -> str:
    """`ip` for tables and routing; EINVAL-like mistakes of family raise EAFNOSUPPORT."""
    if family == 2 and ":" in ip:
        raise error(errno.EAFNOSUPPORT)
    return unmapped(ip)
