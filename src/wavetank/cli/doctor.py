"""`wavetank doctor`: what works on this machine.

Owns nothing but the way from the facts to the terminal.
"""

from __future__ import annotations

import json

import click

from wavetank import __version__
from wavetank.campaign import machine
from wavetank.cli import options, output
from wavetank.errors import EXIT_ENVIRONMENT, EXIT_OK

_COLOURS = {machine.OK: "green", machine.NOTE: "yellow", machine.PROBLEM: "red"}


@click.command("doctor", cls=options.Command, short_help="What works here.")
@click.option("--dir", "folder", default=".wavetank", metavar="DIR", help="Where failures go.  [.wavetank]")
@options.json_option
def command(folder: str, as_json: bool) -> int:
    """Say what works on this machine; the exit status is 4 when something is missing that is needed."""
    facts = [*machine.examine(folder)]
    failed = any(fact.state == machine.PROBLEM for fact in facts)
    if as_json:
        data = {
            "schema": output.SCHEMA,
            "version": __version__,
            "ok": not failed,
            "facts": [each._asdict() for each in facts],
        }
        click.echo(json.dumps(data))
    else:
        output.say(f"wavetank {__version__}")
        for fact in facts:
            output.say(f"{fact.state:<8}{fact.name:<12}{fact.text}", fg=_COLOURS[fact.state])
    return EXIT_ENVIRONMENT if failed else EXIT_OK
