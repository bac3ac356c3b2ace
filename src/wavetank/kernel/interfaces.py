"""The interfaces of a host as C code asks for them: `getifaddrs` and `freeifaddrs`.

Owns the answer to getifaddrs(3) in a world: `lo` and `eth0` with the addresses of the host, as `if_nameindex` counts
them. The real function would ask the real kernel by netlink, which is refused. Programs reach it by
`ctypes.CDLL(...).getifaddrs` (Twisted's tests, `ifaddr`; see `kernel.c_functions`). psutil's C module is
`kernel.netdevice`'s. The memory is ctypes' own and is kept until it is freed by name.

Layout: `struct ifaddrs` of ifaddrs.h, `struct sockaddr_in` and `sockaddr_in6` of netinet/in.h; order as glibc gives it:
first the IPv4 addresses of all interfaces, then those of IPv6 (measured; without the AF_PACKET entries, which hold
hardware addresses that these interfaces do not have).
"""

from __future__ import annotations

import ctypes
import ipaddress
import struct
from itertools import pairwise
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.addrinfo import INTERFACES
from wavetank.kernel.c_functions import answer
from wavetank.kernel.endpoint import AF_INET, AF_INET6
from wavetank.network.address import is_link_local

# net/if.h: up, broadcast, loopback, running, multicast
_UP, _BROADCAST, _LOOPBACK, _RUNNING, _MULTICAST = 0x1, 0x2, 0x8, 0x40, 0x1000
_FLAGS: Final = {"lo": _UP | _LOOPBACK | _RUNNING, "eth0": _UP | _BROADCAST | _RUNNING | _MULTICAST}
#: Lengths of the networks' prefixes: 127.0.0.0/8, ::1/128, and those of `network.address`.
_PREFIX: Final = {("lo", AF_INET): 8, ("lo", AF_INET6): 128, ("eth0", AF_INET): 16, ("eth0", AF_INET6): 64}
_FAMILY: Final = struct.Struct("=H")


class _Entry(ctypes.Structure):
    """`struct ifaddrs`."""

    _fields_ = (
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("flags", ctypes.c_uint),
        ("address", ctypes.c_void_p),
        ("netmask", ctypes.c_void_p),
        ("broadcast", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
    )


#: What programs hold: by the address of the first entry, everything that belongs to the list.
_held: dict[int, list[Any]] = {}


def addresses() -> list[tuple[str, str]]:
    """Interface and address, of the host that asks."""
    node = core.K.process.stack.node
    of_eth0 = [*node.addresses, *([node.link_local] if node.link_local not in node.addresses else [])]
    both = [("lo", "127.0.0.1"), ("lo", "::1"), *(("eth0", address) for address in of_eth0 if address)]
    return [each for each in both if ":" not in each[1]] + [each for each in both if ":" in each[1]]


def _sockaddr(packed: bytes, scope: int = 0) -> bytes:
    if len(packed) == 4:
        return _FAMILY.pack(AF_INET) + bytes(2) + packed + bytes(8)
    return _FAMILY.pack(AF_INET6) + bytes(6) + packed + struct.pack("=I", scope)


def with_network(interface: str, address: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """An address with the prefix of the network that it is in."""
    return ipaddress.ip_interface(f"{address}/{_PREFIX[interface, AF_INET6 if ':' in address else AF_INET]}")


def _entry(interface: str, address: str, held: list[Any]) -> _Entry:
    found = with_network(interface, address)
    network = found.network
    index = next(number for number, name in INTERFACES if name == interface)
    parts = [_sockaddr(found.packed, index if is_link_local(address) else 0), _sockaddr(network.netmask.packed)]
    if interface != "lo" and found.version == 4:
        parts.append(_sockaddr(network.broadcast_address.packed))
    buffers = [ctypes.create_string_buffer(part, len(part)) for part in parts]
    entry = _Entry(None, interface.encode(), _FLAGS[interface], *(ctypes.addressof(each) for each in buffers))
    held += [*buffers, entry]
    return entry


def _getifaddrs(result: int) -> int:
    held: list[Any] = []
    entries = [_entry(interface, address, held) for interface, address in addresses()]
    for entry, following in pairwise(entries):
        entry.next = ctypes.addressof(following)
    first = ctypes.addressof(entries[0])
    _held[first] = held
    ctypes.c_void_p.from_address(result).value = first
    return 0


def _freeifaddrs(first: int | None) -> None:
    _held.pop(first or 0, None)


def install() -> None:
    """Let ctypes find our two functions."""
    answer("getifaddrs", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_getifaddrs))
    answer("freeifaddrs", ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_freeifaddrs))
