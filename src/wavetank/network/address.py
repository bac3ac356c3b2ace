"""Addresses of simulated hosts: which they get, and what kind an address is.

Owns the numbering plan of a world. Hosts get 10.0.0.0/16 (RFC 1918) and fd00::/64 (RFC 4193) addresses in the order in
which they are made, so that the same scenario always has the same addresses; and, if they have IPv6, one of fe80::/64,
which holds on the one link between them (RFC 4291, 2.5.6).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

#: Hosts of one world; the plan below has room for so many.
MAX_HOSTS = 65_000


def host_addresses(number: int) -> tuple[str, str]:
    """The IPv4 and IPv6 address of the host made as the `number`-th (from 1)."""
    assert 0 < number <= MAX_HOSTS, f"a world has at most {MAX_HOSTS} hosts"
    return f"10.0.{number >> 8}.{number & 255}", f"fd00::{number:x}"


def link_local_address(number: int) -> str:
    """The address on the link of the host made as the `number`-th (from 1)."""
    return f"fe80::{number:x}"


@lru_cache(maxsize=4096)
def is_link_local(address: str) -> bool:
    """fe80::/10."""
    return address.startswith(("fe8", "fe9", "fea", "feb"))


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """127.0.0.0/8, ::1, and the IPv4 ones written as IPv6."""
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"


@lru_cache(maxsize=4096)
def unmapped(address: str) -> str:
    """`::ffff:10.0.0.1` as `10.0.0.1` (RFC 4291, 2.5.5.2); other addresses as they are."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address


@lru_cache(maxsize=4096)
def is_multicast(address: str) -> bool:
    """224.0.0.0/4 or ff00::/8."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_multicast
    except ValueError:
        return False
