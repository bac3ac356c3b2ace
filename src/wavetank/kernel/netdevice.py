"""The network interfaces of a host, `lo` and `eth0`, as `ioctl` on a socket tells of them, and as `psutil` does.

Owns those two answers; getifaddrs(3), which most libraries ask, is `kernel.interfaces`'. psutil asks it in C, past
ctypes, and the guard refuses the netlink socket that it needs. Behaviour: netdevice(7), net/core/dev_ioctl.c,
net/ipv4/devinet.c (`devinet_ioctl`).
"""

from __future__ import annotations

import errno
import ipaddress
import struct
from typing import Any, Final

from wavetank.kernel import interfaces
from wavetank.kernel.addrinfo import INTERFACES
from wavetank.kernel.endpoint import AF_INET, AF_INET6
from wavetank.kernel.file import error
from wavetank.kernel.replace import when_imported

# include/uapi/linux/sockios.h
_FLAGS, _ADDRESS, _BROADCAST, _NETMASK, _MTU, _HARDWARE, _INDEX = 0x8913, 0x8915, 0x8919, 0x891B, 0x8921, 0x8927, 0x8933
#: Requests whose `struct ifreq` begins with the name of an interface.
REQUESTS: Final = frozenset({_FLAGS, _ADDRESS, _BROADCAST, _NETMASK, _MTU, _HARDWARE, _INDEX})
_NAME_BYTES: Final = 16  # IFNAMSIZ
_REQUEST_BYTES: Final = 40
_MTUS: Final = {"eth0": 1_500, "lo": 65_536}


def _networks() -> list[tuple[str, ipaddress.IPv4Interface | ipaddress.IPv6Interface]]:
    """Interface and address with its network, of the host that asks."""
    return [(name, interfaces.with_network(name, address)) for name, address in interfaces.addresses()]


def request(number: int, given: bytes) -> bytes:
    """The buffer after an `ioctl` of `REQUESTS`: ENODEV for an unknown interface, EADDRNOTAVAIL without IPv4."""
    padded = given.ljust(_REQUEST_BYTES, b"\0")
    name = padded[:_NAME_BYTES].split(b"\0")[0].decode("latin-1").partition(":")[0]
    index = next((index for index, known in INTERFACES if known == name), None)
    if index is None:
        raise error(errno.ENODEV)
    if number == _INDEX:
        answer = struct.pack("=i", index)
    elif number == _MTU:
        answer = struct.pack("=i", _MTUS[name])
    elif number == _FLAGS:
        answer = struct.pack("=H", interfaces.FLAGS[name] & 0xFFFF)  # a short
    elif number == _HARDWARE:
        answer = struct.pack("=H", interfaces.HARDWARE[name]) + interfaces.hardware_of(name)
    else:
        answer = _ipv4(number, name)
    return (padded[:_NAME_BYTES] + answer + padded[_NAME_BYTES + len(answer) :])[: len(given)]


def _ipv4(number: int, name: str) -> bytes:
    """A `struct sockaddr_in` without a port."""
    first = next((found for interface, found in _networks() if interface == name and found.version == 4), None)
    if first is None:
        raise error(errno.EADDRNOTAVAIL)
    if number == _ADDRESS:
        packed = first.ip.packed
    elif number == _NETMASK:
        packed = first.netmask.packed
    else:
        packed = bytes(4) if name == "lo" else first.network.broadcast_address.packed
    return struct.pack("=HH", AF_INET, 0) + packed + bytes(8)


# ---- psutil


def _shown(name: str, network: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str:
    """As getnameinfo(3) writes it: an address of the link with its zone."""
    return f"{network.ip}%{name}" if network.ip.is_link_local else str(network.ip)


class _Psutil:
    """What psutil's C module says of interfaces."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def net_if_addrs(self) -> list[tuple[str, int, str, str | None, str | None, str | None]]:
        """Name, family, address, mask, broadcast address, peer."""
        found: list[tuple[str, int, str, str | None, str | None, str | None]] = []
        for name, network in _networks():
            four = network.version == 4
            broadcast = str(network.network.broadcast_address) if four and name != "lo" else None
            family = AF_INET if four else AF_INET6
            found.append((name, family, _shown(name, network), str(network.netmask), broadcast, None))
        for _, name in INTERFACES:
            broadcast = None if name == "lo" else interfaces.broadcast_hardware(name).hex(":")
            found.append((name, interfaces.AF_PACKET, interfaces.hardware_of(name).hex(":"), None, broadcast, None))
        return found

    def net_if_stats(self) -> dict[str, Any]:
        """By name: up, duplex, speed, MTU, flags."""
        common: Any = getattr(self._module, "ntp", None) or self._module._common
        flags = {"lo": "up,loopback,running", "eth0": "up,broadcast,running,multicast"}
        unknown = self._module.NIC_DUPLEX_UNKNOWN
        return {name: common.snicstats(True, unknown, 0, _MTUS[name], flags[name]) for _, name in INTERFACES}


def _patch_psutil(module: Any) -> None:
    own = _Psutil(module)
    module.net_if_addrs = own.net_if_addrs
    module.net_if_stats = own.net_if_stats


def install() -> None:
    """Change psutil as soon as it is imported."""
    when_imported("psutil._pslinux", _patch_psutil)
