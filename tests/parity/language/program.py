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
from dataclasses import dataclass

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
    """The programs of a text: each begins with `== name [topic, topic]`; `#` begins a comment."""
    programs: list[Program] = []
    name, topics, steps = "", (), []

    def finish() -> None:
        if name:
            programs.append(Program(name, tuple(steps), topics))

    for line in text.splitlines():
        line = line.split("  #")[0].rstrip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            finish()
            name, _, rest = line[3:].partition("[")
            name, steps = name.strip(), []
            topics = tuple(topic.strip() for topic in rest.rstrip("] ").split(",") if topic.strip())
        else:
            steps.append(parse_step(line))
    finish()
    return programs
