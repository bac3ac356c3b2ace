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
from wavetank.contract import DIFFERENCES

MARKS = {"ok": "ok", "known": "deviates", "not offered": "-"}


def label(target: dict[str, Any]) -> str:
    """The head of a column."""
    name = target["target"] if target["family"] == "twisted" else target["family"]
    name = f"{name} {'.'.join(target['version'].split('.')[:2])}"
    return name if target["ground"] == "real" else f"{name}, simulated"


def page(targets: list[dict[str, Any]], again: list[dict[str, Any]]) -> str:
    """The table, the differences, the deviations; and what came of further runs."""
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
        " `python -m tests.suites.conformance FILES --again FILES --page FILE`; seconds on two processors that"
        " 15 to 20 processes wanted",
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
    lines += ["", "## The twenty differences", "", *_differences(heads, rows)]
    lines += ["## Repetitions", "", *_repetitions(again), "", "## Deviations", ""]
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


def _differences(heads: list[str], rows: dict[str, dict[str, Any]]) -> list[str]:
    """Which target has which difference, by the ledger's notes."""
    lines = [
        "A program of ten lines for each is in [differences](../differences.md).",
        "",
        "| difference | has it | cases |",
        "|---|---|---|",
    ]
    for row in DIFFERENCES:
        who = {
            head: [name for name, case in rows[head].items() if f"difference {row.number}, " in case["note"]]
            for head in heads
        }
        cases = sorted({name for names in who.values() for name in names})
        having = ", ".join(head for head, names in who.items() if names) or "none of these"
        shown_cases = ", ".join(f"`{name}`" for name in cases)
        lines.append(f"| {row.number}. {row.check} | {having} | {shown_cases} |")
    return [*lines, ""]


def _repetitions(again: list[dict[str, Any]]) -> list[str]:
    """Whether further runs of all cases came out alike: verdicts, what each actor heard, complaints."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for data in again:
        groups.setdefault(label(data), []).append(data)
    lines = ["| target | runs of all cases | cases that came out differently | seconds |", "|---|---:|---|---|"]
    for head, group in groups.items():
        outcomes = [
            {case["name"]: (case["verdict"], case["heard"], case["complaints"]) for case in data["cases"]}
            for data in group
        ]
        changing = [name for name in outcomes[0] if any(each[name] != outcomes[0][name] for each in outcomes)]
        seconds = sorted(data["seconds"] for data in group)
        lines.append(
            f"| {head} | {len(group)} | {', '.join(changing) or 'none'} | {seconds[0]:.0f} to {seconds[-1]:.0f} |"
        )
    return lines


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
    parser.add_argument("--again", nargs="*", type=Path, default=[], help="further runs, to compare with each other")
    parser.add_argument("--page", type=Path, required=True)
    given = parser.parse_args()
    targets = [target for file in given.files for target in json.loads(file.read_text())["targets"]]
    again = [target for file in given.again for target in json.loads(file.read_text())["targets"]]
    given.page.write_text(page(targets, again))


if __name__ == "__main__":
    main()
