"""UNIX streams: how bytes get into the peer's queue and out of it.

Owns sending and receiving for SOCK_STREAM. A write becomes messages of up to 36 KiB in the peer's queue; a read takes
bytes across messages, and stops after one that carried descriptors. Behaviour: net/unix/af_unix.c
(`unix_stream_sendmsg`, `unix_stream_read_generic`).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from wavetank.errors import NotSimulatedOSError
from wavetank.kernel import core
from wavetank.kernel.control import Control
from wavetank.kernel.endpoint import MSG_CMSG_CLOEXEC, MSG_OOB, MSG_PEEK, Message
from wavetank.kernel.file import error
from wavetank.kernel.pipe import broken_pipe
from wavetank.kernel.tcp.state import ESTABLISHED
from wavetank.kernel.unix import buffers, names, rights
from wavetank.kernel.unix.parcel import Parcel
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.unix.endpoint import Unix

_RCV_SHUTDOWN, _SEND_SHUTDOWN = 1, 2
_SEND, _RECEIVE = int(Kind.SEND), int(Kind.RECEIVE)


def send(
    sock: Unix,
    data: memoryview | bytes,
    address: Any,
    flags: int,
    carried: list[rights.Right],
    claimed: rights.Credentials | None,
) -> int | None:
    """`unix_stream_sendmsg`: how many bytes were taken; None when none can be now."""
    if flags & MSG_OOB:
        raise _no_urgent_data("send")
    if address is not None:
        names.parse(address)
        raise error(errno.EISCONN if sock.state is ESTABLISHED else errno.EOPNOTSUPP)
    peer = sock.peer
    if peer is None:
        raise error(errno.ENOTCONN)
    if sock.shut & _SEND_SHUTDOWN:
        raise broken_pipe(flags)
    size = len(data)
    sent = 0
    while sent < size:
        problem = _obstacle(sock, peer)
        if problem and not sent:
            raise broken_pipe(flags) if problem == errno.EPIPE else error(problem)
        if problem or sock.charged >= sock.send_buffer:
            break
        piece = buffers.stream_piece(size - sent, sock.send_buffer)
        part = data if type(data) is bytes and piece == size else bytes(data[sent : sent + piece])
        peer.put(Parcel(sock, part, buffers.stream_cost(piece), take(carried), signature(sock, peer, claimed)))
        sent += piece
    if size and not sent:
        return None
    kernel = core.K
    taken = data[:sent]
    kernel.recorder.event(kernel.now, _SEND, sock.number, sent, taken)
    sock.payload.add(taken)
    return sent


def _obstacle(sock: Unix, peer: Unix) -> int:
    """What keeps a message from being sent: an errno, or 0."""
    if sock.pending_error:
        return sock.take_error()
    return errno.EPIPE if peer.closed or peer.shut & _RCV_SHUTDOWN else 0


def take(carried: list[rights.Right]) -> list[rights.Right]:
    """The rights, which from now on belong to the message."""
    taken = carried[:]
    carried.clear()
    return taken


def signature(sock: Unix, peer: Unix, claimed: rights.Credentials | None) -> rights.Credentials:
    """Who a message is from (`maybe_add_creds`): known if the sender says so, or one of the two wants it to be."""
    if claimed is not None:
        return claimed
    wanted = sock.pass_credentials or peer.pass_credentials or not peer.accepted
    return rights.mine() if wanted else rights.UNKNOWN


def _no_urgent_data(call: str) -> OSError:
    return NotSimulatedOSError(
        f"socket.{call}(MSG_OOB)", "urgent data of UNIX sockets is not simulated", errno=errno.EOPNOTSUPP
    )


def receive(sock: Unix, size: int, flags: int, ancillary_size: int) -> Message | None:
    """`unix_stream_read_generic`; None when nothing is there yet."""
    if sock.state is not ESTABLISHED:
        raise error(errno.EINVAL)
    if flags & MSG_OOB:
        raise _no_urgent_data("recv")
    if not sock.queue:
        if sock.pending_error:
            raise error(sock.take_error())
        if not sock.shut & _RCV_SHUTDOWN:
            return None
        control = Control(ancillary_size)
        if sock.pass_credentials:  # of nobody: `scm_recv_unix` with a cookie of zeros
            control.put(rights.SOL_SOCKET, rights.SCM_CREDENTIALS, bytes(12))
        return b"", control.items, control.flags, None
    control = Control(ancillary_size)
    sender = sock.queue[0].sender.name
    credentials = sock.queue[0].credentials if sock.pass_credentials else None
    gather = _peek if flags & MSG_PEEK else _consume
    parts, carried = gather(sock, size, credentials)
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if credentials is not None:
        control.put(rights.SOL_SOCKET, rights.SCM_CREDENTIALS, credentials.pack())
    sock.border = bool(carried) or (bool(sock.queue) and len(data) < size)
    if carried:
        rights.put_rights(control, carried, flags)
    kernel = core.K
    kernel.recorder.event(kernel.now, _RECEIVE, sock.number, len(data), data)
    return data, control.items, control.flags | flags & MSG_CMSG_CLOEXEC, names.display(sender) if sender else None


def _consume(sock: Unix, size: int, credentials: rights.Credentials | None) -> tuple[list[bytes], list[rights.Right]]:
    """Take at most `size` bytes, of one sender if that matters, up to the end of a message with descriptors."""
    queue = sock.queue
    parts: list[bytes] = []
    carried: list[rights.Right] = []
    while queue:
        parcel = queue[0]
        if credentials is not None and parcel.credentials != credentials:
            break
        end = parcel.start + size
        whole = end >= len(parcel.data)
        part = parcel.data if whole and not parcel.start else parcel.data[parcel.start : end]
        parts.append(part)
        size -= len(part)
        if parcel.rights:
            carried = take(parcel.rights)
        if not whole:
            parcel.start = end
            break
        queue.popleft()
        parcel.free()
        if carried or not size:
            break
    return parts, carried


def _peek(sock: Unix, size: int, credentials: rights.Credentials | None) -> tuple[list[bytes], list[rights.Right]]:
    """The same, and all of it stays. It looks on when it has enough, as far as to descriptors (`skb_peek_next`)."""
    parts: list[bytes] = []
    carried: list[rights.Right] = []
    for parcel in sock.queue:
        if credentials is not None and parcel.credentials != credentials:
            break
        part = parcel.data[parcel.start : parcel.start + size]
        parts.append(part)
        size -= len(part)
        if parcel.rights:
            carried = rights.duplicate(parcel.rights)
            break
    return parts, carried
