"""What a program of the language is: steps of two or three parties, as text and as data.

Owns the form, never a meaning: `machine` knows what calls do. A program is text, one step a line:

    A: l = listener()
    B: c = socket()
    B: c.connect(at(l))
    A: s = l.accept()
    B: later c.recv(10)      # a party of its own that may wait: the step ends when it sleeps in the kernel
    A: s.send(b"x")
    B: done()                # what became of the call that waits

`A`, `B` and `C` are the parties. What follows is one Python expression of calls, names and literals, or one assignment
of it; it is parsed, never executed as Python.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

PARTIES = ("A", "B", "C")


class ProgramError(ValueError):
    """The text is no program: which line, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the names it gives to its results, and the expression, both as source text."""

    party: str
    names: tuple[str, ...]
    call: str
    later: bool = False

    def __str__(self) -> str:
        left = f"{', '.join(self.names)} = " if self.names else ""
        return f"{self.party}: {left}{'later ' if self.later else ''}{self.call}"


@dataclass(frozen=True, slots=True)
class Program:
    """A named list of steps. `topics`: the lines of the list of behaviours that it is about (see `topics`)."""

    name: str
    steps: tuple[Step, ...]
    topics: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def parse_step(line: str) -> Step:
    """One line of text as a step; raises ProgramError."""
    party, colon, rest = line.partition(":")
    party = party.strip()
    if not colon or party not in PARTIES:
        raise ProgramError(f"{line!r} does not begin with a party ({', '.join(PARTIES)}) and a colon")
    try:
        names, call = _split(rest.strip())
    except SyntaxError as problem:
        raise ProgramError(f"{line!r}: {problem.msg}") from None
    later = call.startswith("later ")
    call = call.removeprefix("later ").strip()
    try:
        ast.parse(call, mode="eval")
    except SyntaxError as problem:
        raise ProgramError(f"{line!r}: {problem.msg}") from None
    return Step(party, names, call, later)


def _split(text: str) -> tuple[tuple[str, ...], str]:
    """`(names, expression)` of `a, b = expression`."""
    left, equals, right = text.partition(" = ")
    names = tuple(name.strip() for name in left.split(","))
    if not equals or not all(name.isidentifier() for name in names):
        return (), text
    return names, right.strip()


def parse(text: str) -> list[Program]:
    """The programs of a text. `#` begins a comment; two calls of one party may share a line, with `; ` between them.

    Each program begins with `== name [topic, topic]`. With `| how = SHUT_RD, SHUT_WR` behind that, it stands for one
    program for each value (of several such, for each combination), in which `{how}` is the value; `~` in a value is a
    comma.
    """
    programs: list[Program] = []
    head, body = "", []
    for raw in [*text.splitlines(), "== end"]:
        line = raw.split("  #")[0].rstrip()
        if line.startswith("== "):
            if head:
                programs += _expand(head, body)
            head, body = line[3:], []
        elif line and not line.startswith("#"):
            body.append(line)
    return programs


def _expand(head: str, body: list[str]) -> Iterator[Program]:
    title, *variables = head.split(" | ")
    name, _, rest = title.partition("[")
    topics = tuple(topic.strip() for topic in rest.strip().rstrip("]").split(",") if topic.strip())
    keys = [variable.partition(" = ")[0].strip() for variable in variables]
    for values in product(*(variable.partition(" = ")[2].split(", ") for variable in variables)):
        chosen = {key: value.replace("~", ",") for key, value in zip(keys, values, strict=True)}

        def fill(text: str, chosen: dict[str, str] = chosen) -> str:
            for key, value in chosen.items():
                text = text.replace(f"{{{key}}}", value)
            return text

        steps = [parse_step(f"{line[:2]} {part}") for line in map(fill, body) for part in line[2:].split("; ")]
        yield Program(" ".join([fill(name).strip(), *values]), tuple(steps), topics)
