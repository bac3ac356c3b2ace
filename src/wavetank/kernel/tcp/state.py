"""The states of a connection, the flags of a segment, and the constants of Linux's TCP with their sources.

Data only. A segment is a tuple `(flags, seq, ack, edge, data)`: `edge` is the highest sequence number the sender of
the segment is ready to receive (acknowledgement + window).
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import Final, TypeAlias

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10

Segment: TypeAlias = tuple[int, int, int, int, bytes]

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

# include/net/tcp.h
RTO_MIN: Final = 200 * MS
RTO_MAX: Final = 120 * SECOND
RTO_INITIAL: Final = 1 * SECOND  # TCP_TIMEOUT_INIT, RFC 6298
DELAYED_ACK: Final = 40 * MS  # TCP_DELACK_MIN, TCP_ATO_MIN
DELAYED_ACK_MOST: Final = 200 * MS  # TCP_DELACK_MAX
TICK: Final = 4 * MS  # a jiffy where CONFIG_HZ is 250, as Debian has it
QUICK_ACKS: Final = 16  # TCP_MAX_QUICKACKS
PROBE_ANSWERS: Final = 500 * MS  # net.ipv4.tcp_invalid_ratelimit
INITIAL_WINDOW_SEGMENTS: Final = 10  # TCP_INIT_CWND, RFC 6928
NO_THRESHOLD: Final = 1 << 40  # in bytes: slow start has not ended yet
TIME_WAIT_NS: Final = 60 * SECOND  # TCP_TIMEWAIT_LEN
FIN_TIMEOUT_MOST_S: Final = 120  # TCP_FIN_TIMEOUT_MAX
ORPHAN_RETRIES: Final = 8  # what net.ipv4.tcp_orphan_retries 0 means (tcp_orphan_retries() in tcp_timer.c)
#: A host that does not answer on its own link: three ARP tries, one a second (neigh `ucast_probes`/`mcast_probes`).
NO_NEIGHBOUR_NS: Final = 3_060 * MS
#: On loopback half of the first window: `tcp_bound_to_half_wnd`.
MSS_LOOPBACK, MSS_ETHERNET = 32_768, 1_448
#: What the send buffer becomes once connected, for one congestion window (tcp_sndbuf_expand with the initial one).
SEND_BUFFER_LOOPBACK, SEND_BUFFER_ETHERNET = 1_313_280, 43_520
SEND_BUFFER_MIN: Final = 4_608  # SOCK_MIN_SNDBUF on x86-64
RECEIVE_BUFFER_MIN: Final = 2_304  # SOCK_MIN_RCVBUF
#: Segments of one write travel together, as with TSO and GRO; larger ones are split on the way where a path cuts.
BURST: Final = 1 << 20


class State(IntEnum):
    """RFC 9293 section 3.3.2, with Linux's numbers (include/net/tcp_states.h)."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


ESTABLISHED: Final = State.ESTABLISHED
SYN_SENT: Final = State.SYN_SENT
SYN_RECV: Final = State.SYN_RECV
FIN_WAIT1: Final = State.FIN_WAIT1
FIN_WAIT2: Final = State.FIN_WAIT2
TIME_WAIT: Final = State.TIME_WAIT
CLOSE: Final = State.CLOSE
CLOSE_WAIT: Final = State.CLOSE_WAIT
LAST_ACK: Final = State.LAST_ACK
LISTEN: Final = State.LISTEN
CLOSING: Final = State.CLOSING


class Phase(IntEnum):
    """What the socket is to its program, besides the state of its connection (`socket_state`, uapi/linux/net.h)."""

    UNCONNECTED = 1
    CONNECTING = 2  # a connect has been started and its end not yet reported
    CONNECTED = 3
    DISCONNECTING = 4


UNCONNECTED: Final = Phase.UNCONNECTED
CONNECTING: Final = Phase.CONNECTING
CONNECTED: Final = Phase.CONNECTED
DISCONNECTING: Final = Phase.DISCONNECTING
#: What waits to be sent where nothing does: shared by all such sockets, and never filled.
NO_PARTS: Final[deque[bytes]] = deque()
#: States in which data may still be sent, and received.
CAN_SEND: Final = frozenset({ESTABLISHED, CLOSE_WAIT})
FIN_SENT: Final = frozenset({FIN_WAIT1, CLOSING, LAST_ACK})
CAN_RECEIVE: Final = frozenset({ESTABLISHED, FIN_WAIT1, FIN_WAIT2})
