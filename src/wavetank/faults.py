"""The words for what can go wrong: the faults, what they aim at, and the families that switch them on.

Owns the fault words, their validity, their text and their JSON. Must never know how a fault is carried out: that is
the network's and the kernel's. A word stands here only when its effect exists.

The idea: a fault is plain frozen data - equal, hashable, readable as one line ("3.20 s: partition client1 | server
for 2 s"), and the same thing in Python, in a plan, on the command line and in a report. The words are `msgspec`
structs tagged by the key `fault`, so that a plan crosses into a run as msgpack without any translation.

Where the words come from: what netem (tc-netem(8)) does to packets, what setsockopt bounds (socket(7): SO_SNDBUF,
SO_RCVBUF), what RFC 9293 lets a network do to TCP segments, and what a scheduler may do to threads that are ready.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from wavetank.errors import PlanError, UsageError, did_you_mean

#: No fault starts or lasts beyond this (31 years): virtual time is 63 bits of nanoseconds, 292 years.
MAX_SECONDS: Final = 1e9
#: No size or speed in a fault is above this: a terabyte (a second).
MAX_BYTES: Final = 10**12
#: Name of a host in a target is at most this long (RFC 1035 section 2.3.4: 255 octets).
MAX_NAME: Final = 255

CONNECTING: Final = "connecting"
ACCEPTING: Final = "accepting"
SIDES: Final = (CONNECTING, ACCEPTING)

_END = re.compile(r"(?P<name>\*|\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_])?)(?::(?P<port>\d+))?")
_ORDINAL = re.compile(r"(?P<rest>.*?)\s*#\s*(?P<number>\S*)\s*")
_GRAMMAR: Final = (
    'a target is "*", "HOST", "HOST -> HOST", "HOST -> HOST:PORT", "HOST -> HOST:PORT #N" or "HOST | HOST"; '
    '"*", "connecting" and "accepting" may stand for HOST'
)


class Party(NamedTuple):
    """One end of a connection as a target sees it: host name, port, and its side, "connecting" or "accepting"."""

    host: str
    port: int = 0
    side: str = ""


class End(NamedTuple):
    """One end as a target names it: a host, a side or "*"; and a port, 0 for any."""

    name: str = "*"
    port: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name

    def matches(self, party: Party) -> bool:
        """Whether `party` is such an end."""
        if self.port and self.port != party.port:
            return False
        return self.name in ("*", party.side if self.name in SIDES else party.host)


class Target(NamedTuple):
    """What a fault aims at, parsed.

    `first` alone is a host with all that it sends and receives (or a side, with what it sends). With `second` it is
    the direction first -> second, or both directions when `both_ways`. `ordinal` picks the nth connection (1 is the
    first one opened) of those that match; 0 is every one.
    """

    first: End = End()
    second: End | None = None
    both_ways: bool = False
    ordinal: int = 0

    def __str__(self) -> str:
        joint = " | " if self.both_ways else " -> "
        text = str(self.first) if self.second is None else f"{self.first}{joint}{self.second}"
        return f"{text} #{self.ordinal}" if self.ordinal else text

    def matches(self, sender: Party, receiver: Party, ordinal: int = 0) -> bool:
        """Whether data from `sender` to `receiver`, on the nth connection of this pair, is aimed at."""
        if self.ordinal and self.ordinal != ordinal:
            return False
        if self.second is None:
            return self.first.matches(sender) or (self.first.name not in SIDES and self.first.matches(receiver))
        if self.first.matches(sender) and self.second.matches(receiver):
            return True
        return self.both_ways and self.first.matches(receiver) and self.second.matches(sender)

    def matches_reader(self, reader: Party, sender: Party, ordinal: int = 0) -> bool:
        """Whether `reader`, who gets what `sender` sends, is aimed at: itself, or as the end of a direction."""
        if self.second is not None:
            return self.matches(sender, reader, ordinal)
        return self.first.matches(reader) and self.ordinal in (0, ordinal)


def _parse_end(text: str, whole: str) -> End:
    found = _END.fullmatch(text.strip())
    if found is None or len(text) > MAX_NAME:
        raise PlanError(f"{text.strip()!r} is not a host in the target {whole!r}", why=_GRAMMAR)
    port = found["port"]
    if port is not None and not (len(port) <= 5 and 1 <= int(port) <= 65535):
        raise PlanError(f"{port} is not a port in the target {whole!r}", why="a port is 1 to 65535")
    return End(found["name"], int(port or 0))


@lru_cache(maxsize=1024)
def parse_target(text: str) -> Target:
    """The target written as `text` (grammar: docs/words/faults.md). Raises `PlanError` when it is none."""
    rest, ordinal = text.strip(), 0
    numbered = _ORDINAL.fullmatch(rest)
    if numbered is not None:
        number = numbered["number"]
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:10]) < 10**9):
            raise PlanError(f"'#{number}' is not a connection number in the target {text!r}", why="the first is #1")
        rest, ordinal = numbered["rest"], int(number)
    if not rest:
        raise PlanError(f"the target {text!r} names nothing", why=_GRAMMAR)
    for joint, both_ways in (("->", False), ("|", True)):
        first, found, second = rest.partition(joint)
        if found:
            return Target(_parse_end(first, text), _parse_end(second, text), both_ways, ordinal)
    return Target(_parse_end(rest, text), None, False, ordinal)


def _name(fault: Any) -> str:
    tag = fault.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def _number(fault: Any, field: str, most: float, *, zero: bool) -> float:
    """The field as a float that is finite and within bounds; set so in the fault."""
    value = getattr(fault, field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PlanError(f"{_name(fault)}: {field} must be a number, not {reprlib.repr(value)}")
    least = "0 or more" if zero else "more than 0"
    if not 0 <= value <= most or (value == 0 and not zero):  # so written that NaN fails, too
        raise PlanError(f"{_name(fault)}: {field} must be {least} and at most {most:g}, not {reprlib.repr(value)}")
    number = float(value)
    msgspec.structs.force_setattr(fault, field, number)
    return number


def _size(fault: Any, field: str) -> int:
    """The field as an int of 1 or more; 1e6 is an int too. Set so in the fault."""
    value = getattr(fault, field)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(f"{_name(fault)}: {field} must be a whole number of bytes, not {reprlib.repr(value)}")
    if not 1 <= value <= MAX_BYTES:
        raise PlanError(f"{_name(fault)}: {field} must be 1 to {MAX_BYTES:,} bytes, not {reprlib.repr(value)}")
    msgspec.structs.force_setattr(fault, field, value)
    return value


def _seconds_text(seconds: float) -> str:
    """2 s, 0.5 s, 50 ms, 0.2 ms."""
    return f"{seconds:.9g} s" if seconds >= 0.1 or seconds == 0 else f"{seconds * 1e3:.9g} ms"


def _bytes_text(size: int) -> str:
    return "1 byte" if size == 1 else f"{size} bytes"


def _when_text(seconds: float) -> str:
    """At least two digits after the point, as many as are needed."""
    text = f"{seconds:.9f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<2}"


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="fault", omit_defaults=True, forbid_unknown_fields=True
):
    """What every fault has: its `target` (text), `at_s` (virtual seconds) and `duration_s` (None: until the end).

    Not used by itself: the words below are its kinds. Raises `PlanError` when a value is not valid.
    """

    target: str = "*"
    at_s: float = 0.0
    duration_s: float | None = None

    def __post_init__(self) -> None:
        _number(self, "at_s", MAX_SECONDS, zero=True)
        if self.duration_s is not None:
            _number(self, "duration_s", MAX_SECONDS, zero=False)
        if not isinstance(self.target, str):
            raise PlanError(f"{_name(self)}: target must be text, not {self.target!r}", why=_GRAMMAR)
        msgspec.structs.force_setattr(self, "target", str(parse_target(self.target)))
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
    def name(self) -> str:
        """The word of this fault in JSON and on the command line."""
        return _name(self)

    @property
    def start_ns(self) -> int:
        """When it begins, in nanoseconds of virtual time."""
        return round(self.at_s * 1e9)

    @property
    def end_ns(self) -> int | None:
        """When it is healed, in nanoseconds of virtual time; None: when the world ends."""
        return None if self.duration_s is None else round((self.at_s + self.duration_s) * 1e9)

    def __str__(self) -> str:
        place = "" if self.target == "*" else f" on {self.target}"
        lasting = "" if self.duration_s is None else f" for {_seconds_text(self.duration_s)}"
        return f"{_when_text(self.at_s)} s: {self.phrase()}{place}{lasting}"


class Latency(Fault, frozen=True, tag="latency"):
    """Everything on the link takes `delay_s` longer, and up to `jitter_s` more, drawn for each packet.

    Order within one TCP connection stays. Source: tc-netem(8), `delay TIME JITTER`.
    """

    delay_s: float
    jitter_s: float = 0.0

    def check(self) -> None:
        """Both are seconds, 0 or more."""
        _number(self, "delay_s", MAX_SECONDS, zero=True)
        _number(self, "jitter_s", MAX_SECONDS, zero=True)

    def phrase(self) -> str:
        """As in `latency 50 ms, jitter 10 ms`."""
        jitter = f", jitter {_seconds_text(self.jitter_s)}" if self.jitter_s else ""
        return f"latency {_seconds_text(self.delay_s)}{jitter}"


class Bandwidth(Fault, frozen=True, tag="bandwidth"):
    """The link carries at most `bytes_per_s`, headers not counted. Source: tc-netem(8), `rate`."""

    bytes_per_s: int

    def check(self) -> None:
        """A speed of 1 or more."""
        _size(self, "bytes_per_s")

    def phrase(self) -> str:
        """As in `bandwidth 1000 bytes/s`."""
        return f"bandwidth {_bytes_text(self.bytes_per_s)}/s"


class Segments(Fault, frozen=True, tag="segments"):
    """Bytes arrive cut into pieces of at most `max_bytes`, each piece's size drawn; late readers see joined pieces.

    Source: RFC 9293 section 3.8: TCP keeps no borders of writes, a segment may be of any size down to one byte.
    """

    max_bytes: int

    def check(self) -> None:
        """A size of 1 or more."""
        _size(self, "max_bytes")

    def phrase(self) -> str:
        """As in `segments of at most 17 bytes`."""
        return f"segments of at most {_bytes_text(self.max_bytes)}"


class Buffers(Fault, frozen=True, tag="buffers"):
    """Sockets have small buffers: at most `send_bytes` unsent and `receive_bytes` unread.

    Source: socket(7), SO_SNDBUF and SO_RCVBUF, which the fault bounds whatever the program asks for.
    """

    send_bytes: int
    receive_bytes: int

    def check(self) -> None:
        """Sizes of 1 or more."""
        _size(self, "send_bytes")
        _size(self, "receive_bytes")

    def phrase(self) -> str:
        """As in `buffers of 4096 bytes to send, 2048 bytes to receive`."""
        return f"buffers of {_bytes_text(self.send_bytes)} to send, {_bytes_text(self.receive_bytes)} to receive"


class SlowReader(Fault, frozen=True, tag="slow-reader"):
    """The reading side takes at most `bytes_per_s` out of its socket, so that the window closes before the sender.

    Source: RFC 9293 section 3.8.6 (managing the window).
    """

    bytes_per_s: int

    def check(self) -> None:
        """A speed of 1 or more."""
        _size(self, "bytes_per_s")

    def phrase(self) -> str:
        """As in `slow reader, 1000 bytes/s`."""
        return f"slow reader, {_bytes_text(self.bytes_per_s)}/s"


class Loss(Fault, frozen=True, tag="loss"):
    """Each TCP segment is lost with probability `rate`, 0 to 1: it costs time, never bytes (RFC 6298, RFC 9293)."""

    rate: float

    def check(self) -> None:
        """A probability."""
        _number(self, "rate", 1.0, zero=True)

    def phrase(self) -> str:
        """As in `loss of 5 %`."""
        return f"loss of {self.rate * 100:.9g} %"


class Partition(Fault, frozen=True, tag="partition"):
    """Nothing passes between the hosts `a` and `b` ("*": every other host), nor is anybody told.

    With `one_way` only what `a` sends to `b` is lost. `target` stays "*": the two hosts are the target.
    """

    a: str
    b: str
    one_way: bool = False

    def check(self) -> None:
        """Two different hosts, without ports, sides or a target of its own."""
        if self.target != "*":
            raise PlanError("partition: takes no target", why="the hosts a and b are what it aims at")
        if not isinstance(self.one_way, bool):
            raise PlanError(f"partition: one_way must be true or false, not {self.one_way!r}")
        for field in ("a", "b"):
            host = getattr(self, field)
            if not isinstance(host, str):
                raise PlanError(f"partition: {field} must be the name of a host, not {host!r}")
            end = _parse_end(host, host)
            if end.port or end.name in SIDES:
                raise PlanError(f"partition: {field} must be the name of a host, not {host!r}")
        if self.a == self.b:
            raise PlanError(f"partition: a and b are both {self.a!r}", why="a host is not cut off from itself")

    def phrase(self) -> str:
        """As in `partition client | server`, or with `->` when one-way."""
        return f"partition {self.a} {'->' if self.one_way else '|'} {self.b}"


class Scheduling(Fault, frozen=True, tag="scheduling"):
    """When several threads or hosts are ready, one other than the first in line runs next, `rate` of the times.

    `rate` is 0 to 1. What it may reorder is what a real scheduler may: threads and hosts, never one event loop's queue.
    """

    rate: float

    def check(self) -> None:
        """A probability; the target is every host or one."""
        _number(self, "rate", 1.0, zero=True)
        aim = self.aim
        if aim.second is not None or aim.ordinal or aim.first.port or aim.first.name in SIDES:
            raise PlanError(f"scheduling: the target must be '*' or one host, not {self.target!r}")

    def phrase(self) -> str:
        """As in `scheduling, out of turn 10 % of the time`."""
        return f"scheduling, out of turn {self.rate * 100:.9g} % of the time"


AnyFault: TypeAlias = Latency | Bandwidth | Segments | Buffers | SlowReader | Loss | Partition | Scheduling

#: Every fault word of JSON, in the order of the docs, with its class.
WORDS: Final[Mapping[str, type[AnyFault]]] = MappingProxyType({
    "latency": Latency,
    "bandwidth": Bandwidth,
    "segments": Segments,
    "buffers": Buffers,
    "slow-reader": SlowReader,
    "loss": Loss,
    "partition": Partition,
    "scheduling": Scheduling,
})  # fmt: skip


def to_json(fault: AnyFault) -> dict[str, Any]:
    """The fault as a plain dictionary, `{"fault": "latency", "delay_s": 0.05}`; defaults are left out."""
    data = msgspec.to_builtins(fault)
    assert isinstance(data, dict)
    return data


def from_json(data: object, where: str = "") -> AnyFault:
    """The fault in a dictionary as `to_json` makes it. `where` names the place in errors.

    Raises `PlanError` that names the unknown word (and the nearest), the unknown or missing field, or the wrong type.
    """
    if not isinstance(data, dict):
        raise PlanError(f"a fault must be an object, not {reprlib.repr(data)}", where=where)
    word = data.get("fault")
    if not isinstance(word, str) or word not in WORDS:
        hint = did_you_mean(word, WORDS) if isinstance(word, str) else ""
        what = f"unknown fault {reprlib.repr(word)}.{hint}" if word is not None else 'a fault without the key "fault"'
        raise PlanError(what, where=where, why=f"the faults are {', '.join(WORDS)}")
    kind = WORDS[word]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in data:
        if key != "fault" and key not in fields:
            hint = did_you_mean(str(key), fields)
            why = f"its fields are {', '.join(fields)}"
            raise PlanError(f"{word}: unknown field {key!r}.{hint}", where=where, why=why)
    for key, field in fields.items():
        if key not in data and field.required:
            raise PlanError(f"{word}: the field {key!r} is missing", where=where)
    try:
        return msgspec.convert(data, type=kind)
    except msgspec.ValidationError as error:
        raise PlanError(f"{word}: {_wrong_type(str(error))}", where=where) from None
    except PlanError as error:
        raise PlanError(error.what, where=where, why=error.why, next=error.next) from None


def _wrong_type(message: str) -> str:
    """Turn msgspec's "Expected `float`, got `str` - at `$.delay_s`" round: the field in front."""
    text, _, place = message.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    return f"{field}: {text[:1].lower()}{text[1:]}" if field else text


class Family(NamedTuple):
    """Faults that are switched on together by one name of `--faults`.

    `faults` are its words; `text` says what it does; `mild` families keep every promise of TCP; `least_hosts` is how
    many hosts a world needs before the family means something.
    """

    faults: tuple[type[AnyFault], ...]
    text: str
    mild: bool
    least_hosts: int = 1


_TIMING: Final = "latency, jitter, bandwidth, and which ready thread or host runs next"

#: The families by name, in the order of the docs.
FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({
    "timing": Family((Latency, Bandwidth, Scheduling), _TIMING, True),
    "segments": Family((Segments,), "short reads and writes, down to one byte, cut at any byte", True),
    "buffers": Family((Buffers,), "small send and receive buffers", True),
    "slow-reader": Family((SlowReader,), "a peer that reads slowly, so that the window closes", True),
    "loss": Family((Loss,), "lost segments, which cost time and never bytes", True),
    "partition": Family((Partition,), "hosts that cannot reach each other, both ways or one way", False, 2),
})  # fmt: skip

MILD: Final = tuple(name for name, family in FAMILIES.items() if family.mild)


def parse_families(text: str) -> tuple[str, ...]:
    """The family names that `text` means: `none`, `mild`, `all`, or names and these joined by commas.

    In the order of `FAMILIES`, each once. Raises `UsageError` for an unknown name, naming the nearest.
    """
    groups = {"none": (), "mild": MILD, "all": tuple(FAMILIES)}
    words = [word.strip() for word in text.split(",")]
    wanted: set[str] = set()
    for word in words:
        if word in groups:
            wanted.update(groups[word])
        elif word in FAMILIES:
            wanted.add(word)
        else:
            known = (*groups, *FAMILIES)
            what = f"unknown fault family {word!r}.{did_you_mean(word, known)}" if word else "an empty fault family"
            raise UsageError(what, where=f"--faults {text}", why=f"the families are {', '.join(known)}")
    if "none" in words and len(words) > 1:
        raise UsageError("the fault family none does not go with others", where=f"--faults {text}")
    return tuple(name for name in FAMILIES if name in wanted)
