"""How often each call, option and state comes up in drawn programs: in how many of a hundred.

A call counts where it was made; an option where it was set or read; a state where it was seen. States follow from what
the simulated side recorded: readiness flags, states of TCP (`state()`), errors.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from tests.parity.language.program import Program

_CALL = re.compile(r"(?:\b(?P<object>\w+)\.)?(?P<name>\w+)\(")
_OPTION = re.compile(r"\b((?:SO|TCP|IP|IPV6)_[A-Z0-9_]+)\b")
_KINDS = {
    "AF_INET6": "an IPv6 socket", "::1": "an IPv6 socket", "AF_UNIX": "a UNIX socket",
    "SOCK_DGRAM": "a datagram socket", "SOCK_SEQPACKET": "a seqpacket socket",
    "EPOLLET": "epoll, edge", "EPOLLONESHOT": "epoll, one-shot",
    "nobody(": "a port that refuses", "later ": "a thread waits in a call", "flood(": "a full TCP stream",
    "linger(1, 0)": "a connection is aborted", "239.1.2.3": "a group", "127.255.255.255": "broadcast",
    "abstract(": "an abstract name", "path(": "a name in the file system", "rights(": "descriptors in a message",
    "MSG_PEEK": "MSG_PEEK", "MSG_WAITALL": "MSG_WAITALL", "MSG_TRUNC": "MSG_TRUNC", "MSG_DONTWAIT": "MSG_DONTWAIT",
    "MSG_MORE": "MSG_MORE", "MSG_NOSIGNAL": "MSG_NOSIGNAL", "SHUT_RD)": "SHUT_RD", "SHUT_WR)": "SHUT_WR",
    "SHUT_RDWR)": "SHUT_RDWR",
}  # fmt: skip
_TCP = {
    1: "ESTABLISHED", 2: "SYN-SENT", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 7: "CLOSE", 8: "CLOSE-WAIT", 9: "LAST-ACK",
    10: "LISTEN", 11: "CLOSING",
}  # fmt: skip
_FLAGS = {0x1: "IN", 0x4: "OUT", 0x8: "ERR", 0x10: "HUP", 0x2000: "RDHUP", 0x20: "NVAL"}
#: What must come up in at least one of a hundred programs.
CALLS = frozenset(
    """
    socket bind listen accept connect connect_ex send sendall sendmsg sendto recv recvfrom recvmsg received read
    write shutdown close detach adopt dup dup2 fromfd getsockname getpeername getsockopt setsockopt settimeout
    gettimeout getblocking setblocking makefile ioctl descriptor flags inheritable kind_of pipe pipe_size pair
    epoll register modify unregister wait poll select credentials rights
    """.split()  # noqa: SIM905
)
OPTIONS = frozenset(
    """
    SO_REUSEADDR SO_REUSEPORT SO_KEEPALIVE SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_OOBINLINE SO_RCVLOWAT SO_LINGER
    SO_PASSCRED SO_ERROR SO_TYPE SO_DOMAIN SO_PROTOCOL SO_ACCEPTCONN TCP_NODELAY TCP_CORK TCP_QUICKACK
    TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_SYNCNT TCP_USER_TIMEOUT TCP_DEFER_ACCEPT TCP_MAXSEG TCP_LINGER2
    IPV6_V6ONLY IP_TTL IP_TOS IP_MULTICAST_TTL IP_MULTICAST_LOOP IP_MULTICAST_IF IP_ADD_MEMBERSHIP
    """.split()  # noqa: SIM905
)
STATES = frozenset(
    {*_KINDS.values(), *_TCP.values(), *(f"readiness {flag}" for flag in _FLAGS.values())}
    | {
        f"error {name}"
        for name in (
            "EAGAIN", "EINPROGRESS", "EALREADY", "EISCONN", "ENOTCONN", "ECONNREFUSED", "ECONNRESET", "EPIPE", "EINVAL",
            "EADDRINUSE", "EADDRNOTAVAIL", "EBADF", "EOPNOTSUPP", "EMSGSIZE", "EDESTADDRREQ", "EEXIST", "ENOENT",
        )
    }
)  # fmt: skip
_ERRNOS = {11: "EAGAIN", 106: "EISCONN", 111: "ECONNREFUSED", 114: "EALREADY", 115: "EINPROGRESS", 22: "EINVAL"}
_SAME = {"ENOTSUP": "EOPNOTSUPP"}


def seen_in(program: Program, record: Any) -> set[str]:
    """Every call, option and state that came up in a run."""
    found: set[str] = set()
    for step, (outcome, changes) in zip(program.steps, record, strict=True):
        if outcome == "stop":
            continue
        text = str(step)
        found.update(match["name"] for match in _CALL.finditer(text))
        if re.search(r"\bl\d+\.(accept|_accept)\(|accept\(", text):
            found.add("accept")
        found.update(_OPTION.findall(text))
        found.update(name for word, name in _KINDS.items() if word in text)
        found |= _of_outcome(step.call, outcome)
        if isinstance(changes, dict):
            for mask in changes.values():
                found.update(f"readiness {name}" for bit, name in _FLAGS.items() if mask > 0 and mask & bit)
    return found


def _of_outcome(call: str, outcome: Any) -> set[str]:
    if call.startswith("state(") and outcome in _TCP:
        return {_TCP[outcome]}
    if "connect_ex(" in call and outcome in _ERRNOS:
        return {f"error {_ERRNOS[outcome]}"}
    if isinstance(outcome, tuple) and len(outcome) == 2 and isinstance(outcome[1], str):
        return {f"error {_SAME.get(outcome[1], outcome[1])}"}
    return (
        {f"error {outcome[0]}"} if isinstance(outcome, tuple) and outcome and outcome[0] in ("ECONNRESET",) else set()
    )


class Frequencies:
    """In how many programs each came up."""

    def __init__(self, programs: int = 0, steps: int = 0, counts: Counter[str] | None = None) -> None:
        self.programs = programs
        self.steps = steps
        self.counts: Counter[str] = Counter() if counts is None else counts

    def add(self, program: Program, record: Any) -> None:
        """One more program."""
        self.programs += 1
        self.steps += len(program.steps)
        self.counts.update(seen_in(program, record))

    def add_unseen(self, program: Program) -> None:
        """One more program, of which it is not known what came up."""
        self.programs += 1
        self.steps += len(program.steps)

    def join(self, other: Frequencies) -> None:
        """All that another one has counted."""
        self.programs += other.programs
        self.steps += other.steps
        self.counts += other.counts

    def share(self, name: str) -> float:
        """The share of programs in which it came up."""
        return self.counts[name] / max(1, self.programs)

    def rare(self, least: float = 0.01) -> dict[str, float]:
        """What came up too seldom."""
        return {name: self.share(name) for name in sorted(CALLS | OPTIONS | STATES) if self.share(name) < least}

    def table(self) -> str:
        """All of it, in Markdown."""
        lines = []
        for title, names in (("calls", CALLS), ("options", OPTIONS), ("states, kinds, flags and errors", STATES)):
            lines += [f"| {title} | programs |", "|---|---:|"]
            lines += [f"| {name} | {self.share(name):.1%} |" for name in sorted(names, key=self.share, reverse=True)]
            lines.append("")
        return "\n".join(lines)
