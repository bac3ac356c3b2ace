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


def main(seconds: float) -> None:
    """Prepare, repeat, print."""
    target = Target(label="tiny", module=SCENARIOS, function="tiny")
    runtime.prepare(target)
    scenario = runtime.load(target)
    outside = core.K
    gc.collect()
    gc.freeze()

    def one(seed: int) -> None:
        job = Job(target=target, plan=Plan(seed=seed, epoch_s=0), cwd="/")
        universe, director = runtime.build(job, scenario)
        universe.ended = 1_000  # its program is one of many: no whole collection at its end
        result = runtime.conclude(universe, director, universe.kernel.run(), job)
        assert result.failure is None, result.failure
        teardown.end(universe, outside)

    for seed in range(50):
        one(seed)
    start, count = cpu_s(), 0
    while cpu_s() - start < seconds:
        for seed in range(ROUNDS):
            one(seed)
        count += ROUNDS
        gc.collect(1)
    cpu = cpu_s() - start
    row = {"cell": "tiny", "cpu": cpu, "runs": count, "per_cpu": count / cpu}
    print("RESULT " + json.dumps(row), flush=True)
    leave(0)


if __name__ == "__main__":
    main(float(sys.argv[1]))
