"""What the faults in force amount to for one path, and which links they cut.

Owns the one place where a fault meets the network: delays add up, the narrowest bandwidth and the smallest buffer win,
and faults are taken in the order in which they began: one total order. It carries nothing out: a path does, and where
a fault strikes connections, the gate at its end (`link.Gate`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from wavetank.faults import (
    ACCEPTING,
    CONNECTING,
    SIDES,
    AnyFault,
    Bandwidth,
    Buffers,
    Drop,
    Duplicate,
    Eof,
    Latency,
    Loss,
    NameFailure,
    Partition,
    Refuse,
    Reorder,
    Reset,
    Segments,
    SlowReader,
    Stall,
    Target,
    Truncate,
)
from wavetank.network.lateness import JITTER_STEP_NS
from wavetank.network.link import UNBOUNDED, Link, Path

#: Faults that strike connections, one by one.
STRIKES: Final = (Reset, Eof)
#: Faults that, when they begin at an event, concern the connection of the event alone.
OF_ONE_CONNECTION: Final = (Reset, Eof, Stall, Drop)
#: Faults that cost time.
_DELAYING: Final = (Latency, Bandwidth, SlowReader, Loss)
_FULL: Final = 65536


class Aimed(NamedTuple):
    """A fault in force, and what it aims at, by names of hosts. `exact`: no bound of the plan is for it."""

    fault: AnyFault
    aim: Target
    exact: bool


def blocks(active: Iterable[AnyFault], link: Link) -> int:
    """How many of the faults cut the link."""
    if link.source == link.target:
        return 0
    cut = 0
    for fault in active:
        if isinstance(fault, Partition):
            there = _named(fault.a, link.source) and _named(fault.b, link.target)
            back = _named(fault.b, link.source) and _named(fault.a, link.target)
            cut += there or (back and not fault.one_way)
    return cut


def configure(path: Path, active: Iterable[Aimed], *, watched: bool) -> None:
    """Set the path up anew. `watched`: its data is to be counted, for events."""
    delay, jitter, keep, once, in_turn = 0, 0.0, 1.0, 1.0, 1.0
    path.bandwidth = path.max_piece = path.reader_rate = path.send_limit = path.receive_limit = 0
    path.truncate_to = -1
    path.dropping = path.refusing = stalled = unbounded = False
    strikes: list[AnyFault] = []
    datagrams = path.shape is None
    for fault, aim, exact in active:
        if not aims_at(fault, aim, path) or (path.pair and not exact and isinstance(fault, OF_ONE_CONNECTION)):
            continue
        unbounded = unbounded or (exact and isinstance(fault, _DELAYING))
        match fault:
            case Latency():
                delay += round(fault.delay_s * 1e9)
                jitter += fault.jitter_s
            case Bandwidth():
                path.bandwidth = _least(path.bandwidth, fault.bytes_per_s)
            case Segments():
                path.max_piece = _least(path.max_piece, fault.max_bytes)
            case Buffers():
                path.send_limit = _least(path.send_limit, fault.send_bytes)
                path.receive_limit = _least(path.receive_limit, fault.receive_bytes)
            case SlowReader():
                path.reader_rate = _least(path.reader_rate, fault.bytes_per_s)
            case Loss() if fault.of in ("all", "datagrams" if datagrams else "segments"):
                keep *= 1.0 - fault.rate
            case Drop():
                path.dropping = True
            case Refuse():
                path.refusing = True
            case Stall():
                stalled = True
            case Reset() | Eof():
                strikes.append(fault)
            case Duplicate() if datagrams:
                once *= 1.0 - fault.rate
            case Reorder() if datagrams:
                in_turn *= 1.0 - fault.rate
            case Truncate() if datagrams:
                path.truncate_to = fault.max_bytes if path.truncate_to < 0 else min(path.truncate_to, fault.max_bytes)
            case _:
                pass
    path.latency_ns, path.delay_ns = path.link.latency_ns, delay
    path.jitter_steps = round(jitter * 1e9) // JITTER_STEP_NS
    path.loss_rate = round((1.0 - keep) * _FULL)
    path.duplicate_rate, path.reorder_rate = round((1.0 - once) * _FULL), round((1.0 - in_turn) * _FULL)
    path.strikes = tuple(strikes)
    path.watched = watched
    path.allowance = UNBOUNDED if unbounded else path.bound
    changed, path.stalled = stalled is not path.stalled, stalled
    path.settle()
    if changed and path.gate is not None:
        path.gate.stall()


def aims_at(fault: AnyFault, aim: Target, path: Path) -> bool:
    """Whether the fault concerns what travels on this path, or who sends or reads it."""
    sender, receiver, ordinal = path.sender, path.receiver, path.ordinal
    if isinstance(fault, (SlowReader, Stall)):
        return aim.matches_reader(receiver, sender, ordinal)
    if isinstance(fault, Buffers):
        return aim.matches_reader(receiver, sender, ordinal) or aim.matches(sender, receiver, ordinal)
    if isinstance(fault, Refuse):  # a connection, whichever of its directions the target names
        back = aim.matches(receiver, sender, ordinal)
        return sender.side == CONNECTING and (back or aim.matches(sender, receiver, ordinal))
    return aim.matches(sender, receiver, ordinal)


def one_way(aim: Target) -> bool:
    """Whether a target is one direction of connections: a -> b, or what a side sends."""
    if aim.second is not None:
        return not aim.both_ways
    return aim.first.name in SIDES


def connection(path: Path, *, both_ways: bool, reverse: bool) -> str:
    """The target that means this one connection: the direction of the path or the reverse one, or both directions."""
    ends = [f"{end.host}:{end.port}" if end.side == ACCEPTING else end.host for end in (path.sender, path.receiver)]
    first, second = reversed(ends) if reverse else ends
    return f"{first} {'|' if both_ways else '->'} {second} #{path.ordinal}"


def name_failure(active: Iterable[Aimed], asker: str, name: str) -> NameFailure | None:
    """The fault that a lookup of `name` by the host `asker` meets: the one that began last."""
    found = None
    for fault, aim, _ in active:
        if isinstance(fault, NameFailure):
            asked = _named(aim.first.name, asker)
            if asked and (aim.second is None or _named(aim.second.name.lower(), name.lower())):
                found = fault
    return found


def _least(one: int, other: int) -> int:
    """The smaller bound; 0 is no bound."""
    return min(one, other) if one else other


def _named(pattern: str, host: str) -> bool:
    return pattern in ("*", host)
