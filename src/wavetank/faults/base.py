"""What every fault word shares: target, time, event, and how values are checked and put into words.

Owns the base of all words and the checks of their values. Must never know a particular word.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from wavetank.errors import PlanError, did_you_mean
from wavetank.faults.target import GRAMMAR, SIDES, Event, Target, parse_event, parse_target

#: No fault starts or lasts beyond this (31 years): virtual time is 63 bits of nanoseconds, 292 years.
MAX_SECONDS: Final = 1e9
#: No size or speed in a fault is above this: a terabyte (a second).
MAX_BYTES: Final = 10**12


def name_of(fault: Any) -> str:
    """The word of a fault, as in JSON."""
    tag = fault.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def check_number(fault: Any, field: str, most: float, *, zero: bool) -> float:
    """The field as a float that is finite and within bounds; set so in the fault."""
    value = getattr(fault, field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PlanError(f"{name_of(fault)}: {field} must be a number, not {reprlib.repr(value)}")
    least = "0 or more" if zero else "more than 0"
    if not 0 <= value <= most or (value == 0 and not zero):  # so written that NaN fails, too
        raise PlanError(f"{name_of(fault)}: {field} must be {least} and at most {most:g}, not {reprlib.repr(value)}")
    number = float(value)
    msgspec.structs.force_setattr(fault, field, number)
    return number


def check_signed(fault: Any, field: str, most: float) -> None:
    """The field is a float from -`most` to `most`; set so in the fault."""
    value = getattr(fault, field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PlanError(f"{name_of(fault)}: {field} must be a number, not {reprlib.repr(value)}")
    if not -most <= value <= most:  # NaN fails, too
        raise PlanError(f"{name_of(fault)}: {field} must be from {-most:g} to {most:g}, not {reprlib.repr(value)}")
    msgspec.structs.force_setattr(fault, field, float(value))


def check_size(fault: Any, field: str, *, least: int = 1, unit: str = " bytes") -> int:
    """The field as an int of `least` or more; 1e6 is an int too. Set so in the fault."""
    value = getattr(fault, field)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(
            f"{name_of(fault)}: {field} must be a whole number{unit and f' of{unit}'}, not {reprlib.repr(value)}"
        )
    if not least <= value <= MAX_BYTES:
        raise PlanError(f"{name_of(fault)}: {field} must be {least} to {MAX_BYTES:,}{unit}, not {reprlib.repr(value)}")
    msgspec.structs.force_setattr(fault, field, value)
    return value


def check_host(fault: Any) -> None:
    """The target is every host or one: no direction, side, port or connection."""
    aim = fault.aim
    if aim.second is not None or aim.ordinal or aim.first.port or aim.first.name in SIDES:
        raise PlanError(f"{name_of(fault)}: the target must be '*' or one host, not {fault.target!r}")


def check_word(fault: Any, field: str, words: Iterable[str]) -> None:
    """The field is one of `words`; spaces and underscores may stand for its hyphens. Set so in the fault."""
    value = getattr(fault, field)
    if not isinstance(value, str):
        raise PlanError(f"{name_of(fault)}: {field} must be text, not {reprlib.repr(value)}")
    word = value.strip().lower().replace(" ", "-").replace("_", "-")
    known = tuple(words)
    if word not in known:
        what = f"{name_of(fault)}: unknown {field} {reprlib.repr(value)}.{did_you_mean(word, known)}"
        raise PlanError(what, why=f"it is one of {', '.join(known)}")
    # The word of the table: msgspec leaves a default out of JSON when it is the same object.
    msgspec.structs.force_setattr(fault, field, known[known.index(word)])


def seconds_text(seconds: float) -> str:
    """2 s, 0.5 s, 50 ms, 0.2 ms."""
    return f"{seconds:.9g} s" if abs(seconds) >= 0.1 or seconds == 0 else f"{seconds * 1e3:.9g} ms"


def bytes_text(size: int) -> str:
    """1 byte, 2 bytes."""
    return "1 byte" if size == 1 else f"{size} bytes"


def percent(rate: float) -> str:
    """5 %, 0.1 %."""
    return f"{rate * 100:.9g} %"


def _when_text(seconds: float) -> str:
    """At least two digits after the point, as many as are needed."""
    text = f"{seconds:.9f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<2}"


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="fault", omit_defaults=True, forbid_unknown_fields=True
):
    """What every fault has: its `target` (text), when it begins, and how long it lasts.

    `at_s`: virtual seconds after the start of the world or, with `when`, after that event ("accept #3": see
    `wavetank.faults.EVENTS`). `duration_s`: virtual seconds; None: until the end. Not used by itself: the words are its
    kinds. Raises `PlanError` when a value is not valid.
    """

    target: str = "*"
    at_s: float = 0.0
    duration_s: float | None = None
    when: str = ""

    def __post_init__(self) -> None:
        check_number(self, "at_s", MAX_SECONDS, zero=True)
        if self.duration_s is not None:
            check_number(self, "duration_s", MAX_SECONDS, zero=False)
        if not isinstance(self.target, str):
            raise PlanError(f"{name_of(self)}: target must be text, not {self.target!r}", why=GRAMMAR)
        msgspec.structs.force_setattr(self, "target", str(parse_target(self.target)))
        if not isinstance(self.when, str):
            raise PlanError(f"{name_of(self)}: when must be the text of an event, not {self.when!r}")
        if self.when:
            msgspec.structs.force_setattr(self, "when", str(parse_event(self.when)))
        self.check()

    def check(self) -> None:
        """Raise `PlanError` when a value of this kind of fault is not valid."""

    def phrase(self) -> str:
        """The fault in words, without its time and target."""
        raise NotImplementedError(f"{type(self).__name__} has no words")

    @property
    def aim(self) -> Target:
        """The target, parsed."""
        return parse_target(self.target)

    @property
    def event(self) -> Event | None:
        """The event after which it begins; None: it begins by the clock."""
        return parse_event(self.when) if self.when else None

    @property
    def name(self) -> str:
        """The word of this fault in JSON and on the command line."""
        return name_of(self)

    @property
    def start_ns(self) -> int:
        """When it begins, in nanoseconds of virtual time, or after its event."""
        return round(self.at_s * 1e9)

    @property
    def end_ns(self) -> int | None:
        """When it is healed, in nanoseconds of virtual time, or after its event; None: when the world ends."""
        return None if self.duration_s is None else round((self.at_s + self.duration_s) * 1e9)

    def __str__(self) -> str:
        place = "" if self.target == "*" else f" on {self.target}"
        lasting = "" if self.duration_s is None else f" for {seconds_text(self.duration_s)}"
        start = f"{_when_text(self.at_s)} s"
        if self.when:
            start = f"{start} after {self.when}" if self.at_s else f"at {self.when}"
        return f"{start}: {self.phrase()}{place}{lasting}"
