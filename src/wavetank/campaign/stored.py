"""Failures that earlier campaigns have found of the same target: run again before a new one begins.

Owns which files these are, and what became of them. It prints nothing and changes no file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wavetank.campaign import failures
from wavetank.campaign.confirm import limit_of
from wavetank.campaign.session import Session
from wavetank.errors import FailureFileError
from wavetank.failure_file import FailureFile, read_failure
from wavetank.world.job import FailureRecord, Target

#: At most so many are run again, the newest first; and no further one after so many real seconds.
MOST: Final = 20
MOST_S: Final = 30.0


@dataclass(frozen=True)
class Stored:
    """One stored failure, run again. `now`: how it fails now, None when it does not."""

    file: Path
    failure: FailureFile
    now: FailureRecord | None


@dataclass
class Replayed:
    """What was run again, how many were not, and which files in the folder could not be read, and why."""

    stored: list[Stored] = field(default_factory=list)
    left_out: int = 0
    unreadable: list[str] = field(default_factory=list)


def replay_all(session: Session, folder: Path, *, stop: Callable[[], bool]) -> Replayed:
    """Run the failures in `folder` that are of the session's target, until `stop` or one of the limits above."""
    replayed = Replayed()
    end = time.monotonic() + MOST_S
    for file in sorted(folder.glob("*.json"), key=lambda path: (-path.stat().st_mtime_ns, path.name)):
        try:
            failure = read_failure(file)
        except FailureFileError as error:
            replayed.unreadable.append(f"{file}: {error.what}")
            continue
        if not _same(failures.target_of(failure), session.target):
            continue
        if len(replayed.stored) >= MOST or stop() or time.monotonic() > end:
            replayed.left_out += 1
            continue
        result = session.run(failure.plan, opaque=failure.opaque, limit_real_s=limit_of(session, failure))
        replayed.stored.append(Stored(file, failure, result.failure))
    return replayed


def _same(one: Target, other: Target) -> bool:
    return (one.scripts, one.module, one.function) == (other.scripts, other.module, other.function)
