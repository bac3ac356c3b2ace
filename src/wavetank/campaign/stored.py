"""Failures that earlier campaigns have found of the same target: run again before a new one begins.

Owns which files these are, and what became of them. It prints nothing and changes no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wavetank.campaign import failures
from wavetank.campaign.confirm import limit_of
from wavetank.campaign.session import Session
from wavetank.errors import FailureFileError
from wavetank.failure_file import FailureFile, read_failure
from wavetank.world.job import FailureRecord, Target

#: At most so many are run again, the newest first.
MOST: Final = 20


@dataclass(frozen=True)
class Stored:
    """One stored failure, run again. `now`: how it fails now, None when it does not."""

    file: Path
    failure: FailureFile
    now: FailureRecord | None


def replay_all(session: Session, folder: Path) -> tuple[list[Stored], list[str]]:
    """Run the failures in `folder` that are of the session's target; also says which files could not be read."""
    found: list[Stored] = []
    unreadable: list[str] = []
    for file in sorted(folder.glob("*.json"), key=lambda path: (-path.stat().st_mtime_ns, path.name)):
        try:
            failure = read_failure(file)
        except FailureFileError as error:
            unreadable.append(f"{file}: {error.what}")
            continue
        if len(found) < MOST and _same(failures.target_of(failure), session.target):
            limit_s = limit_of(session, failure)
            result = session.run(failure.plan, opaque=failure.opaque, limit_real_s=limit_s)
            found.append(Stored(file, failure, result.failure))
    return found, unreadable


def _same(one: Target, other: Target) -> bool:
    return (one.scripts, one.module, one.function) == (other.scripts, other.module, other.function)
