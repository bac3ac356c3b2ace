"""Where segments are cut: borders of writes, aimed places, and what a cut is called."""

from __future__ import annotations

from collections import Counter

import pytest

from wavetank.kernel.choices import FULL, Choices
from wavetank.network import segmentation
from wavetank.network.segmentation import STYLES, Borders, Cutter, Style

LINES = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def cutter(style: Style, seed: int = 0, choices: Choices | None = None) -> Cutter:
    return Cutter((choices or Choices(seed)).stream("cut", "a -> b"), style, Borders())


def pieces(cutter: Cutter, start: int, data: bytes, max_piece: int = 1_000) -> list[bytes]:
    """The pieces of one segment, as a path asks for them."""
    cutter.begin(start, data)
    found = []
    while len(data) > 1 and (size := cutter.piece(max_piece, len(data) - 1)):
        cutter.cut_off(size)
        found.append(data[:size])
        data = data[size:]
    return [*found, data]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.words)
def test_nothing_is_lost(style: Style) -> None:
    for seed in range(50):
        assert b"".join(pieces(cutter(style, seed), 0, LINES, max_piece=7)) == LINES


def test_one_byte_at_a_time() -> None:
    style = next(style for style in STYLES if style.most == 1)
    assert pieces(cutter(style), 5, b"abc") == [b"a", b"b", b"c"]


def test_the_most_that_is_cut_off_at_random() -> None:
    every = Style(FULL, False, 0, "")
    assert all(len(piece) <= 3 for seed in range(50) for piece in pieces(cutter(every, seed), 0, LINES, max_piece=3))


def test_aimed_cuts_meet_each_place_around_the_end_of_a_line_often() -> None:
    once = Style(FULL, True, 0, "")
    where = Counter(len(pieces(cutter(once, seed), 0, LINES)[0]) for seed in range(400))
    line = LINES.index(b"\r")
    assert min(where[line], where[line + 1], where[line + 2]) > 400 // len(LINES)


def test_aimed_cuts_meet_the_borders_between_writes() -> None:
    where: Counter[int] = Counter()
    for seed in range(400):
        aimed = cutter(Style(FULL, True, 0, ""), seed)
        aimed.borders.wrote(100, 1)
        aimed.borders.wrote(200, 2)
        where[len(pieces(aimed, 0, bytes(200))[0])] += 1
    assert min(where[place] for place in (98, 99, 100, 101, 102)) > 2  # by chance each would be met twice
    assert where[100] > 10


def test_a_cut_that_is_listed_may_be_anywhere() -> None:
    choices = Choices(0, {"cut a -> b / 10": 20})
    assert pieces(cutter(STYLES[0], choices=choices), 10, LINES, max_piece=1) == [LINES[:20], LINES[20:]]
    assert choices.not_calm() == {"cut a -> b / 10": 20}


def test_a_cut_says_which_write_it_is_in() -> None:
    choices = Choices(0, {"cut a -> b / 10": 4, "cut a -> b / 14": 3})
    cut = cutter(STYLES[0], choices=choices)
    for end, number in ((8, 1), (12, 2), (30, 3)):
        cut.borders.wrote(end, number)
    cut.borders.passed(10)
    pieces(cut, 10, bytes(20))
    assert choices.explanations() == {"cut a -> b / 10": (3, 2), "cut a -> b / 14": (3, 5)}


def test_borders_that_are_behind_are_forgotten_and_no_more_are_kept_than_the_limit() -> None:
    borders = Borders()
    for number in range(segmentation.BORDERS_KEPT + 10):
        borders.wrote(10 * number + 10, number + 1)
    assert len(borders.ends) == segmentation.BORDERS_KEPT
    borders.passed(25)
    assert borders.inside(25, 60) == [30, 40, 50]
    assert borders.write_at(25, 31) == (4, 1)
