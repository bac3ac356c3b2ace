"""Many simulations one after another in one interpreter, without a fork for each: `series.py SECONDS [CELL [--bare]]`.

This is how fast worlds are made, run and taken apart; the cell is `tiny` unless another is named. Campaigns do not run
so: each of their runs is a fork, so that it starts from the very same heap. `--bare`: without oracles, with nothing
written to the trace and nothing added to its digest (see `exploring.py`). Prints one JSON line, as `ours.py`.
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

from wavetank.campaign.session import ORACLES  # noqa: E402
from wavetank.kernel.recorder import Payload, Recorder  # noqa: E402
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


def repeat(
    cell: str, seconds: float, begin: Callable[[], object] = lambda: None, oracles_off: tuple[str, ...] = ()
) -> tuple[int, float]:
    """Run a cell for `seconds` of processor time: how often, and in how much. `begin`: called after the warm-up."""
    target = Target(label=cell, module=SCENARIOS, function=cell)
    runtime.prepare(target)
    scenario = runtime.load(target)
    outside = core.K
    gc.collect()
    gc.freeze()

    def one(seed: int) -> None:
        plan = Plan(seed=seed, epoch_s=0)
        job = Job(target=target, plan=plan, cwd="/", virtual_limit_ns=2 * 3600 * 10**9, oracles_off=oracles_off)
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


def record_nothing() -> None:
    """Leave out what writing the trace and making its digest cost."""

    def nothing(*_: object, **__: object) -> None:
        pass

    Recorder.event = Recorder.switch = Payload.add = nothing  # type: ignore[assignment, method-assign]


def main(seconds: float, cell: str = "tiny", *, bare: bool = False) -> None:
    """Simulations of one kind: how many in a second."""
    if bare:
        record_nothing()
    count, cpu = repeat(cell, seconds, oracles_off=ORACLES if bare else ())
    row = {"cell": cell, "cpu": cpu, "runs": count, "per_cpu": count / cpu}
    print("RESULT " + json.dumps(row), flush=True)
    leave(0)


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:3], bare="--bare" in sys.argv)
