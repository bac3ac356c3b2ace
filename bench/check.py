#!/usr/bin/env python3
"""What `wavetank check` costs: a conversation of 1 KiB with h11, `bench/check.py [--rounds N] [--write FILE]`.

Needs an environment with Wavetank and h11. Prints processor seconds, medians over the rounds, each in this process.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import h11

from wavetank.check import SansIO
from wavetank.check.api import checked, ground_for
from wavetank.check.conversation import Conversation
from wavetank.check.trials import ends, single_bytes, single_cuts

REQUEST = (
    b"POST /notes/%d HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nUser-Agent: bench/1.0\r\n"
    b"Content-Length: 100\r\n\r\n" + b"x" * 100
)
CONVERSATION = b"".join(REQUEST % number for number in range(5))[:1024]
PAGE = """# What `wavetank check` costs

Made on {date}, CPython {python}, h11 {h11}, with

    bench/check.py --write docs/results/check-speed.md

A conversation of {size} bytes, {requests} requests, with h11 as a server that answers each of them. Processor seconds,
median of {rounds} rounds.

| what | runs | seconds |
|---|---|---|
{rows}
"""


def answer(connection: h11.Connection, event: object) -> bytes | None:
    """What the server says to a request."""
    if not isinstance(event, h11.EndOfMessage):
        return None
    head = h11.Response(status_code=200, headers=[("Content-Length", "0")])
    out = connection.send(head) + connection.send(h11.EndOfMessage())
    if connection.our_state is connection.their_state is h11.DONE:
        connection.start_next_cycle()
    return out


def server() -> SansIO:
    """The subject."""
    return SansIO(h11.Connection(h11.SERVER), answer)


def exhaustive() -> int:
    """Every split, every end of the stream, one byte at a time; returns how many runs."""
    conversation = Conversation.of(CONVERSATION)
    runs = 0
    with ground_for(server) as ground:
        for trial in chain(single_cuts(conversation, 2**30), ends(conversation, "eof"), single_bytes(conversation)):
            outcome = ground.run(conversation, trial.schedule)
            assert not outcome.problems
            runs += 1
    return runs


def everything() -> int:
    """A check as it is by default: all families, and what Hypothesis draws."""
    report, failure = checked(server, CONVERSATION, seconds=60)
    assert failure is None
    return report.runs


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE")
    given = parser.parse_args()
    rows = []
    cells: dict[str, Callable[[], int]] = {
        "every split, every end of the stream, one byte at a time": exhaustive,
        "a whole check, with garbage, damaged bytes, several cuts and Hypothesis": everything,
    }
    for name, cell in cells.items():
        spent, runs = [], 0
        for _ in range(given.rounds):
            before = time.process_time()
            runs = cell()
            spent.append(time.process_time() - before)
        rows.append(f"| {name} | {runs:,} | {statistics.median(spent):.2f} |")
        print(rows[-1], flush=True)
    page = PAGE.format(
        date=datetime.now(UTC).date(),
        python=platform.python_version(),
        h11=version("h11"),
        size=len(CONVERSATION),
        requests=CONVERSATION.count(b"POST"),
        rounds=given.rounds,
        rows="\n".join(rows),
    )
    if given.write is not None:
        given.write.write_text(page)


if __name__ == "__main__":
    main()
