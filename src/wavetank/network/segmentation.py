"""Where a segment of a byte stream is cut.

Owns the styles of cutting and the places that cuts aim at; how the pieces travel is `link`'s. It never looks at what
the bytes mean, only for ends of lines and for where the program's writes begin and end.

The idea. A reader must not depend on where a stream is cut (RFC 9293 section 3.8: TCP keeps no borders of writes), and
those that do depend on one place: between CR and LF, behind a length, at the last byte. One byte at a time meets some
of these bugs and hides others, so each flow has a *style*: any cut, all in single bytes, few cuts, or cuts aimed next
to the ends of lines and the borders of writes. Pieces that come in while the reader is late are read joined; so the end
of one write joined to the beginning of the next needs no style of its own.

A cut is a choice at the byte of the stream at which the piece begins, and its value is the size of the piece. So a cut
can be left out without moving another one: the piece before it becomes longer (`campaign.shrink` does that).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

#: At most so many borders of writes are remembered for data that has not been sent yet.
BORDERS_KEPT: Final = 4_096
#: How far behind the beginning of a write a cut is aimed: the lengths and types of most protocols stand there.
HEAD_BYTES: Final = 16
#: Steps from a border between two writes at which a cut is aimed; from the end of one, backwards.
_AROUND: Final = (0, 0, -1, 1, -2, 2)
_TAIL: Final = (1, 1, 2, 3, 4, 8)


class Style(NamedTuple):
    """How often a segment is cut (in 1/65536), whether cuts are aimed, and the largest piece (0: the fault's)."""

    rate: int
    aimed: bool
    most: int
    words: str


#: What the choice "style" means. The first one is calm: what a flow has when nothing else is drawn.
STYLES: Final = (
    Style(1 << 15, False, 0, "half of the pieces are cut"),
    Style(1 << 16, False, 0, "all pieces are cut"),
    Style(1 << 13, False, 0, "one piece of eight is cut"),
    Style(1 << 16, False, 1, "all arrives one byte at a time"),
    Style(1 << 15, True, 0, "half of the pieces are cut, next to ends of lines and borders of writes"),
    Style(3 << 14, True, 0, "most pieces are cut, next to ends of lines and borders of writes"),
    Style(1 << 13, True, 0, "one piece of eight is cut, next to ends of lines and borders of writes"),
)
#: How often a flow has another style than the first.
STYLE_RATE: Final = 3 << 14


class AimedDraws(Protocol):
    """A stream of choices (see `kernel.choices.Stream`)."""

    def draw(self, rate: int, bound: int) -> int:
        """0 with probability 1 - rate/65536, else one of 1 .. bound-1."""

    def aim(self, rate: int, bound: int, place: Callable[[int], int], ordinal: int = -1) -> int:
        """0 with probability 1 - rate/65536, else `place(bits)` of random bits, which is in 0 .. bound-1.

        `ordinal`: the number of the draw, where draws are not counted but have a place of their own.
        """

    def explain(self, one: int, other: int) -> None:
        """Two numbers that say more about the choice made last, for the words of a report."""


class Borders:
    """Where the writes of one flow end, as far as they are still to be sent."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends: list[tuple[int, int]] = []  # where in the stream the write ends, and its number from 1

    def wrote(self, end: int, number: int) -> None:
        """Write `number` of the flow ends before byte `end` of the stream."""
        if len(self.ends) < BORDERS_KEPT:
            self.ends.append((end, number))

    def passed(self, start: int) -> None:
        """All before byte `start` has been sent."""
        ends = self.ends
        past = 0
        while past < len(ends) and ends[past][0] <= start:
            past += 1
        del ends[:past]

    def inside(self, start: int, end: int) -> list[int]:
        """The ends of writes after byte `start` and before byte `end`."""
        found = []
        for border, _ in self.ends:
            if border >= end:
                break
            if border > start:
                found.append(border)
        return found

    def write_at(self, start: int, place: int) -> tuple[int, int]:
        """The number of the write to which byte `place - 1` belongs, and how far into it `place` is, if it is known.

        `start`: where the segment begins; the write that begins before it is counted from there.
        """
        before = start
        for border, number in self.ends:
            if place <= border:
                return number, place - before
            before = max(before, border)
        return 0, place - start


class Cutter:
    """Cuts the segments of one flow. `draws` decide; `style` is one of `STYLES`."""

    __slots__ = ("_at", "_data", "_inner", "_most", "_start", "borders", "draws", "style")

    def __init__(self, draws: AimedDraws, style: Style, borders: Borders) -> None:
        self.draws = draws
        self.style = style
        self.borders = borders
        self._data = b""
        self._at = self._start = self._most = 0
        self._inner: list[int] = []

    def begin(self, start: int, data: bytes) -> None:
        """A segment is to be sent: `data`, from byte `start` of the stream on.

        No data: its payload must not matter, so cuts are counted, and not aimed.
        """
        self._start = start
        self._at = 0
        self._data = data
        self._inner = self.borders.inside(start, start + len(data)) if self.style.aimed else []

    def piece(self, max_piece: int, longest: int) -> int:
        """The size of the next piece of the segment, at most `longest`; 0: no further cut.

        `max_piece`: the most that is cut off at random; an aimed cut may come later.
        """
        style = self.style
        self._most = min(style.most or max_piece, longest)
        if self._data:
            place = self._aimed if style.aimed else self._any
            return self.draws.aim(style.rate, longest + 1, place, self._start + self._at)
        return self.draws.aim(style.rate, longest + 1, self._any)

    def cut_off(self, piece: int) -> None:
        """The piece was cut off: say where that is, and go on behind it."""
        self._at += piece
        self.draws.explain(*self.borders.write_at(self._start, self._start + self._at))

    def _any(self, bits: int) -> int:
        return 1 + bits % self._most

    def _aimed(self, bits: int) -> int:
        """A cut next to the end of a line, the border of a write or its head; anywhere when there is none."""
        data, at, inner = self._data, self._at, self._inner
        size = len(data) - at
        kind, bits = bits & 7, bits >> 3
        if kind < 3:
            place = _next_to_line_end(data, at, bits)
        elif kind < 5 and inner:
            place = inner[bits % len(inner)] - self._start + _AROUND[(bits >> 8) % len(_AROUND)] - at
        elif kind < 6:
            write = bits % (len(inner) + 1)
            place = (inner[write - 1] - self._start if write else 0) + 1 + (bits >> 8) % HEAD_BYTES - at
        elif kind < 7:
            write = bits % (len(inner) + 1)
            end = inner[write] - self._start if write < len(inner) else len(data)
            place = end - _TAIL[(bits >> 8) % len(_TAIL)] - at
        else:
            place = 0
        return place if 0 < place < size else 1 + bits % (size - 1)


def _next_to_line_end(data: bytes, at: int, bits: int) -> int:
    """A place from `at` on before, inside or behind the end of a line; 0 when there is none."""
    found = data.find(b"\n", at + bits % (len(data) - at))
    if found < 0:
        found = data.rfind(b"\n", at)
    if found < 0:
        return 0
    turn = (bits >> 16) & 3
    if found > at and data[found - 1] == 13:  # CR
        return found - 1 + (0, 1, 1, 2)[turn] - at
    return found + (0, 1, 1, 0)[turn] - at
