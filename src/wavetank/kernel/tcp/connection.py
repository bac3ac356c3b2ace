"""A TCP socket: its states, and the operations that programs call.

Owns the life of a socket from `socket()` over bind, listen, connect, accept to close. Segments are made in `output`,
understood in `input`, timed in `timers`. Behaviour: net/ipv4/tcp.c, af_inet.c (`inet_stream_connect`),
inet_connection_sock.c; readiness as `tcp_poll`.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Any

from wavetank.kernel import core, refusals
from wavetank.kernel.core import FAR
from wavetank.kernel.endpoint import (
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    SHUT_RD,
    SHUT_WR,
    Endpoint,
    Message,
)
from wavetank.kernel.file import ERR, HUP, IN, OUT, RDHUP, RDNORM, READABLE, WRITABLE, WRNORM, Waiting, error
from wavetank.kernel.inet import check_own_zone, display, parse_address
from wavetank.kernel.pipe import EVERYTHING
from wavetank.kernel.tcp import handshake, options, output, strikes, timers
from wavetank.kernel.tcp import input as tcp_input
from wavetank.kernel.tcp.resting import Resting
from wavetank.kernel.tcp.state import (
    CAN_SEND,
    CLOSE,
    CLOSE_WAIT,
    CONNECTED,
    CONNECTING,
    DISCONNECTING,
    ESTABLISHED,
    FIN_SENT,
    FIN_WAIT1,
    FIN_WAIT2,
    LISTEN,
    MSS_ETHERNET,
    NO_PARTS,
    NO_THRESHOLD,
    QUICK_ACKS,
    RTO_MIN,
    SECOND,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT_NS,
    UNCONNECTED,
    Phase,
    Segment,
    State,
)
from wavetank.kernel.tcp.wire import End, Key
from wavetank.network.address import is_multicast, unmapped
from wavetank.network.link import Path
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack

_RECEIVE = int(Kind.RECEIVE)


class Tcp(Endpoint):
    """A TCP socket in any state."""

    __slots__ = (
        "ack_by", "ack_entry", "ack_owed", "acked", "address_chosen", "advertised", "answered_at", "back",
        "backlog", "bound", "congestion_window", "cork", "cork_armed", "duplicates", "early", "end_read_at",
        "end_seen", "fin_received", "fin_sent", "fin_wanted", "full_at", "heard_at", "interactive", "keep_by",
        "keep_count", "keep_entry", "keep_idle", "keep_interval", "keep_probes", "keepalive", "key",
        "largest_edge_seen", "last_progress", "last_small", "linger", "listener", "local_ip", "local_port",
        "low_water", "mss", "no_delay", "no_space", "offered", "orphan", "path", "payload", "peer_edge", "phase",
        "port_chosen", "probing_since", "pushed", "queue", "queued", "quick_left", "read_since",
        "receive_fixed", "receive_goal", "receive_limit", "received_at", "received_next", "recover_to", "remote_ip",
        "remote_port", "retransmit_by", "retransmit_entry", "retransmitted_at", "retries", "reuse_address",
        "reuse_port", "round_trip_resume", "round_trip_sent", "round_trip_seq", "segment_size", "send_fixed",
        "send_limit", "sent_next", "shut_read", "shut_write", "slow_start_threshold", "smoothed", "state",
        "syn_limit", "syn_sent_at", "syn_tries", "tail_probed_to", "timeout", "unacked", "unread", "unread_parts",
        "unsent", "unsent_size", "user_timeout", "v6_only", "variance", "withheld",
    )  # fmt: skip

    def __init__(self, stack: Stack, family: int, protocol: int = 6) -> None:
        super().__init__(stack, "tcp", family, 1, protocol)
        self.state: State = CLOSE
        self.local_ip = "0.0.0.0" if family == 2 else "::"
        self.local_port = 0
        self.remote_ip = ""
        self.remote_port = 0
        self.bound = self.v6_only = self.reuse_address = self.reuse_port = False
        self.address_chosen = self.port_chosen = False  # by bind: SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK
        self.phase: Phase = UNCONNECTED
        self.key: Key | None = None
        self.path: Path = None  # type: ignore[assignment]  # from the first SYN on
        self.back: Path = None  # type: ignore[assignment]
        self.payload: Any = None
        # listening
        self.listener: Tcp | None = None
        self.backlog = 0
        self.queue: list[Tcp] = []
        # sending
        self.unsent = NO_PARTS
        self.unacked: list[tuple[int, int, bytes]] = []  # of sockets that idle there are many: a deque takes 760 bytes
        self.unsent_size = self.queued = self.acked = 0
        self.sent_next = 1  # SYN is 0
        self.peer_edge = self.largest_edge_seen = self.last_small = self.recover_to = self.duplicates = 0
        self.mss = MSS_ETHERNET
        self.congestion_window = 0
        self.full_at = -1  # where every buffer on the way was last found full
        self.slow_start_threshold = NO_THRESHOLD
        self.fin_wanted = self.fin_sent = self.no_space = self.no_delay = self.cork = self.cork_armed = False
        self.shut_write = False  # SEND_SHUTDOWN: no more from the program, whether or not a FIN can be sent
        self.send_limit = stack.profile.tcp_wmem[1]
        self.send_fixed = False
        # receiving
        self.unread_parts: deque[bytes] = deque()
        self.unread = self.received_next = self.received_at = self.read_since = 0
        self.low_water = 1  # SO_RCVLOWAT
        self.early: dict[int, Segment] = {}
        self.withheld: list[bytes] = []
        self.fin_received = self.end_seen = self.shut_read = False
        self.end_read_at = -1  # when the program was told of the end of the stream
        self.receive_limit = stack.profile.tcp_rmem[1] // 2
        self.receive_fixed = False
        self.receive_goal = 0  # what SO_RCVBUF has raised the limit to: it follows as data arrives
        self.advertised = self.offered = 0  # the edge of the window as told last, and the window then (rcv_wnd)
        self.ack_owed = self.pushed = 0  # bytes and segments not yet acknowledged
        self.segment_size = 536  # TCP_MSS_DEFAULT
        self.quick_left = QUICK_ACKS
        self.interactive = False
        # timers
        self.ack_by = self.ack_entry = self.retransmit_by = self.retransmit_entry = FAR
        self.timeout = RTO_MIN
        self.smoothed = self.variance = self.retries = self.syn_tries = self.syn_limit = self.syn_sent_at = 0
        self.round_trip_seq, self.round_trip_sent, self.round_trip_resume = -1, 0, 0
        self.last_progress = self.heard_at = self.user_timeout = self.keep_probes = self.answered_at = 0
        self.retransmitted_at = self.probing_since = self.tail_probed_to = 0
        self.keepalive = self.orphan = False
        self.keep_by = self.keep_entry = FAR
        self.keep_idle, self.keep_interval = stack.profile.tcp_keepalive_time, stack.profile.tcp_keepalive_intvl
        self.keep_count = stack.profile.tcp_keepalive_probes
        self.linger: int | None = None

    # ---- addresses

    def shares_with(self, other: Tcp) -> bool:
        """Whether two sockets may be bound to the same port (`inet_bind_conflict`)."""
        if self.reuse_port and other.reuse_port:
            return True
        return self.reuse_address and other.reuse_address and other.state is not LISTEN

    def bind(self, address: Any) -> None:
        """`bind(2)`."""
        ip, port = parse_address(self.family, address, "bind")
        taken = self.bound or self.state is not CLOSE
        if taken and self.family == 10:  # `__inet6_bind` looks at this first, `__inet_bind` at the address
            raise error(errno.EINVAL)
        check_own_zone(ip, address)
        if not self.stack.is_own(unmapped(ip)) or is_multicast(ip):
            raise error(errno.EADDRNOTAVAIL)
        if taken:
            raise error(errno.EINVAL)
        self.local_ip = ip
        try:
            if port:
                self.stack.tcp.check(port, self)
                self.port_chosen = True
            else:
                port = self.stack.tcp.free_for_bind(self)
        except OSError:
            self.local_ip = "0.0.0.0" if self.family == 2 else "::"  # not what it was before (`__inet_bind`)
            raise
        self.address_chosen = ip not in ("0.0.0.0", "::")
        if self.address_chosen and ":" in ip and not ip.startswith("::ffff:"):
            self.v6_only = True  # `__inet6_bind`
        self.take_port(port)

    def take_port(self, port: int) -> None:
        """Hold the local port from now on."""
        self.local_port = port
        self.bound = True
        self.stack.tcp.add(port, self)

    def drop_port(self) -> None:
        """Give the local port back, unless the program has chosen it and still has the socket (`tcp_set_state`)."""
        if self.bound and (self.closed or not self.port_chosen):
            self.bound = False
            self.stack.tcp.remove(self.local_port, self)

    def local_address(self) -> Any:
        """`getsockname(2)`."""
        return display(self.family, self.local_ip, self.local_port)

    def peer_address(self) -> Any:
        """`getpeername(2)`."""
        if self.state in (CLOSE, LISTEN, SYN_SENT):
            raise error(errno.ENOTCONN)
        return display(self.family, self.remote_ip, self.remote_port)

    # ---- opening (see `handshake`)

    def listen(self, backlog: int) -> None:
        """`listen(2)`."""
        handshake.listen(self, backlog)

    def syn_arrived(self, segment: Segment, end: End) -> None:
        """A SYN for this listener."""
        handshake.syn_arrived(self, segment, end)

    def accept(self) -> tuple[Endpoint, Any] | None:
        """`accept(2)`."""
        return handshake.accept(self)

    def connecting(self) -> bool:
        """Whether a handshake is under way."""
        return self.state is SYN_SENT or (self.state is SYN_RECV and self.listener is None)

    def connect(self, address: Any) -> bool:
        """`connect(2)`: False while under way; then see `connecting` and `pending_error`."""
        return handshake.connect(self, address)

    def connect_reported(self) -> None:
        """The program knows how its connect went; after a failure the socket is as new."""
        if self.state is CLOSE:
            self.as_new()
            self.notify(ERR)  # tcp_disconnect: sk_error_report
        else:
            self.phase = CONNECTED

    def established(self) -> None:
        """The handshake is complete."""
        kernel = core.K
        self.state = ESTABLISHED
        handshake.size_send_buffer(self)
        self.advertised = self.window_edge()  # SYN, or SYN+ACK, has told it
        self.last_progress = self.heard_at = kernel.now
        kernel.recorder.event(kernel.now, Kind.CONNECTED, self.number, self.remote_port)
        if self.keepalive:
            timers.arm_keepalive(self)

    # ---- sending

    def writable(self) -> bool:
        """`sk_stream_is_writeable`: a third of the send buffer is free."""
        return self.send_limit - self.queued >= self.queued >> 1

    def send(self, data: memoryview | bytes, flags: int) -> int | None:
        """`send(2)`."""
        size = len(data)
        rare = flags or self.shut_write or self.pending_error or self.state is not ESTABLISHED
        if rare or not 0 < size <= self.send_limit - self.queued:
            return self._send_rare(data, flags)
        output.queue(self, data if type(data) is bytes else bytes(data))
        return size

    def send_to(
        self, data: memoryview | bytes, address: Any, flags: int, ancillary: list[tuple[int, int, bytes]]
    ) -> int | None:
        """`sendto(2)`, `sendmsg(2)`: an address is checked and does not count (`tcp_sendmsg` never looks at it)."""
        if address is not None:
            parse_address(self.family, address, "sendto")
        if any((level, kind) not in options.FOR_UNIX for level, kind, _ in ancillary):
            raise error(errno.EINVAL)  # `__sock_cmsg_send`
        return self.send(data, flags)

    def _send_rare(self, data: memoryview | bytes, flags: int) -> int | None:
        if self.state not in CAN_SEND or self.shut_write or self.pending_error:
            if self.connecting() and not self.pending_error:
                return None
            raise error(self.take_error() or errno.EPIPE)
        size = len(data)
        room = self.send_limit - self.queued
        if room <= 0:
            if not size:
                return 0
            self.no_space = True
            if self.stack.fabric.watches:
                strikes.full(self)
            return None
        if flags & MSG_OOB:
            raise refusals.unsupported("socket.send(MSG_OOB)", "urgent data is not simulated", errno.EOPNOTSUPP)
        if size > room:
            size = room
            self.no_space = True
            self._say_full()
        if not size:
            return 0
        taken = bytes(data[:size])
        if flags & MSG_MORE and not self.cork:
            self.cork = True
            output.queue(self, taken)
            self.cork = False
        else:
            output.queue(self, taken)
        if self.no_space and self.stack.fabric.watches:
            strikes.full(self)
        return size

    def _say_full(self) -> None:
        if core.K.when_full is not None:
            core.K.when_full(self)

    # ---- receiving

    def window_edge(self) -> int:
        """The highest sequence number that we are ready to receive; never smaller than promised before."""
        edge = self.received_next + self.receive_limit - self.unread
        return edge if edge > self.advertised else self.advertised

    def receive(self, size: int, flags: int) -> bytes | None:
        """`recv(2)`."""
        if self.unread < self.low_water and (not self.unread or self._wants_more(size)):
            return self._nothing_to_read() if not self.unread else None
        parts = self.unread_parts
        if flags & MSG_PEEK:
            return b"".join(parts)[:size]
        first = parts[0]
        if len(first) <= size and len(parts) == 1:
            data = first
            parts.clear()
        elif len(first) > size:
            data = first[:size]
            parts[0] = first[size:]
        else:
            data = self._take_unread(size)
        got = len(data)
        self.unread -= got
        kernel = core.K
        kernel.recorder.event(kernel.now, _RECEIVE, self.number, got)
        tcp_input.room_made(self, got)
        return bytes(got) if flags & MSG_TRUNC else data  # thrown away: CPython returns whatever its buffer holds

    def _wants_more(self, size: int) -> bool:
        """A call that waits wants SO_RCVLOWAT bytes, or all it asks for, unless there will be no more."""
        more = not (self.end_seen or self.shut_read or self.pending_error or self.state is CLOSE)
        return more and not self.nonblocking and size > self.unread

    def _take_unread(self, size: int) -> bytes:
        parts, taken, left = self.unread_parts, [], size
        while parts and left:
            part = parts[0]
            if len(part) > left:
                taken.append(part[:left])
                parts[0] = part[left:]
                break
            taken.append(parts.popleft())
            left -= len(part)
        return b"".join(taken)

    def _nothing_to_read(self) -> bytes | None:
        if self.state is LISTEN:
            raise error(errno.ENOTCONN)
        if self.withheld:
            return None  # a slow reader: it is there, and cannot be read yet
        if self.end_seen:
            if self.end_read_at < 0:
                self.end_read_at = core.K.now
            return b""
        if self.pending_error:
            raise error(self.take_error())
        if self.shut_read:
            return b""
        if self.state is CLOSE:
            raise error(errno.ENOTCONN)
        return None

    def receive_message(self, size: int, flags: int, ancillary_size: int) -> Message | None:
        """`recvmsg(2)`: streams give no address, and have nothing in their queue of errors (`inet_recv_error`)."""
        if flags & MSG_ERRQUEUE:
            if not self.nonblocking:
                raise error(errno.EAGAIN)
            return None
        data = self.receive(size, flags)
        return None if data is None else (data, [], 0, None)

    def withhold(self, data: bytes, delay: int) -> None:
        """A slow reader: what arrived can be read only after `delay` ns, and of a stalled one when it goes on."""
        self.withheld.append(data)
        self.receive_limit -= len(data)  # it fills the window, and cannot be read yet
        if not self.back.stalled:
            core.K.after(delay, self._give, None)

    def stall(self, stalled: bool) -> None:
        """The program stops reading, and what it has not read stays; or it goes on, and gets all of it."""
        if stalled:
            self.withheld[:0] = self.unread_parts
            self.unread_parts.clear()
            self.receive_limit -= self.unread
            self.unread = 0
        else:
            self.give_all()
            self.end_seen = self.fin_received
            self.notify(self.poll() & ~WRITABLE)

    def give_all(self) -> None:
        """Nothing is withheld any more."""
        while self.withheld:
            self._give_next()

    def _give(self, _: None) -> None:
        if self.withheld and not self.back.stalled:
            self._give_next()
            if not self.withheld and self.fin_received:
                self.end_seen = True
            self.notify(READABLE | (RDHUP if self.end_seen else 0))

    def _give_next(self) -> None:
        data = self.withheld.pop(0)
        self.receive_limit += len(data)
        self.unread_parts.append(data)
        self.unread += len(data)

    def readable_bytes(self) -> int:
        """`FIONREAD`."""
        if self.state is LISTEN:
            raise error(errno.EINVAL)
        return self.unread

    def unsent_bytes(self) -> int:
        """`TIOCOUTQ`: a FIN that is not acknowledged counts, too."""
        if self.state is LISTEN:
            raise error(errno.EINVAL)
        if self.key is None or self.state in (SYN_SENT, SYN_RECV):
            return 0
        return self.sent_next + self.unsent_size + (self.fin_wanted and not self.fin_sent) - self.acked

    arrived = tcp_input.arrived

    def get_option(self, level: int, name: int) -> int | bytes | None:
        """`getsockopt(2)`."""
        return options.get(self, level, name)

    def set_option(self, level: int, name: int, value: int | bytes) -> bool:
        """`setsockopt(2)`."""
        return options.put(self, level, name, value)

    # ---- readiness

    def poll(self) -> int:
        """`tcp_poll`."""
        state = self.state
        if state is ESTABLISHED and not (self.shut_write or self.pending_error or self.shut_read):
            mask = READABLE if self.unread >= self.low_water else 0
            if self.send_limit - self.queued >= self.queued >> 1:  # `writable`, without the call
                return mask | WRITABLE
            self.no_space = True
            return mask
        if state is LISTEN:
            return IN | RDNORM if self.queue else 0
        return self._poll_rare(state)

    def _poll_rare(self, state: State) -> int:
        mask = 0
        # Who does not read does not see the end either; but a reset is seen by everybody who waits (EPOLLHUP).
        hidden = bool(self.withheld) or (bool(self.back) and self.back.stalled and state is not CLOSE)
        no_more_in = not hidden and (self.end_seen or self.shut_read)
        no_more_out = self.shut_write
        if not hidden and (state is CLOSE or (no_more_in and no_more_out)):
            mask |= HUP
        if no_more_in:
            mask |= IN | RDNORM | RDHUP
        if state is not SYN_SENT:
            if self.unread >= self.low_water:
                mask |= IN | RDNORM
            if no_more_out or self.writable():
                mask |= OUT | WRNORM
            else:
                self.no_space = True
        if self.pending_error and not hidden:
            mask |= ERR
        return mask

    # ---- ending

    def shutdown(self, how: int) -> None:
        """`shutdown(2)`: `inet_shutdown`."""
        state = self.state
        if self.phase is CONNECTING:
            self.phase = DISCONNECTING if state in (SYN_SENT, SYN_RECV, CLOSE) else CONNECTED
        if state is LISTEN or state is SYN_SENT:
            self.disconnect() if state is SYN_SENT or how != SHUT_WR else self.notify(EVERYTHING)
            return
        self.shut_read = self.shut_read or how != SHUT_WR
        if how != SHUT_RD:
            self.shut_write = True
            if state in (ESTABLISHED, CLOSE_WAIT, SYN_RECV) and not self.fin_wanted:
                self.no_space = False
                output.want_fin(self)
                core.K.run_soft()  # the peer learns of it first
        self.notify(EVERYTHING)
        if state is CLOSE:
            raise error(errno.ENOTCONN)

    def disconnect(self) -> None:
        """Forget the connection (`tcp_disconnect`): `connect` to AF_UNSPEC, or shutdown of what has none yet."""
        state = self.state
        if state is LISTEN:
            handshake.stop_listening(self)
        elif state in (ESTABLISHED, CLOSE_WAIT, FIN_WAIT1, FIN_WAIT2, SYN_RECV):
            output.reset(self)
            self.pending_error = errno.ECONNRESET
        elif state is SYN_SENT:
            self.pending_error = errno.ECONNRESET
        self.vanish()
        self.as_new()
        self.notify(EVERYTHING)

    def as_new(self) -> None:
        """After `tcp_disconnect`: ready to be connected, or to listen, once more."""
        self.phase = UNCONNECTED
        self.key = None
        self.shut_read = self.shut_write = self.end_seen = self.fin_received = self.fin_wanted = self.fin_sent = False
        self.unread_parts.clear()
        self.unread = self.received_next = self.advertised = self.offered = self.acked = 0
        self.sent_next = 1
        if not self.address_chosen:
            self.local_ip = "0.0.0.0" if self.family == 2 else "::"

    def released(self) -> None:
        """The last descriptor is gone: `tcp_close`."""
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.CLOSE, self.number, self.unread)
        if self.state is LISTEN:
            handshake.stop_listening(self)
        elif self.state in (CLOSE, SYN_SENT):
            self.vanish()
        else:
            self.orphan = True
            if self.unread or self.withheld or self.linger == 0:
                output.reset(self)
                self.vanish()
            elif not self.fin_wanted:
                output.want_fin(self)
            elif self.state is FIN_WAIT2:
                timers.await_fin(self)
        if kernel.soft:
            kernel.run_soft()

    def linger_on(self) -> None:
        """SO_LINGER: wait until all and the FIN is acknowledged, or the time is over (`sk_stream_wait_close`)."""
        deadline = core.K.now + (self.linger or 0) * SECOND
        while self.linger and self.state in FIN_SENT:
            if not self.wait(EVERYTHING, deadline, Waiting("close()", self)):
                return

    def fail(self, number: int) -> None:
        """The connection ends with an error."""
        tcp_input.failed(self, number)

    def vanish(self) -> None:
        """No connection any more: nothing is sent or expected."""
        if self.key is not None and self.stack.connections.get(self.key) is self:
            del self.stack.connections[self.key]
        self.state = CLOSE
        self.shut_read = self.shut_write = True  # tcp_done
        self.drop_port()
        self.unsent.clear()
        self.unacked.clear()
        self.early.clear()
        self.sent_next += self.unsent_size + (self.fin_wanted and not self.fin_sent)  # write_seq stays as it was
        self.fin_wanted = False
        self.unsent_size = self.queued = 0
        self.retransmit_by = self.ack_by = FAR

    def time_wait(self) -> None:
        """Both sides have closed, we did first: the port stays taken for a minute."""
        key, stack, port = self.key, self.stack, self.local_port
        assert key is not None
        bound = self.bound
        self.bound = False
        self.vanish()
        resting = Resting(self, bound)
        stack.connections[key] = resting
        if bound:
            stack.tcp.remove(port, self)
            stack.tcp.add(port, resting)
        core.K.after(TIME_WAIT_NS, resting.leave)
        self.notify(WRITABLE | HUP)

    def describe(self) -> str:
        """Who talks to whom."""
        if self.payload is not None:
            return f"TCP {self.path.key} ({self.state.name})"
        return f"TCP {self.stack.name}:{self.local_port} ({self.state.name})"
