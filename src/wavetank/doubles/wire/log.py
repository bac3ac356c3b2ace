"""The ordered log of a double: every call between protocols and transports, oldest first.

Owns the entries and their text. Must never change what it is given, and must cost little: an entry is a tuple, made
readable when somebody reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

#: So many entries are kept unless told otherwise; older ones are dropped, and counted.
KEPT: Final = 10_000
#: So much of a piece of data is kept in its entry.
KEPT_BYTES: Final = 256
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

    def __init__(self, kept: int = KEPT) -> None:
        #: What the doubles append to: `(end, call, detail)`, and `("", "", seconds)` where time has moved.
        self.raw: deque[tuple[str, str, Any]] = deque(maxlen=kept)

    def note(self, end: str, call: str, detail: Any = None) -> None:
        """Append one call."""
        self.raw.append((end, call, detail))

    def data(self, end: str, call: str, data: bytes) -> None:
        """Append one call with data, of which the beginning is kept."""
        self.raw.append((end, call, data if len(data) <= KEPT_BYTES else Piece(data[:KEPT_BYTES], len(data))))

    def __iter__(self) -> Iterator[Entry]:
        now = 0.0
        for end, call, detail in tuple(self.raw):
            if call:
                yield Entry(now, end, call, detail)
            else:
                now = detail

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def calls(self, end: str | None = None) -> list[str]:
        """The names of the calls in order, all or those at one end."""
        return [entry.call for entry in self if end in (None, entry.end)]

    def __str__(self) -> str:
        lines = [str(entry) for entry in self]
        if len(self.raw) == self.raw.maxlen:
            lines.insert(0, f"(the last {len(lines)} calls; older ones are not kept)")
        return "\n".join(lines)
