"""`wavetank explore`: many runs, looking for a failure.

Owns nothing but the way from the options to the call and from what was found to the terminal.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource

from wavetank.campaign import explore as searching
from wavetank.campaign import failures, machine, stored
from wavetank.campaign.explore import Found, Group, Search
from wavetank.campaign.session import Session, today_s
from wavetank.campaign.stored import Replayed
from wavetank.cli import EXIT_INTERRUPTED, options, output
from wavetank.cli.progress import progress_bar
from wavetank.errors import EXIT_FAILURE, EXIT_NONDETERMINISM, EXIT_OK
from wavetank.faults import FAMILIES, MILD


@click.command("explore", cls=options.Command, short_help="Many runs: find the one that fails.")
@options.target_options
@click.option("--runs", type=options.Whole(1, options.MOST_RUNS), metavar="N", default=200, help="How many.  [200]")
@click.option("--for", "seconds", type=options.Duration(), metavar="TIME", help="Explore for so long instead.")
@click.option(
    "--workers",
    type=options.Whole(1, options.MOST_WORKERS, "auto"),
    default="auto",
    metavar="N|auto",
    help="Runs at a time; auto: one on each processor.  [auto]",
)
@click.option("--no-shrink", is_flag=True, help="Leave the plans of failures as they were drawn.")
@click.option("--keep-going", is_flag=True, help="Do not stop at the first failure; group them by cause.")
@options.run_options("mild")
def command(target: str | None, hosts: tuple[str, ...], **given: Any) -> int:
    """Run TARGET with seeds from --seed upward, with faults, until one fails.

    TARGET is script.py, file.py::function or package.module:function. Arguments after -- go to the script. The failure
    that is shown was run again and is the lowest seed's; its last line replays it.
    """
    machine.refuse_unusable()
    common = options.common(given, faults="mild")
    found_target = options.find_target(target, hosts)
    seconds: float | None = given["seconds"]
    said = click.get_current_context().get_parameter_source("runs") in (
        ParameterSource.COMMANDLINE,
        ParameterSource.ENVIRONMENT,
    )
    search = Search(
        first_seed=common.seed or 0,
        runs=given["runs"] if seconds is None or said else None,
        seconds=seconds,
        keep_going=given["keep_going"],
        plan=common.plan,
        shrink=not given["no_shrink"],
    )
    workers = given["workers"] if isinstance(given["workers"], int) else min(os.cpu_count() or 1, options.MOST_WORKERS)
    folder = failures.folder_in(common.folder)
    epoch_s = common.plan.epoch_s if common.plan is not None else today_s()
    with (
        Session(found_target, common.settings, epoch_s=epoch_s, workers=workers) as session,
        _ctrl_c() as stop,
        progress_bar(search) as progress,
    ):
        if common.plan is not None:
            session.check(common.plan)
        for name in searching.families_without_effect(common.settings.families, session):
            needed = FAMILIES[name].least_hosts
            output.remark(f"note: the family {name} does not apply to {found_target.label}: it needs {needed} hosts")
        replayed = stored.replay_all(session, folder, stop=stop)
        for text in replayed.unreadable:
            output.remark(f"note: {text}")
        found = searching.explore(session, search, stop=stop, progress=progress)
        files = {group.seed: _write(session, group, folder) for group in found.groups}
        untried = [] if common.plan is not None else searching.families_untried(common.settings.families, session)
    if common.json:
        _print_json(found_target.label, found, files, untried, replayed)
    else:
        _print_stored(found_target.label, replayed)
        _print_text(found_target.label, search, found, files)
        if untried and not found.groups:
            output.remark(f"note: stronger faults were not tried: --faults {','.join((*_asked(common), *untried))}")
    return _status(found) or (EXIT_FAILURE if any(each.now is not None for each in replayed.stored) else EXIT_OK)


def _print_stored(label: str, replayed: Replayed) -> None:
    """What became of the failures that earlier campaigns have found."""
    kept = replayed.stored
    if replayed.left_out:
        output.remark(f"note: {output.plural(replayed.left_out, 'older stored failure')} not run again")
    if not kept:
        return
    again = sum(each.now is not None for each in kept)
    output.say(f"{label}: {output.plural(len(kept), 'stored failure')} of earlier, {again} still there")
    for each in kept:
        now = each.now
        how = "no longer fails" if now is None else f"still fails, {now.kind}: {now.error}".splitlines()[0]
        output.say(f"  {failures.replay_command(each.file)}: {how}")
    output.say()


def _asked(common: options.Common) -> tuple[str, ...]:
    """The families asked for, as one would type them."""
    families = common.settings.families
    mild = ("mild",) if set(MILD) <= set(families) else tuple(name for name in families if name in MILD)
    return (*mild, *(name for name in families if name not in MILD))


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """While it lasts, the first Ctrl-C is a request that the yielded function answers; the second one interrupts."""
    asked = [False]

    def handle(number: int, frame: FrameType | None) -> None:
        if asked[0]:
            raise KeyboardInterrupt
        asked[0] = True

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: asked[0]
    finally:
        signal.signal(signal.SIGINT, before)


def _write(session: Session, group: Group, folder: Path) -> Path | None:
    return None if group.verdict is None else failures.write(session, group.verdict, folder)


def _status(found: Found) -> int:
    verdicts = [group.verdict for group in found.groups]
    if found.groups:
        unrepeatable = all(verdict is not None and verdict.parted for verdict in verdicts)
        return EXIT_NONDETERMINISM if unrepeatable else EXIT_FAILURE
    return EXIT_INTERRUPTED if found.stopped else EXIT_OK


def _print_text(label: str, search: Search, found: Found, files: dict[int, Path | None]) -> None:
    for note, count in found.notes.items():
        output.remark(f"note: {note} ({output.plural(count, 'run')})")
    for group in found.groups:
        for note in group.verdict.notes if group.verdict is not None else ():
            output.remark(f"note: seed {group.easiest}: {note}")
    how = f"{output.plural(found.runs, 'run')}, {found.seconds:.1f} s"
    if found.stopped:
        how += ", stopped by Ctrl-C"
    if not found.groups:
        last = search.first_seed + found.runs - 1
        seeds = f" (seeds {search.first_seed} to {last})" if found.runs else ""
        output.say(f"{label}: no failure in {how}{seeds}")
        return
    counts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found.outcomes.items()))
    output.say(f"{label}: {output.plural(len(found.groups), 'failure')} in {how} ({counts})")
    if len(found.groups) > 1:
        output.say()
        for group in found.groups:
            record = group.verdict.failure if group.verdict is not None else group.result.failure
            assert record is not None, "a group without failure"
            error = record.error.splitlines()[0] if record.error else ""
            output.say(f"  {group.count:>6,} x  seed {group.easiest}  {record.kind}  {record.where}  {error}")
    for group in found.groups:
        output.say()
        verdict = group.verdict
        record = verdict.failure if verdict is not None else group.result.failure
        assert record is not None, "a group without failure"
        plan, result = (verdict.plan, verdict.result) if verdict is not None else (group.plan, group.result)
        if plan.calm:
            output.say(f"{label}: fails in a calm world: no fault is needed, and no choice")
        output.show_failure(
            record, plan, result, seed=group.easiest, file=files[group.seed], count=group.count, lowest=group.seed
        )
    sys.stdout.flush()


def _print_json(
    label: str, found: Found, files: dict[int, Path | None], untried: list[str], replayed: Replayed
) -> None:
    data = []
    for group in found.groups:
        verdict = group.verdict
        record = verdict.failure if verdict is not None else group.result.failure
        assert record is not None, "a group without failure"
        plan, result = (verdict.plan, verdict.result) if verdict is not None else (group.plan, group.result)
        data.append(
            output.failure_data(record, plan, result, seed=group.easiest, file=files[group.seed], count=group.count)
            | {"lowest_seed": group.seed}
        )
    output.print_json(
        label,
        found.runs,
        found.seconds,
        data,
        stored=[
            {
                "file": str(each.file),
                "fails": each.now is not None,
                "kind": each.now.kind if each.now is not None else "",
                "error": each.now.error if each.now is not None else "",
            }
            for each in replayed.stored
        ],
        stored_left_out=replayed.left_out,
        searching_seconds=round(found.searching_s, 3),
        outcomes=dict(found.outcomes),
        notes=[*found.notes],
        stopped=found.stopped,
        untried=untried,
    )
