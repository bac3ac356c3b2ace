"""The buffer for control messages that a receiver offers to `recvmsg(2)`.

Owns what fits and what is cut, which does not depend on what the messages say. Behaviour: net/core/scm.c (`put_cmsg`).
"""

from __future__ import annotations

from typing import Final

from wavetank.kernel.endpoint import MSG_CTRUNC

HEADER: Final = 16  # CMSG_LEN(0) with 64-bit sizes


class Control:
    """The buffer for control messages that a receiver offers: what fits in goes in, the rest is cut."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.items: list[tuple[int, int, bytes]] = []
        self.flags = 0

    def put(self, level: int, kind: int, data: bytes) -> None:
        """One message (`put_cmsg`): cut, with MSG_CTRUNC, when there is not enough room."""
        if self.left < HEADER:
            self.flags |= MSG_CTRUNC
            return
        if self.left < HEADER + len(data):
            self.flags |= MSG_CTRUNC
            data = data[: self.left - HEADER]
        self.items.append((level, kind, data))
        self.left -= min(self.left, HEADER + (len(data) + 7) // 8 * 8)
