"""`wavetank conform`: whether a loop or a reactor keeps the transport contract.

Owns the options and the table. The cases, and how they are run, are `wavetank.conformance`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import click

from wavetank.cli import options, output
from wavetank.conformance import runner
from wavetank.conformance.case import shown
from wavetank.conformance.cases import CASES
from wavetank.conformance.runner import Result
from wavetank.conformance.targets import Target, any_target, found_function, loop_target, reactor_target, with_endpoint
from wavetank.errors import EXIT_FAILURE, EXIT_OK, UsageError

#: Colours of verdicts.
_STYLE: Final = {"ok": "green", "known": "yellow", "not offered": "blue"}
_GROUNDS: Final = {"real": ("real",), "simulated": ("simulated",), "both": ("real", "simulated")}


@dataclass
class _Table:
    """What came of one target on one ground."""

    target: Target
    ground: str
    rows: list[Result]
    seconds: float = 0.0

    @property
    def label(self) -> str:
        """The target, and the ground where it is not the real one."""
        return self.target.label if self.ground == "real" else f"{self.target.label}, {self.ground}"


@click.command("conform", cls=options.Command, short_help="Does a loop keep the transport contract?")
@click.option(
    "--loop", "loops", multiple=True, metavar="NAME", help="asyncio (the default), uvloop, or module:factory."
)
@click.option(
    "--reactor",
    "reactors",
    multiple=True,
    metavar="NAME",
    help="A Twisted reactor: select, poll, epoll, asyncio, or module:factory.",
)
@click.option(
    "--trio",
    "trios",
    multiple=True,
    metavar="NAME",
    help="Trio streams by Trio's own checks: tcp, socketpair, memory, or module:function that makes a pair.",
)
@click.option(
    "--endpoint",
    metavar="MODULE:NAME",
    help="Transports of your own: what makes an object with listen and connect; plain streams only.",
)
@click.option(
    "--ground",
    type=click.Choice([*_GROUNDS]),
    default="real",
    show_default=True,
    help="Loopback sockets of this machine, the simulated kernel, or both, with the differences.",
)
@click.option("--case", "names", multiple=True, metavar="NAME", help="Only this case; may be repeated.")
@click.option("--compare", nargs=2, metavar="A B", help="Show only where two targets differ.")
@click.option(
    "--limit",
    "limit_s",
    type=float,
    default=runner.LIMIT_S,
    show_default=True,
    metavar="SECONDS",
    help="A case that takes longer hangs.",
)
@click.option("--list", "listing", is_flag=True, help="Show the cases, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    loops: tuple[str, ...],
    reactors: tuple[str, ...],
    trios: tuple[str, ...],
    endpoint: str | None,
    ground: str,
    names: tuple[str, ...],
    compare: tuple[str, str] | None,
    limit_s: float,
    listing: bool,
    as_json: bool,
) -> int:
    """Run the conformance cases on a loop or reactor, each in a process of its own.

    Deviations that the ledger knows are marked with their upstream issue. The exit status is 0, or 1 when a case fails,
    hangs or crashes that the ledger does not have.
    """
    if limit_s <= 0:
        raise UsageError("--limit is more than 0 seconds")
    chosen = runner.known_names(names) if names else [*CASES]
    if listing:
        _list(chosen)
        return EXIT_OK
    if compare and (loops or reactors):
        raise UsageError("--compare names its targets itself", next="wavetank conform --compare asyncio uvloop")
    if trios:
        return _trio(trios, limit_s, as_json=as_json)
    targets = [*map(any_target, compare or ()), *map(loop_target, loops), *map(reactor_target, reactors)]
    tables = []
    for bare in targets or [loop_target("asyncio")]:
        target = with_endpoint(bare, endpoint) if endpoint else bare
        for each in _GROUNDS[ground]:
            tables.append(_Table(target, each, []))
            _fill(tables[-1], chosen, limit_s, quiet=as_json or bool(compare), details=bool(names))
    if as_json:
        click.echo(json.dumps({"schema": output.SCHEMA, "targets": [_data(table) for table in tables]}))
    elif compare or ground == "both":
        for first, second in _pairs(tables, compared=bool(compare)):
            _compare(first, second)
    return EXIT_FAILURE if any(row.is_new for table in tables for row in table.rows) else EXIT_OK


def _trio(names: tuple[str, ...], limit_s: float, *, as_json: bool) -> int:
    """Trio's own checks on each pair of streams."""
    from wavetank.conformance import trio_streams

    tables = []
    for name in names:
        maker: Any = trio_streams.PAIRS.get(name) or found_function(name, {}, "--trio")
        target = Target(f"trio {name}", maker, "trio", "trio", trio_streams.VERSION)
        tables.append(_Table(target, "real", list(trio_streams.run_checks(maker, limit_s=limit_s))))
    if as_json:
        click.echo(json.dumps({"schema": output.SCHEMA, "targets": [_data(table) for table in tables]}))
    for table in () if as_json else tables:
        output.say(table.label, bold=True)
        for row in table.rows:
            _show(row, details=False)
    return EXIT_FAILURE if any(row.is_new for table in tables for row in table.rows) else EXIT_OK


def _list(names: list[str]) -> None:
    for name in names:
        output.say(f"{name:<42} {CASES[name].needs or 'any'}")


def _fill(table: _Table, names: list[str], limit_s: float, *, quiet: bool, details: bool) -> None:
    """Run the cases, and show each as it comes."""
    started = time.monotonic()
    if not quiet:
        output.say(f"{table.label} ({table.target.family} {table.target.version})", bold=True)
    for row in _results(table, names, limit_s):
        table.rows.append(row)
        if not quiet:
            _show(row, details=details)
    table.seconds = time.monotonic() - started
    if not quiet:
        counts = Counter(row.verdict for row in table.rows)
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        output.say(f"{table.label}: {output.plural(len(table.rows), 'case')}: {told}; {table.seconds:.1f} s")


def _results(table: _Table, names: list[str], limit_s: float) -> Iterator[Result]:
    if table.ground == "real":
        return runner.run_cases(table.target, names, limit_s=limit_s)
    from wavetank.conformance import simulated  # here: it loads all that runs worlds

    return simulated.run_cases(table.target, names)


def _show(row: Result, *, details: bool) -> None:
    output.say(f"  {row.name:<42} {row.verdict:<12}{row.note}".rstrip(), fg=_STYLE.get(row.verdict, "red"))
    if row.is_new or details:
        for line in row.complaints:
            output.say(f"      {line}")
    if row.is_new and not details and row.name in CASES:
        output.say(f"      rule: {CASES[row.name].source}")
        output.say(f"      alone, with its script: --case {row.name}")
    if details:
        output.say(f"      rule: {CASES[row.name].source}")
        for actor, tokens in row.heard.items():
            if tokens:
                output.say(f"      {actor}: {shown(tokens)}")
        for line in CASES[row.name].script.splitlines():
            if line.strip():
                output.say(f"      | {line.strip()}")


def _data(table: _Table) -> dict[str, Any]:
    cases = [
        {
            "name": row.name, "verdict": row.verdict, "heard": row.heard, "complaints": row.complaints,
            "note": row.note, "source": source(row.name), "seconds": row.seconds,
        }
        for row in table.rows
    ]  # fmt: skip
    counts = Counter(row.verdict for row in table.rows)
    target = table.target
    return {
        "target": target.label, "ground": table.ground, "family": target.family, "version": target.version,
        "counts": dict(counts), "seconds": round(table.seconds, 3), "cases": cases,
    }  # fmt: skip


def source(name: str) -> str:
    """Where the rule of a case is written; Trio's checks are their own source."""
    return CASES[name].source if name in CASES else "trio.testing"


def _pairs(tables: list[_Table], *, compared: bool) -> Iterator[tuple[_Table, _Table]]:
    """What to compare: two targets on each ground, else each target on both."""
    if compared:
        half = len(tables) // 2
        yield from zip(tables[:half], tables[half:], strict=True)
    else:
        yield from zip(tables[::2], tables[1::2], strict=True)


def _compare(first: _Table, second: _Table) -> None:
    different = 0
    for ours, theirs in zip(first.rows, second.rows, strict=True):
        if (ours.heard, ours.verdict) == (theirs.heard, theirs.verdict):
            continue
        different += 1
        output.say(ours.name, bold=True)
        for table, row in ((first, ours), (second, theirs)):
            told = "; ".join(f"{actor}: {shown(tokens)}" for actor, tokens in row.heard.items() if tokens)
            output.say(f"  {table.label:<24} {row.verdict:<12} {told or row.note}".rstrip())
    output.say(f"{different} of {output.plural(len(first.rows), 'case')} differ")
