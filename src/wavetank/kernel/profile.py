"""The kernel profile: which Linux a simulated host follows, and with which settings.

Owns the settings that administrators change and programs can see (sysctl), and the release where behaviour changed from
one to the next. Data only: what a setting does is the business of whoever reads it, by `stack.profile`. The default is
Linux 6.12 as it comes; `of_host` reads the machine's own, for comparisons with it.
Source: Documentation/networking/ip-sysctl.rst, Documentation/admin-guide/sysctl/net.rst.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Profile:
    """Settings of one simulated host. Sizes are bytes, times seconds."""

    #: Major and minor number of the release.
    release: tuple[int, int] = (6, 12)
    #: net.core
    somaxconn: int = 4_096
    rmem_default: int = 212_992
    rmem_max: int = 212_992
    wmem_default: int = 212_992
    wmem_max: int = 212_992
    #: net.unix
    max_dgram_qlen: int = 10
    #: net.ipv4
    ip_local_port_range: tuple[int, int] = (32_768, 60_999)
    tcp_rmem: tuple[int, int, int] = (4_096, 131_072, 6_291_456)
    tcp_wmem: tuple[int, int, int] = (4_096, 16_384, 4_194_304)
    tcp_syn_retries: int = 6
    tcp_syn_linear_timeouts: int = 4  # since 6.5; before, as if it were 0
    tcp_synack_retries: int = 5
    tcp_retries2: int = 15
    tcp_orphan_retries: int = 0
    tcp_fin_timeout: int = 60
    tcp_keepalive_time: int = 7_200
    tcp_keepalive_intvl: int = 75
    tcp_keepalive_probes: int = 9
    #: What TCP_CONGESTION says, and how far the send buffer grows; what is simulated is the same for all.
    tcp_congestion_control: str = "cubic"

    @property
    def send_buffer_factor(self) -> int:
        """How many congestion windows the send buffer holds: `sndbuf_expand` of BBR, else 2 (`tcp_sndbuf_expand`)."""
        return 3 if self.tcp_congestion_control == "bbr" else 2


DEFAULT: Final = Profile()
_FOLDERS: Final = {"somaxconn": "core", "max_dgram_qlen": "unix"} | dict.fromkeys(
    ("rmem_default", "rmem_max", "wmem_default", "wmem_max"), "core"
)


def of_host(read: Callable[[str], str] | None = None) -> Profile:
    """The profile of this machine; a setting that it does not show keeps its default.

    `read`: what reads a file of /proc/sys/net. Call it where that is the real one.
    """
    found: dict[str, Any] = {"release": tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])}
    for each in fields(Profile):
        if each.name == "release":
            continue
        try:
            text = (read or _read)(f"/proc/sys/net/{_FOLDERS.get(each.name, 'ipv4')}/{each.name}")
        except OSError:
            continue
        if each.name == "tcp_congestion_control":
            found[each.name] = text.strip()
            continue
        numbers = tuple(map(int, text.split()))
        found[each.name] = numbers if len(numbers) > 1 else numbers[0]
    if found["release"] < (6, 5):
        found["tcp_syn_linear_timeouts"] = 0
    return replace(DEFAULT, **found)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
