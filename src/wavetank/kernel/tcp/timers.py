"""The clocks of a connection: retransmission, window probes, delayed acknowledgement, handshake, keepalive, TIME_WAIT.

Each is a deadline on the connection plus at most one entry in the event heap: an entry that fires early puts itself
back to the deadline then in force, so that traffic never fills the heap with stale entries. Durations:
net/ipv4/tcp_timer.c.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from wavetank.kernel import core
from wavetank.kernel.core import FAR
from wavetank.kernel.tcp import output
from wavetank.kernel.tcp.state import (
    ACK,
    CLOSE,
    DELAYED_ACK,
    FIN_WAIT2,
    ORPHAN_RETRIES,
    RTO_INITIAL,
    RTO_MAX,
    RTO_MIN,
    SECOND,
    SYN,
    SYN_RECV,
    SYN_SENT,
    TICK,
)

if TYPE_CHECKING:
    from wavetank.kernel.tcp.connection import Tcp


IPPROTO_TCP, TCP_LINGER2 = 6, 8


# ---- retransmission and window probes (one timer, as in Linux)


def arm_retransmit(tcp: Tcp) -> None:
    """Something unacknowledged is on the way."""
    _retransmit_in(tcp, tcp.timeout)


def _retransmit_in(tcp: Tcp, delay: int) -> None:
    tcp.retransmit_by = by = core.K.now + delay
    if tcp.retransmit_entry > by:
        tcp.retransmit_entry = by
        core.K.at(by, _retransmit_timer, tcp)


def arm_probe(tcp: Tcp) -> None:
    """Data waits behind a closed window: ask again from time to time (RFC 9293, 3.8.6.1)."""
    if tcp.retransmit_by == FAR:
        arm_retransmit(tcp)


def _retransmit_timer(tcp: Tcp) -> None:
    now = core.K.now
    if now < tcp.retransmit_entry:
        return
    tcp.retransmit_entry = FAR
    if tcp.state is CLOSE or tcp.retransmit_by == FAR:
        return
    if now < tcp.retransmit_by:
        tcp.retransmit_entry = tcp.retransmit_by
        core.K.at(tcp.retransmit_by, _retransmit_timer, tcp)
        return
    tcp.retransmit_by = FAR
    if tcp.unacked:
        _retransmission_timeout(tcp)
    elif tcp.unsent_size:
        _probe(tcp)


def _give_up_after(tcp: Tcp) -> int:
    profile = tcp.stack.profile
    return profile.tcp_orphan_retries or ORPHAN_RETRIES if tcp.orphan else profile.tcp_retries2


def _patience(retries: int, first: int) -> int:
    """How long so many retransmissions last, the first after `first` ns (`tcp_model_timeout`)."""
    doublings = (RTO_MAX // first).bit_length() - 1
    most = min(retries, doublings)
    return ((2 << most) - 1) * first + (retries - most) * RTO_MAX


def _before_user_timeout(tcp: Tcp, since: int) -> int:
    """The timeout, less where TCP_USER_TIMEOUT ends earlier (`tcp_clamp_rto_to_user_timeout`)."""
    if not tcp.user_timeout:
        return tcp.timeout
    return min(tcp.timeout, max(1, since + tcp.user_timeout - core.K.now))


def _retransmission_timeout(tcp: Tcp) -> None:
    now = core.K.now
    if not tcp.retries and tcp.tail_probed_to <= tcp.acked and tcp.recover_to <= tcp.acked:
        # Tail loss probe (RFC 8985, `tcp_send_loss_probe`): once, and nothing is slowed down for it.
        tcp.tail_probed_to = tcp.sent_next
        output.retransmit(tcp)
        arm_retransmit(tcp)
        return
    if tcp.retries:
        limit = tcp.user_timeout or _patience(_give_up_after(tcp), RTO_MIN)
        if now - tcp.retransmitted_at >= limit:  # retransmits_timed_out
            tcp.fail(errno.ETIMEDOUT)
            return
    else:
        tcp.retransmitted_at = now
    tcp.retries += 1
    tcp.probing_since = 0
    tcp.recover_to = tcp.sent_next
    tcp.slow_start_threshold = max(2 * tcp.mss, (tcp.sent_next - tcp.acked) // 2)
    tcp.congestion_window = tcp.mss
    output.retransmit(tcp)
    tcp.timeout = min(RTO_MAX, tcp.timeout * 2)
    _retransmit_in(tcp, _before_user_timeout(tcp, tcp.retransmitted_at))


def _probe(tcp: Tcp) -> None:
    """`tcp_probe_timer`: a probe is an old sequence number, which the peer answers with its window."""
    now = core.K.now
    if not tcp.probing_since:
        tcp.probing_since = now
    # Answers count for tcp_retries2, and not for TCP_USER_TIMEOUT: a window that stays closed is no progress.
    over = tcp.user_timeout and now - tcp.probing_since >= tcp.user_timeout
    if over or tcp.keep_probes >= _give_up_after(tcp):
        tcp.fail(errno.ETIMEDOUT)
        return
    tcp.keep_probes += 1
    tcp.path.transmit((ACK, tcp.acked - 1, tcp.received_next, tcp.window_edge(), b""), 0)
    if tcp.retries < tcp.stack.profile.tcp_retries2:
        tcp.retries += 1
        tcp.timeout = min(RTO_MAX, tcp.timeout * 2)
    _retransmit_in(tcp, _before_user_timeout(tcp, tcp.probing_since))


def measured(tcp: Tcp, round_trip: int) -> None:
    """A round trip was measured: RFC 6298 section 2, with Linux's floor of 200 ms."""
    smoothed = tcp.smoothed
    if not smoothed:
        tcp.smoothed, tcp.variance = round_trip, round_trip // 2
    else:
        change = round_trip - smoothed
        tcp.smoothed = smoothed + change // 8
        tcp.variance += ((change if change > 0 else -change) - tcp.variance) // 4
    reset_timeout(tcp)


def reset_timeout(tcp: Tcp) -> None:
    """Progress was made: the timeout is the measured one again."""
    spread = 4 * tcp.variance  # compared by hand: this runs at each acknowledgement
    timeout = tcp.smoothed + (spread if spread > RTO_MIN else RTO_MIN)
    timeout += -timeout % TICK  # whole ticks of the clock (usecs_to_jiffies)
    tcp.timeout = timeout if timeout < RTO_MAX else RTO_MAX


# ---- delayed acknowledgement


def arm_ack(tcp: Tcp, delay: int = DELAYED_ACK) -> None:
    """An acknowledgement is owed; it may wait for data to ride on."""
    tcp.ack_by = by = core.K.now + delay
    if tcp.ack_entry > by:
        tcp.ack_entry = by
        core.K.at(by, _ack_timer, tcp)


def _ack_timer(tcp: Tcp) -> None:
    now = core.K.now
    if now < tcp.ack_entry:
        return
    tcp.ack_entry = FAR
    if tcp.ack_by == FAR or tcp.state is CLOSE:
        return
    if now < tcp.ack_by:
        tcp.ack_entry = tcp.ack_by
        core.K.at(tcp.ack_by, _ack_timer, tcp)
        return
    tcp.interactive = False  # nobody answered in time: acknowledge at once for a while (tcp_delack_timer_handler)
    output.acknowledge(tcp)


# ---- cork


def arm_cork(tcp: Tcp) -> None:
    """What TCP_CORK or MSG_MORE keeps leaves after 200 ms at the latest (tcp(7), TCP_CORK)."""
    if not tcp.cork_armed:
        tcp.cork_armed = True
        core.K.after(RTO_MIN, _uncork, tcp)


def _uncork(tcp: Tcp) -> None:
    tcp.cork_armed = False
    if tcp.unsent_size and tcp.state is not CLOSE:
        cork, tcp.cork = tcp.cork, False
        output.push(tcp)
        tcp.cork = cork


# ---- handshake


def arm_syn(tcp: Tcp) -> None:
    """SYN (or SYN+ACK) was sent."""
    tcp.syn_tries = 0
    core.K.after(RTO_INITIAL, _syn_timer, tcp)


def _syn_timer(tcp: Tcp) -> None:
    if tcp.state is SYN_SENT:
        profile = tcp.stack.profile
        flags, linear = SYN, profile.tcp_syn_linear_timeouts
        limit = tcp.syn_limit or profile.tcp_syn_retries
        if tcp.syn_tries and core.K.now - tcp.syn_sent_at >= (tcp.user_timeout or _patience(limit, RTO_INITIAL)):
            tcp.fail(errno.ETIMEDOUT)  # retransmits_timed_out: it counts without the linear ones
            return
        limit += linear
    elif tcp.state is SYN_RECV:
        limit, flags, linear = tcp.stack.profile.tcp_synack_retries, SYN | ACK, 0
    else:
        return
    if tcp.syn_tries >= limit or (tcp.user_timeout and core.K.now >= tcp.user_timeout + tcp.last_progress):
        tcp.fail(errno.ETIMEDOUT)
        return
    tcp.syn_tries += 1
    tcp.path.transmit((flags, 0, tcp.received_next, tcp.window_edge(), b""), 0)
    exponent = max(0, tcp.syn_tries - linear)
    delay = RTO_INITIAL << exponent
    if tcp.user_timeout:
        delay = min(delay, max(1, tcp.last_progress + tcp.user_timeout - core.K.now))
    core.K.after(delay, _syn_timer, tcp)


# ---- keepalive


def arm_keepalive(tcp: Tcp) -> None:
    """SO_KEEPALIVE or TCP_KEEPIDLE was set, or the connection is established: begin to count."""
    if tcp.keepalive and tcp.key is not None:
        quiet = core.K.now - tcp.heard_at
        _keepalive_in(tcp, max(0, tcp.keep_idle * SECOND - quiet))


def _keepalive_in(tcp: Tcp, delay: int) -> None:
    tcp.keep_by = core.K.now + delay
    if tcp.keep_entry > tcp.keep_by:
        tcp.keep_entry = tcp.keep_by
        core.K.at(tcp.keep_by, _keepalive_timer, tcp)


def _keepalive_timer(tcp: Tcp) -> None:
    now = core.K.now
    if now < tcp.keep_entry:
        return
    tcp.keep_entry = FAR
    if tcp.state is CLOSE or not tcp.keepalive or tcp.orphan:
        return
    if now < tcp.keep_by:
        tcp.keep_entry = tcp.keep_by
        core.K.at(tcp.keep_by, _keepalive_timer, tcp)
        return
    quiet = now - tcp.heard_at
    idle, interval = tcp.keep_idle * SECOND, tcp.keep_interval * SECOND
    if tcp.unacked or tcp.unsent_size or quiet < idle:
        tcp.keep_probes = 0
        _keepalive_in(tcp, max(idle - quiet, idle if tcp.unacked else 1))
        return
    over = quiet >= tcp.user_timeout if tcp.user_timeout else tcp.keep_probes >= tcp.keep_count
    if over and tcp.keep_probes:
        output.reset(tcp)
        tcp.fail(errno.ETIMEDOUT)
        return
    tcp.keep_probes += 1
    tcp.path.transmit((ACK, tcp.acked - 1, tcp.received_next, tcp.window_edge(), b""), 0)
    _keepalive_in(tcp, interval)


def await_fin(tcp: Tcp) -> None:
    """A closed socket whose peer does not close: FIN_WAIT2 ends after TCP_LINGER2 or tcp_fin_timeout (`tcp_fin_time`).

    With a negative TCP_LINGER2 it ends now, by RST (TCP_ABORT_ON_LINGER).
    """
    chosen = tcp.options.get((IPPROTO_TCP, TCP_LINGER2), 0)
    assert isinstance(chosen, int)
    if chosen < 0:
        output.reset(tcp)
        tcp.vanish()
        return
    seconds = chosen or tcp.stack.profile.tcp_fin_timeout
    core.K.after(max(seconds * SECOND, 4 * tcp.timeout - tcp.timeout // 2), _orphan_timer, tcp)


def _orphan_timer(tcp: Tcp) -> None:
    if tcp.state is FIN_WAIT2 and tcp.orphan:
        tcp.vanish()
