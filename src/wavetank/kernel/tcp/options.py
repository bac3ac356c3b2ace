"""The options of a TCP socket that act: buffers, Nagle, keepalive, linger, reuse, and TCP_INFO.

Owns their meaning (socket(7), tcp(7), net/core/sock.c, net/ipv4/tcp.c); plain storage is `kernel.options`.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Final

from wavetank.kernel.core import FAR
from wavetank.kernel.file import READABLE, WRITABLE, error
from wavetank.kernel.tcp import output, timers
from wavetank.kernel.tcp.state import (
    CLOSE,
    FIN_TIMEOUT_MOST_S,
    LISTEN,
    MSS_ETHERNET,
    NO_THRESHOLD,
    RECEIVE_BUFFER_MIN,
    RTO_MAX,
    SECOND,
    SEND_BUFFER_MIN,
)

if TYPE_CHECKING:
    from wavetank.kernel.tcp.connection import Tcp

SOL_SOCKET, IPPROTO_TCP, IPPROTO_IPV6 = 1, 6, 41
SO_REUSEADDR, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_LINGER, SO_REUSEPORT = 2, 7, 8, 9, 13, 15
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT = 1, 2, 3, 4, 5, 6, 7
TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_WINDOW_CLAMP, TCP_INFO, TCP_QUICKACK, TCP_CONGESTION = 8, 9, 10, 11, 12, 13
TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT = 18, 25
IPV6_V6ONLY: Final = 26
SO_RCVLOWAT: Final = 18
#: SCM_RIGHTS and SCM_CREDENTIALS: any socket takes them along with data, and they do nothing.
FOR_UNIX: Final = ((SOL_SOCKET, 1), (SOL_SOCKET, 2))
_SOCKET: Final = frozenset(
    {SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_RCVLOWAT}
)

_INFINITE_THRESHOLD: Final = 0x7FFFFFFF  # TCP_INFINITE_SSTHRESH, in segments
_PLAIN = {TCP_LINGER2: 60, TCP_DEFER_ACCEPT: 0, TCP_WINDOW_CLAMP: 0, TCP_NOTSENT_LOWAT: 0xFFFFFFFF}


def get(tcp: Tcp, level: int, name: int) -> int | bytes | None:
    """The value of an option, None when it is not TCP's."""
    if level == SOL_SOCKET:
        return _get_socket(tcp, name)
    if level == IPPROTO_TCP:
        return _get_tcp(tcp, name)
    if level == IPPROTO_IPV6 and name == IPV6_V6ONLY and tcp.family == 10:
        return int(tcp.v6_only)
    return None


def _get_socket(tcp: Tcp, name: int) -> int | bytes | None:
    if name == SO_LINGER:
        return struct.pack("ii", tcp.linger is not None, tcp.linger or 0)
    return {
        SO_REUSEADDR: int(tcp.reuse_address),
        SO_REUSEPORT: int(tcp.reuse_port),
        SO_KEEPALIVE: int(tcp.keepalive),
        SO_RCVLOWAT: tcp.low_water,
        SO_SNDBUF: tcp.send_limit,
        SO_RCVBUF: 2 * max(tcp.receive_goal, tcp.receive_limit),
    }.get(name)


def _get_tcp(tcp: Tcp, name: int) -> int | bytes | None:
    if name == TCP_INFO:
        return _info(tcp)
    if name == TCP_CONGESTION:
        chosen = tcp.options.get((IPPROTO_TCP, TCP_CONGESTION), tcp.stack.profile.tcp_congestion_control.encode())
        return chosen.ljust(16, b"\0") if isinstance(chosen, bytes) else None  # TCP_CA_NAME_MAX
    known: dict[int, int | bytes] = {
        TCP_NODELAY: int(tcp.no_delay),
        TCP_CORK: int(tcp.cork),
        TCP_MAXSEG: tcp.mss if tcp.key is not None else tcp.options.get((IPPROTO_TCP, TCP_MAXSEG), 536),
        TCP_KEEPIDLE: tcp.keep_idle,
        TCP_KEEPINTVL: tcp.keep_interval,
        TCP_KEEPCNT: tcp.keep_count,
        TCP_SYNCNT: tcp.syn_limit or tcp.stack.profile.tcp_syn_retries,
        TCP_QUICKACK: int(not tcp.interactive),
        TCP_USER_TIMEOUT: tcp.user_timeout // 1_000_000,
    }
    value = known.get(name)
    if value is not None:
        return value
    if name in _PLAIN:
        usual = tcp.stack.profile.tcp_fin_timeout if name == TCP_LINGER2 else _PLAIN[name]
        return tcp.options.get((IPPROTO_TCP, name), usual)
    return None


def _info(tcp: Tcp) -> bytes:
    """The first fields of `struct tcp_info` (include/uapi/linux/tcp.h); those not simulated are 0."""
    unacked = len(tcp.unacked)
    mss, threshold = max(tcp.mss, 1), tcp.slow_start_threshold
    return struct.pack(
        "8B24I",
        tcp.state, 0, min(tcp.retries, 255), 0, 0, 0, 0, 0,
        tcp.timeout // 1000, 40_000, tcp.mss, tcp.segment_size, unacked, 0, 0, 0, 0, 0, 0, 0, 0, 1500, 0,
        tcp.smoothed // 1000, tcp.variance // 1000,
        _INFINITE_THRESHOLD if threshold >= NO_THRESHOLD else threshold // mss,
        tcp.congestion_window // mss, tcp.mss, 3, 0, tcp.receive_limit, 0,
    )  # fmt: skip


def put(tcp: Tcp, level: int, name: int, value: int | bytes) -> bool:
    """Set an option; False when it is not TCP's."""
    if level == SOL_SOCKET:
        return _put_socket(tcp, name, value)
    if level == IPPROTO_TCP:
        return _put_tcp(tcp, name, value)
    if level == IPPROTO_IPV6 and name == IPV6_V6ONLY and tcp.family == 10:
        if tcp.bound:
            raise error(errno.EINVAL)
        tcp.v6_only = bool(value)
        return True
    return False


def _put_socket(tcp: Tcp, name: int, value: int | bytes) -> bool:
    if name == SO_LINGER:
        if not isinstance(value, bytes) or len(value) < 8:
            raise error(errno.EINVAL)
        on, seconds = struct.unpack_from("ii", value)
        tcp.linger = seconds if on else None
        return True
    if name not in _SOCKET:
        return False
    if isinstance(value, bytes):
        raise error(errno.EINVAL)
    if name == SO_REUSEADDR:
        tcp.reuse_address = bool(value)
    elif name == SO_REUSEPORT:
        tcp.reuse_port = bool(value)
    elif name == SO_KEEPALIVE:
        tcp.keepalive = bool(value)
        timers.arm_keepalive(tcp)
    elif name == SO_RCVLOWAT:
        tcp.low_water = 0x7FFF_FFFF if value < 0 else value or 1
        if tcp.unread >= tcp.low_water or tcp.fin_received:  # SOCK_DONE (tcp_data_ready)
            tcp.notify(READABLE)
    elif name in (SO_SNDBUF, SO_SNDBUFFORCE):
        tcp.send_limit = max(2 * min(value & 0xFFFF_FFFF, tcp.stack.profile.wmem_max), SEND_BUFFER_MIN)
        tcp.send_fixed = True
        if tcp.writable():
            tcp.notify(WRITABLE)  # sk_write_space
    else:
        limit = max(2 * min(value & 0xFFFF_FFFF, tcp.stack.profile.rmem_max), RECEIVE_BUFFER_MIN) // 2
        tcp.receive_goal = limit if tcp.key is not None else 0  # the window of a connection grows as data arrives
        tcp.receive_limit = min(tcp.receive_limit, limit) if tcp.key is not None else limit
        tcp.receive_fixed = True
    return True


def _put_tcp(tcp: Tcp, name: int, value: int | bytes) -> bool:
    if name == TCP_CONGESTION:
        own = tcp.stack.profile.tcp_congestion_control.encode()
        if isinstance(value, int) or value.rstrip(b"\0") not in (b"cubic", b"reno", own):
            raise error(errno.ENOENT)
        tcp.options[IPPROTO_TCP, TCP_CONGESTION] = value.rstrip(b"\0")
        return True
    if isinstance(value, bytes):
        raise error(errno.EINVAL)
    if name == TCP_NODELAY:
        tcp.no_delay = bool(value)
        if value:
            cork, tcp.cork = tcp.cork, False  # it pushes even what is corked (TCP_NAGLE_PUSH)
            _push(tcp)
            tcp.cork = cork
    elif name == TCP_CORK:
        tcp.cork = bool(value)
        if not value:
            _push(tcp)
    elif name == TCP_QUICKACK:
        tcp.interactive = not value & 1  # no more than that: what is sent next makes it interactive again
        if value and (tcp.ack_owed or tcp.ack_by != FAR) and not tcp.unread:  # tcp_cleanup_rbuf
            output.acknowledge(tcp)
    elif name == TCP_USER_TIMEOUT:
        if value < 0:
            raise error(errno.EINVAL)
        tcp.user_timeout = value * 1_000_000
    elif name == TCP_KEEPIDLE:
        tcp.keep_idle = _bounded(value, 32767)
        timers.arm_keepalive(tcp)
    elif name == TCP_KEEPINTVL:
        tcp.keep_interval = _bounded(value, 32767)
    elif name == TCP_KEEPCNT:
        tcp.keep_count = _bounded(value, 127)
    elif name == TCP_SYNCNT:
        tcp.syn_limit = _bounded(value, 127)
    elif name == TCP_MAXSEG:
        if value and not 88 <= value <= 32767:
            raise error(errno.EINVAL)
        if value:
            tcp.options[IPPROTO_TCP, TCP_MAXSEG] = value
            tcp.mss = min(tcp.mss, value) if tcp.key is not None else min(MSS_ETHERNET, value)
    elif name in _PLAIN:
        tcp.options[IPPROTO_TCP, name] = _plain(tcp, name, value)
    else:
        return False
    return True


def _plain(tcp: Tcp, name: int, value: int) -> int:
    """What is kept of the value of an option (`do_tcp_setsockopt`); EINVAL."""
    if name == TCP_LINGER2:
        return -1 if value < 0 else min(value, FIN_TIMEOUT_MOST_S) or tcp.stack.profile.tcp_fin_timeout
    if name == TCP_DEFER_ACCEPT:
        return _defer_s(value)
    if name == TCP_WINDOW_CLAMP:
        if not value:
            if tcp.state is not CLOSE:
                raise error(errno.EINVAL)
            return 0
        clamp = max(value, RECEIVE_BUFFER_MIN // 2)
        tcp.receive_limit = min(tcp.receive_limit, clamp)
        return clamp
    return value


def _defer_s(seconds: int) -> int:
    """The seconds of TCP_DEFER_ACCEPT, as a whole number of retransmissions lasts (`secs_to_retrans` and back)."""
    period = timeout = 1 if seconds > 0 else 0
    count = 1
    while 0 < period < seconds and count < 255:
        timeout = min(2 * timeout, RTO_MAX // SECOND)
        period += timeout
        count += 1
    return period


def _bounded(value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise error(errno.EINVAL)
    return value


def _push(tcp: Tcp) -> None:
    if tcp.unsent_size:
        output.push(tcp)


def inherit(child: Tcp, listener: Tcp) -> None:
    """What an accepted socket takes over from its listener (`sk_clone_lock`)."""
    assert listener.state is LISTEN
    child.options.update(listener.options)
    for name in (
        "keepalive", "low_water", "keep_idle", "keep_interval", "keep_count", "linger", "no_delay", "user_timeout",
        "reuse_address", "reuse_port", "v6_only", "cork", "shut_read", "shut_write",
    ):  # fmt: skip
        setattr(child, name, getattr(listener, name))
    if listener.send_fixed:
        child.send_limit, child.send_fixed = listener.send_limit, True
    if listener.receive_fixed:
        child.receive_limit, child.receive_fixed = listener.receive_limit, True
