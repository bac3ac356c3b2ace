"""Many tiny simulations one after another in one interpreter, without a fork for each: `series.py SECONDS`.

This is how fast worlds are made, run and taken apart. Campaigns do not run so: each of their runs is a fork, so that it
starts from the very same heap. Prints one JSON line, as `ours.py`.
"""

from __future__ import annotations

import os
import sys

from wavetank.kernel import core, shims

clock, leave = os.times, os._exit
shims.install()

import gc  # noqa: E402  # nothing that makes locks or copies calls may be imported before that line
import json  # noqa: E402
from collections.abc import Callable  # noqa: E402

from wavetank.plan import Plan  # noqa: E402
from wavetank.world import runtime, teardown  # noqa: E402
from wavetank.world.job import Job, Target  # noqa: E402

SCENARIOS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios.py")
#: After so many worlds their garbage is collected; nearly all is gone by then.
ROUNDS = 20


def cpu_s() -> float:
    """Processor time of this process."""
    used = clock()
    return used.user + used.system


def repeat(cell: str, seconds: float, begin: Callable[[], object] = lambda: None) -> tuple[int, float]:
    """Run a cell for `seconds` of processor time: how often, and in how much. `begin`: called after the warm-up."""
    target = Target(label=cell, module=SCENARIOS, function=cell)
    runtime.prepare(target)
    scenario = runtime.load(target)
    outside = core.K
    gc.collect()
    gc.freeze()

    def one(seed: int) -> None:
        job = Job(target=target, plan=Plan(seed=seed, epoch_s=0), cwd="/", virtual_limit_ns=2 * 3600 * 10**9)
        universe, director = runtime.build(job, scenario)
        universe.ended = 1_000  # its program is one of many: no whole collection at its end
        result = runtime.conclude(universe, director, universe.kernel.run(), job)
        assert result.failure is None, result.failure
        teardown.end(universe, outside)

    warm = 50 if cell == "tiny" else 1
    for seed in range(warm):
        one(seed)
    begin()
    start, count = cpu_s(), 0
    while cpu_s() - start < seconds:
        one(count)
        count += 1
        if count % ROUNDS == 0:
            gc.collect(1)
    return count, cpu_s() - start


def main(seconds: float) -> None:
    """Tiny simulations: how many in a second."""
    count, cpu = repeat("tiny", seconds)
    row = {"cell": "tiny", "cpu": cpu, "runs": count, "per_cpu": count / cpu}
    print("RESULT " + json.dumps(row), flush=True)
    leave(0)


if __name__ == "__main__":
    main(float(sys.argv[1]))
