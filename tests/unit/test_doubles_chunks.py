"""Chunk policies: what is cut at once is cut as piece by piece."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.doubles.wire import chunks
from wavetank.doubles.wire.chunks import ChunkPolicy, cutter

POLICIES: dict[str, Callable[[], ChunkPolicy]] = {
    "identity": lambda: chunks.identity,
    "collapse": lambda: chunks.collapse,
    "one byte": lambda: chunks.one_byte,
    "random": lambda: chunks.random(3),
}


def one_by_one(policy: ChunkPolicy, writes: list[bytes], longest: int) -> list[bytes]:
    """Pieces as a way makes them that asks its policy for each."""
    data, pieces, borders = b"".join(writes), [], []
    for each in writes:
        borders.append(len(each) + (borders[-1] if borders else 0))
    at = 0
    while at < len(data):
        first = next(border for border in borders if border > at) - at
        size = min(max(policy(first, len(data) - at, at), 1), len(data) - at, longest)
        pieces.append(data[at : at + size])
        at += size
    return pieces


@pytest.mark.parametrize("name", POLICIES)
@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=8), st.integers(1, 40))
def test_all_that_is_on_its_way_is_cut_as_piece_by_piece(name: str, writes: list[bytes], longest: int) -> None:
    cut = cutter(POLICIES[name]())
    assert cut is not None
    total = sum(map(len, writes))
    assert cut(list(writes), total, longest) == one_by_one(POLICIES[name](), writes, longest)


@pytest.mark.parametrize("policy", [chunks.read(5), chunks.read([3, 7]), chunks.read(lambda first, total, offset: 1)])
def test_other_policies_are_asked_for_each_piece(policy: ChunkPolicy) -> None:
    assert cutter(policy) is None


def test_a_generator_is_drawn_from_as_it_is() -> None:
    generator = random.Random(1)
    cut = cutter(chunks.read(generator))
    assert cut is not None
    cut([b"abcdefgh"], 8, 100)
    assert generator.random() != random.Random(1).random()
