"""`wavetank run`: one simulated run.

Owns nothing but the way from the options to the call and from the result to the terminal.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from wavetank.campaign import failures, machine
from wavetank.campaign.confirm import Verdict, confirm
from wavetank.campaign.plans import plan_for
from wavetank.campaign.session import Session, today_s
from wavetank.cli import options, output
from wavetank.errors import EXIT_FAILURE, EXIT_NONDETERMINISM, EXIT_OK
from wavetank.plan import Plan
from wavetank.world.job import RunResult


@click.command("run", cls=options.Command, short_help="One simulated run.")
@options.target_options
@options.run_options("none")
def command(target: str | None, hosts: tuple[str, ...], **given: Any) -> int:
    """One simulated run of TARGET: script.py, file.py::function or package.module:function.

    Without --faults, --plan or --seed the world is calm. Arguments after -- go to the script. What the program wrote is
    shown; the exit status is 0, or 1 when the run failed.
    """
    machine.refuse_unusable()
    common = options.common(given, faults="none")
    found = options.find_target(target, hosts)
    folder = failures.folder_in(common.folder)
    epoch_s = common.plan.epoch_s if common.plan is not None else today_s()
    started = time.monotonic()
    with Session(found, common.settings, epoch_s=epoch_s) as session:
        plan = _plan(common, session)
        result = session.run(plan)
        output.show_outputs(result.outputs, to_stderr=common.json)
        for note in result.notes:
            output.remark(f"note: {note}")
        if result.failure is None:
            _report(common, found.label, result, time.monotonic() - started)
            return EXIT_OK
        verdict = confirm(session, plan, result)
        file = failures.write(session, verdict, folder)
    if common.json:
        data = output.failure_data(verdict.failure, verdict.plan, verdict.result, seed=plan.seed, file=file)
        _report(common, found.label, result, time.monotonic() - started, data)
    else:
        _report(common, found.label, result, time.monotonic() - started)
        output.say()
        _show(verdict, plan.seed, file, "".join(each.stderr for each in result.outputs))
    return EXIT_NONDETERMINISM if verdict.parted else EXIT_FAILURE


def _show(verdict: Verdict, seed: int, file: Path, said: str) -> None:
    """The failure block, without what stands above it already."""
    record, result = verdict.failure, msgspec.structs.replace(verdict.result, outputs=[])
    shown = record.traceback.strip() in said
    output.show_failure(record, verdict.plan, result, seed=seed, file=file, traceback=not shown)


def _plan(common: options.Common, session: Session) -> Plan:
    if common.plan is not None:
        session.check(common.plan)
        return common.plan if common.seed is None else msgspec.structs.replace(common.plan, seed=common.seed)
    return plan_for(common.seed or 0, common.settings.families, session.epoch_s, session.hosts)


def _report(common: options.Common, label: str, result: RunResult, seconds: float, *found: dict[str, Any]) -> None:
    virtual_s = result.virtual_ns / 1e9
    if common.json:
        output.print_json(
            label, 1, seconds, [*found], status=result.status, digest=result.digest, virtual_seconds=virtual_s
        )
        return
    digest = f", digest {result.digest}" if result.digest else ""
    output.say(f"{label}: exit status {result.status}, {virtual_s:.6f} s of virtual time{digest}")
