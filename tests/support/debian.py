"""The mark `debian(package, command=package)`: a test that needs a Debian package is skipped where it is missing.

A missing package is recognised by the command it installs, so that the same tests run on other distributions. Skipped
tests are counted, and their packages named, in the last lines of the session; with `--require-debian` (as `.ci/run`
does) such a test fails instead. The mark refuses a package that `.ci/debian-packages` does not list: `.ci/run` could
not install it.
"""

import shutil
from collections import Counter
from pathlib import Path

import pytest

LISTED_IN = Path(__file__).parents[2] / ".ci" / "debian-packages"
_REASON = "needs the Debian package "


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--require-debian`."""
    group = parser.getgroup("wavetank's own tests")
    group.addoption(
        "--require-debian", action="store_true", help="a test whose Debian package is missing fails, it is not skipped"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, or fails, a test whose package is missing."""
    for mark in item.iter_markers("debian"):
        package = mark.args[0]
        command = mark.kwargs.get("command", package)
        if package not in LISTED_IN.read_text().split():
            pytest.fail(f"{package} is not listed in .ci/debian-packages; add it there", pytrace=False)
        if shutil.which(command) is not None:
            continue
        if item.config.getoption("require_debian"):
            pytest.fail(f"needs the Debian package {package} (no command {command!r} here)", pytrace=False)
        pytest.skip(f"{_REASON}{package}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many tests were skipped for which missing package; always, so that silence cannot mislead.

    Counted from the reports, which is all that reaches the process that prints when tests run in several.
    """
    reasons = (str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ()))
    missing = Counter(reason.partition(_REASON)[2] for reason in reasons if _REASON in reason)
    named = ", ".join(f"{package} ({count})" for package, count in sorted(missing.items()))
    terminalreporter.write_line(
        f"Skipped for a missing Debian package: {missing.total()}" + (f": {named}" if named else "")
    )
