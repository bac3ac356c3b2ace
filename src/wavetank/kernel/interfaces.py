"""The interfaces of a host as C code asks for them: `getifaddrs` and `freeifaddrs`.

Owns the answer to getifaddrs(3) in a world: `lo` and `eth0` with the addresses of the host, as `if_nameindex` counts
them. The real function would ask the real kernel by netlink, which is refused. Programs reach it by
`ctypes.CDLL(...).getifaddrs` (Twisted's tests, `ifaddr`; see `kernel.c_functions`). psutil's C module is
`kernel.netdevice`'s. The memory is ctypes' own and is kept until it is freed by name.

Layout: `struct ifaddrs` of ifaddrs.h, `struct sockaddr_in` and `sockaddr_in6` of netinet/in.h, `struct sockaddr_ll` of
packet(7); order as glibc gives it (measured): the interfaces with their hardware addresses, then the IPv4 addresses of
all of them, then those of IPv6.
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
from wavetank.kernel.entropy import hardware_address
from wavetank.network.address import is_link_local

# linux/if.h
_UP, _BROADCAST, _LOOPBACK, _RUNNING, _MULTICAST, _LOWER_UP = 0x1, 0x2, 0x8, 0x40, 0x1000, 0x10000
FLAGS: Final = {
    "lo": _UP | _LOOPBACK | _RUNNING | _LOWER_UP,
    "eth0": _UP | _BROADCAST | _RUNNING | _MULTICAST | _LOWER_UP,
}
#: net/if_arp.h: what a hardware address is of.
HARDWARE: Final = {"lo": 772, "eth0": 1}
AF_PACKET: Final = 17
#: Lengths of the networks' prefixes: 127.0.0.0/8, ::1/128, and those of `network.address`.
_PREFIX: Final = {("lo", AF_INET): 8, ("lo", AF_INET6): 128, ("eth0", AF_INET): 16, ("eth0", AF_INET6): 64}
_FAMILY: Final = struct.Struct("=H")
_SOCKADDR_LL: Final = struct.Struct("=H2xiHBB8s")
_STATISTICS_BYTES: Final = 96  # `struct rtnl_link_stats`, of linux/if_link.h


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


def hardware_of(interface: str) -> bytes:
    """The hardware address, six bytes: all zeros for `lo`."""
    return (0 if interface == "lo" else hardware_address(core.K.process.host_name)).to_bytes(6, "big")


def broadcast_hardware(interface: str) -> bytes:
    """The hardware address that means all on the link: all zeros for `lo`."""
    return (b"\0" if interface == "lo" else b"\xff") * 6


def _index(interface: str) -> int:
    return next(number for number, name in INTERFACES if name == interface)


def _sockaddr_ll(interface: str, hardware: bytes) -> bytes:
    return _SOCKADDR_LL.pack(AF_PACKET, _index(interface), HARDWARE[interface], 0, len(hardware), hardware)


def _link(interface: str, held: list[Any]) -> _Entry:
    """The entry of an interface itself: it has no netmask, and nothing has been counted on it."""
    own, everybody = (
        _sockaddr_ll(interface, hardware_of(interface)),
        _sockaddr_ll(interface, broadcast_hardware(interface)),
    )
    parts = [own, everybody, bytes(_STATISTICS_BYTES)]
    buffers = [ctypes.create_string_buffer(part, len(part)) for part in parts]
    address, broadcast, data = (ctypes.addressof(each) for each in buffers)
    entry = _Entry(None, interface.encode(), FLAGS[interface], address, None, broadcast, data)
    held += [*buffers, entry]
    return entry


def _entry(interface: str, address: str, held: list[Any]) -> _Entry:
    found = with_network(interface, address)
    network = found.network
    parts = [
        _sockaddr(found.packed, _index(interface) if is_link_local(address) else 0),
        _sockaddr(network.netmask.packed),
    ]
    if found.version == 4:  # `lo` has none, and glibc gives its own address in the same place
        parts.append(_sockaddr(found.packed if interface == "lo" else network.broadcast_address.packed))
    buffers = [ctypes.create_string_buffer(part, len(part)) for part in parts]
    entry = _Entry(None, interface.encode(), FLAGS[interface], *(ctypes.addressof(each) for each in buffers))
    held += [*buffers, entry]
    return entry


def _getifaddrs(result: int) -> int:
    held: list[Any] = []
    entries = [_link(interface, held) for _, interface in INTERFACES]
    entries += [_entry(interface, address, held) for interface, address in addresses()]
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
