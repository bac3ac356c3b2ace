"""What a case is: a name, what it needs, a script, the allowed outcomes, and the source of the rule; all of it data.

Owns the record, the reading of a script into steps, and the comparison of what happened with what is allowed. It runs
nothing. The words of scripts are those of `engine`, and docs/conformance.md lists them.

What happened to each actor is a list of tokens: `made`, `data 5` (bytes that came one after another are counted
together), `eof`, `lost clean`, `paused`, `write raises RuntimeError`. Allowed is, for each actor, a list of tokens with
commas; `a|b` either, `a?` perhaps, `*` anything for a while; ` or ` between whole lists. An actor that is not named may
say anything, except the loop, which must report nothing unless something is allowed.

What the documentation leaves open is allowed, and no failure. Where loops are known to answer such a question
differently, `usual` has the answer that loses least: the peer learns of the abort, the error is reported, the bytes
arrive. Who answers otherwise is told only when the ledger has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

#: The actor for what nobody handled: asyncio's exception handler, Twisted's log.
LOOP: Final = "loop"


class Step(NamedTuple):
    """One step of a script: who does what with which words."""

    actor: str
    verb: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(part for part in (self.actor, self.verb, *self.words) if part)


@dataclass(frozen=True)
class Case:
    """One case.

    `needs`: words that say on what it runs: a dialect (asyncio, twisted; neither: both) and what must be offered (tls,
    unix, udp, pipe, process, flow, ...). `script`: its steps, one a line. `allowed`: actor -> allowed tokens;
    `twisted`: the same where Twisted's documentation says otherwise. `source`: where the rule is written. `usual`: of
    what is allowed, what is not worth a word.
    """

    name: str
    needs: str
    script: str
    allowed: Mapping[str, str]
    source: str
    twisted: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)

    @property
    def wants(self) -> frozenset[str]:
        """The words of `needs`."""
        return frozenset(self.needs.split())

    def outcomes(self, dialect: str) -> dict[str, str]:
        """What is allowed in this dialect, by actor."""
        both = {LOOP: "", **self.allowed}
        return both | dict(self.twisted) if dialect == "twisted" else both

    def complaints(self, heard: Mapping[str, list[str]], dialect: str) -> list[str]:
        """What happened that is not allowed, one line an actor; empty when all is."""
        return _others(heard, self.outcomes(dialect), "allowed")

    def oddities(self, heard: Mapping[str, list[str]]) -> list[str]:
        """What happened that is allowed and not usual, one line an actor."""
        return _others(heard, self.usual, "usual")


def _others(heard: Mapping[str, list[str]], outcomes: Mapping[str, str], word: str) -> list[str]:
    """What is not as in these outcomes, one line an actor."""
    found = []
    for actor, wanted in outcomes.items():
        tokens = heard.get(actor, [])
        if not matches(tokens, wanted):
            found.append(f"{actor}: {shown(tokens)}; {word}: {wanted or 'nothing'}")
    return found


def shown(tokens: list[str]) -> str:
    """Tokens as a line."""
    return ", ".join(tokens) or "nothing"


def matches(tokens: list[str], allowed: str) -> bool:
    """Whether what an actor heard is allowed."""
    text = "".join(f"{token}, " for token in tokens)
    return any(re.fullmatch(_pattern(each), text) for each in allowed.split(" or "))


def _pattern(allowed: str) -> str:
    parts = []
    for token in allowed.split(", "):
        if not token:
            continue
        if token == "*":
            parts.append("(?:[^,]*, )*?")
            continue
        body = token.removesuffix("?")
        either = "|".join(re.escape(each).replace(r"\*", "[^,]*") for each in body.split("|"))
        parts.append(f"(?:(?:{either}), ){'?' if token.endswith('?') else ''}")
    return "".join(parts)


class Script(NamedTuple):
    """A script that was read: its steps, and what is done inside callbacks, by actor and event."""

    steps: list[Step]
    reactions: dict[tuple[str, str], list[Step]]


#: Words that begin a step without an actor.
_ALONE: Final = frozenset({"connect", "wait", "settle", "cancel", "after"})


def read(script: str) -> Script:
    """The steps of a script; ValueError for a line that is none."""
    steps: list[Step] = []
    reactions: dict[tuple[str, str], list[Step]] = {}
    for raw in script.splitlines():
        line = raw.strip()
        if not line:
            continue
        found = re.fullmatch(r"on (\w+) (\w+): (.+)", line)
        if found:
            reactions.setdefault((found[1], found[2]), []).extend(_step(part) for part in found[3].split("; "))
        else:
            steps.append(_step(line))
    return Script(steps, reactions)


def _step(text: str) -> Step:
    words = text.split()
    if words[0] in _ALONE:
        return Step("", words[0], tuple(words[1:]))
    if len(words) < 2:
        raise ValueError(f"no step: {text!r}")
    return Step(words[0], words[1], tuple(words[2:]))


def amount(word: str) -> int:
    """A number of bytes: `5`, `64k`, `8M`."""
    factor = {"k": 1024, "M": 1024 * 1024}.get(word[-1], 0)
    return int(word[:-1]) * factor if factor else int(word)
