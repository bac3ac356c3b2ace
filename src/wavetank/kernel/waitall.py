"""`MSG_WAITALL`: a call that waits until it has all that it asked for.

Owns when such a call ends before that. It never decides whether a call may wait: its caller does. Behaviour:
net/ipv4/tcp.c (`tcp_recvmsg_locked`) and net/unix/af_unix.c (`unix_stream_read_generic`).
"""

from __future__ import annotations

from collections.abc import Callable

from wavetank.kernel.endpoint import AF_UNIX, SOCK_STREAM, Endpoint, Message
from wavetank.kernel.file import ERR, HUP, RDHUP


def receive(
    file: Endpoint, size: int, flags: int, ancillary_size: int, first: Message, wait: Callable[[], None]
) -> Message:
    """The rest of `size` bytes behind `first`, up to an end, an error or a border between messages.

    What has come is returned then. The error of a TCP socket stays for the next call; that of a UNIX socket is lost, as
    `sock_error` was asked for it.
    """
    parts, ancillary = [first[0]], list(first[1])
    message_flags, left = first[2], size - len(first[0])
    while left and not file.border and not (file.pending_error and file.family != AF_UNIX):
        try:
            more = file.receive_message(left, flags, ancillary_size)
        except OSError:
            break
        if more is None:
            wait()
            continue
        if not more[0]:
            break
        parts.append(more[0])
        known = {item[:2] for item in ancillary}  # who it is from is said once
        ancillary += [item for item in more[1] if item[:2] not in known]
        message_flags |= more[2]
        left -= len(more[0])
    return b"".join(parts), ancillary, message_flags, first[3]


def peek(
    file: Endpoint, size: int, flags: int, ancillary_size: int, first: Message, wait: Callable[[], None]
) -> Message:
    """With MSG_PEEK: TCP waits until all of `size` bytes could be read; a UNIX socket looks once."""
    while file.family != AF_UNIX and len(first[0]) < size and not file.poll() & (RDHUP | ERR | HUP):
        wait()
        first = file.receive_message(size, flags, ancillary_size) or first
    return first


def ended(file: Endpoint) -> None:
    """A call that must not wait has got less than it wanted: a UNIX stream has looked for an error, too."""
    if file.family == AF_UNIX and file.type == SOCK_STREAM and not file.border:
        file.take_error()
