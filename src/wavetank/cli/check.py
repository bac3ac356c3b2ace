"""`wavetank check`: one protocol, one conversation, every cut.

Owns nothing but the way from the options to the call and from the result to the terminal.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec

from wavetank.check.api import EXAMPLES, SECONDS, checked
from wavetank.check.conversation import FORMS, SIDES, Conversation
from wavetank.check.search import Report
from wavetank.check.subject import DIALECTS
from wavetank.check.target import load
from wavetank.cli import options, output
from wavetank.errors import EXIT_FAILURE, EXIT_OK, CheckFailed, UsageError


@click.command("check", cls=options.Command, short_help="Check a protocol.")
@click.argument("factory", metavar="FACTORY")
@click.option("--conversation", "file", metavar="FILE", help="What the peer says: bytes, text form, or a capture.")
@click.option("--dialect", metavar="NAME", help=f"{', '.join(DIALECTS)}; needed where it cannot be told.")
@click.option("--form", metavar="FORM", help=f"{', '.join(FORMS)}; else the file shows it.")
@click.option("--side", default="server", metavar="SIDE", help="What the protocol plays: server or client.  [server]")
@click.option("--connection", type=options.Whole(1, 10**6), metavar="N", help="Which connection of a capture.")
@click.option("--observe", metavar="NAME", help="package.module:function of the protocol, or an attribute's name.")
@click.option(
    "--reads-as",
    metavar="NAME",
    help="http2, or package.module:function of the bytes written: what it gives is compared instead of them.",
)
@click.option(
    "--for", "limit_s", type=options.Duration(), default=f"{SECONDS:g}s", metavar="TIME", help=f"[{SECONDS:g}s]"
)
@click.option(
    "--examples",
    type=options.Whole(0, 10**7),
    default=EXAMPLES,
    metavar="N",
    help=f"Drawn by Hypothesis.  [{EXAMPLES}]",
)
@options.json_option
def command(factory: str, file: str | None, as_json: bool, **given: Any) -> int:
    """Check that a protocol does the same however its input is cut, ended and held up.

    FACTORY is package.module:NAME or file.py::NAME: a class or function that makes a new protocol without arguments.
    The exit status is 0, or 1 with the smallest cut that shows a failure, and a regression test.
    """
    if file is None:
        raise UsageError("no conversation", next=f"wavetank check {factory} --conversation FILE")
    for name, known in (("form", FORMS), ("side", SIDES)):
        if given[name] is not None and given[name] not in known:
            raise UsageError(f"--{name} {given[name]}: there is no such {name}", why=", ".join(known))
    conversation = Conversation.read(file, form=given["form"], side=given["side"], connection=given["connection"])
    made, imports = load(factory)
    observe, reads_as = given["observe"], given["reads_as"]
    report, failure = checked(
        made,
        conversation,
        observe=load(observe)[0] if observe and ":" in observe else observe,
        dialect=given["dialect"],
        reads_as=load(reads_as)[0] if reads_as and ":" in reads_as else reads_as,
        seconds=given["limit_s"],
        examples=given["examples"],
        imports=imports,
    )
    if as_json:
        click.echo(msgspec.json.encode(_data(factory, report, failure)).decode())
    else:
        _show(factory, report, failure)
    return EXIT_OK if failure is None else EXIT_FAILURE


def _show(label: str, report: Report, failure: CheckFailed | None) -> None:
    if failure is None:
        output.say(f"{label}: no failure in {output.plural(report.runs, 'run')}, {report.seconds:.1f} s")
        for name, (tried, of) in report.tried.items():
            output.say(f"  {name:<20} {tried:>6,}{'' if of in (None, tried) else f' of {of:,}'}")
    else:
        output.say(f"FAILURE  {failure.what}", fg="red", bold=True)
        for line in failure.lines()[1:]:
            output.say(line)
        output.say()
        output.say(f"{label}: found in run {report.runs:,}, after {report.seconds:.1f} s")
    for note in report.notes:
        output.remark(f"note: {note}")


def _data(label: str, report: Report, failure: CheckFailed | None) -> dict[str, Any]:
    failures = []
    if failure is not None:
        assert report.finding is not None
        schedule = report.finding.schedule
        failures.append({
            "kind": failure.kind,
            "error": f"{failure.what}: {failure.why}",
            "where": failure.where,
            "plan": [*schedule.words()],
            "pieces": [[*map(len, turn)] for turn in schedule.pieces],
            "report": failure.report,
            "test": failure.test,
        })  # fmt: skip
    tried = {name: {"tried": tried, "of": of} for name, (tried, of) in report.tried.items()}
    return {
        "schema": output.SCHEMA,
        "target": label,
        "runs": report.runs,
        "seconds": round(report.seconds, 3),
        "failures": failures,
        "tried": tried,
        "notes": report.notes,
    }
