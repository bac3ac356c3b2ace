"""Receiving: what an arriving segment does to a connection.

Owns the receive queue, acknowledgements, and the state changes that segments cause. Follows net/ipv4/tcp_input.c
(`tcp_rcv_established`, `tcp_rcv_state_process`, `tcp_data_queue`, `tcp_ack`, `tcp_fin`, `tcp_reset`).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from wavetank.kernel import core
from wavetank.kernel.core import FAR
from wavetank.kernel.file import READABLE, WRITABLE
from wavetank.kernel.pipe import EVERYTHING
from wavetank.kernel.tcp import handshake, output, timers
from wavetank.kernel.tcp.state import (
    ACK,
    CAN_RECEIVE,
    CLOSE,
    CLOSE_WAIT,
    CLOSING,
    DELAYED_ACK,
    DELAYED_ACK_MOST,
    ESTABLISHED,
    FIN,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    LISTEN,
    PROBE_ANSWERS,
    QUICK_ACKS,
    RST,
    SYN,
    SYN_RECV,
    SYN_SENT,
    TICK,
    Segment,
)
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.tcp.connection import Tcp

_DELIVERED = int(Kind.SEGMENT_DELIVERED)
_RST_OR_SYN = RST | SYN
_PAGE = 4096
_GROWS_WINDOW = 128  # tcp_event_data_recv
_USUAL_SEGMENT = 536  # TCP_MSS_DEFAULT
#: Memory of a packet beside its data (`skb->truesize`), by the sizes of first segments after which windows open.
_PACKET_COST = 704


def arrived(tcp: Tcp, segment: Segment) -> None:
    """A segment for this connection."""
    flags, seq, ack, edge, data = segment
    if (tcp.state is not ESTABLISHED or flags & _RST_OR_SYN) and _opens_or_ends(tcp, segment):
        return
    tcp.heard_at = core.K.now
    tcp.keep_probes = 0
    moved = True  # only then may more be sent: tcp_rcv_established, tcp_data_snd_check
    if ack > tcp.acked:
        _acknowledged(tcp, ack, edge)
        if tcp.state is CLOSE:
            return
    else:
        if edge > tcp.peer_edge:
            _window_opened(tcp, edge)
        else:
            moved = bool(flags & FIN) or _not_predicted(tcp, data)
        if not data and not flags & FIN and ack == tcp.acked and tcp.unacked and edge == tcp.peer_edge:
            _duplicate(tcp)
    if data or flags & FIN:
        if tcp.shut_read and data and tcp.state in (FIN_WAIT1, FIN_WAIT2):
            # Both directions are shut: nobody will read it (tcp_rcv_state_process, LINUX_MIB_TCPABORTONDATA).
            output.reset(tcp)
            failed(tcp, errno.ECONNRESET)
            return
        if seq == tcp.received_next and not tcp.orphan and tcp.state in CAN_RECEIVE:
            _accept(tcp, data, flags)
            if tcp.early:
                _accept_early(tcp)
        else:
            _out_of_order(tcp, segment)
    elif seq < tcp.received_next:  # a keepalive or window probe
        now = core.K.now
        if not tcp.answered_at or now - tcp.answered_at >= PROBE_ANSWERS:  # tcp_oow_rate_limited
            tcp.answered_at = now
            output.acknowledge(tcp)
    if moved and (tcp.unsent_size or (tcp.fin_wanted and not tcp.fin_sent)):
        output.push(tcp)
    if tcp.ack_owed:
        _acknowledge_soon(tcp)


def _not_predicted(tcp: Tcp, data: bytes) -> bool:
    """Whether data misses the fast path of `tcp_rcv_established`, although it acknowledges nothing new.

    The side that connected has none before its first data (`tcp_finish_connect` clears `pred_flags`), and more than a
    page is never in reserve (`sk_forward_alloc`).
    """
    return len(data) >= _PAGE or bool(data and tcp.syn_sent_at and not tcp.received_at)


# ---- handshake and reset


def _opens_or_ends(tcp: Tcp, segment: Segment) -> bool:
    """Handshake and reset; True when there is nothing more in the segment."""
    flags, seq, ack, _, _ = segment
    state = tcp.state
    if state is SYN_SENT:
        _in_syn_sent(tcp, segment)
        return True
    if flags & RST:
        _reset(tcp, seq)
        return True
    if flags & SYN:
        if state is SYN_RECV and flags & ACK and tcp.listener is None:
            # Both have sent SYN and SYN+ACK (RFC 9293 figure 7), or the socket has connected to itself.
            _established_by(tcp, ack)
            output.acknowledge(tcp)
        elif state is SYN_RECV:  # our SYN+ACK was lost
            tcp.path.transmit((SYN | ACK, 0, tcp.received_next, tcp.window_edge(), b""), 0)
        else:  # a challenge acknowledgement, RFC 5961
            output.acknowledge(tcp)
        return True
    if state is SYN_RECV and not segment[4] and handshake.defers(tcp):
        return True
    return state is SYN_RECV and not _established_by(tcp, ack)


def _in_syn_sent(tcp: Tcp, segment: Segment) -> None:
    flags, seq, ack, edge, _ = segment
    if flags & RST:
        if flags & ACK and ack == 1:
            tcp.fail(errno.ECONNREFUSED)
        return
    if flags & SYN and flags & ACK:
        tcp.received_next = seq + 1
        tcp.peer_edge = tcp.largest_edge_seen = edge
        tcp.acked = 1
        tcp.established()
        timers.measured(tcp, core.K.now - tcp.syn_sent_at) if not tcp.syn_tries else None
        if tcp.interactive:  # TCP_QUICKACK 0: data is expected to follow at once, and to carry the acknowledgement
            tcp.interactive = False  # tcp_enter_quickack_mode
            timers.arm_ack(tcp, DELAYED_ACK_MOST)
        else:
            output.acknowledge(tcp)
        tcp.notify(WRITABLE)
    elif flags & SYN:  # simultaneous open, RFC 9293 figure 7
        tcp.received_next = seq + 1
        tcp.peer_edge = tcp.largest_edge_seen = edge
        tcp.state = SYN_RECV
        tcp.path.transmit((SYN | ACK, 0, tcp.received_next, tcp.window_edge(), b""), 0)


def _established_by(tcp: Tcp, ack: int) -> bool:
    """The third segment of the handshake: False when the listener has no room, or it is not one."""
    if ack < 1:
        return False
    listener = tcp.listener
    if listener is not None and not handshake.child_established(listener, tcp):
        if listener.state is not LISTEN:  # it has gone meanwhile: nobody is here
            output.reset(tcp)
            tcp.vanish()
        return False
    tcp.acked = max(tcp.acked, 1)
    tcp.established()
    if tcp.shut_write:  # before it was connected: now the FIN goes (tcp_rcv_state_process)
        output.want_fin(tcp)
    if listener is None:
        tcp.notify(WRITABLE)
    else:
        listener.notify(READABLE)
    return True


def _reset(tcp: Tcp, seq: int) -> None:
    if seq < tcp.received_next:
        return  # older than the window: RFC 9293 section 3.10.7.4
    if tcp.state is SYN_RECV and tcp.listener is not None:
        tcp.vanish()
        return
    tcp.fail(errno.EPIPE if tcp.state is CLOSE_WAIT else errno.ECONNRESET)


# ---- acknowledgements


def _acknowledged(tcp: Tcp, ack: int, edge: int) -> None:
    if ack > tcp.sent_next:
        output.acknowledge(tcp)  # RFC 9293: an acknowledgement of something not yet sent
        return
    gone = ack - tcp.acked
    tcp.acked = ack
    tcp.queued -= gone
    unacked = tcp.unacked
    if unacked and unacked[-1][1] <= ack:
        unacked.clear()
    else:
        whole = 0
        while whole < len(unacked) and unacked[whole][1] <= ack:
            whole += 1
        del unacked[:whole]
    now = core.K.now
    tcp.last_progress = now
    tcp.retries = tcp.duplicates = 0
    measuring = tcp.round_trip_seq
    if measuring >= 0:
        if ack >= measuring:
            timers.measured(tcp, now - tcp.round_trip_sent)
            tcp.round_trip_seq = -1
    elif measuring == -2 and ack >= tcp.round_trip_resume:
        tcp.round_trip_seq = -1
        timers.reset_timeout(tcp)
    window = tcp.congestion_window
    tcp.congestion_window = window + (gone if window < tcp.slow_start_threshold else max(1, tcp.mss * gone // window))
    if edge > tcp.peer_edge:
        tcp.peer_edge = edge
    if edge - ack > tcp.largest_edge_seen:
        tcp.largest_edge_seen = edge - ack
    if unacked:
        if ack < tcp.recover_to:
            output.retransmit(tcp)
        tcp.retransmit_by = now + tcp.timeout
    else:
        tcp.retransmit_by = FAR
    if tcp.fin_sent and ack == tcp.sent_next:
        _fin_acknowledged(tcp)
    if tcp.no_space and tcp.writable():
        tcp.no_space = False
        tcp.notify(WRITABLE)


def _window_opened(tcp: Tcp, edge: int) -> None:
    tcp.peer_edge = edge
    tcp.largest_edge_seen = max(tcp.largest_edge_seen, edge - tcp.acked)
    tcp.probing_since = 0
    if not tcp.unacked:
        tcp.retransmit_by = FAR
        tcp.retries = 0
        timers.reset_timeout(tcp)


def _duplicate(tcp: Tcp) -> None:
    tcp.duplicates += 1
    if tcp.duplicates == 3 and tcp.acked >= tcp.recover_to:
        tcp.recover_to = tcp.sent_next
        tcp.slow_start_threshold = max(2 * tcp.mss, (tcp.sent_next - tcp.acked) // 2)
        tcp.congestion_window = tcp.slow_start_threshold
        output.retransmit(tcp)


def _fin_acknowledged(tcp: Tcp) -> None:
    tcp.queued += 1  # FIN takes a sequence number, and no room
    if tcp.state is FIN_WAIT1:
        tcp.state = FIN_WAIT2
        tcp.notify(EVERYTHING)
        if tcp.orphan:
            timers.await_fin(tcp)
    elif tcp.state is CLOSING:
        tcp.time_wait()
    elif tcp.state is LAST_ACK:
        tcp.vanish()
        tcp.notify(EVERYTHING)  # tcp_done


# ---- data


def _out_of_order(tcp: Tcp, segment: Segment) -> None:
    """Data that is not what comes next, or that the socket no longer takes."""
    flags, seq, _, _, data = segment
    end = seq + len(data)
    expected = tcp.received_next
    if data and tcp.orphan and end > expected:
        # Nobody can read it any more: tcp_rcv_state_process, LINUX_MIB_TCPABORTONDATA.
        output.reset(tcp)
        tcp.vanish()
        return
    if seq > expected:
        tcp.early[seq] = segment
        output.acknowledge(tcp)  # a duplicate acknowledgement tells the sender what is missing
        return
    if end + bool(flags & FIN) <= expected:
        output.acknowledge(tcp)
        return
    if tcp.state not in CAN_RECEIVE:
        return
    _accept(tcp, data[expected - seq :] if seq < expected else data, flags)
    _accept_early(tcp)


def _accept_early(tcp: Tcp) -> None:
    """What arrived early, as far as it now comes next."""
    while tcp.early:
        following = [start for start in tcp.early if start <= tcp.received_next]
        if not following:
            break
        start = min(following)
        more_flags, _, _, _, more = tcp.early.pop(start)
        if start + len(more) + bool(more_flags & FIN) > tcp.received_next:
            _accept(tcp, more[tcp.received_next - start :], more_flags)
        tcp.ack_owed = FAR


def _accept(tcp: Tcp, data: bytes, flags: int) -> None:
    if data:
        kernel = core.K
        size = len(data)
        if size > tcp.receive_limit - tcp.unread and not tcp.advertised > tcp.received_next:
            output.acknowledge(tcp)  # outside the window
            return
        tcp.received_next += size
        tcp.ack_owed += size
        tcp.pushed += 1
        if size > tcp.segment_size:
            tcp.segment_size = max(tcp.segment_size, min(size, tcp.mss))
        if not tcp.received_at:
            _first_data(tcp, size)
        if tcp.receive_goal > tcp.receive_limit and size >= _GROWS_WINDOW:  # tcp_grow_window
            tcp.receive_limit = min(tcp.receive_goal, tcp.receive_limit + 2 * max(size, tcp.segment_size))
        tcp.received_at = kernel.now or 1
        back = tcp.back
        if not back.calm:
            kernel.recorder.event(kernel.now, _DELIVERED, tcp.number, size)
        delay = back.reading_delay(size) if back.slow else 0
        if delay or tcp.withheld:
            tcp.withhold(data, delay)
        else:
            tcp.unread_parts.append(data)
            tcp.unread += size
            if tcp.unread >= tcp.low_water:
                tcp.notify(READABLE)
    if flags & FIN:
        _fin(tcp)


def room_made(tcp: Tcp, size: int) -> None:
    """The program has read: grow the buffer for a fast reader, tell the sender when the window opens."""
    limit = tcp.receive_limit
    tcp.read_since += size
    if tcp.read_since >= limit and not tcp.receive_fixed:
        tcp.read_since = 0
        limit = tcp.receive_limit = min(2 * limit, tcp.stack.profile.tcp_rmem[2] // 2)  # tcp_rcv_space_adjust
    if tcp.state not in CAN_RECEIVE and not tcp.ack_owed:
        return
    window = tcp.advertised - tcp.received_next
    open_now = limit - tcp.unread
    if not tcp.offered:
        # Half of the buffer was the window of the handshake. From the first data on it is the share that data has in
        # its packets (`scaling_ratio` in tcp_measure_rcv_mss), less what is there then (tcp_grow_window).
        packet = tcp.segment_size + _PACKET_COST
        open_now = max(open_now, 2 * limit * (256 * tcp.segment_size // packet) // 256 - packet)
    # tcp_cleanup_rbuf: tell when the window at least doubles; silly windows are kept closed (__tcp_select_window).
    opened = open_now >= 2 * window and open_now >= min(tcp.mss, limit // 2)
    # ... and acknowledge what was pushed once all of it is read, unless an answer is likely to carry it.
    emptied = tcp.pushed > tcp.interactive and not tcp.unread
    if (opened and not tcp.shut_read and not tcp.end_seen) or emptied or tcp.ack_owed > tcp.segment_size:
        output.acknowledge(tcp)


def _first_data(tcp: Tcp, size: int) -> None:
    """How many acknowledgements come at once: half as many as the window has segments (`tcp_incr_quickack`).

    At least one while the window grows, which it does by segments of some size (`tcp_grow_window`).
    """
    tcp.quick_left = min(QUICK_ACKS, tcp.receive_limit // (2 * tcp.segment_size) or 2)
    if size >= _GROWS_WINDOW:
        tcp.quick_left |= 1
    if _USUAL_SEGMENT < size < _PACKET_COST and not tcp.offered:  # most of its memory is no data: no larger window
        tcp.offered = tcp.receive_limit


def _fin(tcp: Tcp) -> None:
    tcp.received_next += 1
    tcp.fin_received = True
    tcp.early.clear()
    if tcp.state is ESTABLISHED:
        tcp.state = CLOSE_WAIT
        tcp.interactive = True  # most likely our own FIN follows, and acknowledges theirs (tcp_fin)
        tcp.ack_owed += 1
    elif tcp.state is FIN_WAIT1:
        output.acknowledge(tcp)
        tcp.state = CLOSING
    elif tcp.state is FIN_WAIT2:
        output.acknowledge(tcp)
        tcp.time_wait()
    if not tcp.withheld and not tcp.back.stalled:
        tcp.end_seen = True
        tcp.notify(EVERYTHING)  # sk_state_change


def _acknowledge_soon(tcp: Tcp) -> None:
    """After data: acknowledge now, or let the acknowledgement wait for an answer to ride on."""
    if tcp.state is CLOSE:
        return
    # __tcp_ack_snd_check: more than a segment, and the window is not smaller than when it was told last.
    if tcp.ack_owed > tcp.segment_size and tcp.receive_limit - tcp.unread >= tcp.offered:
        output.acknowledge(tcp)
    elif tcp.quick_left and not tcp.interactive:
        tcp.quick_left -= 1
        output.acknowledge(tcp)
    elif tcp.ack_by == FAR:
        # Without any data so far the delay is not known yet (`ato` is 0): the next tick of the clock.
        timers.arm_ack(tcp, DELAYED_ACK if tcp.received_at else TICK)


def failed(tcp: Tcp, number: int) -> None:
    """The connection is dead: report `number` once, let what was received be read (`tcp_reset`, `tcp_done`)."""
    tcp.pending_error = number
    tcp.give_all()  # a stalled reader, too, is told
    tcp.vanish()
    tcp.notify(EVERYTHING)
