"""What the simulator decides: each decision a function of (seed, key), recorded when it is not the calm one.

Owns the draws and their record. A *stream* is one concern at one place ("cut", "client -> server:8000 #2"); its n-th
draw has the key "cut client -> server:8000 #2 / n". A draw yields a non-negative integer; 0 is the calm choice. Draws
of one stream do not depend on those of another, so leaving one fault or choice out moves no other.

With a seed the draw is random (SplitMix64 over the hash of the key and the seed, as published by Steele, Lea and
Flood, 2014). With a plan that lists its choices, the draw is what the plan says at this key, else 0. Both ways do the
same work on the heap: what is listed, and what is recorded, lives in fixed anonymous maps, because objects that only
one of the two modes makes would shift the addresses of the program's own objects, and with them the order of its sets.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Callable, Iterator
from typing import Final

from wavetank.errors import PlanError

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
#: Chance of a rate of 1.0; rates are given in parts of this.
FULL: Final = 1 << 16
_ENTRY: Final = struct.Struct("<QQ")
# A choice that was made: its stream, its ordinal, its value; and two numbers that explain it.
_MADE: Final = struct.Struct("<IQqqq")
_EXPLANATION: Final = struct.Struct("<qq")
_EXPLANATION_AT: Final = _MADE.size - _EXPLANATION.size
#: Room for choices: listed in a plan, and recorded in a run. A run records at most so many non-calm choices.
LISTED_LIMIT: Final = 1 << 18
MADE_LIMIT: Final = 1 << 20
#: The table of listed choices: buckets of eight entries, twice as many places as choices. Only a plan with tens of
#: thousands of choices fills a bucket; what finds no place there goes into the next one.
_BUCKET: Final = struct.Struct("<16Q")
_IN_BUCKET: Final = 16
_BUCKET_SIZE: Final = _BUCKET.size
_BUCKETS: Final = 2 * LISTED_LIMIT * _ENTRY.size // _BUCKET_SIZE
_BUCKET_MASK: Final = _BUCKETS - 1
_EMPTY: Final = (0,) * _IN_BUCKET
TABLE_BYTES: Final = _BUCKETS * _BUCKET_SIZE


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def private_map(size: int) -> mmap.mmap:
    """Memory outside of the heap, of this process alone (Python's default is shared: twice the cost of a page)."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def hash_key(text: str) -> int:
    """64 bits of a key."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def rate_of(probability: float) -> int:
    """A probability as a rate for `Stream.draw`."""
    return min(FULL, max(0, round(probability * FULL)))


def fill_table(table: memoryview, listed: dict[str, int]) -> None:
    """Lay out the choices of a plan in `table`, `TABLE_BYTES` of zeros, where `Choices` looks them up."""
    if len(listed) > LISTED_LIMIT:
        raise PlanError(
            f"the plan lists {len(listed)} choices; the limit is {LISTED_LIMIT}", next="shrink the plan first"
        )
    for key, value in listed.items():
        name, _, ordinal = key.rpartition(" / ")
        if not name or not ordinal.isdecimal():
            raise PlanError(
                f"not the key of a choice: {key!r}", next='keys look like "cut client -> server:8000 #1 / 12"'
            )
        place = _mix((hash_key(name) + int(ordinal) * _GOLDEN) & _MASK)
        _put(table, place, value)


def _put(table: memoryview, place: int, value: int) -> None:
    for step in range(_BUCKETS):
        start = ((place + step) & _BUCKET_MASK) * _BUCKET_SIZE
        for at in range(start, start + _BUCKET_SIZE, _ENTRY.size):
            if _ENTRY.unpack_from(table, at)[1] == 0:
                _ENTRY.pack_into(table, at, place, value)
                return


class Stream:
    """The draws of one concern at one place."""

    __slots__ = ("base", "choices", "name", "number", "ordinal")

    def __init__(self, choices: Choices, name: str, number: int) -> None:
        self.choices = choices
        self.name = name
        self.number = number
        self.ordinal = 0
        self.base = hash_key(name)

    def draw(self, rate: int, bound: int) -> int:
        """0 with probability 1 - rate/65536, else one of 1 .. bound-1, each as likely."""
        self.ordinal += 1
        if bound < 2:
            return 0
        choices = self.choices
        place = _mix((self.base + self.ordinal * _GOLDEN) & _MASK)
        bits = _mix(place ^ choices.seed_bits)
        value = 1 + (bits >> 16) % (bound - 1) if (bits & 0xFFFF) < rate else 0
        if not choices.agrees(place, value):
            value = min(choices.look_up(place), bound - 1)
        if value:
            choices.made(self.number, self.ordinal, value)
        return value

    def aim(self, rate: int, bound: int, place: Callable[[int], int], ordinal: int = -1) -> int:
        """0 with probability 1 - rate/65536, else `place(bits)` of 48 random bits; it must be in 0 .. bound-1.

        An aimed choice: what is drawn depends on what the run has come to, and what is recorded is the plain value.
        `ordinal`: the number of the draw, 0 or more, where draws are not counted but have a place of their own.
        """
        if ordinal < 0:
            self.ordinal = ordinal = self.ordinal + 1
        if bound < 2:
            return 0
        choices = self.choices
        at = _mix((self.base + ordinal * _GOLDEN) & _MASK)
        bits = _mix(at ^ choices.seed_bits)
        value = place(bits >> 16) if (bits & 0xFFFF) < rate else 0
        if not choices.agrees(at, value):
            value = min(choices.look_up(at), bound - 1)
        if value:
            choices.made(self.number, ordinal, value)
        return value

    def explain(self, one: int, other: int) -> None:
        """Two numbers that say more about the choice made last, for the words of a report."""
        self.choices.explain(one, other)


class Choices:
    """All choices of one run."""

    def __init__(
        self,
        seed: int,
        listed: dict[str, int] | None = None,
        *,
        table: memoryview | None = None,
        in_table: bool = False,
    ) -> None:
        # `table`: memory that `fill_table` has laid out elsewhere; it counts when `in_table` says so.
        self.seed_bits = _mix(hash_key(f"seed {seed}"))
        self.listed = in_table or listed is not None
        self.streams: list[Stream] = []
        self._by_name: dict[str, Stream] = {}
        self._table = memoryview(private_map(TABLE_BYTES)) if table is None else table
        self._made = private_map(MADE_LIMIT * _MADE.size)
        self.count = 0
        if listed:
            fill_table(self._table, listed)

    def stream(self, concern: str, place: str) -> Stream:
        """The stream of `concern` at `place`; the same one when asked again."""
        name = f"{concern} {place}"
        stream = self._by_name.get(name)
        if stream is None:
            stream = self._by_name[name] = Stream(self, name, len(self.streams))
            self.streams.append(stream)
        return stream

    def agrees(self, place: int, drawn: int) -> bool:
        """Whether what was drawn from the seed counts: the plan lists the same, or lists nothing at all."""
        # Both kinds of plan come here, so that a run by its seed and the same run by its choices do the same work, and
        # leave the free blocks of memory in the same order. A tuple frees its numbers last first (CPython
        # Objects/tupleobject.c, tupledealloc), and a function its variables in the order in which they first stand
        # here: so `bucket` stands before `at`, and goes first, although it came last.
        bucket: tuple[int, ...] = _EMPTY
        at = (place & _BUCKET_MASK) * _BUCKET_SIZE
        bucket = _BUCKET.unpack_from(self._table, at)
        if place in bucket:
            return bucket[bucket.index(place) + 1] == drawn or not self.listed
        if bucket[-1]:
            return self.look_up(place) == drawn or not self.listed
        return not drawn or not self.listed

    def look_up(self, place: int) -> int:
        """The listed choice at a place, 0 when none is listed."""
        for step in range(_BUCKETS):
            bucket = _BUCKET.unpack_from(self._table, ((place + step) & _BUCKET_MASK) * _BUCKET_SIZE)
            for index in range(0, _IN_BUCKET, 2):
                if bucket[index] == place and bucket[index + 1]:
                    return int(bucket[index + 1])
            if not bucket[-1]:
                break
        return 0

    def made(self, stream: int, ordinal: int, value: int) -> None:
        """Record a choice that is not calm."""
        if self.count < MADE_LIMIT:
            _MADE.pack_into(self._made, self.count * _MADE.size, stream, ordinal, value, 0, 0)
        self.count += 1

    def explain(self, one: int, other: int) -> None:
        """Keep two numbers beside the choice that was recorded last."""
        if 0 < self.count <= MADE_LIMIT:
            _EXPLANATION.pack_into(self._made, (self.count - 1) * _MADE.size + _EXPLANATION_AT, one, other)

    def not_calm(self) -> dict[str, int]:
        """The non-calm choices made so far, by key, in order."""
        return {f"{self.streams[stream].name} / {ordinal}": value for stream, ordinal, value, _, _ in self._all_made()}

    def explanations(self) -> dict[str, tuple[int, int]]:
        """What explains the choices made so far, by key, for those that have an explanation."""
        return {
            f"{self.streams[stream].name} / {ordinal}": (one, other)
            for stream, ordinal, _, one, other in self._all_made()
            if one or other
        }

    def _all_made(self) -> Iterator[tuple[int, int, int, int, int]]:
        for index in range(min(self.count, MADE_LIMIT)):
            yield _MADE.unpack_from(self._made, index * _MADE.size)
