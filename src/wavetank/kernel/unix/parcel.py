"""One message in the queue of a UNIX socket.

Owns what a message is made of, and the moment when its sender gets its memory back. Source: `struct sk_buff` and
`UNIXCB`, include/net/af_unix.h; net/core/sock.c (`sock_wfree`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavetank.kernel.unix import rights

if TYPE_CHECKING:
    from wavetank.kernel.unix.endpoint import Unix


class Parcel:
    """One message in a queue (`struct sk_buff`); of its data, `start` bytes have been read."""

    __slots__ = ("cost", "credentials", "data", "rights", "sender", "start")

    def __init__(
        self, sender: Unix, data: bytes, cost: int, rights: list[rights.Right], credentials: rights.Credentials
    ) -> None:
        self.sender = sender
        self.data = data
        self.cost = cost
        self.rights = rights
        self.credentials = credentials
        self.start = 0

    def free(self) -> None:
        """It is read, or thrown away: the sender has its memory back."""
        if self.rights:
            rights.drop(self.rights)
        sender = self.sender
        sender.charged -= self.cost
        assert sender.charged >= 0, f"{sender.describe()} got back more than it was charged"
        if not sender.closed:
            sender.freed()
