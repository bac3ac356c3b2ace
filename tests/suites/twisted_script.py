"""One of Twisted's test modules under trial, in a process of its own: `twisted_script.py theirs|ours MODULE RESULTS`.

With `ours`, the names of `twisted.internet.testing` (and of its older home, `twisted.test.proto_helpers`) are those of
`wavetank.doubles.tx` before the module is imported. Writes one JSON line for each test: name, outcome, why.
"""

import io
import json
import sys
from typing import Any

from twisted.trial import reporter, runner


def replace() -> list[str]:
    """Put our names in the place of Twisted's, wherever they are already; returns which."""
    from twisted.internet import testing
    from twisted.test import proto_helpers

    from wavetank.doubles import tx

    ours = {getattr(testing, name): (name, getattr(tx, name)) for name in testing.__all__}
    for module in (testing, proto_helpers, *sys.modules.values()):
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", "") == testing.__name__ and value in ours:
                setattr(module, name, ours[value][1])
    assert testing.StringTransport is proto_helpers.StringTransport is tx.StringTransport
    return sorted(name for name, _ in ours.values())


class Reporter(reporter.Reporter):  # type: ignore[misc]  # untyped
    """Keeps the outcome of each test."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(io.StringIO(), *args[1:], **keywords)
        self.outcomes: dict[str, tuple[str, str]] = {}

    def _keep(self, test: Any, outcome: str, why: object = "") -> None:
        if self.outcomes.get(test.id(), ("",))[0] not in ("fail", "error"):
            self.outcomes[test.id()] = (outcome, str(why)[-2000:])

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._keep(test, "ok")

    def addFailure(self, test: Any, fail: Any) -> None:
        super().addFailure(test, fail)
        self._keep(test, "fail", fail.getTraceback() if hasattr(fail, "getTraceback") else fail)

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)
        self._keep(test, "error", error.getTraceback() if hasattr(error, "getTraceback") else error)

    def addSkip(self, test: Any, reason: Any) -> None:
        super().addSkip(test, reason)
        self._keep(test, "skip", reason)

    def addExpectedFailure(self, test: Any, failure: Any, todo: Any = None) -> None:
        super().addExpectedFailure(test, failure, todo)
        self._keep(test, "expected failure")

    def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
        super().addUnexpectedSuccess(test, todo)
        self._keep(test, "unexpected success")


def main(side: str, module: str, results: str) -> None:
    """Load, run, write."""
    if side == "ours":
        replace()
    suite = runner.TestLoader().loadByName(module, recurse=True)
    found = runner.TrialRunner(Reporter, workingDirectory="_trial_temp", realTimeErrors=False).run(suite)
    found = getattr(found, "_originalReporter", found)
    with open(results, "w") as file:
        for name, (outcome, why) in found.outcomes.items():
            file.write(json.dumps([name, outcome, why]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
