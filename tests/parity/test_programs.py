"""Programs written by hand, run on real Linux and in the simulated kernel: the same values, errno, order and flags."""

from __future__ import annotations

import pytest

from tests.parity.language.comparing import Judges, batches, written
from tests.parity.language.program import ProgramError, parse, parse_step
from tests.parity.language.topics import TOPICS

PROGRAMS = written()


def test_there_are_enough_programs_and_each_has_its_name() -> None:
    assert len(PROGRAMS) >= 250
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)


def test_every_line_of_the_list_of_behaviours_is_covered() -> None:
    covered = {topic for program in PROGRAMS for topic in program.topics}
    assert covered == set(TOPICS)


def test_linux_and_the_simulated_kernel_answer_alike() -> None:
    with Judges() as judges:
        found = [text for batch in batches(PROGRAMS, 50) for _, text in judges.differences(batch)]
    assert not found, "\n\n".join(found)


def test_no_step_was_left_out() -> None:
    with Judges() as judges:
        for program, real, _ in judges.run(PROGRAMS[::7]):
            left_out = [str(step) for step, seen in zip(program.steps, real, strict=True) if seen[0] == "stop"]
            assert not left_out, program.name


def test_a_program_stands_for_each_combination_of_its_values() -> None:
    programs = parse(
        "== shut {how} {side} [shutdown] | how = SHUT_RD, SHUT_WR | side = c, f(s~ 1)\nA: c, s = tcp(); {side}.x({how})"
    )
    assert [str(program.steps[1]) for program in programs] == [
        "A: c.x(SHUT_RD)", "A: f(s, 1).x(SHUT_RD)", "A: c.x(SHUT_WR)", "A: f(s, 1).x(SHUT_WR)",
    ]  # fmt: skip
    assert programs[0].steps[0].names == ("c", "s")


@pytest.mark.parametrize("line", ["D: socket()", "socket()", "A: c.send(", "A: x = = 1"])
def test_what_is_no_program_says_so(line: str) -> None:
    with pytest.raises(ProgramError, match=line[:3]):
        parse_step(line)
