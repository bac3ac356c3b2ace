"""Many drawn programs, in chunks that are the same each time: drawn, run on both sides, counted, differences shortened.

Owns what one chunk is and what is kept of it; `tests.parity.survey` is the command. A chunk is a number: Hypothesis,
seeded with it, draws its programs, so any chunk can be run again alone, and a survey can go on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.parity.language.comparing import Judges, difference
from tests.parity.language.counting import Frequencies
from tests.parity.language.drawing import programs
from tests.parity.language.program import Program
from tests.parity.language.sides import ROOT, SideFailed

#: Programs in a chunk.
CHUNK = 250
#: So often a program that differed is run again. The simulated kernel answers the same each time; when Linux once
#: answers as it does, it is Linux that has several answers, by its timers.
AGAIN = 3
#: What decides the answers.
_SOURCES = (
    "src/wavetank/kernel",
    "src/wavetank/network",
    *(f"tests/parity/language/{name}.py" for name in ("calls", "counting", "drawing", "machine", "program")),
)


@dataclass(frozen=True)
class Found:
    """One program that the two sides do not answer alike, as short as it could be made.

    `text`: the difference, or what went wrong in our own code. `again`: in how many of `AGAIN` further runs of the
    whole program it came again.
    """

    name: str
    text: str
    again: int


@dataclass
class Survey:
    """What came out of some chunks."""

    frequencies: Frequencies = field(default_factory=Frequencies)
    found: list[Found] = field(default_factory=list)

    @property
    def steady(self) -> list[Found]:
        """Those that came each time."""
        return [each for each in self.found if each.again == AGAIN]

    def add(self, other: Survey) -> None:
        """What came out of further ones."""
        self.frequencies.join(other.frequencies)
        self.found += other.found

    def as_json(self) -> str:
        """One line of text."""
        counted = self.frequencies
        found = [[each.name, each.text, each.again] for each in self.found]
        return json.dumps([counted.programs, counted.steps, dict(counted.counts), found])

    @classmethod
    def from_json(cls, line: str) -> Self:
        """`as_json` backwards."""
        number, steps, counts, found = json.loads(line)
        return cls(Frequencies(number, steps, Counter(counts)), [Found(*each) for each in found])


def draw(chunk: int, count: int = CHUNK) -> list[Program]:
    """The programs of a chunk, all different."""
    drawn: dict[str, Program] = {}

    @seed(chunk)
    @settings(
        max_examples=2 * count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def collect(program: Program) -> None:
        if len(drawn) < count:
            drawn.setdefault(str(program), program)

    collect()
    return [replace(program, name=f"drawn {chunk}.{number}") for number, program in enumerate(drawn.values())]


def run_chunk(judges: Judges, chunk: int, count: int = CHUNK) -> Survey:
    """Draw a chunk and compare it."""
    survey = Survey()
    for program, real, simulated in answers(judges, draw(chunk, count)):
        text = told(program, real, simulated)
        if not text:
            if isinstance(simulated, str):  # both wait for ever
                survey.frequencies.add_unseen(program)
            else:
                survey.frequencies.add(program, simulated)
            continue
        again = sum(bool(differs(judges, program)) for _ in range(AGAIN))
        survey.found.append(Found(program.name, shortened(judges, program) or text, again))
        survey.frequencies.add_unseen(program)
    return survey


def answers(judges: Judges, chosen: list[Program]) -> list[tuple[Program, Any, Any]]:
    """Programs with both records; when a side dies of one of them, its text says so."""
    try:
        return list(judges.run(chosen))
    except SideFailed as problem:
        judges.restart()
        if len(chosen) == 1:
            return [(chosen[0], str(problem), "")]
    half = len(chosen) // 2
    return answers(judges, chosen[:half]) + answers(judges, chosen[half:])


def told(program: Program, real: Any, simulated: Any) -> str:
    """`difference`, of programs that break our own code too."""
    try:
        return difference(program, real, simulated)
    except SideFailed as problem:
        return str(problem)


def differs(judges: Judges, program: Program) -> str:
    """How one program is answered differently; empty when it is not."""
    return told(*answers(judges, [program])[0])


def shortened(judges: Judges, program: Program) -> str:
    """The difference of the shortest program that still differs, steps left out; empty when it does not come again."""
    best = differs(judges, program)
    steps = list(program.steps)
    size = len(steps) // 2
    while best and size:
        start = 0
        while start < len(steps):
            fewer = [*steps[:start], *steps[start + size :]]
            text = differs(judges, replace(program, steps=tuple(fewer))) if fewer else ""
            if text:
                best, steps = text, fewer
            else:
                start += size
        size //= 2
    return best


def sources() -> str:
    """A fingerprint of what decides the answers: the kernel, the network and the language."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        found = ROOT / name
        for path in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def state_file(folder: Path) -> Path:
    """Where the chunks of these sources are kept."""
    return folder / f"drawn-programs-{sources()}.jsonl"
