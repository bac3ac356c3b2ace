"""`wavetank replay`: a failure again, from its file.

Owns nothing but the way from the options to the call and from the result to the terminal.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
import msgspec

from wavetank.campaign import machine, replay
from wavetank.campaign.replay import Replayed
from wavetank.cli import options, output
from wavetank.errors import EXIT_FAILURE, EXIT_NONDETERMINISM, EXIT_OK, UsageError
from wavetank.failure_file import FailureFile, read_failure
from wavetank.trace.reading import read_trace
from wavetank.world.job import FailureRecord


@click.command("replay", cls=options.Command, short_help="A failure again, exactly.")
@click.argument("file", metavar="FILE")
@click.option("--trace", is_flag=True, help="Print everything that happened, before the failure.")
@click.option("--pdb", "debugger", is_flag=True, help="Look at the exception with pdb, where it was raised.")
@click.option("--strict", is_flag=True, help="Another environment or source is an error, not a remark.")
@options.json_option
def command(file: str, trace: bool, debugger: bool, strict: bool, as_json: bool) -> int:
    """Run the failure in FILE again, exactly as it was found.

    The exit status is 1 when it fails as before; 0 when it does not fail any more because the code or the environment
    has changed; 6 when nothing has changed and yet it is another run.
    """
    if options.script_arguments():
        raise UsageError("the failure file says what the script's arguments were", next="leave out -- and what follows")
    if debugger and not os.isatty(0):
        raise UsageError("--pdb: standard input is no terminal", why="the debugger reads what you type")
    machine.refuse_unusable()
    failure = read_failure(file)
    started = time.monotonic()
    with replay.session_for(failure) as session, tempfile.TemporaryDirectory(prefix="wavetank-trace-") as folder:
        if strict:
            replay.insist(failure, session)
        for line in replay.changes(failure, session):
            output.remark(f"not as it was: {line}")
        path = os.path.join(folder, "trace") if trace else ""
        session.debugger = debugger
        replayed = replay.replay(failure, session, trace_path=path)
        if trace and not as_json:
            for record in read_trace(path):
                output.say(str(record))
            output.say()
    if as_json:
        _print_json(failure, replayed, Path(file), time.monotonic() - started)
    else:
        _print_text(failure, replayed, Path(file))
    return _status(replayed)


def _status(replayed: Replayed) -> int:
    if replayed.nondeterministic:
        # What was found not to repeat keeps its status: that it fails at all is no news.
        return EXIT_NONDETERMINISM
    return EXIT_OK if replayed.result.failure is None else EXIT_FAILURE


def _print_text(failure: FailureFile, replayed: Replayed, file: Path) -> None:
    label = failure.target.label
    now = replayed.result.failure
    if now is None:
        why = (
            "what has changed repaired or hid it" if replayed.changed else "nothing has changed, so it does not repeat"
        )
        output.say(f"{label}: no longer fails; {why}")
        if replayed.parted:
            output.say(f"  {replayed.parted}")
        return
    if replayed.again and replayed.same_digest:
        output.say(f"{label}: fails as before, digest {replayed.result.digest}")
    elif replayed.again:
        output.say(f"{label}: fails with the same message, but it is another run{_parted(replayed)}")
    else:
        output.say(f"{label}: fails, but not as before{_parted(replayed)}")
        output.say(f"  before: {failure.kind}: {failure.error}")
    output.say()
    shown = msgspec.structs.replace(replayed.result)
    output.show_failure(now, failure.plan, shown, seed=failure.seed, file=file)


def _parted(replayed: Replayed) -> str:
    return f"; {replayed.parted}" if replayed.parted else ""


def _print_json(failure: FailureFile, replayed: Replayed, file: Path, seconds: float) -> None:
    now: FailureRecord | None = replayed.result.failure
    result = replayed.result
    data = [output.failure_data(now, failure.plan, result, seed=failure.seed, file=file)] if now else []
    output.print_json(
        failure.target.label,
        1,
        seconds,
        data,
        changed=list(replayed.changed),
        same=replayed.again and replayed.same_digest,
    )
