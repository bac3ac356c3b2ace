"""The trials: every way in which a conversation is delivered, ended and held up.

Owns the enumeration, and its order: near message borders first, then ever finer. It must never run one, and knows no
protocol: what finds bugs is that everything is tried - one piece, each single cut, several cuts in one token, one byte
at a time, pieces that straddle messages - since each of these hides bugs that another one shows.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, islice, pairwise
from typing import Final

from wavetank.check.conversation import Conversation, Turn
from wavetank.check.outcome import Kind
from wavetank.check.schedule import End, Schedule, byte_by_byte, cut_at, joined, stopped_at, whole

#: What peers send that know nothing of the protocol; the last one is longer than Twisted's longest line
#: (LineReceiver.MAX_LENGTH, 16384), and shorter than asyncio's (streams.py, _DEFAULT_LIMIT, 65536).
GARBAGE: Final = (
    b"\0" * 64,
    b"\xff" * 64,
    b"\r\n" * 8,
    random.Random(7).randbytes(300),
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x5a" * 32,  # the beginning of a TLS ClientHello
    b"A" * 20_000,
)
#: Sizes of pieces that fall into every position of every message.
_SIZES: Final = (2, 3, 5, 7, 16, 64, 100, 1000)
#: Families that are no sweep take so many offsets: those near borders first, then an even sample.
_SAMPLE: Final = 200
#: Writes after which the peer stops reading: all of so many, then only some.
_MOST_WRITES: Final = 64


@dataclass(frozen=True, slots=True)
class Trial:
    """A schedule to try on a conversation: `compare` says for which property its outcome must be the reference's.

    The reference is whole messages, each after the protocol has nothing more to do, unless `against` is another one.
    """

    conversation: Conversation
    schedule: Schedule
    compare: Kind | None = None
    against: Schedule | None = None


def in_order(size: int, marks: Iterable[int]) -> Iterator[int]:
    """1 to `size` - 1, each once: the marks, what is next to them, and the rest ever finer."""
    seen = {0, size}
    for distance in (0, -1, 1, -2, 2):
        for mark in marks:
            at = mark + distance
            if 0 < at < size and at not in seen:
                seen.add(at)
                yield at
    step = 1
    while step < size:
        step *= 2
    while step >= 1:
        for at in range(step, size, step):
            if at not in seen:
                seen.add(at)
                yield at
        step //= 2


def marks_of(conversation: Conversation) -> list[int]:
    """Offsets at which something probably ends: messages, and lines."""
    ends = list(accumulate(len(message) for turn in conversation.turns for message in turn.messages))
    data = conversation.data
    lines: list[int] = []
    at = data.find(b"\n")
    while at >= 0 and len(lines) < 4096:
        lines.append(at + 1)
        at = data.find(b"\n", at + 1)
    return list(dict.fromkeys([*ends, *lines]))


# ---- the families


def together(conversation: Conversation, most: int) -> Iterator[Trial]:
    """Everything in as few pieces as possible, and as messages that follow at once."""
    one = joined(conversation, most)
    yield Trial(conversation, one, "cut")
    yield Trial(conversation, replace(whole(conversation), pace="together"), "cut")


def single_bytes(conversation: Conversation) -> Iterator[Trial]:
    """One byte at a time, at both paces."""
    one = byte_by_byte(conversation)
    yield Trial(conversation, one, "cut")
    yield Trial(conversation, replace(one, pace="together"), "cut")


def single_cuts(conversation: Conversation, most: int) -> Iterator[Trial]:
    """Two pieces, for every offset."""
    for at in in_order(len(conversation.data), marks_of(conversation)):
        yield Trial(conversation, cut_at(conversation, [at], most), "cut")


def cuts_at_once(conversation: Conversation, most: int) -> Iterator[Trial]:
    """Two pieces one loop iteration apart, for every offset."""
    for at in in_order(len(conversation.data), marks_of(conversation)):
        yield Trial(conversation, replace(cut_at(conversation, [at], most), pace="together"), "cut")


def several_cuts(conversation: Conversation, most: int) -> Iterator[Trial]:
    """Several cuts in one token, around many offsets."""
    size = len(conversation.data)
    for at in islice(in_order(size, marks_of(conversation)), _SAMPLE):
        yield Trial(conversation, cut_at(conversation, [at, at + 1], most), "cut")
        yield Trial(conversation, cut_at(conversation, [at, at + 1, at + 2, at + 3], most), "cut")


def straddling(conversation: Conversation, most: int) -> Iterator[Trial]:
    """Pieces that go over message borders: of fixed sizes, and from the middle of each message to that of the next."""
    size = len(conversation.data)
    ends = [0, *accumulate(len(message) for turn in conversation.turns for message in turn.messages)]
    middles = [(a + b) // 2 for a, b in pairwise(ends)]
    yield Trial(conversation, cut_at(conversation, middles, most), "cut")
    for each in middles:
        yield Trial(conversation, cut_at(conversation, [each], most), "cut")
    for step in _SIZES:
        if step < size <= step * 4096:
            yield Trial(conversation, cut_at(conversation, range(step, size, step), most), "cut")


def ends(conversation: Conversation, end: End) -> Iterator[Trial]:
    """The same end after every byte, 0 and the last one included."""
    size = len(conversation.data)
    base = whole(conversation)
    for at in (size, 0, *in_order(size, marks_of(conversation))):
        yield Trial(conversation, stopped_at(base, at, end))


def ends_at_once(conversation: Conversation) -> Iterator[Trial]:
    """Each end in the loop iteration behind the last piece, after every byte."""
    size = len(conversation.data)
    base = whole(conversation)
    for at in (size, *in_order(size, marks_of(conversation))):
        ended = stopped_at(replace(base, pace="together"), at, "eof together")
        yield Trial(conversation, ended, "eof", stopped_at(base, at, "eof"))
        yield Trial(conversation, stopped_at(replace(base, pace="together"), at, "reset"))


def cut_ends(conversation: Conversation) -> Iterator[Trial]:
    """Everything and its end are there, and every read returns only a piece of it."""
    size = len(conversation.data)
    apart = stopped_at(whole(conversation), size, "eof")
    for step in (1, *_SIZES, 4096):
        if step < size <= step * 4096:
            schedule = replace(cut_at(conversation, range(step, size, step)), pace="together", end="eof together")
            yield Trial(conversation, schedule, "eof", apart)
    for at in islice(in_order(size, marks_of(conversation)), _SAMPLE):
        yield Trial(
            conversation, replace(cut_at(conversation, [at]), pace="together", end="eof together"), "eof", apart
        )


def pauses(conversation: Conversation, writes: int) -> Iterator[Trial]:
    """The peer stops reading with every write of the protocol, and reads again when the protocol waits."""
    base = whole(conversation)
    for number in _some(writes):
        yield Trial(conversation, replace(base, deaf_after=number), "pause")
    for number in _some(writes):
        yield Trial(conversation, replace(base, deaf_after=number, pace="together"))


def never_read(conversation: Conversation, most: int) -> Iterator[Trial]:
    """The peer reads nothing at all, or nothing more after some writes."""
    for schedule in (replace(joined(conversation, most), pace="together"), whole(conversation)):
        yield Trial(conversation, replace(schedule, deaf_after=0, hears_again=False))


def garbage(conversation: Conversation) -> Iterator[Trial]:
    """What is no part of any conversation, in place of each message, and the end of the stream."""
    borders = [0, *accumulate(len(message) for turn in conversation.turns for message in turn.messages)]
    for at in dict.fromkeys([*borders[:16], borders[-1]]):
        for junk in GARBAGE:
            yield Trial(conversation, with_bytes(conversation, at, junk, len(conversation.data)))


def damaged(conversation: Conversation) -> Iterator[Trial]:
    """One byte that is not what it should be, at many offsets, and the end of the stream."""
    data = conversation.data
    for at in islice(in_order(len(data) + 1, marks_of(conversation)), _SAMPLE):
        byte = data[at - 1]
        for other in (byte ^ 0x80, 0, byte ^ 0x01):
            if other != byte:
                yield Trial(conversation, with_bytes(conversation, at - 1, bytes([other]), at))


def with_bytes(conversation: Conversation, at: int, junk: bytes, resume_at: int) -> Schedule:
    """The conversation as far as `at`, then `junk`, then what follows `resume_at`, and the end of the stream."""
    turns: list[tuple[bytes, ...]] = []
    start = 0
    for turn in conversation.turns:
        data = turn.data
        stop = start + len(data)
        if start <= at < stop or (at == stop and turn is conversation.turns[-1]):
            rest = data[max(0, resume_at - start) :] if resume_at < stop else b""
            turns.append(tuple(piece for piece in (data[: at - start], junk + rest) if piece))
            if resume_at >= len(conversation.data):
                break
        else:
            turns.append(turn.messages)
        start = stop
    return Schedule(tuple(turns), end="eof")


def beginning(conversation: Conversation, most_bytes: int) -> Conversation:
    """The first messages of a conversation: whole ones as far as `most_bytes`, at least one, and that cut if longer."""
    turns: list[Turn] = []
    left = most_bytes
    for turn in conversation.turns:
        kept: list[bytes] = []
        for message in turn.messages:
            if len(message) > left and (kept or turns):
                break
            kept.append(message[:left])
            left -= len(message)
            if left <= 0:
                break
        complete = tuple(kept) == turn.messages
        if kept or complete:
            turns.append(Turn(tuple(kept), turn.answer if complete else None))
        if not complete or left <= 0:
            break
    return Conversation(tuple(turns), conversation.name)


def _some(count: int) -> Iterator[int]:
    if count <= _MOST_WRITES:
        return iter(range(1, count + 1))
    return iter(sorted({1 + number * (count - 1) // (_MOST_WRITES - 1) for number in range(_MOST_WRITES)}))
