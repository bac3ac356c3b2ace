"""Gentler forms of a fault: what shrinking tries in its place.

Owns what is gentler than what. A plan with a gentler fault says more about the program: that it cannot live with an end
of the stream behind the last byte is worth more than that it cannot live with one in the middle of a message.

- Of a connection that breaks both ways, one way is gentler; and later is gentler than earlier, up to the end of all
  that is sent: then nothing was lost that could be the reason for the failure.
- A fault that is over sooner is gentler; so is a delay that is always the same, or none besides a jitter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from wavetank.faults import AnyFault, Eof, Latency, Reset

#: Events are put off one by one, at most so often.
LATER: Final = 16
#: A fault is not made shorter than this, in seconds.
SHORTEST_S: Final = 0.1


def candidates(fault: AnyFault, sent_bytes: Mapping[str, int]) -> Iterator[AnyFault]:
    """Gentler forms of `fault`, the gentlest first. `sent_bytes`: what each flow carried in the run, by its key."""
    for make in _MAKERS:
        yield from make(fault, sent_bytes)


def _one_way(fault: AnyFault, sent_bytes: Mapping[str, int]) -> Iterator[AnyFault]:
    aim = fault.aim
    if isinstance(fault, (Eof, Reset)) and aim.both_ways and aim.second is not None:
        number = f" #{aim.ordinal}" if aim.ordinal else ""
        yield _with(fault, target=f"{aim.first} -> {aim.second}{number}")
        yield _with(fault, target=f"{aim.second} -> {aim.first}{number}")


def _later(fault: AnyFault, sent_bytes: Mapping[str, int]) -> Iterator[AnyFault]:
    if not isinstance(fault, (Eof, Reset)):
        return
    event = fault.event
    if event is not None and event.ordinal:
        yield from (_with(fault, when=f"{event.kind} #{event.ordinal + more}") for more in range(LATER, 0, -1))
    if fault.after_bytes:
        yield from (
            _with(fault, after_bytes=size) for size in sorted(set(sent_bytes.values()), reverse=True)
            if size > fault.after_bytes
        )  # fmt: skip


def _shorter(fault: AnyFault, sent_bytes: Mapping[str, int]) -> Iterator[AnyFault]:
    if fault.duration_s is not None and fault.duration_s > SHORTEST_S:
        for part in (16, 4, 2):
            yield _with(fault, duration_s=max(SHORTEST_S, round(fault.duration_s / part, 3)))


def _steadier(fault: AnyFault, sent_bytes: Mapping[str, int]) -> Iterator[AnyFault]:
    if isinstance(fault, Latency) and fault.delay_s and fault.jitter_s:
        yield _with(fault, jitter_s=0.0)
        yield _with(fault, delay_s=0.0)


_MAKERS: Final[tuple[Callable[[AnyFault, Mapping[str, int]], Iterator[AnyFault]], ...]] = (
    _one_way, _later, _shorter, _steadier,
)  # fmt: skip


def _with(fault: AnyFault, **fields: Any) -> AnyFault:
    gentler: AnyFault = msgspec.structs.replace(fault, **fields)
    return gentler
