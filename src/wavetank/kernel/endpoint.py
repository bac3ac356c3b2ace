"""What every kind of simulated socket offers to the face that programs see.

Owns the interface between `kernel.socket` (the `_socket` module as programs see it: descriptors, timeouts, argument
checks) and the protocols (`tcp`, `udp`, `unix`). Operations here never wait: one that would have to returns None, and
the face parks the thread. Socket options are a table of their own: `kernel.options`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from wavetank.kernel.file import File, error

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack

# Linux include/linux/socket.h and include/linux/net.h
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET = 1, 2, 5
MSG_OOB, MSG_PEEK, MSG_CTRUNC, MSG_TRUNC, MSG_DONTWAIT, MSG_EOR, MSG_WAITALL = 0x1, 0x2, 0x8, 0x20, 0x40, 0x80, 0x100
MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_MORE, MSG_CMSG_CLOEXEC = 0x2000, 0x4000, 0x8000, 0x40000000
SHUT_RD, SHUT_WR, SHUT_RDWR = 0, 1, 2

#: One received message: data, ancillary items (level, type, bytes), message flags, sender's address.
Message = tuple[bytes, list[tuple[int, int, bytes]], int, Any]


class Endpoint(File):
    """A socket of any kind. The defaults refuse, as Linux does for a protocol without the operation."""

    __slots__ = ("family", "options", "pending_error", "protocol", "stack", "type")

    #: Whether what was received last ended where a message did that is not joined with the next (MSG_WAITALL ends).
    border = False

    def __init__(self, stack: Stack, kind: str, family: int, type_: int, protocol: int) -> None:
        super().__init__(kind)
        self.stack = stack
        self.family = family
        self.type = type_
        self.protocol = protocol
        self.pending_error = 0  # sk_err: reported once, by SO_ERROR or the next operation
        self.options: dict[tuple[int, int], int | bytes] = {}

    def take_error(self) -> int:
        """The pending error (an errno, 0 for none), which is thereby reported."""
        number, self.pending_error = self.pending_error, 0
        return number

    def raise_error(self) -> None:
        """Raise the pending error, if there is one."""
        if self.pending_error:
            raise error(self.take_error())

    def bind(self, address: Any) -> None:
        """`bind(2)`."""
        raise error(errno.EOPNOTSUPP)

    def listen(self, backlog: int) -> None:
        """`listen(2)`."""
        raise error(errno.EOPNOTSUPP)

    def connect(self, address: Any) -> bool:
        """`connect(2)`: True when connected now, False when under way (readable from `connecting`)."""
        raise error(errno.EOPNOTSUPP)

    def connecting(self) -> bool:
        """Whether a connect is under way. When it no longer is, `pending_error` says how it went."""
        return False

    def connect_reported(self) -> None:
        """The program has learnt from `connect` itself how that went."""

    def accept(self) -> tuple[Endpoint, Any] | None:
        """`accept(2)`: the new socket and its peer's address; None when none waits."""
        raise error(errno.EOPNOTSUPP)

    def send(self, data: memoryview | bytes, flags: int) -> int | None:
        """`send(2)`: how many bytes were taken; None when none can be now."""
        raise error(errno.ENOTCONN)

    def send_to(
        self, data: memoryview | bytes, address: Any, flags: int, ancillary: list[tuple[int, int, bytes]]
    ) -> int | None:
        """`sendto(2)`, `sendmsg(2)`; `address` None: to the peer."""
        if ancillary:
            raise error(errno.EINVAL)
        return self.send(data, flags)

    def receive(self, size: int, flags: int) -> bytes | None:
        """`recv(2)`: at most `size` bytes; b"" at the end; None when nothing is there yet."""
        message = self.receive_message(size, flags, 0)
        return None if message is None else message[0]

    def receive_message(self, size: int, flags: int, ancillary_size: int) -> Message | None:
        """`recvmsg(2)`; None when nothing is there yet."""
        raise error(errno.ENOTCONN)

    def shutdown(self, how: int) -> None:
        """`shutdown(2)`."""
        raise error(errno.ENOTCONN)

    def local_address(self) -> Any:
        """`getsockname(2)`, in Python's form of addresses."""
        raise error(errno.EOPNOTSUPP)

    def peer_address(self) -> Any:
        """`getpeername(2)`."""
        raise error(errno.ENOTCONN)

    def get_option(self, level: int, name: int) -> int | bytes | None:
        """The value of an option that this protocol computes; None: not one of its own (see `kernel.options`)."""
        return None

    def set_option(self, level: int, name: int, value: int | bytes) -> bool:
        """An option that acts at once; False: not one of its own."""
        return False

    def readable_bytes(self) -> int:
        """`FIONREAD`."""
        return 0

    def unsent_bytes(self) -> int:
        """`TIOCOUTQ`: bytes accepted and not yet acknowledged by the peer."""
        return 0

    # -- read(2) and write(2) on a socket

    def read(self, size: int) -> bytes:
        """`read(2)` = `recv` without flags; of nothing, without a look (`sock_read_iter`)."""
        if not size:
            return b""
        data = self.receive(size, 0)
        if data is None:
            raise error(errno.EAGAIN)
        return data

    def write(self, data: Any) -> int:
        """`write(2)` = `send` without flags."""
        count = self.send(data, 0)
        if count is None:
            raise error(errno.EAGAIN)
        return count
