"""Both sides together: programs from the files, what both saw, and differences as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parity.language.program import Program, parse
from tests.parity.language.sides import Side, SideFailed

#: What the records of programs that wait for ever have in them.
WAITS, HANGS = "the program waits for ever", "before the body did"
FOLDER = Path(__file__).parents[1] / "programs"


def written() -> list[Program]:
    """The programs written by hand, in the order of the files."""
    return [program for path in sorted(FOLDER.glob("*.txt")) for program in parse(path.read_text())]


class Judges:
    """Real Linux and the simulated kernel, an interpreter each, started when first needed."""

    def __init__(self) -> None:
        self.real = Side("real")
        self.simulated = Side("simulated")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End both."""
        self.real.close()
        self.simulated.close()

    def restart(self) -> None:
        """Begin with new interpreters, after one has died."""
        self.close()
        self.real = Side("real")
        self.simulated = Side("simulated")

    def differences(self, programs: Sequence[Program]) -> Iterator[tuple[Program, str]]:
        """Each program that the two do not answer alike, and how."""
        for program, real, simulated in self.run(programs):
            text = difference(program, real, simulated)
            if text:
                yield program, text

    def run(self, programs: Sequence[Program]) -> Iterator[tuple[Program, Any, Any]]:
        """Each program with both records."""
        self.simulated.send(programs)
        self.real.send(programs)
        yield from zip(programs, self.real.results(), self.simulated.results(), strict=True)


def difference(program: Program, real: Any, simulated: Any) -> str:
    """What differs, with the program that shows it; empty when nothing does."""
    if isinstance(real, str) and isinstance(simulated, str) and WAITS in real and HANGS in simulated:
        return ""
    if isinstance(real, str) or isinstance(simulated, str):
        raise SideFailed(f"{program.name}\n{program}\nLinux: {real}\nsimulated: {simulated}")
    lines = []
    for step, one, other in zip(program.steps, real, simulated, strict=True):
        lines.append(f"  {step}" if one == other else f"! {step}\n    Linux     {one}\n    simulated {other}")
        if one != other:
            break
    else:
        return ""
    return "\n".join([f"== {program.name}", *lines])


def batches(programs: Sequence[Program], size: int) -> Iterable[Sequence[Program]]:
    """Parts of so many."""
    return [programs[start : start + size] for start in range(0, len(programs), size)]
