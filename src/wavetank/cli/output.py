"""How results look: the failure block, the JSON object, and colour.

Owns every text that a verb prints about a run. It computes nothing.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import click

from wavetank.campaign import wording
from wavetank.campaign.failures import replay_command
from wavetank.plan import Plan
from wavetank.world.job import FailureRecord, Output, RunResult

#: The schema of `--json`.
SCHEMA: Final = 1
#: The failure block shows so many of the last lines of a program's output, and of the last events.
_OUTPUT_LINES: Final = 20
_EVENT_LINES: Final = 8
_FAULT_LINES: Final = 20
#: More choices than this are counted, not listed.
_CHOICE_LINES: Final = 10


def coloured(stream: IO[str]) -> bool:
    """Whether to write colours to `stream`: FORCE_COLOR and NO_COLOR (no-color.org) go before what it is."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def say(text: str = "", **style: Any) -> None:
    """One line of result."""
    click.echo(click.style(text, **style) if style else text, color=coloured(sys.stdout))


def remark(text: str) -> None:
    """One line that is not the result."""
    click.echo(text, err=True)


def plural(count: int, word: str) -> str:
    """As in `1 run`, `200 runs`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def show_failure(
    record: FailureRecord,
    plan: Plan,
    result: RunResult,
    *,
    seed: int,
    file: Path | None,
    count: int = 1,
    lowest: int | None = None,
    traceback: bool = True,
) -> None:
    """The block for one failure; its last line is the command that replays it.

    `count`: of runs that fail for the same cause; `lowest`: the lowest seed of these.
    """
    say(f"FAILURE  {record.error or record.kind}", fg="red", bold=True)
    say()
    for line in _place(record):
        say(f"  {line}" if line else "")
    for name, lines in _facts(record, plan, result, _seed(seed, count, lowest)):
        for index, line in enumerate(lines):
            say(f"  {'' if index else name:<9}{line}")
    _section("", record.traceback.splitlines() if traceback else [])
    for output in result.outputs:
        for stream, text in (("stdout", output.stdout), ("stderr", _without(output.stderr, record.traceback))):
            _section(f"{output.name}, {stream}:", _tail(text.splitlines(), _OUTPUT_LINES))
    _section("just before:", _tail(result.last_events, _EVENT_LINES))
    say()
    if file is not None:
        say("Replay it with:")
        say(replay_command(file), bold=True)


def _place(record: FailureRecord) -> Iterator[str]:
    """The user's own line, with its text where the traceback has it."""
    if not record.where:
        return
    yield record.where
    found = re.fullmatch(r"(.*):(\d+)(?: in (.*))?", record.where)
    if found is not None:
        line = re.escape(f'", line {found[2]}, in ')
        text = re.search(
            rf'File ".*{re.escape(os.path.basename(found[1]))}{line}.*\n([ |]+(?!File ").*)', record.traceback
        )  # in a group of exceptions, each line begins with a bar
        if text is not None:
            yield f"    {text[1].strip(' |')}"
    yield ""


def _facts(record: FailureRecord, plan: Plan, result: RunResult, seed: str) -> Iterator[tuple[str, list[str]]]:
    yield "kind", [record.kind]
    if record.summary:
        yield "", record.summary.splitlines()
    if record.host:
        yield "host", [record.host]
    yield "time", [f"{record.time_ns / 1e9:.6f} s of virtual time"]
    yield "seed", [seed]
    faults = [str(fault) for fault in plan.faults]
    more = [f"and {len(faults) - _FAULT_LINES} more"] if len(faults) > _FAULT_LINES else []
    yield "faults", [*faults[:_FAULT_LINES], *more] or ["none"]
    if plan.choices is not None:
        yield "choices", _choices(plan, result)


def _seed(seed: int, count: int, lowest: int | None) -> str:
    if count == 1:
        return f"{seed}"
    if lowest in (None, seed):
        return f"{seed}, the lowest of {count} that fail so"
    return f"{seed}, the easiest of {count} that fail so; the lowest is {lowest}"


def _choices(plan: Plan, result: RunResult) -> list[str]:
    """The choices that are not calm: each, when there are few."""
    choices = plan.choices
    if not choices:
        return ["all calm"]
    if len(choices) > _CHOICE_LINES:
        return [f"{len(choices):,} not calm"]
    return wording.choices(plan, result.explanations)


def _without(text: str, shown: str) -> str:
    """What a program wrote, without the traceback at its end that is shown above."""
    return text.rstrip().removesuffix(shown.strip()).rstrip() if shown.strip() else text


def _section(title: str, lines: Sequence[str]) -> None:
    if lines:
        say()
        if title:
            say(f"  {title}")
        for line in lines:
            say(f"  {'  ' if title else ''}{line}")


def _tail(lines: Sequence[str], count: int) -> list[str]:
    if len(lines) <= count:
        return list(lines)
    return [f"... {len(lines) - count:,} lines before", *lines[-count:]]


def show_outputs(outputs: Iterable[Output], *, to_stderr: bool) -> None:
    """What the programs of a run wrote, as they wrote it; under a heading each, when there are several."""
    several = [output for output in outputs if output.stdout or output.stderr]
    for output in several:
        if len(several) > 1:
            remark(f"--- {output.name}")
        if output.stdout:
            click.echo(output.stdout, nl=False, err=to_stderr)
        if output.stderr:
            click.echo(output.stderr, nl=False, err=True)


def failure_data(
    record: FailureRecord, plan: Plan, result: RunResult, *, seed: int, file: Path | None, count: int = 1
) -> dict[str, Any]:
    """One failure of the JSON object."""
    return {
        "seed": seed,
        "kind": record.kind,
        "error": record.error,
        "where": record.where,
        "host": record.host,
        "time": record.time_ns / 1e9,
        "summary": record.summary,
        "calm": plan.calm,
        "plan": [*(str(fault) for fault in plan.faults), *wording.choices(plan, result.explanations)],
        "digest": result.digest,
        "count": count,
        "file": str(file) if file is not None else None,
        "replay": replay_command(file) if file is not None else None,
    }


def print_json(target: str, runs: int, seconds: float, failures: list[dict[str, Any]], **more: Any) -> None:
    """The one JSON object of `--json`."""
    data = {
        "schema": SCHEMA, "target": target, "runs": runs, "seconds": round(seconds, 3), "failures": failures, **more,
    }  # fmt: skip
    click.echo(json.dumps(data))
