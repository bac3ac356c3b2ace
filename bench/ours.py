"""Run one cell of Wavetank's own, print one JSON line: `ours.py CELL [--faults FAMILIES] [--trace] [--seconds S]`.

The run is what `wavetank explore` does for each seed: a fork of a prepared image. What is counted is the processor time
of the run, the image and this process together, not that of starting the image (`seconds_to_start` says it).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from wavetank.campaign import target
from wavetank.campaign.plans import plan_for
from wavetank.campaign.session import Session, Settings
from wavetank.faults import parse_families
from wavetank.plan import Plan
from wavetank.world.job import RunResult

HERE = Path(__file__).resolve().parent
# Where the image finds the peers' workloads and imports them, once; a path that a scenario adds itself, it learns in
# each run, and compiles the module there anew.
sys.path.insert(0, str(HERE / "peers"))
#: How much work one run of a cell is.
AMOUNT = {"echo": 20_000, "echo_hosts": 20_000, "fanin": 20_000, "bulk": 1024, "hosts": 1_000, "connections": 10_000}
#: The first seed whose mild plan has at least two faults: some plans are empty.
MILD_SEED = next(seed for seed in range(100) if len(plan_for(seed, parse_families("mild"), 0).faults) > 1)


def image_cpu_s(pid: int) -> float:
    """Processor time of a process and of the children it has waited for (proc(5): utime, stime, cutime, cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def printed(result: RunResult) -> dict[str, float]:
    """The numbers that a scenario or its programs have printed."""
    lines = [line.split() for output in result.outputs for line in output.stdout.splitlines()]
    return {words[0]: float(words[1]) for words in lines if len(words) == 2}


def main() -> None:
    """One cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cell")
    parser.add_argument("--faults", default="none")
    parser.add_argument("--trace", action="store_true", help="keep the whole trace, not the digest alone")
    parser.add_argument("--series", action="store_true", help="one after another in one process: see series.py")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long to repeat tiny simulations")
    given = parser.parse_args()
    if given.series:
        os.execv(sys.executable, [sys.executable, str(HERE / "series.py"), str(given.seconds)])
    file = HERE / ("heavy.py" if given.cell == "tiny-heavy" else "scenarios.py")
    function = given.cell.removesuffix("-heavy").replace("-", "_")
    families = parse_families(given.faults)
    settings = Settings(families=families, limit_virtual_ns=2 * 3600 * 10**9, limit_real_s=300.0)
    begun = time.perf_counter()
    with Session(target.parse(f"{file}::{function}"), settings, epoch_s=0) as session:
        seed = MILD_SEED if families else 0
        plan = plan_for(seed, families, 0) if families else Plan(seed=seed, epoch_s=0)
        trace = tempfile.NamedTemporaryFile() if given.trace else None  # noqa: SIM115  # until this process ends
        pid = session.image.pid

        def run() -> RunResult:
            result = session.run(plan, trace_path=trace.name if trace else "")
            if result.failure is not None:
                sys.exit(f"{given.cell} failed: {result.failure.error}\n{result.failure.traceback}")
            return result

        if function == "tiny":
            run()
        started = time.perf_counter() - begun
        cpu, wall, runs = time.process_time() + image_cpu_s(pid), time.perf_counter(), 0
        while True:
            result = run()
            runs += 1
            if function != "tiny" or time.perf_counter() - wall > given.seconds:
                break
        cpu, wall = time.process_time() + image_cpu_s(pid) - cpu, time.perf_counter() - wall
    amount = runs if function == "tiny" else AMOUNT.get(function, 0)
    row = {
        "cell": given.cell, "cpu": cpu, "wall": wall, "runs": runs, "seconds_to_start": started,
        "per_cpu": amount / cpu if amount else cpu, "events": result.events, "digest": result.digest, **printed(result),
    }  # fmt: skip
    print("RESULT " + json.dumps(row))


if __name__ == "__main__":
    main()
