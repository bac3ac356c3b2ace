"""One failure again, from its file: whether it still fails, and whether it is the same run.

Owns the comparison of then and now. It prints nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from wavetank.campaign import failures, fingerprint
from wavetank.campaign.confirm import SPIN, where_parted, without_addresses
from wavetank.campaign.session import Session
from wavetank.errors import EnvironmentProblem, FailureFileError
from wavetank.failure_file import FailureFile
from wavetank.world.job import RunResult


@dataclass(frozen=True)
class Replayed:
    """What a replay gave. `changed`: what is not as it was, in words; `again`: it failed with the same message."""

    failure: FailureFile
    result: RunResult
    changed: tuple[str, ...]
    again: bool
    same_digest: bool
    parted: str = ""

    @property
    def nondeterministic(self) -> bool:
        """Whether it is another run although nothing has changed."""
        return not self.changed and not (self.again and self.same_digest)


def session_for(failure: FailureFile) -> Session:
    """The session in which a failure is replayed. Raises `FailureFileError` when its target is not there any more."""
    target = failures.target_of(failure)
    files = [script.path for script in target.scripts]
    if os.path.isabs(target.module):
        files.append(target.module)
    for path in files:
        if not os.path.isfile(path):
            raise FailureFileError("what failed is not there any more", where=path)
    cwd = failure.target.cwd
    if cwd and not os.path.isdir(cwd):
        raise FailureFileError("the folder that it ran in is not there any more", where=cwd)
    return Session(target, failures.settings_of(failure), epoch_s=failure.plan.epoch_s, cwd=cwd)


def changes(failure: FailureFile, session: Session) -> tuple[str, ...]:
    """What is not as it was when the failure was found, in words."""
    assert session.image.report is not None, "the image has not reported"
    now = fingerprint.take(session.target, session.image.report.modules)
    return tuple(fingerprint.differences(failure.environment, now))


def insist(failure: FailureFile, session: Session) -> None:
    """Raise `EnvironmentProblem` when anything is not as it was (`--strict`)."""
    changed = changes(failure, session)
    if changed:
        raise EnvironmentProblem(
            "not everything is as it was when this failure was found",
            where="\n".join(changed),
            next="without --strict it is replayed all the same",
        )


def replay(failure: FailureFile, session: Session, *, trace_path: str = "") -> Replayed:
    """Run the failure's plan once more, and compare."""
    result = session.run(failure.plan, opaque=failure.opaque, trace_path=trace_path)
    session.debugger = False  # the comparisons that may follow are not to be looked at
    now = result.failure
    error = without_addresses(failure.error)
    again = now is not None and (now.kind, without_addresses(now.error)) == (failure.kind, error)
    if failure.kind == "nondeterminism":
        again = now is not None
    same_digest = result.digest == failure.digest
    if now is not None and now.kind == failure.kind == SPIN:
        again = same_digest = True  # where it is seen is not the same each time: see `confirm.same`
    changed = changes(failure, session)
    replayed = Replayed(failure, result, changed, again, same_digest)
    if not replayed.nondeterministic:
        return replayed
    parted = where_parted(session, failure.plan, failure.plan, failure.opaque)
    return Replayed(failure, result, changed, again, same_digest, parted)
