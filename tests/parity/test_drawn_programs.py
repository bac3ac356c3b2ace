"""Programs drawn by Hypothesis, run on both sides and compared: some in the gate, fifty thousand in the long tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parity.language.comparing import Judges
from tests.parity.language.counting import Frequencies
from tests.parity.language.program import Program, parse_step
from tests.parity.language.surveying import Found, Survey, differs, draw, run_chunk, shortened
from tests.parity.survey import known, page, survey

#: A quick look, by the same draws each time.
FEW = 300
MANY = int(os.environ.get("WAVETANK_DRAWN_PROGRAMS", "50000"))


@pytest.fixture(scope="module")
def judges() -> Iterator[Judges]:
    with Judges() as both:
        yield both


def test_drawn_programs_are_answered_alike(judges: Judges) -> None:
    found = run_chunk(judges, 1, FEW)
    assert not found.steady, "\n\n".join(each.text for each in found.steady)
    assert found.frequencies.programs == FEW
    assert found.frequencies.steps / FEW >= 12


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_many_drawn_programs_are_answered_alike(record_property: Callable[[str, object], None], tmp_path: Path) -> None:
    total = Survey()
    for _, found in survey(MANY, 1, os.cpu_count() or 1, tmp_path):
        total.add(found)
    record_property("programs", total.frequencies.programs)
    record_property("calls in each", round(total.frequencies.steps / total.frequencies.programs, 1))
    record_property("not again", len(total.found) - len(total.steady))
    assert not total.steady, "\n\n".join(each.text for each in total.steady)
    assert not total.frequencies.rare()


def test_a_chunk_is_the_same_each_time() -> None:
    assert draw(7, 20) == draw(7, 20) != draw(8, 20)
    assert len({str(program) for program in draw(7, 20)}) == 20


class Otherwise:
    """Both sides, of which one answers `getsockname` wrongly."""

    def run(self, programs: list[Program]) -> Iterator[tuple[Program, Any, Any]]:
        for program in programs:
            steps = [("of " + step.call, {}) for step in program.steps]
            wrong = [("wrong", {}) if "getsockname" in step.call else (f"of {step.call}", {}) for step in program.steps]
            yield program, steps, wrong


def test_a_difference_is_made_short() -> None:
    steps = [parse_step(f"A: s.recv({size})") for size in range(9)]
    steps.insert(5, parse_step("A: s.getsockname()"))
    program = Program("p", tuple(steps))
    both: Any = Otherwise()
    assert "recv(4)" in differs(both, program)
    short = shortened(both, program)
    assert "getsockname" in short
    assert "recv" not in short


def test_a_survey_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    frequencies = Frequencies()
    frequencies.add(Program("p", (parse_step("A: t1.recv(1, MSG_PEEK)"),)), [(("BlockingIOError", "EAGAIN"), {})])
    stopped = Survey(frequencies, [Found("drawn 3.1", "== drawn 3.1\n! A: x()", 0)])
    path = tmp_path / "state"
    path.write_text(f"3 {stopped.as_json()}\n4 [1, 2, {{")  # the second line was being written
    again = known(path)
    assert list(again) == [3]
    assert again[3].found == stopped.found
    assert again[3].frequencies.share("recv") == 1


def test_the_page_tells_what_came_again_and_what_did_not() -> None:
    found = [Found("drawn 1.1", "once", 0), Found("drawn 1.2", "== steady", 3)]
    total = Survey(Frequencies(1000, 24_000), found)
    text = page(total, "the command")
    assert "- 998 answered alike at once, 1 not, and of 1 Linux gave both answers in 4 runs" in text
    assert "24.0 calls each" in text
    assert "== steady" in text
    assert "drawn 1.2; came again in 3 of 3 further runs." in text


@pytest.mark.parametrize("argument", ["--count=0", "--workers=0", "--first=-1"])
def test_a_survey_of_nothing_is_refused(argument: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.parity.survey", argument], capture_output=True, text=True)
    assert done.returncode == 2
    assert "begin at 1" in done.stderr


def test_frequencies_count_programs_not_calls() -> None:
    frequencies = Frequencies()
    record: Any = [(("BlockingIOError", "EAGAIN"), {"t1": 0x5})]
    for _ in range(2):
        frequencies.add(Program("p", ()), [])
    frequencies.add(Program("p", (parse_step("A: t1.recv(1, MSG_PEEK)"),)), record)
    assert frequencies.share("recv") == frequencies.share("error EAGAIN") == frequencies.share("readiness OUT") == 1 / 3
    assert "send" in frequencies.rare()
