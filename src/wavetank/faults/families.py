"""The families: faults that are switched on together by one name of `--faults`.

Owns which words belong to which family, and what a list of families means.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from wavetank.errors import UsageError, did_you_mean
from wavetank.faults.machine import ClockJump, ClockSkew, Crash, Descriptors, Pause, Scheduling
from wavetank.faults.network import (
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
    Truncate,
)
from wavetank.faults.words import AnyFault


class Family(NamedTuple):
    """Faults that are switched on together by one name of `--faults`.

    `faults` are its words; `text` says what it does; `mild` families keep every promise of TCP; `least_hosts` is how
    many hosts a world needs before the family means something.
    """

    faults: tuple[type[AnyFault], ...]
    text: str
    mild: bool
    least_hosts: int = 1


_TIMING: Final = "latency, jitter, bandwidth, and which ready thread or host runs next"

#: The families by name, in the order of the docs.
FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({
    "timing": Family((Latency, Bandwidth, Scheduling), _TIMING, True),
    "segments": Family((Segments,), "short reads and writes, down to one byte, cut at any byte", True),
    "buffers": Family((Buffers,), "small send and receive buffers", True),
    "slow-reader": Family((SlowReader,), "a peer that reads slowly, so that the window closes", True),
    "loss": Family((Loss,), "lost segments, which cost time and never bytes", True),
    "reset": Family((Reset,), "connections that are reset, at a byte, at an event or at a time", False),
    "eof": Family((Eof,), "connections that end, wholly or in one direction, at a byte, an event or a time", False),
    "stall": Family((Buffers, Stall), "a peer that stops reading and keeps what it has; small buffers", False),
    "drop": Family((Drop,), "packets that vanish, while nobody is told", False),
    "partition": Family((Partition,), "hosts that cannot reach each other, both ways or one way", False, 2),
    "refuse": Family((Refuse,), "connections that are refused for a while", False),
    "names": Family((NameFailure,), "lookups of names that fail, or are slow", False, 2),
    "clock": Family((ClockSkew, ClockJump), "wall clocks that are wrong, drift or jump", False),
    "pause": Family((Pause,), "a host that stops for a while", False),
    "crash": Family((Crash,), "power loss, or a stop by signal, and a restart", False, 2),
    "datagrams": Family((Loss, Duplicate, Reorder, Truncate), "datagrams lost, doubled, overtaken or cut", False),
    "fds": Family((Descriptors,), "open files, places in the backlog or ports run out for a while", False),
})  # fmt: skip

#: Faults that act on what travels over TCP and UDP, and on nothing else.
ON_NETWORK: Final = frozenset({
    Bandwidth, Buffers, Drop, Duplicate, Eof, Latency, Loss, Partition, Refuse, Reorder, Reset, Segments, SlowReader,
    Stall, Truncate,
})  # fmt: skip
MILD: Final = tuple(name for name, family in FAMILIES.items() if family.mild)


def parse_families(text: str) -> tuple[str, ...]:
    """The family names that `text` means: `none`, `mild`, `all`, or names and these joined by commas.

    In the order of `FAMILIES`, each once. Raises `UsageError` for an unknown name, naming the nearest.
    """
    groups = {"none": (), "mild": MILD, "all": tuple(FAMILIES)}
    words = [word.strip() for word in text.split(",")]
    wanted: set[str] = set()
    for word in words:
        if word in groups:
            wanted.update(groups[word])
        elif word in FAMILIES:
            wanted.add(word)
        else:
            known = (*groups, *FAMILIES)
            what = f"unknown fault family {word!r}.{did_you_mean(word, known)}" if word else "an empty fault family"
            raise UsageError(what, where=f"--faults {text}", why=f"the families are {', '.join(known)}")
    if "none" in words and len(words) > 1:
        raise UsageError("the fault family none does not go with others", where=f"--faults {text}")
    return tuple(name for name in FAMILIES if name in wanted)
