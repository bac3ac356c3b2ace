"""What a fault word means for two protocols that are joined in memory.

Owns the translation of `wavetank.faults` into policies, lines and limits of the two ways, and when each begins and is
healed. Must never invent a fault: a word that says nothing here is refused by name.
"""

from __future__ import annotations

import random
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from wavetank.doubles.wire.line import Line
from wavetank.errors import UsageError
from wavetank.faults import (
    ACCEPTING,
    CONNECTING,
    Bandwidth,
    Buffers,
    Drop,
    Eof,
    Fault,
    Latency,
    Party,
    Reset,
    Segments,
    SlowReader,
    Stall,
)

if TYPE_CHECKING:
    from wavetank.doubles.wire.connection import Connection
    from wavetank.doubles.wire.way import Way

#: The words that mean something here.
KNOWN: Final = (Segments, Buffers, Latency, Bandwidth, SlowReader, Stall, Drop, Reset, Eof)
#: What they mean is up to the side that reads.
_READERS: Final = (SlowReader, Stall)
#: Events that have happened when a connection is made.
_OPENING: Final = ("connect #1", "accept #1")


def checked(faults: Any, kinds: tuple[type[Fault], ...] = KNOWN, joined: str = "protocols") -> list[Fault]:
    """The faults that were given, one or several; each of `kinds`. Raises `UsageError` for anything else."""
    if isinstance(faults, (str, bytes, Fault)) or not isinstance(faults, Iterable):
        faults = (faults,)
    found = []
    for fault in faults:
        if not isinstance(fault, Fault):
            raise UsageError(
                f"faults: {reprlib.repr(fault)} is no fault", why="faults are words of wavetank.faults: Segments(3)"
            )
        if not isinstance(fault, kinds):
            names = ", ".join(kind.__name__ for kind in kinds)
            raise UsageError(
                f"faults: {type(fault).__name__} means nothing for two {joined} joined in memory",
                why=f"what does: {names}",
                next="wavetank.run and wavetank.explore simulate the network that the others need",
            )
        if fault.when and fault.when not in _OPENING:
            raise UsageError(
                f"faults: {fault} begins at an event",
                why='here a fault begins by the clock (at_s), or at "connect" or "accept"',
                next="count bytes instead (after_bytes), or call connection.inject(fault) when it is to begin",
            )
        found.append(fault)
    return found


def inject(connection: Connection, faults: Any, seed: int | str) -> None:
    """Carry out these faults on the connection, from now on. Raises `UsageError` where that makes no sense."""
    for number, fault in enumerate(checked(faults)):
        ways = aimed(connection, fault)
        draws = [random.Random(f"{seed} {number} {index}") for index in range(2)]
        if fault.at_s:
            connection.at(connection.now + fault.at_s, _beginning(connection, fault, ways, draws))
        else:
            _begin(connection, fault, ways, draws)


def _beginning(connection: Connection, fault: Fault, ways: list[Way], draws: list[random.Random]) -> Any:
    return lambda: _begin(connection, fault, ways, draws)


def _begin(connection: Connection, fault: Fault, ways: list[Way], draws: list[random.Random]) -> None:
    connection.log.note("network", str(fault))
    undo = []
    for way, draw in zip(ways, draws, strict=False):
        undo.append(_start(connection, fault, way, draw, ways))
    if fault.duration_s is not None:
        connection.at(connection.now + fault.duration_s, lambda: _heal(connection, fault, undo))


def _heal(connection: Connection, fault: Fault, undo: list[Any]) -> None:
    connection.log.note("network", f"healed: {fault.phrase()}")
    for each in undo:
        each()


def _start(connection: Connection, fault: Fault, way: Way, draw: random.Random, ways: list[Way]) -> Any:
    """Begin on one way; returns what heals it."""
    if isinstance(fault, Segments):
        return _segments(way, fault, draw)
    line = line_of(way, draw)
    if not isinstance(fault, (Reset, Eof)):
        line.active.append(fault)
        return lambda: line.active.remove(fault)

    def strike() -> None:
        if isinstance(fault, Reset):
            connection.reset()
        else:
            _end(fault, ways)

    if not fault.after_bytes or fault.after_bytes == way.delivered:
        connection.soon(strike)
        return lambda: None
    limit = (fault.after_bytes, strike)
    line.limits.append(limit)
    return lambda: line.limits.remove(limit) if limit in line.limits else None


def _end(fault: Eof, ways: list[Way]) -> None:
    """One direction ends (a half close), or both, as from a proxy that has closed its sockets."""
    one_way = len(ways) == 1
    for way in ways:
        line = line_of(way, random.Random(0))
        way.lose()
        way.eof = True
        line.vanishing, line.refused = one_way, not one_way
    ways[0].sender.connection.wake()


def line_of(way: Way, draw: random.Random) -> Line:
    """The line of a way; made, with what is on the way already, when there is none."""
    if way.line is None:
        way.line = line = Line(way, draw)
        line.written += way.queue
        way.queue.clear()
        way.inbox = line.written
        way.changed()
    return way.line


def aimed(connection: Connection, fault: Fault) -> list[Way]:
    """The ways that a fault aims at. Raises `UsageError` when there are none."""
    first, second = connection.ends
    firsts = (Party(first.name, 0, CONNECTING), Party("a", 0, CONNECTING))
    seconds = (Party(second.name, 0, ACCEPTING), Party("b", 0, ACCEPTING))
    found = []
    for way, senders, receivers in ((connection.ways[0], firsts, seconds), (connection.ways[1], seconds, firsts)):
        for sender, receiver in zip(senders, receivers, strict=True):
            reader = isinstance(fault, _READERS)
            aim = fault.aim
            if aim.matches_reader(receiver, sender, 1) if reader else aim.matches(sender, receiver, 1):
                found.append(way)
                break
    if not found:
        raise UsageError(
            f"faults: {fault} aims at nothing",
            why=f'the ends are {first.name} and {second.name}, or "connecting" and "accepting", or "*"',
        )
    return found


def _segments(way: Way, fault: Segments, draw: random.Random) -> Any:
    before = way.policy
    healed: list[bool] = []

    def policy(first: int, total: int, offset: int) -> int:
        size = before(first, total, offset)
        return size if healed else min(size, draw.randint(1, fault.max_bytes))

    way.policy = policy
    way.changed()
    return lambda: healed.append(True)
