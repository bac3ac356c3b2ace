"""What forks cost without us: `forks.py SECONDS [--exchange]` forks this interpreter, with many libraries imported.

With nothing done in the child it is the least that a forked run can cost; with `--exchange` the child makes the tiny
exchange of `peers/work.py` over the real loopback. Prints one JSON line, as `ours.py`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

import heavy  # noqa: F401  # for what it imports
import work

FIRST_PORT, PORTS = 20_000, 5_000


def cpu_s() -> float:
    """Processor time of this process and of its children."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def faults() -> int:
    """Page faults of the children."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def fork(number: int, exchange: bool) -> None:
    """One child, to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if exchange:
                asyncio.run(work.tiny(FIRST_PORT + number % PORTS)())
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        sys.exit("the exchange over the real loopback failed")


def main(seconds: float, exchange: bool) -> None:
    """Repeat and print."""
    gc.collect()
    gc.freeze()
    fork(0, exchange)
    count, start, before = 0, cpu_s(), faults()
    while cpu_s() - start < seconds:
        count += 1
        fork(count, exchange)
    cpu = cpu_s() - start
    each = (faults() - before) / count
    print("RESULT " + json.dumps({"cpu": cpu, "runs": count, "per_cpu": count / cpu, "faults_each": each}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), "--exchange" in sys.argv)
