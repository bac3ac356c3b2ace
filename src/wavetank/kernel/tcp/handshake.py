"""Opening: listening and accepting on one side, connecting on the other, and what joins a socket to its paths.

Owns the road from CLOSE to ESTABLISHED. Behaviour: net/ipv4/af_inet.c (`inet_stream_connect`), tcp_ipv4.c
(`tcp_v4_connect`), inet_connection_sock.c; `listen(n)` completes n + 1 connections and drops further SYNs.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from wavetank.errors import OutsideWorld
from wavetank.kernel import core
from wavetank.kernel.endpoint import AF_INET, Endpoint
from wavetank.kernel.file import error
from wavetank.kernel.inet import check_zone, display, parse_address
from wavetank.kernel.tcp import options, output, timers
from wavetank.kernel.tcp.state import (
    ACK,
    BURST,
    CLOSE,
    CONNECTED,
    CONNECTING,
    DISCONNECTING,
    INITIAL_WINDOW_SEGMENTS,
    LISTEN,
    MSS_ETHERNET,
    MSS_LOOPBACK,
    NO_NEIGHBOUR_NS,
    SECOND,
    SEND_BUFFER_ETHERNET,
    SEND_BUFFER_LOOPBACK,
    SYN,
    SYN_RECV,
    SYN_SENT,
    UNCONNECTED,
    Segment,
)
from wavetank.kernel.tcp.wire import End, Key, Wire
from wavetank.network.address import is_multicast, unmapped
from wavetank.network.link import Path
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.tcp.connection import Tcp
    from wavetank.network.fabric import Node


IPPROTO_TCP, TCP_DEFER_ACCEPT = 6, 9


# ---- listening


def listen(tcp: Tcp, backlog: int) -> None:
    """`listen(2)`."""
    if tcp.state not in (CLOSE, LISTEN) or tcp.phase is not UNCONNECTED:
        raise error(errno.EINVAL)
    if not tcp.bound:
        tcp.take_port(tcp.stack.tcp.free_for_bind(tcp))
    tcp.backlog = min(max(backlog, 0), tcp.stack.profile.somaxconn)
    if tcp.state is CLOSE:
        tcp.stack.tcp.check_listen(tcp.local_port, tcp)
        tcp.state = LISTEN
        tcp.stack.listeners.setdefault(tcp.local_port, []).append(tcp)


def syn_arrived(tcp: Tcp, segment: Segment, end: End) -> None:
    """A SYN for this listener: answer it, unless the accept queue is full."""
    if len(tcp.queue) > min(tcp.backlog, tcp.stack.backlog_limit):
        return
    child = type(tcp)(tcp.stack, tcp.family, tcp.protocol)
    options.inherit(child, tcp)
    child.listener = tcp
    child.local_ip, child.local_port, child.remote_ip, child.remote_port = end.key
    _join(child, end.back, end.arriving, end.key)
    child.take_port(child.local_port)  # a child shares its listener's port (__inet_inherit_port)
    child.state = SYN_RECV
    child.last_progress = core.K.now
    if ":" not in child.local_ip and child.family == AF_INET:
        child.options[0, 33] = 64  # IP_MULTICAST_TTL becomes the TTL of the segment (tcp_v4_syn_recv_sock)
    child.received_next = segment[1] + 1
    child.peer_edge = child.largest_edge_seen = segment[3]
    child.path.transmit((SYN | ACK, 0, child.received_next, child.window_edge(), b""), 0)
    timers.arm_syn(child)


def defers(child: Tcp) -> bool:
    """TCP_DEFER_ACCEPT: whether the listener waits for data, so that an acknowledgement alone does not count yet."""
    listener = child.listener
    if listener is None:
        return False
    seconds = listener.options.get((IPPROTO_TCP, TCP_DEFER_ACCEPT), 0)
    return isinstance(seconds, int) and core.K.now - child.last_progress < seconds * SECOND


def child_established(tcp: Tcp, child: Tcp) -> bool:
    """A handshake is complete: True if the accept queue takes it."""
    if tcp.state is not LISTEN or len(tcp.queue) > min(tcp.backlog, tcp.stack.backlog_limit):
        return False
    tcp.queue.append(child)
    return True


def accept(tcp: Tcp) -> tuple[Endpoint, Any] | None:
    """`accept(2)`."""
    if tcp.state is not LISTEN:
        raise error(errno.EINVAL)
    if not tcp.queue:
        return None
    child = tcp.queue.pop(0)
    child.listener = None
    child.phase = CONNECTED
    kernel = core.K
    kernel.recorder.event(kernel.now, Kind.ACCEPT, child.number, 0)
    if tcp.stack.fabric.watches:
        tcp.stack.fabric.happened("accept", child.back)
    _remember(tcp, child)
    return child, display(child.family, child.remote_ip, child.remote_port)


def _remember(tcp: Tcp, child: Tcp) -> None:
    """Whether a thread has accepted its own connection, and no other one came: the first half of a `socketpair`."""
    stack, gate = tcp.stack, child.path.gate
    alone = stack.accepted is None or stack.accepted[0] is not tcp
    own = alone and not tcp.nonblocking and getattr(gate, "maker", None) is core.K.running
    stack.accepted = tcp, child if own else None


def stop_listening(tcp: Tcp) -> None:
    """Close a listener: those who wait to be accepted are reset (`inet_csk_listen_stop`).

    A thread that listens for its own connection alone has made a pair of sockets, as programs do that must run where
    there is no socketpair(2) (CPython Lib/socket.py, `_fallback_socketpair`). No network is between these two.
    """
    stack = tcp.stack
    if stack.accepted is not None and stack.accepted[0] is tcp:
        child = stack.accepted[1]
        stack.accepted = None
        if child is not None:
            stack.fabric.is_pair(child.path, child.back)
    tcp.stack.listeners[tcp.local_port].remove(tcp)
    tcp.state = CLOSE
    while tcp.queue:
        child = tcp.queue.pop(0)
        if child.state is not CLOSE:
            output.reset(child)
        child.closed = True
        child.vanish()
    tcp.drop_port()


# ---- connecting


def connect(tcp: Tcp, address: Any) -> bool:
    """`connect(2)`: False while under way; then see `connecting` and `pending_error`."""
    if address is None:  # AF_UNSPEC
        tcp.disconnect()
        return True
    ip, port = parse_address(tcp.family, address, "connect")
    if tcp.phase is CONNECTING:
        if tcp.connecting():
            raise error(errno.EALREADY)
        failed = tcp.state is CLOSE
        tcp.connect_reported()
        if failed:
            raise error(tcp.take_error() or errno.ECONNABORTED)
        return True
    if tcp.phase is DISCONNECTING:
        raise error(errno.EINVAL)
    if tcp.state is not CLOSE or tcp.phase is CONNECTED:
        raise error(errno.EISCONN)
    check_zone(ip, address, tcp.local_ip)
    remote = unmapped(ip)
    if remote in ("0.0.0.0", "::"):
        remote = "127.0.0.1" if remote == "0.0.0.0" else "::1"
    elif remote != ip and tcp.v6_only:
        raise error(errno.ENETUNREACH)
    node, source = _route(tcp, remote)
    if tcp.local_ip in ("0.0.0.0", "::"):
        # A host's own address is its own source; all of 127.0.0.0/8 is reached from 127.0.0.1.
        tcp.local_ip = remote if tcp.stack.node.owns(remote) else source
    local = unmapped(tcp.local_ip)
    if not tcp.bound:
        taken = tcp.stack.connections
        tcp.take_port(tcp.stack.tcp.free_for_connect(lambda free: (local, free, remote, port) in taken))
    tcp.remote_ip, tcp.remote_port = remote, port
    tcp.phase = CONNECTING
    _open(tcp, node, (local, tcp.local_port, remote, port))
    return False


def _route(tcp: Tcp, ip: str) -> tuple[Node | None, str]:
    """The host with this address (None: nobody there) and the source address towards it."""
    stack = tcp.stack
    if is_multicast(ip) or ip == "255.255.255.255":
        raise error(errno.ENETUNREACH)
    node = stack.fabric.find(stack.node, ip)
    if node is None and not stack.on_link(ip):
        raise OutsideWorld("socket.connect", ip)
    return node, stack.source_address(ip)


def _open(tcp: Tcp, node: Node | None, key: Key) -> None:
    kernel = core.K
    if key in tcp.stack.connections:
        raise error(errno.EADDRNOTAVAIL)
    tcp.state = SYN_SENT
    tcp.pending_error = 0  # tcp_connect_init
    tcp.syn_sent_at = tcp.last_progress = kernel.now
    if node is None or node.down:
        # On our own link nobody answers the question who has this address.
        kernel.after(NO_NEIGHBOUR_NS, _no_neighbour, tcp)
        if node is None:
            return
    wire = Wire(tcp.stack, node, key)
    _join(tcp, wire.there, wire.back, key)
    kernel.recorder.event(kernel.now, Kind.CONNECT, tcp.number, key[3])
    if tcp.stack.fabric.watches:
        tcp.stack.fabric.happened("connect", tcp.path)
    tcp.path.transmit((SYN, 0, 0, tcp.window_edge(), b""), 0)
    timers.arm_syn(tcp)


def _no_neighbour(tcp: Tcp) -> None:
    if tcp.state is SYN_SENT:
        tcp.fail(errno.EHOSTUNREACH)


def _join(tcp: Tcp, path: Path, back: Path, key: Key) -> None:
    """Give the socket its connection: segments leave on `path` and arrive on `back`."""
    tcp.path, tcp.back, tcp.key = path, back, key
    tcp.stack.connections[key] = tcp
    recorder = core.K.recorder
    tcp.number = recorder.define_object(path.key)
    tcp.payload = recorder.payload(path.key, tcp.number)
    path.opaque = tcp.payload.opaque
    loopback = path.link.source == path.link.target
    tcp.mss = MSS_LOOPBACK if loopback else MSS_ETHERNET
    tcp.congestion_window = max(INITIAL_WINDOW_SEGMENTS * tcp.mss, BURST if loopback else 0)
    if path.send_limit:
        tcp.send_limit = min(tcp.send_limit, path.send_limit)
        tcp.send_fixed = True
    if back.receive_limit:
        tcp.receive_limit = min(tcp.receive_limit, back.receive_limit)
        tcp.receive_fixed = True


def size_send_buffer(tcp: Tcp) -> None:
    """A connection is made: its send buffer becomes large enough for its windows (`tcp_init_buffer_space`)."""
    if not tcp.send_fixed:
        profile = tcp.stack.profile
        one_window = SEND_BUFFER_LOOPBACK if tcp.mss == MSS_LOOPBACK else SEND_BUFFER_ETHERNET
        tcp.send_limit = min(one_window * profile.send_buffer_factor, profile.tcp_wmem[2])
