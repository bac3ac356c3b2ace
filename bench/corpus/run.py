#!/usr/bin/env python3
"""Run `wavetank explore` on every row of the corpus, and say which bugs it found.

    bench/corpus/run.py                                    all rows, 500 runs or 60 s each
    bench/corpus/run.py redis-cancel-mixup --runs 100
    bench/corpus/run.py --write docs/results/corpus.md
    bench/corpus/run.py --corpus bench/more                the rows of our own

For each folder: an environment for the buggy and one for the fixed release (below --envs, made by `mkenv.py` from
`env.json`), with this checkout of Wavetank in both; `wavetank explore workload.py` in the buggy one with the row's
`faults`; the failure is held against `expected.toml`, which was written before the runs, and its plan is run on the
fixed release; then the fixed release is explored with as many runs, all oracles on. `--baseline` spends the same time
with `perturb.py` and `tools/faulty.py` on real sockets instead. A row whose interpreter is missing is "not run".
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: Rows whose workload fails on plain loopback sockets, too, by the table of README.md.
ON_LOOPBACK = frozenset(
    {
        "redis-cancel-mixup",
        "aiohttp-waiter-deadlock",
        "aiohttp-paused-keepalive",
        "httpcore-connect-cancel-leak",
        "aiomysql-dead-pooled",
        "twisted-http-pipeline-order",
        "uvicorn-h11-pipeline-keepalive",
        "aiohttp-pipeline-unbounded",
        "aiosmtpd-starttls-injection",
        "asyncio-writelines-unbounded",
    }
)
PERTURBATIONS = ("none", "read=1", "read=7", "read=100", "buf=4096", "buf=4096,stall=4", "late=0.5", "cut=0.5")
MODES = ("split", "delay", "reset", "eof", "stall", "mix")
#: A run of a workload on real sockets that takes longer than this hangs.
REAL_LIMIT_S = 90.0


def main() -> int:
    """Run the rows asked for, print the table, and write it where asked."""
    options = _options()
    rows = options.rows or sorted(path.parent.name for path in options.corpus.glob("*/env.json"))
    expected = tomllib.loads((options.corpus / "expected.toml").read_text())
    one = _baseline if options.baseline else _row
    results = []
    for name in rows:
        result = one(options.corpus / name, expected[name], options)
        results.append(result)
        print(json.dumps(result), flush=True)
    text = _baseline_page(results, options) if options.baseline else _page(results, options)
    print(text)
    if options.write:
        options.write.write_text(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="folders; all when none is named")
    parser.add_argument("--corpus", type=Path, default=HERE, help="the folder with the rows")
    parser.add_argument("--envs", type=Path, default=HERE / ".envs", help="where environments are kept")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--workers", default="auto")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--python", default="python3.11", help="the interpreter of the rows")
    parser.add_argument("--python313", default="python3.13", help="CPython 3.13.0, for the row that is about it")
    parser.add_argument("--no-fixed", action="store_true", help="leave out the exploration of the fixed releases")
    parser.add_argument("--baseline", action="store_true", help="perturb.py and faulty.py on real sockets instead")
    parser.add_argument("--note", default="", help="what the page shall say of the machine and the moment")
    parser.add_argument("--write", type=Path, help="write the page here")
    options = parser.parse_args()
    options.corpus = options.corpus.absolute()
    unknown = [row for row in options.rows if not (options.corpus / row / "env.json").exists()]
    if unknown:
        parser.error(f"no row of the corpus: {', '.join(unknown)}")
    return options


# ---- environments


def _interpreter(env: dict[str, Any], side: str, options: argparse.Namespace) -> str | None:
    """The interpreter of one side of a row; None when this machine has none."""
    newer = side == "buggy" and env["python"].startswith("3.13.0")
    wanted = env.get("interpreter", {}).get(side, "3.11")
    path = shutil.which(options.python313 if newer or wanted == "3.13" else options.python)
    if path is None:
        return None
    version = subprocess.run([path, "-c", "import platform; print(platform.python_version())"], capture_output=True)
    if version.returncode or (newer and version.stdout.strip() != b"3.13.0"):
        return None
    return path


def _environment(folder: Path, side: str, options: argparse.Namespace) -> Path | None:
    """The environment of one side of a row, made when it is not there; None without its interpreter."""
    env = json.loads((folder / "env.json").read_text())
    place = (options.envs / f"{folder.name}-{side}").absolute()
    ready = place / ".ready"
    if not ready.exists():
        python = _interpreter(env, side, options)
        if python is None:
            return None
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([python, HERE / "mkenv.py", folder, side, place], check=True, timeout=1800)
        install = [place / "bin/python", "-m", "pip", "install", "-q", "-e", ROOT]
        subprocess.run(install, check=True, timeout=600)
        ready.touch()
    return place


# ---- one row, simulated


def _explore(folder: Path, place: Path, faults: str, out: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [
        place / "bin/wavetank", "explore", "workload.py", "--faults", faults, "--runs", str(options.runs),
        "--for", f"{options.seconds}s", "--workers", options.workers, "--seed", str(options.seed),
        "--dir", out, "--json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode not in (0, 1, 6):
        return {"runs": 0, "seconds": 0.0, "failures": [], "problem": done.stderr.strip()[-300:]}
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def _row(folder: Path, check: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    env = json.loads((folder / "env.json").read_text())
    result: dict[str, Any] = {"row": folder.name, "faults": env["faults"], "found": None, "alarms": None}
    buggy, fixed = (_environment(folder, side, options) for side in ("buggy", "fixed"))
    if buggy is None or fixed is None:
        return result | {"why": "not run: its interpreter is not on this machine"}
    with tempfile.TemporaryDirectory(prefix="wavetank-corpus-") as name:
        out = Path(name)
        data = _explore(folder, buggy, env["faults"], out / "buggy", options)
        seconds = data.get("searching_seconds", data["seconds"])
        result |= {"runs": data["runs"], "seconds": seconds, "problem": data.get("problem", "")}
        failure = data["failures"][0] if data["failures"] else None
        if failure is not None:
            matches = failure["kind"] in check["kinds"] and re.search(check["error"], failure["error"]) is not None
            passes = _passes(folder, fixed, Path(failure["file"]), out)
            result |= {
                "kind": failure["kind"],
                "error": failure["error"],
                "seed": failure["seed"],
                "left": failure["plan"] or ["nothing: it fails in a calm world"],
                "matches": matches,
                "passes_fixed": passes,
            }
        result["found"] = failure is not None and matches and passes
        if not options.no_fixed and not env.get("fixed_may_fail"):
            data = _explore(folder, fixed, env["faults"], out / "fixed", options)
            result |= {"alarms": len(data["failures"]), "fixed_runs": data["runs"], "alarm": data["failures"][:1]}
    return result


def _passes(folder: Path, fixed: Path, file: Path, out: Path) -> bool:
    """Whether the plan in a failure file passes on the fixed release."""
    plan = out / "plan.json"
    plan.write_text(json.dumps(json.loads((folder / file).read_text())["plan"]))
    command = [fixed / "bin/wavetank", "run", "workload.py", "--plan", plan]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


# ---- one row, on real sockets


def _baseline(folder: Path, check: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"row": folder.name, "found": None}
    buggy = _environment(folder, "buggy", options)
    if buggy is None:
        return result | {"why": "not run: its interpreter is not on this machine"}
    started = time.monotonic()
    runs = 0
    while time.monotonic() - started < options.seconds and runs < options.runs:
        if runs % 2 == 0:
            what = PERTURBATIONS[runs // 2 % len(PERTURBATIONS)]
            command = [HERE / "perturb.py", what, "workload.py"]
        else:
            mode = MODES[runs // 2 % len(MODES)]
            what = f"faulty {mode}"
            command = [HERE / "tools/faulty.py", "workload.py", "1", mode, str(runs)]
        runs += 1
        left_s = max(1.0, options.seconds - (time.monotonic() - started))
        try:
            done = subprocess.run(
                [buggy / "bin/python", *command],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=min(left_s, REAL_LIMIT_S),
                env=os.environ | {"FROZEN_AFTER": "30"},
            )
        except subprocess.TimeoutExpired:
            continue
        if re.search(check["error"] or "frozen", done.stdout + done.stderr):
            seconds = round(time.monotonic() - started, 1)
            return result | {"found": True, "runs": runs, "seconds": seconds, "what": what}
    return result | {"found": False, "runs": runs, "seconds": round(time.monotonic() - started, 1)}


# ---- pages


def _head(title: str, options: argparse.Namespace) -> list[str]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    own = [] if options.corpus == HERE else ["--corpus", str(options.corpus.relative_to(ROOT))]
    how = ["--baseline"] if options.baseline else []
    command = " ".join(["bench/corpus/run.py", *options.rows, *own, *how])
    limits = f"{options.runs} runs or {options.seconds} s for each side of each row"
    machine = f"{os.cpu_count()} processors, {platform.system()} {platform.release()}"
    note = f" {options.note}" if options.note else ""
    return [f"# {title}", "", f"{now}, `{command}`; {limits}; {machine}.{note}", ""]


def _page(results: list[dict[str, Any]], options: argparse.Namespace) -> str:
    run = [each for each in results if each["found"] is not None]
    found = [each for each in run if each["found"]]
    # Whether rows of another folder fail on loopback was not measured.
    quiet = [each for each in run if each["row"] not in ON_LOOPBACK] if options.corpus == HERE else []
    loopback = f"; of those that never fail on loopback, {sum(each['found'] for each in quiet)} of {len(quiet)}"
    counted = quiet or run
    lines = [
        *_head("Corpus: real bugs of released libraries", options),
        f"Found {len(found)} of {len(run)} rows that were run ({len(results)} in all)"
        + (loopback if quiet else "")
        + (f", median {median(each['runs'] for each in counted):g} runs" if counted else "")
        + f". False alarms: {sum(each['alarms'] or 0 for each in run)}.",
        "",
        "| row | faults | found | runs | seconds | false alarms of the fixed release | left after shrinking |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_line(each) for each in results]
    missed = [each for each in run if not each["found"] and each.get("error")]
    if missed:
        lines += ["", "Failed otherwise than `expected.toml` says:", ""]
        lines += [
            f"- {each['row']}: {each['kind']}: {_cell(each['error'][:160])}"
            + ("" if each["passes_fixed"] else " (its plan fails on the fixed release, too)")
            for each in missed
        ]
    alarmed = [each for each in run if each["alarms"]]
    if alarmed:
        lines += ["", "Alarms of fixed releases:", ""]
        lines += [
            f"- {each['row']}: {alarm['kind']}: {_cell(alarm['error'][:160])}; {_cell('; '.join(alarm['plan'][:4]))}"
            for each in alarmed
            for alarm in each["alarm"]
        ]
    expected = tomllib.loads((options.corpus / "expected.toml").read_text())
    notes = [f"- {each['row']}: {expected[each['row']]['note']}" for each in run if "note" in expected[each["row"]]]
    return "\n".join([*lines, *(["", "Notes:", "", *notes] if notes else [])]) + "\n"


def _line(each: dict[str, Any]) -> str:
    if each["found"] is None:
        return f"| {each['row']} | {each['faults']} | {each['why']} | | | | |"
    alarms = "left out" if each["alarms"] is None else f"{each['alarms']} in {each['fixed_runs']} runs"
    left = "; ".join(_cell(words) for words in each.get("left", [])[:6]) if each["found"] else ""
    cells = (
        *(each["row"], each["faults"], "yes" if each["found"] else "no"),
        *(each["runs"], f"{each['seconds']:.1f}", alarms, left),
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _baseline_page(results: list[dict[str, Any]], options: argparse.Namespace) -> str:
    lines = [
        *_head("Corpus: the same time with crude perturbers on real sockets", options),
        "Calls of `perturb.py` and `tools/faulty.py` in turn, each a process of its own, until one shows the error.",
        "",
        "| row | found | runs | seconds | by |",
        "|---|---|---|---|---|",
    ]
    for each in results:
        if each["found"] is None:
            lines.append(f"| {each['row']} | {each['why']} | | | |")
        else:
            verdict = "yes" if each["found"] else "no"
            lines.append(f"| {each['row']} | {verdict} | {each['runs']} | {each['seconds']} | {each.get('what', '')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
