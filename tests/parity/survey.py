"""Compares many drawn programs with Linux: `python -m tests.parity.survey --count 50000 --workers 2 --write PAGE`.

Owns the command and the page. What has been run is kept by chunk in a file of the folder `--state`, named after the
sources that decide the answers, so a survey that was stopped goes on, and one of a changed kernel begins anew.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tests.parity.language.comparing import Judges
from tests.parity.language.surveying import AGAIN, CHUNK, Survey, run_chunk, sources, state_file

_JUDGES: list[Judges] = []


def worked(chunk: int, count: int) -> tuple[int, str]:
    """One chunk, in a process that keeps its two interpreters."""
    if not _JUDGES:
        _JUDGES.append(Judges())
    return chunk, run_chunk(_JUDGES[0], chunk, count).as_json()


def known(path: Path) -> dict[int, Survey]:
    """The chunks that have been run already."""
    if not path.exists():
        return {}
    rows = (line.split(" ", 1) for line in path.read_text().splitlines() if line.endswith("]"))
    return {int(number): Survey.from_json(rest) for number, rest in rows}


def survey(count: int, first: int, workers: int, folder: Path) -> Iterator[tuple[int, Survey]]:
    """Each chunk with what came out of it, those known first; what is new is written down as it comes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = state_file(folder)
    chunks = range(first, first + -(-count // CHUNK))
    before = known(path)
    yield from ((chunk, before[chunk]) for chunk in chunks if chunk in before)
    with (
        path.open("a") as file,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        pending = [pool.submit(worked, chunk, CHUNK) for chunk in chunks if chunk not in before]
        try:
            for each in as_completed(pending):
                chunk, text = each.result()
                print(chunk, text, file=file, flush=True)
                yield chunk, Survey.from_json(text)
        finally:
            for each in pending:
                each.cancel()


def page(total: Survey, command: str) -> str:
    """The page of results."""
    counted = total.frequencies
    steady = len(total.steady)
    once = len(total.found) - steady
    linux = os.uname().release.split("-")[0]
    answer = f"{counted.programs - len(total.found):,} answered alike at once, {steady} not"
    if once:
        answer += f", and of {once} Linux gave both answers in {1 + AGAIN} runs, by its timers"
    lines = [
        "# Drawn programs",
        "",
        f"- date: {datetime.datetime.now(datetime.UTC).date()}",
        f"- command: `{command}`",
        f"- CPython {sys.version.split()[0]}, Linux {linux}; sources `{sources()}`",
        f"- {counted.programs:,} programs drawn by Hypothesis, all different within their chunk of {CHUNK}; "
        f"{counted.steps / max(1, counted.programs):.1f} calls each on average",
        f"- {answer}",
        "",
        "Each ran on real loopback and in the simulated kernel with that host's profile. What is not compared is on",
        "the [page about fidelity](../fidelity.md#what-is-different-and-why). Of a difference, the program was made",
        "short by leaving steps out, and the first step that differs is marked. Share of the programs in which each",
        "came up:",
        "",
        counted.table(),
    ]
    if total.found:
        lines.append("## Differences\n")
    for each in total.found:
        again = f"{each.name}; came again in {each.again} of {AGAIN} further runs."
        lines += ["```text", each.text, "```", "", again, ""]
    return "\n".join(lines).rstrip() + "\n"


def arguments() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.survey", description=__doc__)
    parser.add_argument("--count", type=int, default=5_000, help="programs, rounded up to whole chunks")
    parser.add_argument("--first", type=int, default=1, help="number of the first chunk, which is its seed")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with two interpreters beneath it")
    parser.add_argument("--state", type=Path, default=Path("build/survey"), help="folder of what has been run")
    parser.add_argument("--write", type=Path, help="the page to write")
    given = parser.parse_args()
    if min(given.count, given.first, given.workers) < 1:
        parser.error("--count, --first and --workers begin at 1")
    return given


def main() -> int:
    """The command: 1 when there are differences."""
    given = arguments()
    total = Survey()
    for chunk, found in survey(given.count, given.first, given.workers, given.state):
        total.add(found)
        for each in found.found:
            print(f"{each.text}\n{each.name}; came again {each.again} times of {AGAIN}\n", flush=True)
        print(f"chunk {chunk}: {total.frequencies.programs:,} programs, {len(total.steady)} different", flush=True)
    for name, share in total.frequencies.rare().items():
        print(f"seldom: {name} {share:.2%}")
    if given.write:
        given.write.write_text(page(total, " ".join(["python -m tests.parity.survey", *sys.argv[1:]])))
    return bool(total.steady)


if __name__ == "__main__":
    from tests.parity import survey as this  # so that worker processes find what they are given by its name

    sys.exit(this.main())
