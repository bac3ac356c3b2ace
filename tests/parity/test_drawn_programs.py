"""Programs drawn by Hypothesis, run on both sides and compared: some in the gate, fifty thousand in the long tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.parity.language.comparing import Judges, difference
from tests.parity.language.counting import Frequencies
from tests.parity.language.drawing import programs
from tests.parity.language.program import Program

#: A quick look, by the same draws each time.
FEW = 300
MANY = int(os.environ.get("WAVETANK_DRAWN_PROGRAMS", "50000"))
PAGE = Path(__file__).parents[2] / "docs" / "results" / "drawn-programs.md"


@pytest.fixture(scope="module")
def judges() -> Iterator[Judges]:
    with Judges() as both:
        yield both


def compare(judges: Judges, count: int, start: int, phases: tuple[Phase, ...]) -> Frequencies:
    """Compare so many drawn programs; the shortest one that differs fails."""
    frequencies = Frequencies()

    @seed(start)
    @settings(max_examples=count, database=None, deadline=None, phases=phases, suppress_health_check=list(HealthCheck))
    @given(programs())
    def answer_alike(program: Program) -> None:
        for _, real, simulated in judges.run([program]):
            found = difference(program, real, simulated)
            assert not found, found
            if not isinstance(simulated, str):
                frequencies.add(program, simulated)

    answer_alike()
    return frequencies


def test_drawn_programs_are_answered_alike(judges: Judges) -> None:
    frequencies = compare(judges, FEW, 1, (Phase.generate,))
    assert frequencies.steps / frequencies.programs >= 12


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_many_drawn_programs_are_answered_alike(judges: Judges, record_property: Callable[[str, object], None]) -> None:
    frequencies = compare(judges, MANY, 2, (Phase.generate, Phase.shrink))
    record_property("programs", frequencies.programs)
    record_property("calls in each", round(frequencies.steps / frequencies.programs, 1))
    assert not frequencies.rare()
    write_page(frequencies)


def write_page(frequencies: Frequencies) -> None:
    """The table of frequencies."""
    PAGE.write_text(
        f"""# Drawn programs

{frequencies.programs:,} programs drawn by Hypothesis, {frequencies.steps / frequencies.programs:.1f} calls each, were
answered alike by Linux {os.uname().release.split("-")[0]} and by the simulated kernel with that host's profile; what is
not compared is on the [page about fidelity](../fidelity.md). Share of the programs in which each came up:

{frequencies.table()}"""
    )


def test_frequencies_count_programs_not_calls() -> None:
    frequencies = Frequencies()
    record: Any = [(("BlockingIOError", "EAGAIN"), {"t1": 0x5})]
    for _ in range(2):
        frequencies.add(Program("p", ()), [])
    from tests.parity.language.program import parse_step

    frequencies.add(Program("p", (parse_step("A: t1.recv(1, MSG_PEEK)"),)), record)
    assert frequencies.share("recv") == frequencies.share("error EAGAIN") == frequencies.share("readiness OUT") == 1 / 3
    assert "send" in frequencies.rare()
