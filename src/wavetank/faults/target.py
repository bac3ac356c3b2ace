"""What a fault aims at, and the event at which one may begin: their grammar, and what they match.

Owns the text of targets ("client -> server:8000 #2") and of events ("accept #3"), and the question whether a connection
is meant. Must never know a fault word.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from wavetank.errors import PlanError, did_you_mean

#: Name of a host in a target is at most this long (RFC 1035 section 2.3.4: 255 octets).
MAX_NAME: Final = 255

CONNECTING: Final = "connecting"
ACCEPTING: Final = "accepting"
SIDES: Final = (CONNECTING, ACCEPTING)

_END = re.compile(r"(?P<name>\*|\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_])?)(?::(?P<port>\d+))?")
_ORDINAL = re.compile(r"(?P<rest>.*?)\s*#\s*(?P<number>\S*)\s*")
GRAMMAR: Final = (
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


def parse_end(text: str, whole: str) -> End:
    """One end of the target `whole`. Raises `PlanError` when it is none."""
    found = _END.fullmatch(text.strip())
    if found is None or len(text) > MAX_NAME:
        raise PlanError(f"{text.strip()!r} is not a host in the target {whole!r}", why=GRAMMAR)
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
        raise PlanError(f"the target {text!r} names nothing", why=GRAMMAR)
    for joint, both_ways in (("->", False), ("|", True)):
        first, found, second = rest.partition(joint)
        if found:
            return Target(parse_end(first, text), parse_end(second, text), both_ways, ordinal)
    return Target(parse_end(rest, text), None, False, ordinal)


#: What the simulator can see happen, and what it means. The ordinal counts what happens on the target's connections.
EVENTS: Final = {
    "connect": "a connection is opened: its SYN leaves",
    "accept": "a connection is accepted by the program",
    "send": "data leaves in the direction of the target, usually one write",
    "reply": "data leaves against the direction of the target, for the first time since some left along it",
    "full": "a writer can write no more: its send buffer is full, and so is the receiver's, with nothing on the way",
}
_EVENT: Final = re.compile(r"(?P<kind>[A-Za-z-]+)(?:\s*#\s*(?P<number>[0-9]{1,9}))?")
_EVENT_GRAMMAR: Final = f'an event is one of {", ".join(EVENTS)}, and which one: "accept #3"; the first is #1'


class Event(NamedTuple):
    """The `ordinal`th time (1 is the first) that something of this kind (a key of `EVENTS`) happens."""

    kind: str
    ordinal: int = 1

    def __str__(self) -> str:
        return f"{self.kind} #{self.ordinal}"


@lru_cache(maxsize=1024)
def parse_event(text: str) -> Event:
    """The event written as `text`, "accept #3" or "full". Raises `PlanError` when it is none."""
    found = _EVENT.fullmatch(text.strip())
    if found is None:
        raise PlanError(f"{text!r} is not an event", why=_EVENT_GRAMMAR)
    kind, number = found["kind"], int(found["number"] or 1)
    if kind not in EVENTS:
        raise PlanError(f"unknown event {kind!r}.{did_you_mean(kind, EVENTS)}", why=_EVENT_GRAMMAR)
    if not number:
        raise PlanError(f"{text!r} is not an event", why="the first is #1")
    return Event(kind, number)
