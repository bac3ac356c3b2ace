"""Writes docs/results/timers.md from runs on both sides: `python -m tests.parity.timers.page`."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.parity.timers import scenarios
from tests.parity.timers.scenarios import SCENARIOS
from tests.support.worlds import Worlds, functions_of

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "results" / "timers.md"
NOT_RUN: Final = "not run"
#: Linux's timer wheel fires late by up to an eighth (LVL_CLK_SHIFT, kernel/time/timer.c), and a busy machine later;
#: never early but for the tick of the clock in which it was set.
LATE_SHARE, LATE_S, EARLY_S = 0.125, 0.35, 0.02


def on_linux() -> dict[str, Any]:
    """What each program saw on real Linux; `{"not run": why}` where this machine does not allow it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.parity.timers.real"],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def worlds() -> Worlds:
    """Where the programs run in simulated worlds; close it."""
    return functions_of(str(scenarios.__file__))


def in_a_world(place: Worlds, name: str) -> dict[str, Any]:
    """What a program saw in the simulated kernel."""
    result = place.run(name, virtual_limit_ns=3_000 * 10**9)
    assert result.failure is None, result.failure
    (line,) = [output.stdout for output in result.outputs if output.name.startswith("client")]
    found: dict[str, Any] = json.loads(line)
    return found


def alike(linux: dict[str, Any], simulated: dict[str, Any]) -> bool:
    """The same answer, after the same time."""
    early, late = simulated["seconds"] - EARLY_S, simulated["seconds"] * (1 + LATE_SHARE) + LATE_S
    return bool(linux["told"] == simulated["told"]) and early <= linux["seconds"] <= late


def page(linux: dict[str, Any], simulated: dict[str, Any]) -> str:
    """The page of results."""
    rows = []
    for name, scenario in SCENARIOS.items():
        one, other = linux[name], simulated[name]
        told = "done" if one["told"] in (True, None) else one["told"]
        verdict = "yes" if alike(one, other) else "**no**"
        rows.append(f"| {scenario.what} | {told} | {one['seconds']:.2f} | {other['seconds']:.2f} | {verdict} |")
    return "\n".join(
        [
            "# Timers that loopback cannot show",
            "",
            f"- date: {datetime.datetime.now(datetime.UTC).date()}",
            "- command: `python -m tests.parity.timers.page`",
            f"- CPython {sys.version.split()[0]}, Linux {os.uname().release.split('-')[0]}",
            "",
            "The same programs (`tests/parity/timers/scenarios.py`) on real Linux and in a world with two hosts. On",
            "Linux each has two network namespaces, joined by virtual Ethernet; the network is cut by neighbours'",
            "addresses that nobody has. Settings that make Linux wait shorter are made on both sides. Seconds count",
            "from the call. Linux's timers fire late by up to an eighth, as its timer wheel has coarser steps for",
            "longer times; the simulated ones are exact, so alike means: the same answer, not earlier than simulated,",
            "and later by an eighth and a third of a second at most.",
            "",
            "| program | answer | Linux, s | simulated, s | alike |",
            "|---|---|---:|---:|---|",
            *rows,
            "",
            "`python -m pytest -m long tests/parity/test_timers.py` compares them anew.",
            "",
        ]
    )


def main() -> int:
    """The command: 4 where Linux cannot be asked."""
    linux = on_linux()
    if NOT_RUN in linux:
        print(f"not run: {linux[NOT_RUN]}", file=sys.stderr)
        return 4
    place = worlds()
    try:
        simulated = {name: in_a_world(place, name) for name in SCENARIOS}
    finally:
        place.close()
    PAGE.write_text(page(linux, simulated))
    return 0


if __name__ == "__main__":
    sys.exit(main())
