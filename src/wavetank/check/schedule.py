"""A schedule: exactly how one run goes - the pieces, their pace, the end, and what the peer reads.

Owns the data and its words. It must never run anything.

The idea: a schedule is plain data, so a run can be repeated, shrunk, and written down as a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final, Literal

from wavetank.check.conversation import Conversation

#: How pieces follow each other: each after the protocol has nothing more to do, or one loop iteration apart.
Pace = Literal["apart", "together"]
#: What becomes of the connection after the last piece.
#: settle: the protocol may do all it has begun, then the peer closes; eof, reset, abort: at once, and what comes of it;
#: eof together: the end of the stream is there with the last piece; flood: memory is measured, and all is broken off;
#: tls: the peer begins TLS.
End = Literal["settle", "eof", "reset", "abort", "eof together", "flood", "tls"]
PACES: Final = ("apart", "together")
ENDS: Final = ("settle", "eof", "reset", "abort", "eof together")

_END_WORDS: Final = {
    "settle": "",
    "eof": "the peer sends no more (EOF)",
    "eof together": "the peer sends no more (EOF), and that arrives with the last piece",
    "reset": "the connection is lost (reset)",
    "abort": "this side aborts the connection",
    "flood": "no time passes",
    "tls": "then TLS begins",
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How one run goes.

    `pieces`: for each turn of the conversation, what the protocol gets with each call. `deaf_after`: the peer stops
    reading after so many writes of the protocol (None: it reads all); `hears_again`: whether it reads again once the
    protocol has nothing more to do.
    """

    pieces: tuple[tuple[bytes, ...], ...]
    pace: Pace = "apart"
    end: End = "settle"
    deaf_after: int | None = None
    hears_again: bool = True

    @property
    def sizes(self) -> list[int]:
        """How long each piece is, in bytes."""
        return [len(piece) for turn in self.pieces for piece in turn]

    @property
    def cuts(self) -> list[int]:
        """The offsets between two pieces."""
        return [*accumulate(self.sizes)][:-1]

    @property
    def data(self) -> bytes:
        """All that the peer says."""
        return b"".join(piece for turn in self.pieces for piece in turn)

    def __str__(self) -> str:
        return "; ".join(self.words())

    def words(self) -> Iterator[str]:
        """The schedule in words, a phrase each."""
        sizes = self.sizes
        if len(sizes) > 1 and set(sizes) == {1}:
            yield f"{len(sizes)} bytes, one at a time"
        elif len(sizes) > 12:
            yield f"{sum(sizes)} bytes in {len(sizes)} pieces"
        elif len(sizes) > 1:
            yield f"{sum(sizes)} bytes in pieces of {', '.join(map(str, sizes[:-1]))} and {sizes[-1]}"
        else:
            yield f"{sum(sizes)} bytes in one piece" if sizes else "nothing said"
        if self.pace == "together" and len(sizes) > 1:
            yield "one loop iteration apart"
        if self.deaf_after is not None:
            when = "from the start" if not self.deaf_after else f"after write {self.deaf_after}"
            again = "reads again when the protocol waits" if self.hears_again else "never reads again"
            yield f"the peer stops reading {when}, and {again}"
        if self.end != "settle":
            yield _END_WORDS[self.end]


def whole(conversation: Conversation) -> Schedule:
    """Each message as one piece."""
    return Schedule(tuple(turn.messages for turn in conversation.turns))


def joined(conversation: Conversation, most_bytes: int) -> Schedule:
    """Each turn in one piece, or in as few as pieces of `most_bytes` allow: so much does a real read return."""
    return Schedule(tuple(tuple(_sliced(turn.data, most_bytes)) for turn in conversation.turns))


def cut_at(conversation: Conversation, cuts: Iterable[int], most_bytes: int = 2**62) -> Schedule:
    """Each turn cut at these offsets of the whole input, and joined everywhere else."""
    marks = sorted(set(cuts))
    turns: list[tuple[bytes, ...]] = []
    start = 0
    for turn in conversation.turns:
        data = turn.data
        here = [mark - start for mark in marks if start < mark < start + len(data)]
        pieces = [data[a:b] for a, b in zip([0, *here], [*here, len(data)], strict=True)]
        turns.append(tuple(part for piece in pieces for part in _sliced(piece, most_bytes)))
        start += len(data)
    return Schedule(tuple(turns))


def byte_by_byte(conversation: Conversation) -> Schedule:
    """One byte at a time."""
    return Schedule(tuple(tuple(bytes([byte]) for byte in turn.data) for turn in conversation.turns))


def stopped_at(schedule: Schedule, size: int, end: End) -> Schedule:
    """The same, as far as the first `size` bytes, and then that end."""
    turns: list[tuple[bytes, ...]] = []
    left = size
    for turn in schedule.pieces:
        kept: list[bytes] = []
        for piece in turn:
            if left <= 0:
                break
            kept.append(piece[:left])
            left -= len(piece)
        turns.append(tuple(kept))
        if left <= 0:
            break
    return replace(schedule, pieces=tuple(turns), end=end)


def _sliced(data: bytes, most_bytes: int) -> Sequence[bytes]:
    if len(data) <= most_bytes:
        return (data,) if data else ()
    return [data[at : at + most_bytes] for at in range(0, len(data), most_bytes)]
