"""Sending: when a segment leaves, how large it is, and what is kept until it is acknowledged.

Owns the send queue. Follows net/ipv4/tcp_output.c (`tcp_write_xmit`, `tcp_nagle_check`) and tcp.c (`tcp_sendmsg`);
Nagle's rule in Minshall's form, as Linux has it. Congestion control is slow start and halving (RFC 5681).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wavetank.kernel import core
from wavetank.kernel.core import FAR
from wavetank.kernel.tcp import strikes, timers
from wavetank.kernel.tcp.state import ACK, BURST, CLOSE_WAIT, DELAYED_ACK, FIN, FIN_WAIT1, LAST_ACK, NO_PARTS, PSH, RST
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.tcp.connection import Tcp

_DATA = ACK | PSH
_SEND, _SEGMENT_SENT = int(Kind.SEND), int(Kind.SEGMENT_SENT)


def queue(tcp: Tcp, data: bytes) -> None:
    """Take `data`, which the program has written, into the send queue, and send what may go now."""
    size = len(data)
    kernel = core.K
    kernel.recorder.event(kernel.now, _SEND, tcp.number, size)
    tcp.payload.add(data)
    tcp.queued += size
    end = tcp.sent_next + size
    if not tcp.path.calm:
        tcp.path.wrote(end + tcp.unsent_size - 1, tcp.payload.writes)  # SYN is 0, the stream begins at 1
    if (
        end <= tcp.peer_edge
        and end - tcp.acked <= tcp.congestion_window
        and not tcp.unsent_size
        and not tcp.cork
        and size <= BURST
        and (tcp.no_delay or size >= tcp.mss or tcp.last_small <= tcp.acked)
    ):
        _send_data(tcp, data, size)  # what `push` would do, without the way through the queue
    else:
        if tcp.unsent is NO_PARTS:
            tcp.unsent = deque()
        tcp.unsent.append(data)
        tcp.unsent_size += size
        push(tcp)


def push(tcp: Tcp) -> None:
    """Send what the windows, Nagle and cork allow."""
    while tcp.unsent_size:
        in_flight = tcp.sent_next - tcp.acked
        room = min(tcp.peer_edge - tcp.sent_next, tcp.congestion_window - in_flight)
        size = min(tcp.unsent_size, room, BURST)
        if size <= 0:
            if not in_flight:
                timers.arm_probe(tcp)
                if tcp.stack.fabric.watches:
                    strikes.full(tcp)
            return
        if size < tcp.mss and not _small_may_go(tcp, size):
            return
        if size > tcp.mss and size < tcp.unsent_size and room < BURST:
            size -= size % tcp.mss  # whole segments as long as the window is what limits
        data = _take(tcp, size)
        tcp.unsent_size -= size
        _send_data(tcp, data, size, FIN if tcp.fin_wanted and not tcp.unsent_size else 0)
    if tcp.fin_wanted and not tcp.fin_sent:
        _send_fin(tcp)


def _small_may_go(tcp: Tcp, size: int) -> bool:
    if tcp.cork and not tcp.fin_wanted:
        timers.arm_cork(tcp)
        return False
    if size < tcp.unsent_size:
        # The window is what limits: silly window avoidance on the sender's side (RFC 9293, 3.8.6.2.1).
        return size >= tcp.largest_edge_seen // 2 or tcp.sent_next == tcp.acked
    if tcp.no_delay or tcp.fin_wanted:
        return True
    # Minshall: only a small segment that is still unacknowledged holds back the next small one.
    return not tcp.last_small > tcp.acked


def _take(tcp: Tcp, size: int) -> bytes:
    """The first `size` bytes of what is unsent."""
    unsent = tcp.unsent
    first = unsent.popleft()
    if len(first) > size:
        unsent.appendleft(first[size:])
        return first[:size]
    if len(first) == size:
        return first
    parts = [first]
    missing = size - len(first)
    while missing:
        part = unsent.popleft()
        if len(part) > missing:
            unsent.appendleft(part[missing:])
            part = part[:missing]
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _send_data(tcp: Tcp, data: bytes, size: int, fin: int = 0) -> None:
    seq = tcp.sent_next
    end = seq + size
    if fin:  # it goes with the last data that has not left yet (tcp_send_fin)
        tcp.fin_sent = True
        end += 1
    tcp.sent_next = end
    tcp.unacked.append((seq, end, data))
    if size < tcp.mss:
        tcp.last_small = end
    kernel = core.K
    now = kernel.now
    edge = tcp.received_next + tcp.receive_limit - tcp.unread  # Tcp.window_edge, without the call
    if edge > tcp.advertised:
        tcp.advertised = edge
    else:
        edge = tcp.advertised
    tcp.offered = edge - tcp.received_next
    tcp.ack_owed = tcp.pushed = 0
    tcp.ack_by = FAR
    if tcp.received_at and now - tcp.received_at < DELAYED_ACK:
        tcp.interactive = True  # "pingpong": the acknowledgement rides on the answer
    path = tcp.path
    if not path.calm:
        kernel.recorder.event(now, _SEGMENT_SENT, tcp.number, size)
    if tcp.round_trip_seq < 0:
        tcp.round_trip_seq = end
        tcp.round_trip_sent = now
    path.transmit((_DATA | fin, seq, tcp.received_next, edge, data), size)
    tcp.retransmit_by = by = now + tcp.timeout
    if by < tcp.retransmit_entry:
        timers.arm_retransmit(tcp)


def _send_fin(tcp: Tcp) -> None:
    tcp.fin_sent = True
    seq = tcp.sent_next
    tcp.sent_next = seq + 1
    tcp.unacked.append((seq, seq + 1, b""))
    tcp.path.transmit((ACK | FIN, seq, tcp.received_next, tcp.window_edge(), b""), 0)
    timers.arm_retransmit(tcp)


def want_fin(tcp: Tcp) -> None:
    """No more data will come from the program: send FIN after what is queued."""
    tcp.fin_wanted = tcp.shut_write = True
    tcp.state = LAST_ACK if tcp.state is CLOSE_WAIT else FIN_WAIT1  # whether or not it can leave now (tcp_close_state)
    push(tcp)


def acknowledge(tcp: Tcp) -> None:
    """Send an acknowledgement without data now."""
    tcp.ack_owed = tcp.pushed = 0
    tcp.ack_by = FAR
    tcp.advertised = edge = tcp.window_edge()
    tcp.offered = edge - tcp.received_next
    tcp.path.transmit((ACK, tcp.sent_next, tcp.received_next, edge, b""), 0)


def reset(tcp: Tcp) -> None:
    """Send RST."""
    kernel = core.K
    kernel.recorder.event(kernel.now, Kind.RESET, tcp.number, 0)
    tcp.path.transmit((RST | ACK, tcp.sent_next, tcp.received_next, 0, b""), 0)


def retransmit(tcp: Tcp) -> None:
    """Send the oldest unacknowledged segment again."""
    tcp.round_trip_seq = -2  # Karn: no measurement while something is sent twice
    tcp.round_trip_resume = tcp.sent_next
    seq, end, data = tcp.unacked[0]
    if tcp.acked > seq:
        data = data[tcp.acked - seq :]
        seq = tcp.acked
    fin = FIN if tcp.fin_sent and end == tcp.sent_next else 0
    kernel = core.K
    kernel.recorder.event(kernel.now, _SEGMENT_SENT, tcp.number, len(data))
    tcp.path.transmit((ACK | fin | (PSH if data else 0), seq, tcp.received_next, tcp.window_edge(), data), len(data))
