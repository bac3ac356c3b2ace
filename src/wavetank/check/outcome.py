"""The outcome of one run: what the protocol wrote, what was observed, and what went wrong.

Owns the record and what counts as the same. It must never run anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

#: The word of each property for what breaks it; in `--json` the `kind`.
Kind = Literal[
    "cut", "pause", "eof", "answer", "exception", "unhandled", "hang", "spin", "contract", "buffer", "injection"
]

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that must not be: its kind, one line that says it, and more lines (a traceback, a history)."""

    kind: Kind
    text: str
    details: str = ""
    #: Raised on purpose by a library: an exception class of its own.
    refusal: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    `output`: all that the protocol wrote; `answers`: where in it each turn's answer ended, in bytes. `closed`: how the
    protocol ended the connection of its own accord ("open", "closed", "aborted", "half closed"). `observed`: what
    `observe` returned. `problems`: what must not be, whatever the input was.
    """

    output: bytes = b""
    closed: str = "open"
    observed: Any = None
    problems: list[Problem] = field(default_factory=list)
    #: What the protocol wrote with each call, in order: how long.
    writes: list[int] = field(default_factory=list)
    #: What the run took of the input before it ended.
    taken: int = 0
    #: The protocol has put another protocol in its place (TLS, usually).
    switched: bool = False
    #: So much of the input it had taken then, where it was given in single bytes.
    switched_at: int | None = None
    #: What it said inside TLS before it was asked anything there; None when TLS did not come about.
    inside_tls: bytes | None = None
    #: The most bytes that were written and not yet read by the peer.
    most_held: int = 0
    #: What the protocol held in memory before any time had passed, where that was measured.
    held_memory_bytes: int = 0
    #: TLS was to be spoken from the beginning, and was left out.
    without_tls: bool = False
    #: The protocol kept its own side open when the peer ended its own.
    kept_open: bool = False
    #: It has to handle all that came before the end of the stream, although that is there at once.
    owes_all: bool = False
    #: The protocol belongs to a program that connected, and ends when that does.
    program: bool = False
    #: What that program raised in the end.
    program_raised: Problem | None = None
    #: What stood on the connection, call by call; made readable by `str()`.
    history: object = ""
    #: How the output is read before it is compared; None: as bytes.
    reader: Callable[[bytes], Any] | None = None

    def read(self) -> object:
        """What the output says to whoever reads it: bytes, or what `reads_as` makes of them."""
        return self.output if self.reader is None else self.reader(self.output)

    def same(self, other: Outcome) -> bool:
        """Whether a peer and an observer saw the same in both runs."""
        return not self.differences(other)

    def differences(self, other: Outcome) -> list[str]:
        """What differs: of "output", "closed" and "observed"."""
        found = []
        # Clear bytes behind a switch to TLS are dropped with one cut, and break the handshake with another.
        switched = self.switched or other.switched
        if not (self.reads_the_same(other) or (switched and _one_begins_the_other(self.output, other.output))):
            found.append("output")
        if self.closed != other.closed and not switched:
            found.append("closed")
        if not equal(self.observed, other.observed):
            found.append("observed")
        return found

    def reads_the_same(self, other: Outcome) -> bool:
        """Whether both outputs say the same."""
        return self.output == other.output or (self.reader is not None and equal(self.read(), other.read()))


def _one_begins_the_other(first: bytes, second: bytes) -> bool:
    return first.startswith(second) or second.startswith(first)


def equal(first: object, second: object) -> bool:
    """Whether two observed values are the same; objects without an `__eq__` of their own by what they show."""
    try:
        if bool(first == second):
            return True
    except Exception:
        return shown(first) == shown(second)
    return shown(first) == shown(second)


def shown(value: object) -> str:
    """The `repr` of an observed value, without addresses in memory."""
    try:
        return _ADDRESS.sub("0x...", repr(value))
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
