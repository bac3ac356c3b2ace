"""A UNIX socket: its states, and the operations that programs call.

Owns the life of a socket from `socket()` over bind, listen, connect, accept to close, and its readiness. How messages
travel is `stream` and `datagram`; names are `names`. Behaviour: net/unix/af_unix.c (`unix_stream_connect`,
`unix_dgram_connect`, `unix_accept`, `unix_shutdown`, `unix_release_sock`, `unix_poll`, `unix_dgram_poll`), unix(7).
Urgent data (MSG_OOB, which Linux has for streams since 5.15) is refused.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core
from wavetank.kernel.endpoint import (
    AF_UNIX,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    Endpoint,
    Message,
)
from wavetank.kernel.file import ERR, HUP, RDHUP, READABLE, WRBAND, WRITABLE, error
from wavetank.kernel.pipe import EVERYTHING
from wavetank.kernel.tcp.state import CLOSE, ESTABLISHED, LISTEN, State
from wavetank.kernel.unix import buffers, datagram, names, rights, stream
from wavetank.kernel.unix.files import SocketFile
from wavetank.kernel.unix.parcel import Parcel
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack

# include/net/sock.h
RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK = 1, 2, 3
_SOL_SOCKET: Final = 1
_SO_SNDBUF, _SO_PASSCRED, _SO_PEERCRED, _SO_SNDBUFFORCE = 7, 16, 17, 32
_SHUT_BITS: Final = {SHUT_RD: RCV_SHUTDOWN, SHUT_WR: SEND_SHUTDOWN, SHUT_RDWR: SHUTDOWN_MASK}


class Unix(Endpoint):
    """A UNIX socket in any state."""

    __slots__ = (
        "accepted", "backlog", "border", "charged", "embryos", "knockers", "knocking_at", "label", "name",
        "own_credentials", "payload", "peer", "peer_credentials", "queue", "send_buffer", "shut", "socket_file",
        "starved", "state",
    )  # fmt: skip

    def __init__(self, stack: Stack, type_: int) -> None:
        super().__init__(stack, "unix", AF_UNIX, type_, 0)
        self.state: State = CLOSE
        self.shut = 0  # RCV_SHUTDOWN, SEND_SHUTDOWN
        self.name = b""
        self.socket_file: SocketFile | None = None
        self.peer: Unix | None = None  # kept when it is closed, as getpeername(2) still names it
        self.peer_credentials = rights.NOBODY
        self.own_credentials = rights.NOBODY
        self.accepted = True
        self.border = False
        self.queue: deque[Parcel] = deque()
        self.charged = 0  # sk_wmem_alloc
        self.send_buffer = stack.profile.wmem_default
        self.starved: list[Unix] = []  # datagram sockets that wait until our queue is shorter
        # listening
        self.backlog = stack.profile.max_dgram_qlen
        self.embryos: deque[Unix] = deque()
        self.knockers: deque[Unix] = deque()  # blocking connects that wait until the backlog is shorter
        self.knocking_at: Unix | None = None
        # in the trace
        ordinal = stack.counters["unix"] = stack.counters.get("unix", 0) + 1
        self.label = f"unix {stack.name} #{ordinal}"
        recorder = core.K.recorder
        self.number = recorder.define_object(self.label)
        self.payload = recorder.payload(self.label, self.number)

    # ---- names

    def bind(self, address: Any) -> None:
        """`bind(2)`."""
        name = names.parse(address)
        names.bind(self, name)
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.BIND, self.number, 0, self.name)

    def local_address(self) -> Any:
        """`getsockname(2)`."""
        return names.display(self.name)

    def peer_address(self) -> Any:
        """`getpeername(2)`."""
        if self.peer is None:
            raise error(errno.ENOTCONN)
        return names.display(self.peer.name)

    @property
    def pass_credentials(self) -> bool:
        """SO_PASSCRED."""
        return bool(self.options.get((_SOL_SOCKET, _SO_PASSCRED)))

    # ---- listening

    def listen(self, backlog: int) -> None:
        """`listen(2)`."""
        if self.type == SOCK_DGRAM:
            raise error(errno.EOPNOTSUPP)
        if not self.name or self.state not in (CLOSE, LISTEN):
            raise error(errno.EINVAL)
        self.backlog = min(backlog, self.stack.profile.somaxconn)
        self.state = LISTEN
        self.own_credentials = self.peer_credentials = rights.mine()  # `init_peercred`
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.LISTEN, self.number, self.backlog)
        self._let_in()

    def backlog_full(self) -> bool:
        """`unix_recvq_full`: one more than the backlog fits."""
        return len(self.embryos) > self.backlog

    def _let_in(self) -> None:
        while self.knockers and not self.backlog_full():
            client = self.knockers.popleft()
            client.knocking_at = None
            client.join(self, client.own_credentials)
            client.notify(EVERYTHING)

    def accept(self) -> tuple[Endpoint, Any] | None:
        """`accept(2)`."""
        if self.type == SOCK_DGRAM:
            raise error(errno.EOPNOTSUPP)
        if self.state is not LISTEN:
            raise error(errno.EINVAL)
        if not self.embryos:
            if self.shut & RCV_SHUTDOWN and not self.nonblocking:
                raise error(errno.EINVAL)
            return None
        child = self.embryos.popleft()
        child.accepted = True
        self._let_in()
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.ACCEPT, child.number, 0)
        return child, child.peer_address()

    # ---- connecting

    def connecting(self) -> bool:
        """Whether a blocking connect waits for room in the listener's backlog."""
        return self.knocking_at is not None

    def connect(self, address: Any) -> bool:
        """`connect(2)`: at once, or EAGAIN; False when it blocks until the listener has room."""
        name = names.parse(address)
        if self.pass_credentials:
            names.autobind(self)
        other = names.find(self.stack, name, self.type)
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.CONNECT, self.number, 0, name)
        if self.type == SOCK_DGRAM:
            self._aim(other)
            return True
        if other.state is not LISTEN or other.shut & RCV_SHUTDOWN:
            raise error(errno.ECONNREFUSED)
        if other.backlog_full():
            if self.nonblocking:
                raise error(errno.EAGAIN)
            self.own_credentials = rights.mine()
            self.knocking_at = other
            other.knockers.append(self)
            return False
        if self.state is not CLOSE:
            raise error(errno.EISCONN if self.state is ESTABLISHED else errno.EINVAL)
        self.join(other, rights.mine())
        return True

    def join(self, listener: Unix, credentials: rights.Credentials) -> None:
        """Connected to a new socket in the listener's queue."""
        child = Unix(self.stack, self.type)
        child.accepted = False
        child.name = listener.name
        child.peer = self
        child.peer_credentials = credentials
        child.state = self.state = ESTABLISHED
        self.peer = child
        self.peer_credentials = listener.own_credentials
        listener.embryos.append(child)
        listener.notify(READABLE)

    def _aim(self, other: Unix) -> None:
        """A datagram socket sends to `other` from now on (`unix_dgram_connect`)."""
        if not datagram.may_send(self, other):
            raise error(errno.EPERM)
        old, self.peer = self.peer, other
        self.state = other.state = ESTABLISHED
        if old is not None:
            self.stop_starving(old)
            if old is not other:
                self.disconnected_from(old)

    def stop_starving(self, other: Unix) -> None:
        """We no longer wait for room in the queue of `other`; told in any case (`..._wake_disconnect_wakeup`)."""
        if self in other.starved:
            other.starved.remove(self)
        self.notify(WRITABLE | WRBAND)

    def disconnected_from(self, other: Unix) -> None:
        """`unix_dgram_disconnected`: what is unread is lost, and then a peer that is connected to us learns of it."""
        if not self.queue:
            return
        self.throw_away_queue()
        self.feed_starved()
        if not other.closed and other.peer is self:
            other.pending_error = errno.ECONNRESET
            other.notify(ERR)

    # ---- data

    def send(self, data: memoryview | bytes, flags: int) -> int | None:
        """`send(2)`."""
        return self.send_to(data, None, flags, [])

    def send_to(
        self, data: memoryview | bytes, address: Any, flags: int, ancillary: list[tuple[int, int, bytes]]
    ) -> int | None:
        """`sendto(2)`, `sendmsg(2)`."""
        if self.type == SOCK_SEQPACKET:
            datagram.check_packets(self)
        carried, claimed = rights.parse(ancillary) if ancillary else ([], None)
        try:
            if self.type == SOCK_STREAM:
                sent = stream.send(self, data, address, flags, carried, claimed)
            else:
                sent = datagram.send(self, data, address, flags, carried, claimed)
        finally:
            rights.drop(carried)  # empty when they have left with the message
        return sent

    def receive_message(self, size: int, flags: int, ancillary_size: int) -> Message | None:
        """`recvmsg(2)`."""
        if self.type == SOCK_STREAM:
            return stream.receive(self, size, flags, ancillary_size)
        return datagram.receive(self, size, flags, ancillary_size)

    def put(self, parcel: Parcel) -> None:
        """A message for us."""
        parcel.sender.charged += parcel.cost
        self.queue.append(parcel)
        self.notify(READABLE)

    def freed(self) -> None:
        """`unix_write_space`: memory that was charged to us is free."""
        if self.writable():
            self.notify(WRITABLE | WRBAND)

    def throw_away_queue(self) -> None:
        """Nobody will read these."""
        queue = self.queue
        while queue:
            queue.popleft().free()

    def feed_starved(self) -> None:
        """Our queue is shorter: those that waited for that may try again."""
        if self.starved:
            starved, self.starved = self.starved, []
            for sender in starved:
                sender.notify(WRITABLE | WRBAND)

    def readable_bytes(self) -> int:
        """`unix_inq_len`."""
        if self.state is LISTEN:
            raise error(errno.EINVAL)
        if self.type == SOCK_DGRAM:
            return len(self.queue[0].data) if self.queue else 0
        return sum(len(parcel.data) - parcel.start for parcel in self.queue)

    def unsent_bytes(self) -> int:
        """`unix_outq_len`: memory, not bytes of data."""
        return self.charged

    # ---- readiness

    def writable(self) -> bool:
        """`unix_writable`: three quarters of the buffer are free (the kernel's counter starts at 1)."""
        return self.state is not LISTEN and (self.charged + 1) << 2 <= self.send_buffer

    def poll(self) -> int:
        """`unix_poll`, `unix_dgram_poll`."""
        shut = self.shut
        mask = READABLE if self.queue or self.embryos or shut & RCV_SHUTDOWN else 0
        if self.pending_error:
            mask |= ERR
        if shut & RCV_SHUTDOWN:
            mask |= RDHUP
        if shut == SHUTDOWN_MASK or (self.state is CLOSE and self.type != SOCK_DGRAM):
            mask |= HUP
        if self.writable() and not (self.type != SOCK_STREAM and datagram.starves(self)):
            mask |= WRITABLE | WRBAND
        return mask

    # ---- options

    def get_option(self, level: int, name: int) -> int | bytes | None:
        """Those of UNIX sockets that act."""
        if level != _SOL_SOCKET:
            return None
        if name == _SO_PEERCRED:
            return self.peer_credentials.pack()
        return self.send_buffer if name == _SO_SNDBUF else None

    def set_option(self, level: int, name: int, value: int | bytes) -> bool:
        """Those of UNIX sockets that act."""
        if level != _SOL_SOCKET or name not in (_SO_SNDBUF, _SO_SNDBUFFORCE):
            return False
        if isinstance(value, bytes):
            raise error(errno.EINVAL)
        most = self.stack.profile.wmem_max if name == _SO_SNDBUF else 0x3FFF_FFFF  # INT_MAX / 2
        self.send_buffer = max(2 * min(value & 0xFFFF_FFFF, most), buffers.SEND_LEAST)
        if self.writable():
            self.notify(WRITABLE | WRBAND)
        return True

    # ---- ending

    def shutdown(self, how: int) -> None:
        """`shutdown(2)`: no error without a peer."""
        bits = _SHUT_BITS[how]
        self.shut |= bits
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.SHUTDOWN, self.number, how)
        self.notify(EVERYTHING)
        peer = self.peer
        if peer is not None and self.type != SOCK_DGRAM:
            peer.shut |= (SEND_SHUTDOWN if bits & RCV_SHUTDOWN else 0) | (RCV_SHUTDOWN if bits & SEND_SHUTDOWN else 0)
            peer.notify(EVERYTHING)

    def released(self) -> None:
        """The last descriptor is gone."""
        self.end(embryo=False)

    def end(self, *, embryo: bool) -> None:
        """`unix_release_sock`; `embryo`: it was never accepted."""
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.CLOSE, self.number, len(self.queue))
        self.closed = True
        names.leave(self)
        self.state = CLOSE
        self.shut = SHUTDOWN_MASK
        peer, self.peer = self.peer, None
        self.feed_starved()
        if peer is not None:
            if self.type != SOCK_DGRAM:
                peer.shut = SHUTDOWN_MASK
                if embryo or len(self.queue) > 1 or (self.queue and self.queue[0].data):
                    peer.pending_error = errno.ECONNRESET
                peer.notify(EVERYTHING)
            elif self in peer.starved:
                peer.starved.remove(self)
        self.throw_away_queue()
        self._turn_away()

    def vanish(self) -> None:
        """The host has lost power: the file stays, and nobody listens there."""
        if self.socket_file is not None:
            self.socket_file.socket = None

    def _turn_away(self) -> None:
        """Those who are in the backlog, and those who wait for it."""
        while self.embryos:
            self.embryos.popleft().end(embryo=True)
        while self.knockers:
            client = self.knockers.popleft()
            client.knocking_at = None
            client.pending_error = errno.ECONNREFUSED
            client.notify(EVERYTHING)
        if self.knocking_at is not None:
            self.knocking_at.knockers.remove(self)
            self.knocking_at = None

    def describe(self) -> str:
        """Which socket, and between whom."""
        kind = {SOCK_STREAM: "stream", SOCK_DGRAM: "datagram", SOCK_SEQPACKET: "seqpacket"}[self.type]
        named = [os.fsdecode(end.name).replace("\0", "@") for end in (self, self.peer) if end is not None and end.name]
        return " ".join([f"{self.label}, {kind}", *named])


def unix_pair(stack: Stack, type_: int) -> tuple[Unix, Unix]:
    """`socketpair(2)`: two connected sockets without names."""
    one, other = Unix(stack, type_), Unix(stack, type_)
    one.peer, other.peer = other, one
    one.state = other.state = ESTABLISHED
    one.peer_credentials = other.peer_credentials = rights.mine()
    return one, other
