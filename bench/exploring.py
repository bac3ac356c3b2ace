#!/usr/bin/env python3
"""What exploring costs beside the runs themselves: `exploring.py [--rounds N] [--seconds S] [--write FILE]`.

For each workload two figures, in processor seconds a run: *alone*, one world after another in one interpreter, without
oracles, with nothing written to the trace and nothing added to its digest; and *explored*, as `wavetank explore` does
it: a plan drawn from the seed, a fork of the image, trace, digest, all oracles that are on by default, the result sent
back. The difference is the cost. The plan is drawn and then put aside for a calm one: faults change the work itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CELLS = ("tiny", "echo_50ms", "fanin_50ms", "echo_200ms", "fanin")
#: Wanted: of a run of 50 ms or more at most this share of it, of a shorter one at most so many ms.
SHARE, LEAST_S = 0.30, 0.05
SHORT_MS = 5.0


def explored(cell: str, seconds: float) -> None:
    """Print what a run of a campaign takes."""
    sys.path.insert(0, str(HERE / "peers"))  # see ours.py
    from ours import image_cpu_s

    from wavetank.campaign import target
    from wavetank.campaign.plans import plan_for
    from wavetank.campaign.session import Session, Settings
    from wavetank.faults import parse_families
    from wavetank.plan import Plan

    families = parse_families("mild")
    settings = Settings(families=families, limit_virtual_ns=2 * 3600 * 10**9)
    with Session(target.parse(f"{HERE / 'scenarios.py'}::{cell}"), settings, epoch_s=0) as session:
        pid = session.image.pid

        def used() -> float:
            return time.process_time() + image_cpu_s(pid)

        def one(seed: int) -> None:
            plan_for(seed, families, 0)
            result = session.run(Plan(seed=seed, epoch_s=0))
            assert result.failure is None, result.failure

        one(0)
        start, count = used(), 0
        while used() - start < seconds:
            one(count)
            count += 1
        print(json.dumps((used() - start) / count), flush=True)


def measured(*words: str) -> Any:
    """What a script of this folder prints as JSON in its last line."""
    whole = [sys.executable, *words]
    printed = subprocess.run(whole, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE).stdout
    return json.loads(printed.removeprefix("RESULT "))


def pair(cell: str, seconds: float) -> tuple[float, float]:
    """Seconds of processor time a run, alone and explored."""
    row = measured("series.py", str(seconds), cell, "--bare")
    return row["cpu"] / row["runs"], measured("exploring.py", "--explore", cell, "--seconds", str(seconds))


def table(rounds: int, seconds: float) -> str:
    """The figures as Markdown."""
    lines = [
        "| workload | alone, ms | explored, ms | cost, ms | share of the run | wanted | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in CELLS:
        pairs = [pair(cell, seconds) for _ in range(rounds)]
        by_itself, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
        cost = statistics.median(two - one for one, two in pairs)
        share = statistics.median(two / one - 1 for one, two in pairs)
        if by_itself >= LEAST_S:
            wanted, reached = f"at most {SHARE:.0%}", share <= SHARE
        else:
            wanted, reached = f"at most {SHORT_MS:g} ms", cost * 1e3 <= SHORT_MS
        figures = f"{by_itself * 1e3:.2f} | {whole * 1e3:.2f} | {cost * 1e3:.2f} | {share:.1%}"
        lines.append(f"| {cell} | {figures} | {wanted} | {'yes' if reached else 'no'} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="processor time of each measurement")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--explore", metavar="CELL", help="print only what a run of this workload in a campaign takes")
    given = parser.parse_args()
    if given.explore:
        explored(given.explore, given.seconds)
        return
    load = Path("/proc/loadavg").read_text().split()[0]
    text = f"""# What exploring costs

- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC
- command: `bench/exploring.py --rounds {given.rounds} --seconds {given.seconds:g}`
- machine: 2 processors, Python {sys.version.split()[0]}; load when it began: {load}

Processor time a run. *Alone*: worlds one after another in one interpreter, no oracles, no trace, no digest.
*Explored*: as `wavetank explore` does it, with a plan, a fork of the image, trace, digest, oracles, and the result
sent back.

{table(given.rounds, given.seconds)}
"""
    print(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
