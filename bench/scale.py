"""How cost and memory grow with size, and what fidelity costs: `scale.py [--rounds N] [--cells ...] [--write PAGE]`.

Each cell of `scaling.py` is a run of its own in a fork of a prepared image; rounds go through all of them, so that what
else the machine does falls on each alike, and the median is shown. Ratios are of pairs within a round.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import statistics
import sys
import time
from pathlib import Path

from wavetank.campaign import target
from wavetank.campaign.session import Session, Settings
from wavetank.plan import Plan

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))
sys.path.insert(1, str(HERE))

from ours import image_cpu_s, printed  # noqa: E402  # the path above

HOSTS = ("hosts_10", "hosts_100", "hosts_1000")
MEMORY = {
    "connections_kernel": ("bytes_per_connection", "one of 10 000 idle connections: both ends, socket objects too"),
    "connections_resident": ("bytes_per_connection", "the same: resident memory"),
    "parked_processes": ("bytes_each", "a host with a program that sleeps"),
    "parked_threads": ("bytes_each", "a thread that sleeps"),
}  # fmt: skip
ECHO = ("echo_faithful", "echo_ideal")
CELLS = (*HOSTS, *MEMORY, "datagrams", *ECHO)
#: What fidelity may cost.
AIM = 1.10
#: Pairs in a round: one run takes less than a second.
PAIRS = 5


def run(cell: str) -> dict[str, float]:
    """What one run of a cell has measured."""
    settings = Settings(families=(), limit_virtual_ns=24 * 3600 * 10**9, limit_real_s=600.0)
    with Session(target.parse(f"{HERE / 'scaling.py'}::{cell}"), settings, epoch_s=0) as session:
        pid = session.image.pid
        cpu = image_cpu_s(pid)
        result = session.run(Plan(seed=0, epoch_s=0), trace_path="")
        if result.failure is not None:
            sys.exit(f"{cell} failed: {result.failure.error}\n{result.failure.traceback}")
        return {"cpu": image_cpu_s(pid) - cpu, "events": result.events, **printed(result)}


def page(rows: dict[str, list[dict[str, float]]], ratios: list[float], load: float, command: str) -> str:
    """The page of results."""

    def median(cell: str, name: str) -> float:
        return statistics.median(row[name] for row in rows[cell])

    base = median(HOSTS[0], "us_per_event")
    lines = [
        "# Scale, and what fidelity costs",
        "",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"- command: `{command}`",
        f"- machine: {platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
        f"Python {platform.python_version()}; rounds: {len(rows[HOSTS[0]])}",
        f"- load when it began: {load:.2f} (processes that wanted a processor; 0 on a quiet machine)",
        "",
        "## Hosts",
        "",
        "20 000 exchanges of a line with one server, by more and more hosts, each a program of its own with its own",
        "event loop. Processor time while they exchange; making the hosts is not part of it.",
        "",
        "| hosts | us per event | against 10 hosts | us per exchange |",
        "|---:|---:|---:|---:|",
    ]
    for cell in HOSTS:
        each, exchange = median(cell, "us_per_event"), median(cell, "us_per_exchange")
        lines.append(f"| {cell.removeprefix('hosts_')} | {each:.2f} | {each / base:.2f} | {exchange:.1f} |")
    lines += [
        "",
        "## A million datagrams",
        "",
        f"Of 64 bytes, between two hosts: {median('datagrams', 'us_per_datagram'):.2f} us of processor time each, "
        f"{median('datagrams', 'us_per_event'):.2f} us per event.",
        "",
        "## Memory",
        "",
        "| what | bytes each |",
        "|---|---:|",
        *(f"| {what} | {median(cell, name):,.0f} |" for cell, (name, what) in MEMORY.items()),
        "",
        "A connection has two ends in the same simulator, which take half of that each; the aim is 6,144 bytes.",
        "",
        "## What fidelity costs",
        "",
        "The echo benchmark (20 000 round trips of 64 bytes over one stream) as it is, and with streams exchanged for",
        "ideal ones in that run alone: what is written is there at once; no acknowledgements, windows, buffers that",
        "fill, Nagle's rule, delayed acknowledgement, congestion control, measured round trips, or timers that send",
        "again. System calls, descriptors, readiness, the network's choices and the trace are the same in both.",
        f"The aim is 1.10 at most; it is {'met' if geometric_mean(ratios) <= AIM else 'not met'}.",
        "",
        f"Processor time with fidelity / without: **{geometric_mean(ratios):.3f}**, the geometric mean of "
        f"{len(ratios)} paired runs (lowest {min(ratios):.3f}, highest {max(ratios):.3f}).",
        "",
    ]
    return "\n".join(lines)


def geometric_mean(ratios: list[float]) -> float:
    """Of ratios."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--write", type=Path, help="the page to write; with all cells")
    given = parser.parse_args()
    if given.write and set(given.cells) != set(CELLS):
        parser.error("--write needs all cells")
    load = os.getloadavg()[0]
    rows: dict[str, list[dict[str, float]]] = {cell: [] for cell in given.cells}
    ratios: list[float] = []
    for number in range(given.rounds):
        for cell in given.cells:
            if cell in ECHO:
                continue
            began = time.perf_counter()
            rows[cell].append(run(cell))
            print(f"{cell}: {rows[cell][-1]}, {time.perf_counter() - began:.0f} s", flush=True)
        if set(ECHO) <= set(given.cells):
            for pair in range(PAIRS):
                order = ECHO if (number + pair) % 2 else ECHO[::-1]  # neither is always the first
                cpu = {cell: run(cell)["cpu"] for cell in order}
                ratios.append(cpu["echo_faithful"] / cpu["echo_ideal"])
                print(f"echo: {cpu}, ratio {ratios[-1]:.3f}", flush=True)
    if ratios:
        print(f"fidelity: {geometric_mean(ratios):.3f}")
    if given.write:
        given.write.write_text(page(rows, ratios, load, " ".join(["bench/scale.py", *sys.argv[1:]])))


if __name__ == "__main__":
    main()
