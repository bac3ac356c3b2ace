"""The stronger families in drawn plans: what breaks connections, machines and the ways between them, and heals again.

Owns one draw for each family that is not mild. Every fault here is short enough to recover from, and long enough to be
felt: it strikes one connection, or those of one moment, or it has a duration. A third aims at an event or a byte, and
not at a time, because programs are fast in virtual time: most is over before a second drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wavetank.campaign.values import Draws
from wavetank.faults import (
    AnyFault,
    Buffers,
    ClockJump,
    ClockSkew,
    Crash,
    Descriptors,
    Drop,
    Duplicate,
    Eof,
    Loss,
    NameFailure,
    Partition,
    Pause,
    Refuse,
    Reorder,
    Reset,
    Stall,
    Truncate,
)

AT_S: Final = (0.001, 10.0)
#: After an event.
AFTER_S: Final = (0.000_1, 0.1)
# A fault that lasts must be long enough to be felt and leave time to recover.
PARTITION_S: Final = (0.1, 30.0)
#: How long everybody may be silent: less than programs wait for a whole exchange. Lost packets are sent again later
#: and later (0.2, 0.6, 1.4, 3 s, ...), so what vanishes for 3 s may be missing for 6.
STALL_S: Final = (0.1, 5.0)
DROP_S: Final = (0.1, 3.0)
#: Longer than most time-outs. Only one connection after the first is silent for so long: by the others, which it must
#: not hold up, a program can get on.
LONG_S: Final = (20.0, 120.0)
LATER: Final = (2, 2, 3, 4)
REFUSE_S: Final = (0.05, 20.0)
NAMES_S: Final = (0.1, 30.0)
SLOW_S: Final = (0.05, 20.0)
PAUSE_S: Final = (0.05, 30.0)
RESTART_S: Final = (0.1, 20.0)
FEW_S: Final = (0.05, 10.0)
CUT_S: Final = (0.01, 2.0)
#: Bytes of a stream before it breaks: most handshakes, requests and frames are below.
STREAM_BYTES: Final = (1, 8_192)
WRITES: Final = (1, 64)
REPLIES: Final = (1, 8)
CONNECTIONS: Final = (1, 5)
OFFSET_S: Final = (0.001, 86_400.0)
DRIFT_PPM: Final = (1.0, 500.0)  # what adjtimex(2) corrects at most
RATE: Final = (0.01, 0.3)
#: What a stalled peer needs to be felt: the buffers of Linux swallow megabytes before a writer notices.
FEW_BYTES: Final = (2304, 8192)  # 2304: SOCK_MIN_RCVBUF of Linux (include/net/sock.h) on 64-bit machines
DATAGRAM_BYTES: Final = (1, 1_472)  # 1472: what fits into one Ethernet frame, 1500 - 20 - 8
FILES: Final = (6, 64)  # a loop alone has 6: three streams, its selector, two for waking it up
WAITING: Final = (0, 0, 1, 2, 4)
PORTS: Final = (1, 16)

_Hosts = Sequence[str]
_DIRECTIONS: Final = ("connecting -> accepting", "accepting -> connecting")


def _start(draws: Draws, key: str, *, at_once: float) -> float:
    """When it begins: at the start with probability `at_once`, else later."""
    return 0.0 if draws.yes(f"{key} at once", at_once) else draws.between(f"{key} at", AT_S)


def _direction(draws: Draws, key: str, hosts: _Hosts) -> str:
    """Requests or replies, of everybody or of two hosts."""
    if len(hosts) > 1 and draws.yes(f"{key} between hosts", 0.5):
        one = draws.pick(f"{key} from", hosts)
        return f"{one} -> {draws.pick(f'{key} to', [host for host in hosts if host != one])}"
    return draws.pick(f"{key} direction", _DIRECTIONS)


def _at_event(draws: Draws, key: str, direction: str, kinds: Sequence[str]) -> dict[str, Any]:
    """The fields of a fault that begins at an event of one of `kinds`."""
    kind = draws.pick(f"{key} event", kinds)
    bounds = {"send": WRITES, "reply": REPLIES, "accept": CONNECTIONS}.get(kind)
    ordinal = draws.whole(f"{key} event number", bounds) if bounds else 1
    late_s = draws.between(f"{key} after", AFTER_S) if draws.yes(f"{key} late", 0.5) else 0.0
    return {"when": f"{kind} #{ordinal}", "at_s": late_s, "target": direction}


def _strikes(
    draws: Draws, hosts: _Hosts, word: type[Reset] | type[Eof], name: str, ways: Sequence[str]
) -> list[AnyFault]:
    """`ways`: how they aim, each as likely."""
    faults: list[AnyFault] = []
    for number in range(draws.pick(f"{name} count", (1, 1, 2, 3, 4))):
        key = f"{name} {number}"
        direction = _direction(draws, key, hosts)
        both = direction.replace("->", "|") if draws.yes(f"{key} both ways", 0.5) else direction
        match draws.pick(f"{key} how", ways):
            case "reply":  # between a request and the end of its reply; an end of stream is that of the request alone
                faults.append(word(**_at_event(draws, key, direction, ("reply",))))
            case "byte":
                size = draws.whole(f"{key} byte", STREAM_BYTES)
                nth = draws.whole(f"{key} connection", CONNECTIONS)
                faults.append(word(after_bytes=size, target=f"{both} #{nth}"))
            case "event":
                faults.append(word(**_at_event(draws, key, both, ("send", "send", "accept", "full"))))
            case _:
                faults.append(word(at_s=draws.between(f"{key} at", AT_S), target=both))
    return faults


def _reset(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    return _strikes(draws, hosts, Reset, "reset", ("reply", "byte", "byte", "event", "event", "event", "time"))


def _eof(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    return _strikes(draws, hosts, Eof, "eof", ("reply", "reply", "reply", "byte", "byte", "event", "time"))


def _silence(draws: Draws, hosts: _Hosts, name: str, length: tuple[float, float]) -> dict[str, Any]:
    """The fields of a fault that makes one direction silent: from an event on, or for a time."""
    direction = _direction(draws, name, hosts)
    if draws.yes(f"{name} is long", 0.5):
        length = LONG_S
        direction = f"{direction} #{draws.pick(f'{name} connection', LATER)}"
    duration_s = draws.between(f"{name} lasts", length)
    if draws.yes(f"{name} at an event", 0.7):
        kinds = ("reply", "send", "send", "accept")
        return {**_at_event(draws, name, direction, kinds), "duration_s": duration_s}
    return {"at_s": _start(draws, name, at_once=0.25), "target": direction, "duration_s": duration_s}


def _stall(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    faults: list[AnyFault] = [Stall(**_silence(draws, hosts, "stall", STALL_S))]
    if draws.yes("stall with few bytes", 0.75):
        send, receive = (draws.whole(f"stall, {key}", FEW_BYTES) for key in ("to send", "to receive"))
        faults.insert(0, Buffers(send, receive))
    return faults


def _drop(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    return [Drop(**_silence(draws, hosts, "drop", DROP_S))]


def _partition(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    a = draws.pick("partitioned", hosts)
    b = draws.pick("from", ["*", *(host for host in hosts if host != a)])
    at_s, duration_s = draws.between("partition at", AT_S), draws.between("partition lasts", PARTITION_S)
    return [Partition(a=a, b=b, one_way=draws.yes("one way", 0.25), at_s=at_s, duration_s=duration_s)]


def _refuse(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    duration_s = draws.between("refuse lasts", REFUSE_S)
    return [Refuse(at_s=_start(draws, "refuse", at_once=0.5), duration_s=duration_s)]


def _names(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    kind = draws.pick("lookup", ("not-found", "try-again", "slow"))
    fields: dict[str, Any] = {"delay_s": draws.between("lookup takes", SLOW_S)} if kind == "slow" else {}
    at_s, duration_s = _start(draws, "names", at_once=0.5), draws.between("names last", NAMES_S)
    return [NameFailure(kind, target=_host(draws, "asks", hosts), at_s=at_s, duration_s=duration_s, **fields)]


def _host(draws: Draws, key: str, hosts: _Hosts) -> str:
    """One host; all of them when none has a name."""
    return draws.pick(key, hosts) if hosts else "*"


def _clock(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    faults: list[AnyFault] = []
    if draws.yes("clock skew", 0.6):
        offset_s = draws.signed("clock offset", OFFSET_S)
        drift_ppm = draws.signed("clock drift", DRIFT_PPM) if draws.yes("clock drifts", 0.5) else 0.0
        faults.append(ClockSkew(offset_s, drift_ppm, target=_host(draws, "skewed", hosts)))
    if draws.yes("clock jump", 0.6) or not faults:
        at_s, offset_s = draws.between("clock jumps at", AT_S), draws.signed("clock jumps by", OFFSET_S)
        faults.append(ClockJump(offset_s, target=_host(draws, "jumps", hosts), at_s=at_s))
    return faults


def _pause(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    faults: list[AnyFault] = []
    for number in range(draws.pick("pauses", (1, 1, 2))):
        at_s, duration_s = draws.between(f"pause {number} at", AT_S), draws.between(f"pause {number} lasts", PAUSE_S)
        faults.append(Pause(target=_host(draws, f"pause {number}", hosts), at_s=at_s, duration_s=duration_s))
    return faults


def _crash(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    host = _host(draws, "crashes", hosts)
    signal = "SIGTERM" if draws.yes("crash by signal", 0.25) else ""
    when: dict[str, Any] = {"at_s": draws.between("crash at", AT_S)}
    if draws.yes("crash at an event", 0.5):
        when = _at_event(draws, "crash", host, ("send", "send", "accept"))
    return [Crash(draws.between("restart after", RESTART_S), signal, **{**when, "target": host})]


def _datagrams(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    faults: list[AnyFault] = []
    if draws.yes("datagrams cut", 0.25):
        at_s, duration_s = _start(draws, "cut", at_once=0.5), draws.between("cut lasts", CUT_S)
        faults.append(Truncate(draws.whole("datagram", DATAGRAM_BYTES), at_s=at_s, duration_s=duration_s))
    if draws.yes("datagrams twice", 0.5):
        faults.append(Duplicate(draws.between("twice", RATE)))
    if draws.yes("datagrams overtaken", 0.5):
        faults.append(Reorder(draws.between("overtaken", RATE)))
    if draws.yes("datagrams lost", 0.5) or not faults:
        faults.append(Loss(draws.between("datagrams lost are", RATE), "datagrams"))
    return faults


def _fds(draws: Draws, hosts: _Hosts) -> list[AnyFault]:
    of = draws.pick("few", ("descriptors", "backlog", "ports"))
    limit = {
        "descriptors": draws.whole("files", FILES),
        "backlog": draws.pick("waiting", WAITING),
        "ports": draws.whole("ports", PORTS),
    }[of]
    at_s, duration_s = _start(draws, "few", at_once=0.3), draws.between("few last", FEW_S)
    return [Descriptors(limit, of, target=_host(draws, "has few", hosts), at_s=at_s, duration_s=duration_s)]


FAMILY: Final[dict[str, Callable[[Draws, Sequence[str]], list[AnyFault]]]] = {
    "reset": _reset,
    "eof": _eof,
    "stall": _stall,
    "drop": _drop,
    "partition": _partition,
    "refuse": _refuse,
    "names": _names,
    "clock": _clock,
    "pause": _pause,
    "crash": _crash,
    "datagrams": _datagrams,
    "fds": _fds,
}
