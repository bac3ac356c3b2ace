"""Where a segment of a byte stream is cut.

Owns the styles of cutting and the places that cuts aim at; how the pieces travel is `link`'s. It never looks at what
the bytes mean, only for ends of lines and for where the program's writes begin and end.

The idea. A reader must not depend on where a stream is cut (RFC 9293 section 3.8: TCP keeps no borders of writes), and
those that do depend on one place: between CR and LF, behind a length, at the last byte. One byte at a time meets some
of these bugs and hides others, so each flow has a *style*: any cut, all in single bytes, few cuts, or cuts aimed next
to the ends of lines and the borders of writes. Pieces that come in while the reader is late are read joined; so the end
of one write joined to the beginning of the next needs no style of its own.
"""

from __future__ import annotations

from collections import deque
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

    def aim(self, rate: int, bound: int, place: Callable[[int], int]) -> int:
        """0 with probability 1 - rate/65536, else `place(bits)` of random bits, which is in 0 .. bound-1."""

    def explain(self, one: int, other: int) -> None:
        """Two numbers that say more about the choice made last, for the words of a report."""


class Borders:
    """Where the writes of one flow end, as far as they are still to be sent."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends: deque[tuple[int, int]] = deque()  # where in the stream the write ends, and its number from 1

    def wrote(self, end: int, number: int) -> None:
        """Write `number` of the flow ends before byte `end` of the stream."""
        if len(self.ends) < BORDERS_KEPT:
            self.ends.append((end, number))

    def passed(self, start: int) -> None:
        """All before byte `start` has been sent."""
        ends = self.ends
        while ends and ends[0][0] <= start:
            ends.popleft()

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

    __slots__ = ("_at", "_borders", "_data", "borders", "draws", "style")

    def __init__(self, draws: AimedDraws, style: Style, borders: Borders) -> None:
        self.draws = draws
        self.style = style
        self.borders = borders
        self._data = b""
        self._at = 0
        self._borders: list[int] = []

    def begin(self, data: bytes, start: int) -> None:
        """A segment is to be sent: `data`, from byte `start` of the stream on."""
        self.borders.passed(start)
        self._data = data
        self._at = 0
        self._borders = self.borders.inside(start, start + len(data)) if self.style.aimed else []
        if self._borders:
            self._borders = [border - start for border in self._borders]

    def piece(self, size: int, max_piece: int, longest: int) -> int:
        """The size of the next piece of the segment, of which `size` bytes are left; 0: no further cut."""
        style = self.style
        if style.aimed:
            bits = self.draws.aim(style.rate, longest + 1, self._aimed)
        else:
            bits = self.draws.draw(style.rate, min(style.most or max_piece, longest) + 1)
        return bits

    def cut(self, start: int, piece: int) -> None:
        """The piece was cut off; `start`: where in the stream the segment begins."""
        self._at += piece
        self.draws.explain(*self.borders.write_at(start, start + self._at))

    def _aimed(self, bits: int) -> int:
        """A cut next to the end of a line, the border of a write or its head; anywhere when there is none."""
        data, at = self._data, self._at
        size = len(data) - at
        kind, bits = bits & 7, bits >> 3
        if kind < 3:
            place = _next_to_line_end(data, at, bits)
        elif kind < 5 and self._borders:
            border = self._borders[bits % len(self._borders)]
            place = border + _AROUND[(bits >> 8) % len(_AROUND)] - at
        elif kind < 6:
            heads = [0, *self._borders]
            place = heads[bits % len(heads)] + 1 + (bits >> 8) % HEAD_BYTES - at
        elif kind < 7:
            ends = [*self._borders, len(data)]
            place = ends[bits % len(ends)] - _TAIL[(bits >> 8) % len(_TAIL)] - at
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
