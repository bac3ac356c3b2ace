"""UDP as programs on Linux see it: endpoint (the socket's face), delivery, groups, ancillary, queue, errors.

Datagrams travel over `network.link.Path`, whole or not at all; on a calm loopback they arrive inside the system call
that sends them.
"""

from __future__ import annotations

from wavetank.kernel.udp.endpoint import Udp

__all__ = ["Udp"]
