"""From a verdict to the failure file, and from the file back to what is to be run.

Owns the translation between a campaign's words and those of `wavetank.failure_file`.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import wavetank.campaign.fingerprint as fingerprints
from wavetank import __version__, failure_file
from wavetank.campaign.confirm import Verdict
from wavetank.campaign.session import Session, Settings
from wavetank.errors import EnvironmentProblem
from wavetank.failure_file import FailureFile, Options, Script, TargetRecord
from wavetank.world.job import HostScript, Target


def write(session: Session, verdict: Verdict, folder: str | os.PathLike[str]) -> Path:
    """Write the failure file for a verdict into `folder`. Raises `EnvironmentProblem` when that is not possible."""
    report = session.image.report
    assert report is not None, "the image has not reported"
    record = verdict.failure
    settings = session.settings
    return failure_file.write_failure(
        FailureFile(
            version=__version__,
            target=_target_record(session.target, session.cwd),
            seed=verdict.original_plan.seed,
            plan=verdict.plan,
            original_plan=verdict.original_plan,
            digest=verdict.result.digest,
            kind=record.kind,
            error=record.error,
            summary=record.summary,
            where=record.where,
            host=record.host,
            time_ns=record.time_ns,
            traceback=record.traceback,
            last_events=tuple(verdict.result.last_events),
            opaque=verdict.opaque,
            environment=fingerprints.take(session.target, report.modules),
            options=Options(
                limit_virtual_ns=settings.limit_virtual_ns,
                limit_real_s=settings.limit_real_s,
                faults=settings.families,
                no_oracle=settings.no_oracle,
                oracle=settings.oracle,
                allow=settings.allow,
                private_cwd=settings.private_cwd,
            ),
        ),
        folder,
    )


def _target_record(target: Target, cwd: str) -> TargetRecord:
    return TargetRecord(
        label=target.label,
        kind="script" if target.scripts else "scenario",
        scripts=tuple(Script(host=each.host, path=each.path, argv=each.argv) for each in target.scripts),
        module=target.module,
        function=target.function,
        sys_path=target.sys_path,
        cwd=cwd,
    )


def target_of(failure: FailureFile) -> Target:
    """The target that a failure file names."""
    record = failure.target
    return Target(
        label=record.label,
        scripts=tuple(HostScript(each.host, each.path, each.argv) for each in record.scripts),
        module=record.module,
        function=record.function,
        sys_path=record.sys_path,
    )


def settings_of(failure: FailureFile) -> Settings:
    """The settings that a failure was found with."""
    options = failure.options
    return Settings(
        families=options.faults,
        no_oracle=options.no_oracle,
        oracle=options.oracle,
        limit_virtual_ns=options.limit_virtual_ns,
        limit_real_s=options.limit_real_s,
        allow=options.allow,
        private_cwd=options.private_cwd,
    )


def replay_command(path: str | os.PathLike[str]) -> str:
    """The command line that replays a failure file, to be typed in the present folder."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return f"wavetank replay {shlex.quote(absolute if relative.startswith('..') else relative)}"


def folder_in(directory: str | os.PathLike[str]) -> Path:
    """The folder for failure files in `--dir`, made and tried out. Raises `EnvironmentProblem` when it is of no use."""
    folder = Path(directory) / "failures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        what, usable = f"cannot write here: {error.strerror}", False
    else:
        what = "cannot write here: permission denied"
    if not usable:
        raise EnvironmentProblem(what, where=str(folder), next="choose another folder with --dir DIR")
    return folder
