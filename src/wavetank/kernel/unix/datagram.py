"""UNIX datagrams, and packets in sequence: whole messages from queue to queue.

Owns sending and receiving for SOCK_DGRAM and SOCK_SEQPACKET. A receiver that is not connected to the sender takes
`max_dgram_qlen` + 1 messages; two that are connected to each other are bounded by the sender's buffer alone.
Behaviour: net/unix/af_unix.c (`unix_dgram_sendmsg`, `unix_dgram_recvmsg`, `unix_seqpacket_*`), net/core/datagram.c
(`__skb_try_recv_datagram`).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from wavetank.kernel import core
from wavetank.kernel.control import Control
from wavetank.kernel.endpoint import MSG_CMSG_CLOEXEC, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_SEQPACKET, Message
from wavetank.kernel.file import error
from wavetank.kernel.tcp.state import CLOSE, ESTABLISHED
from wavetank.kernel.unix import buffers, names, rights
from wavetank.kernel.unix.parcel import Parcel
from wavetank.kernel.unix.stream import signature, take
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.unix.endpoint import Unix

_RCV_SHUTDOWN, _SEND_SHUTDOWN = 1, 2
_SEND, _RECEIVE = int(Kind.SEND), int(Kind.RECEIVE)
#: `unix_dgram_sendmsg`: a datagram is at most so much smaller than the buffer.
_OVERHEAD = 32


def may_send(sock: Unix, other: Unix) -> bool:
    """`unix_may_send`: a socket that is connected takes messages from its peer alone."""
    return other.peer is None or other.peer is sock


def _is_full(sock: Unix, other: Unix) -> bool:
    return other is not sock and other.peer is not sock and len(other.queue) > other.backlog


def starves(sock: Unix) -> bool:
    """Whether the peer's queue is full; then we are told when it no longer is (`unix_dgram_peer_wake_me`)."""
    peer = sock.peer
    if peer is None or peer.closed or not _is_full(sock, peer):
        return False
    if sock not in peer.starved:
        peer.starved.append(sock)
    return True


def check_packets(sock: Unix) -> None:
    """`unix_seqpacket_sendmsg`: an error and the state come before everything else."""
    sock.raise_error()
    if sock.state is not ESTABLISHED:
        raise error(errno.ENOTCONN)


def send(
    sock: Unix,
    data: memoryview | bytes,
    address: Any,
    flags: int,
    carried: list[rights.Right],
    claimed: rights.Credentials | None,
) -> int | None:
    """`unix_dgram_sendmsg`: all of it, or None when it does not fit now."""
    if sock.type == SOCK_SEQPACKET:
        address = None
    if flags & MSG_OOB:
        raise error(errno.EOPNOTSUPP)
    name = None if address is None else _destination(address)
    if sock.pass_credentials:
        names.autobind(sock)
    if len(data) > sock.send_buffer - _OVERHEAD:
        raise error(errno.EMSGSIZE)
    sock.raise_error()
    if sock.shut & _SEND_SHUTDOWN:
        raise error(errno.EPIPE)
    if sock.charged >= sock.send_buffer:
        return None
    # From here on the message has been made: when it is not delivered, its memory is free again (`sock_wfree`).
    try:
        other = _receiver(sock, name)
    except OSError:
        sock.freed()
        raise
    if _is_full(sock, other):
        if sock not in other.starved:
            other.starved.append(sock)
        if sock.nonblocking:
            sock.freed()
        return None
    _deliver(sock, other, data, carried, claimed)
    return len(data)


def _destination(address: Any) -> bytes:
    name = names.parse(address)
    if not name:
        raise error(errno.EINVAL)
    return name


def _receiver(sock: Unix, name: bytes | None) -> Unix:
    """Who gets it; ECONNREFUSED (once) if it is gone, EPERM if it talks to another, EPIPE if it has stopped reading.

    ENOTCONN if there is nobody: here since Linux 6.14; before, ahead of EMSGSIZE and EPIPE.
    """
    other = sock.peer if name is None else names.find(sock.stack, name, sock.type)
    if other is None:
        raise error(errno.ENOTCONN)
    if not may_send(sock, other):
        raise error(errno.EPERM)
    if other.closed:
        sock.peer = None
        sock.state = CLOSE
        sock.disconnected_from(other)
        raise error(errno.ECONNREFUSED)
    if other.shut & _RCV_SHUTDOWN:
        raise error(errno.EPIPE)
    return other


def _deliver(
    sock: Unix,
    other: Unix,
    data: memoryview | bytes,
    carried: list[rights.Right],
    claimed: rights.Credentials | None,
) -> None:
    whole = data if type(data) is bytes else bytes(data)
    cost = buffers.datagram_cost(len(whole))
    other.put(Parcel(sock, whole, cost, take(carried), signature(sock, other, claimed)))
    kernel = core.K
    kernel.recorder.event(kernel.now, _SEND, sock.number, len(whole), whole)
    sock.payload.add(whole)


def receive(sock: Unix, size: int, flags: int, ancillary_size: int) -> Message | None:
    """`unix_dgram_recvmsg`; None when nothing is there yet."""
    if sock.type == SOCK_SEQPACKET and sock.state is not ESTABLISHED:
        raise error(errno.ENOTCONN)
    if flags & MSG_OOB:
        raise error(errno.EOPNOTSUPP)
    sock.raise_error()
    if not sock.queue:
        # The end of a datagram socket shows only to a reader that would wait (`__skb_wait_for_more_packets`).
        ended = sock.shut & _RCV_SHUTDOWN and (sock.type == SOCK_SEQPACKET or not sock.nonblocking)
        return (b"", [], 0, None) if ended else None
    parcel = sock.queue[0]
    if flags & MSG_PEEK:
        carried = rights.duplicate(parcel.rights)
    else:
        sock.queue.popleft()
        carried = take(parcel.rights)
        sock.feed_starved()
    control = Control(ancillary_size)
    if sock.pass_credentials:
        control.put(rights.SOL_SOCKET, rights.SCM_CREDENTIALS, parcel.credentials.pack())
    if carried:
        rights.put_rights(control, carried, flags)
    if not flags & MSG_PEEK:
        parcel.free()
    data = cut(parcel.data, size, flags)
    kernel = core.K
    kernel.recorder.event(kernel.now, _RECEIVE, sock.number, len(data), data)
    message_flags = control.flags | flags & MSG_CMSG_CLOEXEC | (MSG_TRUNC if size < len(parcel.data) else 0)
    sender = parcel.sender.name
    return data, control.items, message_flags, names.display(sender) if sender else None


def cut(data: bytes, size: int, flags: int) -> bytes:
    """What a receiver with room for `size` bytes gets of a message.

    With MSG_TRUNC the call returns the true length, and CPython makes bytes of that length, whatever they hold.
    """
    part = data[:size]
    return part.ljust(len(data), b"\0") if flags & MSG_TRUNC else part
