"""The benchmarks of the proxy run, and what does not depend on the machine holds; comparisons are `bench/proxy/run`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "proxy"
#: Rows of the table of faults that say how fast or how late: those depend on the machine.
TIMED = ("none", "latency", "bandwidth", "segments", "control API", "UDP none", "UDP, none")


def last_line(*words: str) -> Any:
    done = subprocess.run([sys.executable, *words], cwd=BENCH, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.timeout(300)
def test_five_thousand_connections_for_a_minute(record_property: Callable[[str, object], None]) -> None:
    found = last_line("many.py", "5000", "60")
    record_property("connections, exchanges, MiB", f"{found['opened']}, {found['exchanges']}, {found['MiB']}")
    assert (found["opened"], found["lost"], found["wrong"]) == (5000, 0, 0)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_each_fault_does_what_it_is_asked_to(record_property: Callable[[str, object], None]) -> None:
    rows = last_line("accuracy.py")
    for fault, asked, observed, _ in rows:
        record_property(f"{fault}: {asked}", observed)
    assert [row for row in rows if not row[3] and not row[0].startswith(TIMED)] == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["wavetank", "wavetank, no splice"])
def test_ends_pass_where_other_relays_lose_them(name: str, record_property: Callable[[str, object], None]) -> None:
    code = "import json, measure, sys; print(json.dumps(measure.measure(sys.argv[1], 1.0)))"
    row = last_line("-c", code, name)
    record_property("GiB/s, p50 us, connections/s", f"{row['GiB/s']:.2f}, {row['p50 us']:.0f}, {row['conn/s']:.0f}")
    ends = {key: row[key] for key in ("client's half close", "server's half close", "server's RST", "client's RST")}
    assert ends == {
        "client's half close": "ok", "server's half close": "ok", "server's RST": "RST", "client's RST": "RST"
    }  # fmt: skip
    assert float(row["buffered"].removesuffix(" MiB")) < 64
    assert "RST" in row["dead upstream"]
