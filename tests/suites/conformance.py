"""The page of conformance: `python -m tests.suites.conformance FILE.json... --page docs/results/conformance.md`.

Each FILE is what `wavetank conform --json` wrote, on one interpreter; the page has a column for each target in them,
and every deviation with its script.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any

from wavetank.conformance.case import shown
from wavetank.conformance.cases import CASES

MARKS = {"ok": "ok", "known": "deviates", "not offered": "-"}


def label(target: dict[str, Any]) -> str:
    """The head of a column."""
    name = target["target"] if target["family"] == "twisted" else target["family"]
    name = f"{name} {'.'.join(target['version'].split('.')[:2])}"
    return name if target["ground"] == "real" else f"{name}, simulated"


def page(targets: list[dict[str, Any]]) -> str:
    """The table, and the deviations."""
    heads = [label(target) for target in targets]
    rows = {target: {case["name"]: case for case in data["cases"]} for target, data in zip(heads, targets, strict=True)}
    lines = [
        "# Conformance of loops and reactors",
        "",
        "Every case of `wavetank conform` on asyncio, uvloop, Twisted's reactors and the simulated kernel. `ok`: what",
        "the documentation allows; `deviates`: known, explained below; `-`: not offered there.",
        "",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "- command: `wavetank conform --json ...` on each interpreter, then"
        " `python -m tests.suites.conformance FILES --page FILE`",
        f"- {platform.system()} {platform.release()}, {platform.machine()}",
        "",
        "| target | cases | " + " | ".join(("ok", "deviates", "not offered", "new", "seconds")) + " |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for head, data in zip(heads, targets, strict=True):
        counts = Counter(data["counts"])
        new = sum(counts[verdict] for verdict in ("fails", "hung", "crashed"))
        lines.append(
            f"| {head} | {len(data['cases'])} | {counts['ok']} | {counts['known']} | {counts['not offered']} | {new} |"
            f" {data['seconds']:.0f} |"
        )
    lines += ["", "## Deviations", ""]
    for name, case in CASES.items():
        told = [(head, rows[head][name]) for head in heads if rows[head][name]["verdict"] not in ("ok", "not offered")]
        if told:
            lines += _deviation(name, case, told)
    lines += ["## Where the simulated kernel differs from Linux", "", *_simulated(heads, rows), ""]
    lines += ["## Cases", "", f"| case | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in CASES:
        cells = [MARKS.get(rows[head][name]["verdict"], rows[head][name]["verdict"]) for head in heads]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _deviation(name: str, case: Any, told: list[tuple[str, dict[str, Any]]]) -> list[str]:
    lines = [f"### {name}", "", f"Rule: {case.source}.", "", "```text"]
    lines += [line.strip() for line in case.script.splitlines() if line.strip()]
    lines += ["```", ""]
    for (note, complaints), heads in _grouped(told).items():
        lines.append(f"- {', '.join(heads)}: {note or 'new'}. Seen: `{'; '.join(complaints)}`")
    return [*lines, ""]


def _grouped(told: list[tuple[str, dict[str, Any]]]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for head, row in told:
        groups.setdefault((row["note"], tuple(row["complaints"])), []).append(head)
    return groups


def _simulated(heads: list[str], rows: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for head in heads:
        real = head.removesuffix(", simulated")
        if real == head or real not in rows:
            continue
        for name, ours in rows[head].items():
            theirs = rows[real][name]
            if ours["verdict"] != theirs["verdict"]:
                lines.append(f"- `{name}` on {real}: {ours['verdict']} ({ours['note']}), on Linux {theirs['verdict']}")
            elif ours["heard"] != theirs["heard"]:
                both = [
                    f"{actor}: {shown(ours['heard'].get(actor, []))}, on Linux {shown(theirs['heard'].get(actor, []))}"
                    for actor in sorted({*ours["heard"], *theirs["heard"]})
                    if ours["heard"].get(actor) != theirs["heard"].get(actor)
                ]
                lines.append(f"- `{name}` on {real}: same verdict; {'; '.join(both)}")
    return lines or ["Nowhere."]


def main() -> None:
    """Read the command line, write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites.conformance", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, required=True)
    given = parser.parse_args()
    targets = [target for file in given.files for target in json.loads(file.read_text())["targets"]]
    given.page.write_text(page(targets))


if __name__ == "__main__":
    main()
