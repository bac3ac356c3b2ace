#!/usr/bin/env python3
"""What aiming is worth: runs to the first failure with the styles that aim, and without: `aiming.py [--write FILE]`.

For each row (of `corpus/` and `more/`, those that need faults) and each variant, `wavetank explore` of the buggy
release from several first seeds that lie far apart; the median of the runs to the first failure. A variant is a copy of
the package in which a few lines at the end of a module switch something off: `VARIANTS` has them. So nothing of this is
an option of the product. The environments are those that `corpus/run.py` has made; a row without one is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVS = HERE / "corpus" / ".envs"
#: Range `n` of seeds begins at `n` times this.
APART = 100_000
ROWS = (
    "aiohttp-chunk-crlf-split", "aiohttp-ws-split-masked-frame", "aiohttp-multipart-boundary",
    "pymodbus-split-frame", "pymodbus-joined-requests", "redis-partial-reply", "twisted-linereceiver-delimiter-split",
    "redis-cancel-mixup", "aiosmtplib-timeout-desync", "websockets-ping-cancel", "dnspython-late-datagram",
    "anyio-item-lost-on-cancel", "cpython-condition-lost-notify",
    "hypercorn-half-close", "urllib3-truncated-body", "httpcore-tls-eof",
    "trio-websocket-peer-gone", "paho-publish-never-done", "waitress-reset-busy-loop",
)  # fmt: skip
CUTS, LATE, STRONG = "network/segmentation.py", "network/lateness.py", "campaign/strong.py"
NO_AIMED_CUTS = {CUTS: "STYLES = tuple(each._replace(aimed=False) for each in STYLES)"}
NO_SINGLE_BYTES = {CUTS: "STYLES = tuple(STYLES[0] if each.most == 1 else each for each in STYLES)"}
NO_AIMED_LATENESS = {LATE: "STYLES = tuple(each._replace(kind=ANY) if each.kind == AIMED else each for each in STYLES)"}
NO_BURSTS = {LATE: "STYLES = tuple(STYLES[0] if each.kind == BURSTS else each for each in STYLES)"}
AT_TIMES = {STRONG: "_aimed = _strikes\ndef _strikes(*args):\n    return _aimed(*args[:-1], ('time',))"}
PLAIN = {CUTS: "STYLE_RATE = 0", LATE: "STYLE_RATE = 0", **AT_TIMES}
VARIANTS = {
    "as it is": {},
    "no aimed cuts": NO_AIMED_CUTS,
    "no single bytes": NO_SINGLE_BYTES,
    "no aimed lateness": NO_AIMED_LATENESS,
    "no bursts": NO_BURSTS,
    "breaks at times only": AT_TIMES,
    "plain": PLAIN,
}


def main() -> int:
    """Measure, and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="wavetank-aiming-") as place:
        copies = {name: _copy(Path(place) / str(number), name) for number, name in enumerate(VARIANTS)}
        until = time.monotonic() + options.minutes * 60
        rows = [row for row in options.rows if (ENVS / f"{row}-buggy" / ".ready").exists()]
        found: dict[tuple[str, str], list[int | None]] = {}
        ranges = 0
        while ranges < options.ranges and time.monotonic() < until:  # only whole ranges count
            cells = [(row, name, copies[name], ranges * APART, options) for row in rows for name in VARIANTS]
            with ThreadPoolExecutor(options.workers) as pool:
                for (row, name, *_), runs in zip(cells, pool.map(_cell, cells), strict=True):
                    found.setdefault((row, name), []).append(runs)
                    print(ranges, row, name, runs, file=sys.stderr, flush=True)
            ranges += 1
    text = _page(rows, found, ranges, options)
    print(text)
    if options.write:
        options.write.write_text(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=ROWS, metavar="ROW")
    parser.add_argument("--ranges", type=int, default=5, help="of seeds")
    parser.add_argument("--runs", type=int, default=60, help="the most for one range")
    parser.add_argument("--seconds", type=int, default=20, help="the most for one range")
    parser.add_argument("--minutes", type=float, default=120, help="begin no further range after that")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--note", default="", help="what the page shall say of the machine and the moment")
    parser.add_argument("--write", type=Path, help="write the page here")
    return parser.parse_args()


def _copy(place: Path, name: str) -> Path:
    """A copy of the package in which variant `name` is in force."""
    shutil.copytree(HERE.parent / "src" / "wavetank", place / "wavetank", ignore=shutil.ignore_patterns("__pycache__"))
    for module, lines in VARIANTS[name].items():
        with (place / "wavetank" / module).open("a") as file:
            file.write(f"\n{lines}\n")
    return place


def _cell(cell: tuple[str, str, Path, int, argparse.Namespace]) -> int | None:
    """Runs to the first failure; None when there was none."""
    row, _, copy, seed, options = cell
    folder = next(each / row for each in (HERE / "corpus", HERE / "more") if (each / row).exists())
    faults = json.loads((folder / "env.json").read_text())["faults"]
    with tempfile.TemporaryDirectory(prefix="wavetank-aiming-") as out:
        command = [
            ENVS / f"{row}-buggy/bin/python", "-m", "wavetank", "explore", "workload.py", "--faults", faults,
            "--runs", str(options.runs), "--for", f"{options.seconds}s", "--seed", str(seed), "--workers", "1",
            "--no-shrink", "--dir", out, "--json",
        ]  # fmt: skip
        env = os.environ | {"PYTHONPATH": str(copy)}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode not in (0, 1, 6):
        raise RuntimeError(done.stderr[-1000:])
    data = json.loads(done.stdout)
    return int(data["runs"]) if data["failures"] else None


def _page(
    rows: list[str], found: dict[tuple[str, str], list[int | None]], ranges: int, options: argparse.Namespace
) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    note = f" {options.note}" if options.note else ""
    lines = [
        "# Aiming against plain random choice", "",
        f"{now}, `bench/aiming.py`; {ranges} ranges of seeds, at most {options.runs} runs or {options.seconds} s each."
        + note, "",
        "Runs to the first failure of the buggy release, the median over the ranges; *-*: in most ranges none.", "",
        f"| row | {' | '.join(VARIANTS)} |", "|---|" + "---|" * len(VARIANTS),
    ]  # fmt: skip
    for row in rows:
        lines.append(f"| {row} | {' | '.join(_median(found[row, name]) for name in VARIANTS)} |")
    sums = [sum(each or options.runs for row in rows for each in found[row, name]) / ranges for name in VARIANTS]
    missed = [sum(each is None for row in rows for each in found[row, name]) for name in VARIANTS]
    lines.append(f"| all, one range | {' | '.join(f'{each:.0f}' for each in sums)} |")
    lines.append(f"| ranges without a failure, of {len(rows) * ranges} | {' | '.join(str(each) for each in missed)} |")
    return "\n".join(lines) + "\n"


def _median(runs: list[int | None]) -> str:
    middle = statistics.median(float("inf") if each is None else each for each in runs)
    return "-" if middle == float("inf") else f"{middle:g}"


if __name__ == "__main__":
    sys.exit(main())
