"""What a fault word means for two protocols that are joined in memory.

Owns the translation of `wavetank.faults` into policies and limits of the two ways. Must never invent a fault: a word
that says nothing here is refused by name.
"""

from __future__ import annotations

import random
import reprlib
from collections.abc import Iterable
from typing import Any, Final

from wavetank.doubles.wire.chunks import ChunkPolicy
from wavetank.doubles.wire.connection import Connection
from wavetank.doubles.wire.way import Way
from wavetank.errors import UsageError
from wavetank.faults import ACCEPTING, CONNECTING, Fault, Party, Segments

#: The words that mean something here.
KNOWN: Final = (Segments,)


def inject(connection: Connection, faults: Iterable[Any], seed: int) -> None:
    """Carry out these faults on the connection. Raises `UsageError` for one that is none, or means nothing here."""
    if isinstance(faults, (str, bytes)) or not isinstance(faults, Iterable):
        faults = (faults,)
    for number, fault in enumerate(faults):
        if not isinstance(fault, Fault):
            raise UsageError(
                f"faults: {reprlib.repr(fault)} is no fault", why="faults are words of wavetank.faults: Segments(3)"
            )
        if not isinstance(fault, KNOWN):
            names = ", ".join(kind.__name__ for kind in KNOWN)
            raise UsageError(
                f"faults: {type(fault).__name__} means nothing for two protocols joined in memory",
                why=f"what does: {names}",
                next="wavetank.run and wavetank.explore simulate the network that the others need",
            )
        for index, way in enumerate(_aimed(connection, fault)):
            _segments(way, fault, random.Random(f"{seed} {number} {index}"))


def _parties(connection: Connection) -> tuple[tuple[Party, ...], tuple[Party, ...]]:
    """Both ends as targets may name them."""
    (first, second) = connection.ends
    return (
        (Party(first.name, 0, CONNECTING), Party("a", 0, CONNECTING)),
        (Party(second.name, 0, ACCEPTING), Party("b", 0, ACCEPTING)),
    )


def _aimed(connection: Connection, fault: Fault) -> list[Way]:
    """The ways that a fault aims at. Raises `UsageError` when there are none."""
    firsts, seconds = _parties(connection)
    found = []
    for way, senders, receivers in ((connection.ways[0], firsts, seconds), (connection.ways[1], seconds, firsts)):
        if any(fault.aim.matches(sender, receiver, 1) for sender, receiver in zip(senders, receivers, strict=True)):
            found.append(way)
    if not found:
        ends = " and ".join(end.name for end in connection.ends)
        raise UsageError(
            f"faults: {fault} aims at nothing", why=f'the ends are {ends}, and "connecting", "accepting" and "*"'
        )
    return found


def _segments(way: Way, fault: Segments, draw: random.Random) -> None:
    inner = way.policy

    def policy(first: int, total: int, offset: int) -> int:
        return min(inner(first, total, offset), draw.randint(1, fault.max_bytes))

    bounded: ChunkPolicy = policy
    way.policy = bounded
