"""What a test says of a run in a world: that nothing failed, or what did, with what its programs wrote."""

import pytest

from wavetank.world.job import FailureRecord, RunResult


def passed(result: RunResult) -> RunResult:
    """The result of a run in which nothing failed."""
    if result.failure is not None:
        pytest.fail(_whole(result, result.failure), pytrace=False)
    return result


def failed(result: RunResult) -> FailureRecord:
    """The failure of a run that failed."""
    assert result.failure is not None, "nothing failed"
    return result.failure


def _whole(result: RunResult, failure: FailureRecord) -> str:
    written = "".join(f"{output.name}:\n{output.stdout}{output.stderr}" for output in result.outputs)
    return f"{failure.kind}: {failure.error}\n{failure.summary}\n{failure.traceback}\n{written}"
