"""Programs made up by Hypothesis: a beginning that makes sockets, then calls on what there is.

Owns what may be drawn and how often. A drawn program is the same kind of text as one written by hand, so whatever
Hypothesis shrinks a difference to can be kept as such.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.parity.language.program import Program, Step

#: Sizes on both sides of every border that Linux has: segments, pages, the heads of buffers.
_SIZES = (0, 1, 2, 3, 10, 100, 536, 1000, 1448, 4095, 4096, 4097, 8000, 16_000)
_LARGE = (20_000, 36_544, 50_000, 65_483, 65_507, 65_508, 70_000, 100_000)
_HOSTS = ("127.0.0.1", "127.0.0.2", "0.0.0.0")
_HOSTS6 = ("::1", "::")
_STREAMS = ("tcp", "stream")
_SOCKETS = ("tcp", "listening", "udp", "stream", "datagram", "packet", "named")


@dataclass
class Drawer:
    """The names there are, by kind, and the steps so far."""

    choose: Callable[[Sequence[Any]], Any]
    kinds: dict[str, str] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    flooded: set[str] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    made: int = 0
    duplicated: bool = False
    stale: bool = False
    waiting: str = ""
    waiting_kind: str = ""

    def fresh(self, kind: str) -> str:
        """A new name."""
        self.made += 1
        name = f"{kind[0]}{self.made}"
        self.kinds[name] = kind
        return name

    def some(self, *kinds: str) -> str:
        """A name of one of these kinds."""
        return str(self.choose(self.of(*kinds)))

    def of(self, *kinds: str) -> list[str]:
        """All names of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def do(self, call: str, *names: str, later: bool = False) -> None:
        """One step more."""
        party = "C" if later or call.startswith("release(") else self.choose("AB")
        self.steps.append(Step(party, names, call, later))


Action = Callable[[Drawer], None]


def _data(d: Drawer, sizes: Sequence[int] = _SIZES) -> str:
    return f"data({d.choose(sizes)})"


# ---- beginnings


def _tcp_pair(d: Drawer) -> None:
    host = d.choose(("127.0.0.1", "127.0.0.1", "127.0.0.1", "::1"))
    one, other = d.fresh("tcp"), d.fresh("tcp")
    d.do(f'tcp("{host}")', one, other)
    d.peers[one], d.peers[other] = other, one


def _listener(d: Drawer) -> None:
    host = d.choose((*_HOSTS, *_HOSTS6, "127.0.0.1"))
    options = d.choose(("", "", ", SO_REUSEADDR", ", SO_REUSEPORT"))
    d.do(f'listener("{host}", {d.choose((0, 1, 2, 5, 128))}{options})', d.fresh("listening"))


def _opening(d: Drawer) -> None:
    _listener(d)
    _client(d)
    _accept(d)


def _tcp_socket(d: Drawer) -> None:
    name = d.fresh("tcp")
    d.do(d.choose(("socket()", "socket()", "socket(AF_INET6)")), name)
    d.do(f"{name}.setsockopt(IPPROTO_TCP, TCP_MAXSEG, {d.choose((10, 500, 40_000))})")
    d.do(f"{name}.getsockopt(IPPROTO_TCP, TCP_MAXSEG)")  # of a connection it follows from the memory of segments


def _client(d: Drawer) -> None:
    if not d.of("listening"):
        _listener(d)
    target = d.some("listening")
    family = d.choose(("", "", "", "AF_INET6"))
    name = d.fresh("tcp")
    d.do(f"socket({family})", name)
    if d.choose((0, 0, 1)):
        _option(d, name)
    d.do(f"{name}.{d.choose(('connect', 'connect', 'connect_ex'))}(at({target}))")


def _accept(d: Drawer) -> None:
    target = d.of("listening")[-1]
    d.do(f"accept({target})", d.fresh("tcp"))


def _full_backlog(d: Drawer) -> None:
    name = d.fresh("listening")
    d.do('listener("127.0.0.1", 0)', name)
    for _ in range(d.choose((2, 3))):
        client = d.fresh("tcp")
        d.do("socket()", client)
        d.do(f"{client}.connect_ex(at({name}))")
    d.do(f"state({client})")
    if d.choose((0, 1)):
        d.do(f"{client}.connect(at({name}))")


def _full_streams(d: Drawer) -> None:
    _tcp_pair(d)
    _fill_tcp(d, d.of("tcp")[-1])


def _closing(d: Drawer) -> None:
    """Both close while both are full: FIN-WAIT-1, CLOSING, LAST-ACK can be seen."""
    one, other = d.fresh("tcp"), d.fresh("tcp")
    d.do(f'tcp("{d.choose(("127.0.0.1", "::1"))}", 20000)', one, other)
    _flood(d, one, other)
    _flood(d, other, one)
    d.do(f"{one}.shutdown(SHUT_WR)")
    d.do(f"state({one})")
    if d.choose((0, 1)):
        d.do(f"{other}.shutdown(SHUT_WR)")
        d.do(f"drain({one})")
    else:
        d.do(f"drain({other})")
        d.do(f"{other}.shutdown(SHUT_WR)")
    d.do(f"state({one})")
    d.do(f"state({other})")
    d.do(f"drain({other})")
    d.do(f"drain({one})")
    d.do(f"drain({other})")


def _udp_pair(d: Drawer) -> None:
    host = d.choose(("127.0.0.1", "127.0.0.1", "::1"))
    d.do(f'udp("{host}")', d.fresh("udp"), d.fresh("udp"))


def _udp_connected(d: Drawer) -> None:
    _udp_pair(d)
    one, other = d.of("udp")[-2:]
    d.do(f"{one}.connect(at({other}))")
    if d.choose((0, 1)):
        d.do(f"{other}.connect(at({one}))")


def _udp_refused(d: Drawer) -> None:
    name = d.fresh("udp")
    d.do("socket(AF_INET, SOCK_DGRAM)", name)
    d.do(f"{name}.connect(nobody())")
    d.do(f"{name}.send(b'anybody')")


def _udp_socket(d: Drawer) -> None:
    d.do(f"socket({d.choose(('AF_INET', 'AF_INET', 'AF_INET6'))}, SOCK_DGRAM)", d.fresh("udp"))


def _group(d: Drawer) -> None:
    _udp_socket_bound(d)
    name = d.of("udp")[-1]
    d.do(f"{name}.setsockopt(IPPROTO_IP, IP_ADD_MEMBERSHIP, mreq('239.1.2.3'))")
    sender = d.fresh("udp")
    d.do("socket(AF_INET, SOCK_DGRAM)", sender)
    d.do(f"{sender}.setsockopt(IPPROTO_IP, IP_MULTICAST_IF, octets('127.0.0.1'))")
    if d.choose((0, 0, 1)):
        d.do(f"{sender}.setsockopt(IPPROTO_IP, IP_MULTICAST_LOOP, {d.choose((0, 1))})")
    d.do(f"{sender}.sendto({_data(d)}, at({name}, '239.1.2.3'))")


def _broadcast(d: Drawer) -> None:
    _udp_socket_bound(d)
    name = d.of("udp")[-1]
    sender = d.fresh("udp")
    d.do("socket(AF_INET, SOCK_DGRAM)", sender)
    if d.choose((0, 1, 1)):
        d.do(f"{sender}.setsockopt(SOL_SOCKET, SO_BROADCAST, 1)")
    d.do(f"{sender}.sendto({_data(d)}, at({name}, '127.255.255.255'))")


def _udp_socket_bound(d: Drawer) -> None:
    name = d.fresh("udp")
    d.do("socket(AF_INET, SOCK_DGRAM)", name)
    d.do(f"{name}.bind(('{d.choose(('0.0.0.0', '127.0.0.1'))}', 0))")


def _unix_pair(d: Drawer) -> None:
    kind, word = d.choose((("SOCK_STREAM", "stream"), ("SOCK_DGRAM", "datagram"), ("SOCK_SEQPACKET", "packet")))
    d.do(f"pair({kind})", d.fresh(word), d.fresh(word))


def _unix_named(d: Drawer) -> None:
    kind, word = d.choose((("SOCK_STREAM", "stream"), ("SOCK_DGRAM", "datagram"), ("SOCK_SEQPACKET", "packet")))
    name = d.choose((f"abstract({d.choose((1, 2))})", "path('s')", "path('a name that is long " + "x" * 30 + "')"))
    one = d.fresh("named" if word != "datagram" else word)
    d.do(f"socket(AF_UNIX, {kind})", one)
    d.do(f"{one}.bind({name})")
    if word != "datagram":
        d.do(f"{one}.listen({d.choose((0, 1, 5))})")
    for _ in range(d.choose((1, 1, 2, 3))):
        other = d.fresh(word)
        d.do(f"socket(AF_UNIX, {kind})", other)
        if d.choose((0, 0, 0, 1)):
            d.do(f"{other}.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)")
        d.do(f"{other}.connect({name})")
    if word != "datagram":
        d.do(f"accept({one})", d.fresh(word))
    elif d.choose((0, 1)):
        d.do(f"{other}.send({_data(d)})")


def _pipe(d: Drawer) -> None:
    d.do("pipe()", d.fresh("reading"), d.fresh("writing"))


def _epoll(d: Drawer) -> None:
    name = d.fresh("epoll")
    d.do("epoll()", name)
    targets = d.of(*_SOCKETS, "reading", "writing", "duplicate")
    for _ in range(min(len(targets), d.choose((1, 2)))):
        d.do(f"register({name}, {d.choose(targets)}, {_events(d)})")


BEGINNINGS: tuple[Action, ...] = (
    _tcp_pair, _tcp_pair, _tcp_pair, _opening, _opening, _opening, _tcp_socket, _full_backlog, _full_streams, _closing,
    _udp_pair, _udp_pair, _udp_connected, _udp_refused, _udp_socket, _group, _broadcast, _unix_pair, _unix_pair,
    _unix_named, _unix_named, _pipe,
)  # fmt: skip


# ---- calls on what there is


def _send(d: Drawer) -> None:
    name = d.some("tcp", "udp", "stream", "datagram", "packet", "duplicate")
    if name in d.flooded and any("shutdown" in step.call for step in d.steps):
        return  # what is not read then stays in buffers that are bounded by memory
    flags = d.choose(("", "", "", "", ", MSG_DONTWAIT", ", MSG_NOSIGNAL", ", MSG_MORE"))
    if "MORE" in flags:
        if d.kinds[name] == "tcp":
            _send_more(d, name)
        return
    sizes = _SIZES if d.choose((0, 0, 0, 1)) == 0 or d.kinds[name] in ("tcp", "duplicate") else _SIZES + _LARGE
    if d.stale:
        sizes = _SIZES  # the number may be that of a TCP socket by now
    if d.kinds[name] in ("tcp", "duplicate"):  # no more than fits into every window: see `_fill_tcp`
        d.sent[d.kinds[name]] = d.sent.get(d.kinds[name], 0) + 1
        if d.sent[d.kinds[name]] > 3:
            sizes = _SIZES[:6]
    call = d.choose(("send", "send", "send", "sendall", "sendmsg", "write"))
    if d.kinds[name] == "duplicate" or call == "write":
        d.do(f"write({name}, {_data(d, sizes)})")
    elif call == "sendmsg":
        d.do(f"{name}.sendmsg([{_data(d)}, {_data(d)}])")
    elif call == "sendall":
        d.do(f"{name}.sendall({_data(d)}{flags})")
    else:
        d.do(f"{name}.send({_data(d, sizes)}{flags})")


def _send_more(d: Drawer, name: str) -> None:
    """What else than these makes it leave may follow from how Linux counts memory."""
    d.do(f"{name}.send({_data(d, _SIZES[:6])}, MSG_MORE)")
    if d.choose((0, 0, 1)) and d.peers.get(name) in d.kinds:
        looks = (f"ioctl({d.peers[name]}, FIONREAD)", f"{d.peers[name]}.recv(1000)", f"ioctl({name}, TIOCOUTQ)")
        d.do(d.choose(looks))
    ends = (
        f"{name}.send({_data(d, _SIZES[1:6])})", f"{name}.send({_data(d, _SIZES[1:6])})",
        f"{name}.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)", f"{name}.setsockopt(IPPROTO_TCP, TCP_CORK, 0)",
        f"{name}.shutdown(SHUT_WR)",
    )  # fmt: skip
    d.do(d.choose(ends))


def _receive(d: Drawer) -> None:
    name = d.some("tcp", "udp", "stream", "datagram", "packet", "duplicate", "reading")
    size = d.choose((0, 1, 10, 100, 1000, 5000, 65536, 100_000))
    if d.kinds[name] in ("duplicate", "reading"):
        d.do(f"read({name}, {size})")
        return
    flags = d.choose(
        ("", "", "", "", "", ", MSG_PEEK", ", MSG_DONTWAIT", ", MSG_TRUNC", ", MSG_WAITALL", ", MSG_PEEK | MSG_TRUNC")
    )
    call = d.choose(("recv", "recv", "recv", "recvfrom", "recvmsg", "read"))
    if call == "read":
        d.do(f"read({name}, {size})")
    elif call == "recvmsg":
        d.do(f"{name}.recvmsg({size}, {d.choose((0, 100))}{flags})")
    else:
        d.do(f"{name}.{call}({size}{flags})")


def _send_to(d: Drawer) -> None:
    name, to = d.some("udp", "datagram"), d.some("udp", "datagram", "listening", "tcp", "named")
    sizes = _SIZES if d.stale else d.choose((_SIZES, _SIZES + _LARGE, _LARGE))
    target = f"at({to})" if d.choose((0, 0, 0, 1)) == 0 else "nobody()"
    d.do(f"{name}.sendto({_data(d, sizes)}, {target})")


def _shutdown(d: Drawer) -> None:
    how = d.choose(("SHUT_RD", "SHUT_WR", "SHUT_WR", "SHUT_RDWR"))
    d.do(f"{d.some(*_SOCKETS)}.shutdown({how})")


def _close(d: Drawer) -> None:
    name = d.some(*_SOCKETS, "epoll", "reading", "writing", "duplicate")
    kind = d.kinds[name]
    if kind in ("reading", "writing", "duplicate"):
        d.do(f"close({name})")
    elif d.choose((0, 0, 0, 1)) == 0:
        d.do(f"{name}.close()")
    else:
        d.do(f"close({name})")
    if d.choose((0, 0, 1)) == 0 and kind not in ("reading", "writing", "duplicate"):
        d.stale = True
        return  # what is closed may be used
    del d.kinds[name]


def _abort(d: Drawer) -> None:
    name = d.some("tcp")
    d.do(f"{name}.setsockopt(SOL_SOCKET, SO_LINGER, linger(1, 0))")
    d.do(f"{name}.close()")
    del d.kinds[name]


_OPTIONS: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("SOL_SOCKET", "SO_REUSEADDR", (0, 1)),
    ("SOL_SOCKET", "SO_REUSEPORT", (0, 1)),
    ("SOL_SOCKET", "SO_KEEPALIVE", (0, 1)),
    ("SOL_SOCKET", "SO_BROADCAST", (0, 1)),
    ("SOL_SOCKET", "SO_SNDBUF", (1, 5000, 50_000, 300_000)),  # of TCP sockets only large ones: see `_fill_tcp`
    ("SOL_SOCKET", "SO_RCVBUF", (1, 5000, 50_000, 300_000)),
    ("SOL_SOCKET", "SO_OOBINLINE", (0, 1)),
    ("SOL_SOCKET", "SO_RCVLOWAT", (1, 10)),
    ("IPPROTO_TCP", "TCP_NODELAY", (0, 1)),
    ("IPPROTO_TCP", "TCP_CORK", (0, 1)),
    ("IPPROTO_TCP", "TCP_QUICKACK", (0, 1)),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", (0, 1, 100, 40_000)),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", (0, 1, 40_000)),
    ("IPPROTO_TCP", "TCP_KEEPCNT", (0, 1, 200)),
    ("IPPROTO_TCP", "TCP_SYNCNT", (0, 1, 200)),
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", (-1, 0, 1000)),
    ("IPPROTO_TCP", "TCP_DEFER_ACCEPT", (0, 0)),
    ("IPPROTO_TCP", "TCP_LINGER2", (-1, 10, 100)),
    ("IPPROTO_IPV6", "IPV6_V6ONLY", (0, 1)),
    ("IPPROTO_IP", "IP_TTL", (0, 1, 64, 300)),
    ("IPPROTO_IP", "IP_TOS", (0, 16)),
    ("IPPROTO_IP", "IP_MULTICAST_TTL", (-1, 0, 5, 300)),
    ("IPPROTO_IP", "IP_MULTICAST_LOOP", (0, 1)),
    ("SOL_SOCKET", "SO_PASSCRED", (0, 1)),
)
_READ_ONLY = ("SO_ERROR", "SO_TYPE", "SO_DOMAIN", "SO_PROTOCOL", "SO_ACCEPTCONN")


def _option(d: Drawer, name: str = "") -> None:
    name = name or d.some(*_SOCKETS)
    level, option, values = d.choose(_OPTIONS)
    if name in d.flooded and option in ("TCP_NODELAY", "TCP_CORK"):
        values = (values[1],) if option == "TCP_NODELAY" else (0,)
    if option in ("SO_SNDBUF", "SO_RCVBUF") and d.kinds[name] in ("tcp", "listening"):
        values = values[-1:]
    d.do(f"{name}.setsockopt({level}, {option}, {d.choose(values)})")
    if option not in ("SO_SNDBUF", "SO_RCVBUF") or (d.choose((0, 1)) and not _grown(d, name)):
        d.do(f"{name}.getsockopt({level}, {option})")


def _grown(d: Drawer, name: str) -> bool:
    """Whether the buffers of a connection may have become larger by what it has carried."""
    carried = any("transfer(" in step.call or "flood(" in step.call for step in d.steps)
    return carried and d.kinds.get(name) in ("tcp", "listening")


def _get_option(d: Drawer) -> None:
    name = d.some(*_SOCKETS)
    if d.choose((0, 1)):
        d.do(f"{name}.getsockopt(SOL_SOCKET, {d.choose(_READ_ONLY)})")
    else:
        level, option, _ = d.choose(_OPTIONS)
        if option not in ("SO_SNDBUF", "SO_RCVBUF") or not _grown(d, name):
            d.do(f"{name}.getsockopt({level}, {option})")


def _error(d: Drawer) -> None:
    d.do(f"{d.some(*_SOCKETS)}.getsockopt(SOL_SOCKET, SO_ERROR)")


def _linger(d: Drawer) -> None:
    name = d.some("tcp", "listening")
    d.do(f"{name}.setsockopt(SOL_SOCKET, SO_LINGER, linger({d.choose((0, 1))}, 0))")
    d.do(f"{name}.getsockopt(SOL_SOCKET, SO_LINGER, 8)")


def _connect(d: Drawer) -> None:
    name = d.some("tcp", "udp", "stream", "datagram", "packet", "listening")
    same = [each for each in d.kinds if _family(d.kinds[each]) == _family(d.kinds[name])]
    target = f"at({d.choose(same)})" if d.choose((0, 0, 1)) == 0 else d.choose(("nobody()", "nobody('::1')"))
    d.do(f"{name}.{d.choose(('connect', 'connect_ex'))}({target})")


def _family(kind: str) -> str:
    if kind in ("tcp", "listening"):
        return "tcp"
    return kind if kind == "udp" else "unix" if kind in _SOCKETS else kind


def _bind(d: Drawer) -> None:
    name = d.some(*_SOCKETS)
    kind = _family(d.kinds[name])
    if kind == "unix":
        d.do(f"{name}.bind({d.choose(('abstract(1)', 'abstract(2)', 'path(`s`)'))})".replace("`", "'"))
        return
    same = [each for each in d.kinds if _family(d.kinds[each]) == kind and each != name]
    host = d.choose((*_HOSTS, *_HOSTS6, "192.0.2.1", ""))
    if same and d.choose((0, 1, 1)):
        d.do(f"{name}.bind(at({d.choose(same)}{d.choose(('', f', {host!r}' if host else ''))}))")
    else:
        d.do(f"{name}.bind(('{host}', 0))")


def _listen(d: Drawer) -> None:
    name = d.some(*_SOCKETS)
    d.do(f"{name}.listen({d.choose((0, 1, 5))})")
    if d.kinds[name] == "tcp" and d.choose((0, 1)):
        d.kinds[name] = "listening"


def _accept_any(d: Drawer) -> None:
    name = d.some("listening", "listening", "named", "tcp", "udp", "stream")
    d.do(f"accept({name})", d.fresh("stream" if d.kinds[name] in ("named", "stream") else "tcp"))


def _names(d: Drawer) -> None:
    d.do(f"{d.some(*_SOCKETS)}.{d.choose(('getsockname', 'getpeername'))}()")


def _state(d: Drawer) -> None:
    d.do(f"state({d.some('tcp', 'listening')})")


def _ioctl(d: Drawer) -> None:
    name = d.some(*_SOCKETS, "reading", "writing")
    request = "FIONREAD" if d.kinds[name] in ("tcp", "reading", "writing") else d.choose(("FIONREAD", "TIOCOUTQ"))
    d.do(f"ioctl({name}, {request})")


def _quiet_queue(d: Drawer) -> None:
    name = d.some("tcp")
    ended = any("shutdown" in step.call or "close" in step.call for step in d.steps)
    if d.choose((0, 0, 1)) and not ended:  # a FIN alone is acknowledged sooner or later: see `calls.state`
        d.do(f"ioctl({name}, TIOCOUTQ)")
    else:
        d.do(f"{name}.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)")


def _fill(d: Drawer) -> None:
    name = d.some("tcp", "stream", "writing", "packet")
    if d.kinds[name] == "tcp":
        _fill_tcp(d, name)
    elif not d.waiting:  # who waits in a thread may take some of it meanwhile
        d.do(f"fill({name}, {d.choose((1000, 65536))})")


def _flood(d: Drawer, name: str, peer: str) -> None:
    """Fill a stream. How soon it acknowledges afterwards follows from memory, too: no small write waits for that."""
    for each in (name, peer):
        if each not in d.flooded:
            d.do(f"{each}.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)")
    d.flooded |= {name, peer}
    d.do(f"flood({name})")


def _fill_tcp(d: Drawer, name: str) -> None:
    """Fill, look, and read it all: what happens between full and empty depends on how Linux counts memory."""
    peer = d.peers.get(name, "")
    if peer not in d.kinds:
        return
    _flood(d, name, peer)
    for _ in range(d.choose((0, 1, 2))):
        look = (
            f"poll([{name}, {peer}], POLLIN | POLLOUT)",
            f"select([{peer}], [{name}], [])",
            f"{name}.send(b'more')",
            f"{name}.getsockopt(SOL_SOCKET, SO_ERROR)",
        )
        d.do(d.choose(look))
    end = d.choose(("drain", "drain", "drain", "close", "abort"))
    if end == "drain":
        d.do(f"drain({peer})")
        return
    if end == "abort":
        d.do(f"{name}.setsockopt(SOL_SOCKET, SO_LINGER, linger(1, 0))")
    d.do(f"{name}.close()")
    d.do(f"drain({peer})")


def _drain(d: Drawer) -> None:
    name = d.some("tcp", "stream", "reading", "udp", "packet")
    # How much a cork keeps of much follows from the MSS, and what fits into a window that nobody opens from memory.
    bounded = any("TCP_CORK, 1" in step.call or "shutdown" in step.call for step in d.steps)
    if d.kinds[name] == "tcp" and d.peers.get(name) in d.kinds and not bounded and d.choose((0, 0, 1)):
        d.do(f"{d.peers[name]}.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)")  # how soon it acknowledges: see `_flood`
        d.flooded |= {name, d.peers[name]}
        d.do(f"transfer({d.peers[name]}, {name}, {d.choose((1, 1000, 70_000, 200_000))})")
    else:
        d.do(f"drain({name})")


def _write_pipe(d: Drawer) -> None:
    d.do(f"write({d.some('writing', 'reading')}, {_data(d, (*_SIZES, 65536, 70_000))})")


def _pipe_size(d: Drawer) -> None:
    d.do(f"pipe_size({d.some('writing', 'reading')}{d.choose(('', ', 4096', ', 100_000', ', 1_048_577'))})")


def _events(d: Drawer) -> str:
    base = d.choose(("EPOLLIN", "EPOLLIN", "EPOLLOUT", "EPOLLIN | EPOLLOUT", "EPOLLIN | EPOLLOUT | EPOLLRDHUP", "0"))
    return base + str(d.choose(("", "", " | EPOLLET", " | EPOLLONESHOT", " | EPOLLET | EPOLLONESHOT")))


def _epoll_wait(d: Drawer) -> None:
    d.do(f"wait({d.some('epoll')}{d.choose(('', '', ', 1'))})")


def _epoll_change(d: Drawer) -> None:
    poller = d.some("epoll")
    target = d.some(*_SOCKETS, "reading", "writing", "duplicate", "epoll")
    call = d.choose(("register", "register", "modify", "modify", "unregister"))
    d.do(f"{call}({poller}, {target}{'' if call == 'unregister' else ', ' + _events(d)})")


def _poll(d: Drawer) -> None:
    things = ", ".join({d.some(*_SOCKETS, "reading", "writing", "duplicate"): None for _ in range(d.choose((1, 2, 3)))})
    d.do(f"poll([{things}], {d.choose(('POLLIN', 'POLLOUT', 'POLLIN | POLLOUT', 'POLLPRI | POLLRDHUP', '0'))})")


def _select(d: Drawer) -> None:
    parts = []
    for _ in range(3):
        things = {d.some(*_SOCKETS, "reading", "writing", "duplicate"): None for _ in range(d.choose((0, 1, 2)))}
        parts.append(f"[{', '.join(things)}]")
    d.do(f"select({', '.join(parts)})")


def _dup(d: Drawer) -> None:
    source = d.some(*_SOCKETS, "reading", "writing", "duplicate")
    kind = d.kinds[source]
    d.duplicated = True
    if d.waiting or source in d.flooded:
        return
    call = d.choose(("dup", "method", "dup2", "dup2", "fromfd"))
    if call == "method" and kind in _SOCKETS:
        name = d.fresh(kind)
        d.do(f"{source}.dup()", name)
    elif call == "fromfd" and kind in ("tcp", "listening"):
        d.do(f"fromfd({source}, 0, SOCK_STREAM)", d.fresh(kind))
    elif call == "dup2" and d.of("duplicate"):
        d.do(f"dup2({source}, {d.some('duplicate')})")
    else:
        d.do(f"dup({source})", d.fresh("duplicate"))


def _adopt(d: Drawer) -> None:
    source = d.some(*_SOCKETS)
    if source in d.flooded:
        return
    kind = d.kinds[source]
    d.do(f"detach({source})", source)
    d.kinds.pop(source)
    d.do(f"adopt({source})", d.fresh(kind))


def _about(d: Drawer) -> None:
    name = d.some(*_SOCKETS, "reading", "writing", "duplicate")
    d.do(d.choose(("descriptor({})", "flags({})", "inheritable({})", "kind_of({})")).format(name))


def _pass(d: Drawer) -> None:
    one = d.some("stream", "datagram", "packet")
    thing = d.some(*_SOCKETS, "reading", "writing")
    if d.choose((0, 1)):
        d.do(f"{one}.sendmsg([{_data(d)}], rights({thing}))")
    else:
        d.do(f"received({d.some('stream', 'datagram', 'packet')}, {d.choose((100, 5000))}, {d.choose((0, 24, 100))})")


def _credentials(d: Drawer) -> None:
    d.do(f"credentials({d.some('stream', 'packet', 'datagram', 'named')})")


def _begin_waiting(d: Drawer) -> None:
    if d.waiting:
        _end_waiting(d)
        return
    name = d.some("tcp", "stream", "listening", "udp", "datagram", "packet", "named")
    if d.duplicated:
        return  # setblocking is for all duplicates of a descriptor, and the others must not wait
    # A datagram socket whose reading is shut is readable and says EAGAIN: with a timeout CPython would spin.
    timed = "settimeout(20)" if d.kinds[name] in ("tcp", "stream", "listening") else "setblocking(True)"
    d.do(f"{name}.{d.choose((timed, 'setblocking(True)'))}")
    d.do(f"{name}.accept()" if d.kinds[name] in ("listening", "named") else f"{name}.recv(1000)", later=True)
    d.waiting, d.waiting_kind = name, d.kinds.pop(name)  # nothing else is done with it meanwhile


def _end_waiting(d: Drawer) -> None:
    d.do(f"release({d.waiting})")
    d.kinds[d.waiting] = d.waiting_kind
    d.do(f"{d.waiting}.setblocking(False)")
    d.waiting = ""


def _timeout(d: Drawer) -> None:
    name = d.some(*_SOCKETS)
    d.do(f"{name}.settimeout({d.choose((0, 0, 0.002))})")
    d.do(d.choose((f"{name}.recv(10)", f"{name}.gettimeout()", f"{name}.getblocking()")))
    d.do(f"{name}.settimeout(0)")


def _file(d: Drawer) -> None:
    name = d.some("tcp", "stream")
    made = d.fresh("text")
    d.do(f"{name}.makefile('{d.choose(('rb', 'wb', 'rwb'))}')", made)
    d.do(d.choose((f"{made}.write({_data(d)})", f"{made}.readline()", f"{made}.flush()", f"{made}.fileno")))
    d.do(f"{made}.close()")


#: What a call needs, how often it is drawn, and what it is.
ACTIONS: tuple[tuple[tuple[str, ...], int, Action], ...] = (
    (("tcp", "udp", "stream", "datagram", "packet", "duplicate"), 10, _send),
    (("tcp", "udp", "stream", "datagram", "packet", "duplicate", "reading"), 12, _receive),
    (("udp", "datagram"), 3, _send_to),
    (_SOCKETS, 4, _shutdown),
    ((*_SOCKETS, "epoll", "reading", "writing", "duplicate"), 4, _close),
    (("tcp",), 1, _abort),
    (_SOCKETS, 4, _option),
    (_SOCKETS, 2, _get_option),
    (_SOCKETS, 2, _error),
    (("tcp", "listening"), 1, _linger),
    (("tcp", "udp", "stream", "datagram", "packet", "listening"), 3, _connect),
    (_SOCKETS, 2, _bind),
    (_SOCKETS, 1, _listen),
    (("listening", "named", "tcp"), 2, _accept_any),
    (_SOCKETS, 2, _names),
    (("tcp", "listening"), 4, _state),
    ((*_SOCKETS, "reading", "writing"), 2, _ioctl),
    (("tcp",), 1, _quiet_queue),
    (("tcp", "stream", "writing", "packet"), 1, _fill),
    (("tcp", "stream", "reading", "udp", "packet"), 2, _drain),
    (("writing", "reading"), 4, _write_pipe),
    (("writing", "reading"), 1, _pipe_size),
    (("epoll",), 6, _epoll_wait),
    (("epoll",), 3, _epoll_change),
    ((*_SOCKETS, "reading", "writing", "duplicate"), 2, _poll),
    ((*_SOCKETS, "reading", "writing", "duplicate"), 2, _select),
    ((*_SOCKETS, "reading", "writing", "duplicate"), 2, _dup),
    (_SOCKETS, 1, _adopt),
    ((*_SOCKETS, "reading", "writing", "duplicate"), 1, _about),
    (("stream", "datagram", "packet"), 4, _pass),
    (("stream", "datagram", "packet", "named"), 1, _credentials),
    (("tcp", "stream", "listening", "udp", "datagram", "packet", "named"), 1, _begin_waiting),
    (_SOCKETS, 1, _timeout),
    (("tcp", "stream"), 1, _file),
    ((*_SOCKETS, "reading", "writing"), 1, _epoll),
    ((*_SOCKETS,), 1, _client),
    ((*_SOCKETS,), 1, _tcp_pair),
)

MOST_STEPS = 40


#: So many bytes Hypothesis draws for a program: two a choice, and no program makes half of these choices.
_BYTES = 1_000


def programs() -> st.SearchStrategy[Program]:
    """A program of about a dozen to forty steps.

    All choices come from one draw of bytes, which costs Hypothesis a twentieth of what a draw for each costs, and
    repeats itself less.
    """
    return st.binary(min_size=_BYTES, max_size=_BYTES).map(_from_bytes)


def _from_bytes(choices: bytes) -> Program:
    numbers = iter(struct.unpack(f"={len(choices) // 2}H", choices))
    return drawn(lambda items: items[next(numbers) % len(items)])


def drawn(choose: Callable[[Sequence[Any]], Any]) -> Program:
    """The program that these choices make."""
    d = Drawer(choose)
    d.choose(BEGINNINGS)(d)
    if d.choose((0, 0, 1)):
        d.choose(BEGINNINGS)(d)
    if d.choose((0, 0, 1)):
        _epoll(d)
    for _ in range(d.choose(range(8, 26))):
        present = set(d.kinds.values())
        possible = [action for kinds, weight, action in ACTIONS if not present.isdisjoint(kinds) for _ in range(weight)]
        if not possible or len(d.steps) >= MOST_STEPS:
            break
        d.choose(possible)(d)
    if d.waiting:
        _end_waiting(d)
    return Program("drawn", tuple(d.steps))
