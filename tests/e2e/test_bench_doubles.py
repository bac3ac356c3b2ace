"""The benchmark of the doubles runs; comparisons are `bench/doubles/run`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "doubles"


@pytest.mark.long
@pytest.mark.parametrize(
    "contender", ["iosim", "StringTransport", "StringTransport, cut by hand", "connect, Twisted", "connect, asyncio"]
)
def test_an_exchange(contender: str, record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, str(BENCH / "one.py"), contender, "64 bytes, one write an answer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    us_each = json.loads(done.stdout.rpartition("RESULT ")[2])["us_each"]
    record_property("us of CPU for each chunk", f"{us_each:.3f}")
