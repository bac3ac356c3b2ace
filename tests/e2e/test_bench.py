"""The benchmarks run, and say how fast this machine is today; comparisons with others are `bench/run`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def measured(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, *words], cwd=BENCH / "peers", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    row: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT ")[2])
    return row


@pytest.mark.long
@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("echo, round trips per CPU s", ("../ours.py", "echo")),
        ("echo under mild faults", ("../ours.py", "echo", "--faults", "mild")),
        ("the limit of echo", ("one.py", "limit", "pingpong")),
        ("fan-in, requests per CPU s", ("../ours.py", "fanin")),
        ("the limit of fan-in", ("one.py", "limit", "fanin")),
        ("bulk, MiB per CPU s", ("../ours.py", "bulk")),
        ("idle hour, CPU s", ("../ours.py", "idle")),
        ("tiny simulations per CPU s", ("../ours.py", "tiny")),
        ("tiny simulations in one process", ("../ours.py", "tiny", "--series")),
        ("1000 hosts, hosts per CPU s", ("../ours.py", "hosts")),
        ("10 000 connections, connections per CPU s", ("../ours.py", "connections")),
    ],
    ids=lambda value: value.split(",")[0].replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_benchmark_runs(cell: str, words: tuple[str, ...], record_property: Callable[[str, object], None]) -> None:
    row = measured(*words)
    record_property(cell, f"{row['per_cpu']:.3g}")
    if "kib_each" in row:
        record_property("KiB each", f"{row['kib_each']:.1f}")


@pytest.mark.long
def test_a_step_costs_the_same_whatever_waits(record_property: Callable[[str, object], None]) -> None:
    alone, beside = (measured("../ours.py", f"waiting_{count}")["us_each"] for count in (0, 3000))
    record_property("us per exchange, alone and beside 3000 connections and timers", f"{alone:.1f}, {beside:.1f}")
    assert beside < 2 * alone
