"""The ordered log of a double: every call between protocols and transports, oldest first.

Owns the entries and their text. Must never change what it is given, and must cost little: an entry is a tuple, made
readable when somebody reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

#: At least so many entries are kept unless told otherwise; older ones are dropped.
KEPT: Final = 10_000
#: So much of a piece of data is kept. Keeping long ones whole would cost a page fault for every 4 KiB that is joined or
#: cut, since no memory is used again.
KEPT_BYTES: Final = 1024
#: So much of a piece of data is shown in a line.
SHOWN_BYTES: Final = 40


class Piece(NamedTuple):
    """The beginning of a piece of data too long to be kept, and its whole length in bytes."""

    head: bytes
    size: int


class Entry(NamedTuple):
    """One call: when (seconds since the beginning), at which end, which call, with what."""

    time_s: float
    end: str
    call: str
    detail: Any = None

    def __str__(self) -> str:
        return f"{self.time_s:9.6f} {self.end:>8} {self.call}{_shown(self.detail)}"


def _shown(detail: Any) -> str:
    match detail:
        case None:
            return ""
        case bytes():
            return f" {len(detail)} bytes: {_cut(detail)}"
        case Piece():
            return f" {detail.size} bytes: {_cut(detail.head)}"
        case _:
            return f" {detail!r}"


def _cut(data: bytes) -> str:
    return repr(data) if len(data) <= SHOWN_BYTES else f"{data[:SHOWN_BYTES]!r}..."


class Log:
    """What was called, in order: iterate for `Entry`s, `str()` for lines, `len()` for how many are kept."""

    def __init__(self, entries: int = KEPT) -> None:
        #: What the doubles append to: `(end, call, detail)`; `("", "", seconds)` where time has moved; and, for data,
        #: `(end, call)` followed by the data, so that the way of most calls makes no object, and by the whole length
        #: where that is only the beginning of the data.
        self.raw: list[Any] = []
        self._limit = 4 * entries
        #: Whether older calls were dropped.
        self.trimmed = False

    def trim(self) -> None:
        """Drop the older half of what is kept when it is too much."""
        if len(self.raw) > self._limit:
            del self.raw[: -(self._limit // 2)]
            self.trimmed = True

    def note(self, end: str, call: str, detail: Any = None) -> None:
        """Append one call."""
        self.trim()
        self.raw.append((end, call, detail))

    def data(self, end: str, call: str, data: bytes) -> None:
        """Append one call with data, of which the beginning is kept."""
        self.raw.append((end, call))
        if len(data) > KEPT_BYTES:
            self.raw.append(data[:KEPT_BYTES])
            self.raw.append(len(data))
        else:
            self.raw.append(data)

    def __iter__(self) -> Iterator[Entry]:
        now = 0.0
        called: tuple[str, str] | None = None
        items = tuple(self.raw)
        for index, item in enumerate(items):
            if isinstance(item, bytes):
                size = items[index + 1] if index + 1 < len(items) else None
                if called is not None:
                    yield Entry(now, *called, Piece(item, size) if isinstance(size, int) else item)
            elif isinstance(item, int):
                continue  # went with the data before it
            elif len(item) == 2:
                called = item
            elif item[1]:
                yield Entry(now, *item)
            else:
                now = item[2]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def calls(self, end: str | None = None) -> list[str]:
        """The names of the calls in order, all or those at one end."""
        return [entry.call for entry in self if end in (None, entry.end)]

    def __str__(self) -> str:
        lines = [str(entry) for entry in self]
        if self.trimmed:
            lines.insert(0, f"(the last {len(lines)} calls; older ones are not kept)")
        return "\n".join(lines)
