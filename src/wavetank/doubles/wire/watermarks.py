"""How much a transport buffers before it asks its protocol, or a producer, to pause.

Owns the two numbers and how they are read. Source: asyncio's `WriteTransport.set_write_buffer_limits` (Python's
documentation, asyncio-protocol) and asyncio/transports.py, `_set_write_buffer_limits`.
"""

from __future__ import annotations

import reprlib
from typing import Any, Final, NamedTuple

from wavetank.errors import UsageError

#: asyncio/transports.py: "if high is None: if low is None: high = 64 * 1024".
DEFAULT_HIGH: Final = 64 * 1024


class Watermarks(NamedTuple):
    """Bytes: writing pauses strictly above `high` and is resumed at or below `low`."""

    low: int
    high: int


def limits(high: int | None = None, low: int | None = None) -> Watermarks:
    """The marks as `set_write_buffer_limits(high, low)` of asyncio makes them: what is missing follows from the other.

    Raises `ValueError`, in asyncio's words, unless `high >= low >= 0`.
    """
    if high is None:
        high = DEFAULT_HIGH if low is None else 4 * low
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return Watermarks(low, high)


def read(given: Any) -> Watermarks | None:
    """The marks of one end: None (its dialect's own), a number (high), or a pair (low, high).

    Raises `UsageError` for anything else.
    """
    try:
        match given:
            case None:
                return None
            case int() if not isinstance(given, bool):
                return limits(given)
            case (int(), int()):
                return limits(given[1], given[0])
    except ValueError as error:
        raise UsageError(f"watermarks: {error}", why="a pair is (low, high), both in bytes") from None
    raise UsageError(
        f"watermarks: {reprlib.repr(given)} is none",
        why="watermarks is a number of bytes (high), a pair (low, high), or a pair of these: of a, of b",
    )


def read_pair(given: Any) -> tuple[Watermarks | None, Watermarks | None]:
    """The marks of a and of b: one for both, or a pair of which at least one is not a number."""
    if isinstance(given, (tuple, list)) and len(given) == 2 and not all(isinstance(each, int) for each in given):
        return read(given[0]), read(given[1])
    marks = read(tuple(given) if isinstance(given, list) else given)
    return marks, marks
