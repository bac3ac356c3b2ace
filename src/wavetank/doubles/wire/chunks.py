"""How the bytes of one direction are cut and joined before the other side sees them.

Owns the chunk policies and how `chunks=` is read. Must never touch the bytes themselves: a policy only says how long
the next piece is.

The idea: TCP keeps no borders of writes (RFC 9293 section 3.8), so a protocol must give the same output however its
input is cut. A policy is a function `(first, total, offset) -> size`: `first` is the length of the first write that is
on its way, `total` the length of all that is, `offset` how many bytes went before. A size below 1 or above `total` is
brought into these bounds. The most frequent policies can also cut all that is on its way at once (`cutter`), since a
call for each piece costs more than carrying it.
"""

from __future__ import annotations

import random as random_module
import reprlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from wavetank.errors import UsageError, did_you_mean

#: `(first, total, offset) -> size of the next piece`, all in bytes.
ChunkPolicy: TypeAlias = Callable[[int, int, int], int]
#: `(writes, total, longest) -> pieces`: the same bytes, `total` of them, in pieces of at most `longest`.
Cutter: TypeAlias = Callable[[list[bytes], int, int], list[bytes]]


def identity(first: int, total: int, offset: int) -> int:
    """Each write arrives as one piece, as on an idle loopback."""
    return first


def collapse(first: int, total: int, offset: int) -> int:
    """All that is on its way arrives as one piece, as with a reader that is late."""
    return total


def one_byte(first: int, total: int, offset: int) -> int:
    """Every byte arrives alone."""
    return 1


def pieces_of(size: Any) -> ChunkPolicy:
    """Pieces of `size` bytes (1 or more), joined over the borders of writes; the last one may be shorter."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UsageError(f"chunks: a piece is 1 byte or more, not {size!r}")

    def policy(first: int, total: int, offset: int) -> int:
        return size

    return policy


class Drawn:
    """Cuts and joins drawn from a generator: single bytes, whole writes, everything at once, and any size between."""

    def __init__(self, draw: Callable[[], float]) -> None:
        # Of a generator, `random` alone: `randint` costs several times as much as carrying the piece.
        self._draw = draw

    def __call__(self, first: int, total: int, offset: int) -> int:
        """The size of the next piece; one draw says which kind of piece it is, and how long."""
        kind = self._draw() * 4.0
        if kind < 1.0:
            return 1 + int(kind * total)
        if kind < 2.0:
            return 1 + int((kind - 1.0) * min(first, 8))
        return first if kind < 3.0 else total

    def cut(self, writes: list[bytes], total: int, longest: int) -> list[bytes]:
        """Pieces as by calls for one after the other."""
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        pieces, draw = [], self._draw
        at, index, end = 0, 0, len(writes[0])
        while at < total:
            kind = draw() * 4.0
            if kind < 1.0:
                stop = at + 1 + int(kind * (total - at))
            elif kind < 2.0:
                stop = at + 1 + int((kind - 1.0) * min(end - at, 8))
            else:
                stop = end if kind < 3.0 else total
            if stop - at > longest:
                stop = at + longest
            pieces.append(data[at:stop])
            at = stop
            while end <= at < total:
                index += 1
                end += len(writes[index])
        return pieces


def random(seed: int | str | bytes | random_module.Random) -> ChunkPolicy:
    """Cuts and joins drawn from `seed`: single bytes, whole writes, everything at once, and any size between.

    The same seed and the same writes give the same pieces. A `random.Random` is drawn from as it is.
    """
    return Drawn((seed if isinstance(seed, random_module.Random) else random_module.Random(seed)).random)


def cuts(offsets: Iterable[int]) -> ChunkPolicy:
    """A cut at each of these offsets of the stream (1 is after its first byte), and nowhere else.

    What lies between two cuts arrives as one piece, borders of writes or not, if all of it is on its way by then; a
    cut does not hold bytes back. Raises `UsageError` for an offset that is not a whole number of 1 or more.
    """
    known: Sequence[int] = sorted({*_checked(offsets)})

    def policy(first: int, total: int, offset: int) -> int:
        index = bisect_right(known, offset)
        return known[index] - offset if index < len(known) else total

    return policy


def _checked(offsets: Iterable[Any]) -> Iterable[int]:
    for offset in offsets:
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 1:
            raise UsageError(f"chunks: a cut is an offset of 1 or more, not {reprlib.repr(offset)}")
        yield offset


def drawn(data: Any) -> ChunkPolicy:
    """Sizes that Hypothesis draws, and shrinks: `data` is what `hypothesis.strategies.data()` gives a test.

    The simplest draw is the whole of what is on its way, so that a failure shrinks to the fewest cuts.
    """
    from hypothesis import strategies  # only those who have a `data` have Hypothesis

    def policy(first: int, total: int, offset: int) -> int:
        held_back: int = data.draw(strategies.integers(0, total - 1), label=f"held back at byte {offset}")
        return total - held_back

    return policy


def _as_written(writes: list[bytes], total: int, longest: int) -> list[bytes]:
    if total <= longest:
        return writes
    return [write[at : at + longest] for write in writes for at in range(0, len(write), longest)]


def _joined(writes: list[bytes], total: int, longest: int) -> list[bytes]:
    if total <= longest:
        return [b"".join(writes)]
    pieces: list[bytes] = []
    group: list[bytes] = []
    room = longest
    for write in writes:
        if len(write) > room:
            # Joined group by group: joining all and cutting that would copy everything twice.
            pieces.append(b"".join((*group, write[:room])))
            write = write[room:]
            pieces += (write[at : at + longest] for at in range(0, len(write) - longest, longest))
            write = write[len(write) - 1 - (len(write) - 1) % longest :]
            group, room = [], longest
        group.append(write)
        room -= len(write)
    pieces.append(b"".join(group))
    return pieces


def _single_bytes(writes: list[bytes], total: int, longest: int) -> list[bytes]:
    data = writes[0] if len(writes) == 1 else b"".join(writes)
    return [data[at : at + 1] for at in range(total)]


_CUTTERS: Final[tuple[tuple[ChunkPolicy, Cutter], ...]] = (
    (identity, _as_written),
    (collapse, _joined),
    (one_byte, _single_bytes),
)


def cutter(policy: ChunkPolicy) -> Cutter | None:
    """How this policy cuts all that is on its way at once; None: it is asked for each piece."""
    if isinstance(policy, Drawn):
        return policy.cut
    return next((cut for known, cut in _CUTTERS if known is policy), None)


_NAMED: Final[dict[str, ChunkPolicy]] = {
    "identity": identity,
    "collapse": collapse,
    "one byte": one_byte,
}
_FORMS: Final = (
    'chunks is "identity", "collapse", "one byte", "random" or "random:SEED", a size in bytes, a list of offsets to '
    "cut at, a random.Random, what hypothesis.strategies.data() gives, a function (first, total, offset) -> size, "
    "or a pair of these: what a sends, what b sends"
)


def read(given: Any) -> ChunkPolicy:
    """The policy that `given` means (`_FORMS` lists what it may be). Raises `UsageError` that names the forms."""
    match given:
        case None:
            return identity
        case str():
            return _named(given)
        case int() if not isinstance(given, bool):
            return pieces_of(given)
        case random_module.Random():
            return random(given)
        case list() | set() | frozenset() | range() | tuple():
            return cuts(given)
    if callable(getattr(given, "draw", None)):
        return drawn(given)
    if callable(given):
        policy: ChunkPolicy = given
        return policy
    raise UsageError(f"chunks: {reprlib.repr(given)} says nothing about chunks", why=_FORMS)


def read_pair(given: Any) -> tuple[ChunkPolicy, ChunkPolicy]:
    """The policies for what a sends and for what b sends.

    A pair is a tuple of two of which at least one is not a number: `(3, 5)` are two cuts, in both directions.
    """
    if isinstance(given, tuple) and len(given) == 2 and not all(isinstance(each, int) for each in given):
        return read(given[0]), read(given[1])
    if isinstance(given, str) and given.strip().lower().startswith("random"):
        # One seed, two directions: their draws must not depend on which of them moves first.
        return _named(given, "a"), _named(given, "b")
    policy = read(given)
    return policy, policy


def _named(text: str, direction: str = "") -> ChunkPolicy:
    word, colon, seed = text.strip().lower().replace("-", " ").replace("_", " ").partition(":")
    if word == "random":
        return random(f"{seed.strip() or 0} {direction}")
    if word in _NAMED and not colon:
        return _NAMED[word]
    raise UsageError(f"chunks: unknown policy {text!r}.{did_you_mean(word, (*_NAMED, 'random'))}", why=_FORMS)
