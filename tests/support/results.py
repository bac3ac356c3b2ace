"""The option `--results FILE`: keeps the outcome of a session as a Markdown page, with dates and the command.

`make test-long` uses it, so that what takes too long for the gate leaves numbers that a reader can date. A test adds
its own measurements with pytest's fixture `record_property("name", value)`. No path of the machine gets into the page.
All long tests together take hours: a session that runs some of them renews their lines, and each line has its date.
"""

import datetime
import platform
from pathlib import Path

import pytest

REPORTS = pytest.StashKey[list[pytest.TestReport]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--results`."""
    group = parser.getgroup("wavetank's own tests")
    group.addoption("--results", type=Path, metavar="FILE", help="write the outcome of each test to this Markdown file")


def pytest_configure(config: pytest.Config) -> None:
    """Starts the list of reports."""
    config.stash[REPORTS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):  # type: ignore[no-untyped-def]  # a hook wrapper is a generator
    """Keeps the report of each test that ran, or that could not be set up."""
    report = yield
    if report.when == "call" or report.outcome != "passed":
        item.config.stash[REPORTS].append(report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the page; nothing when no test ran."""
    path: Path | None = session.config.getoption("results")
    reports = session.config.stash[REPORTS]
    if path is None or not reports:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text() if path.exists() else ""
    path.write_text(page(reports, before, command=f"pytest {' '.join(session.config.invocation_params.args)}"))


def page(reports: list[pytest.TestReport], before: str = "", *, command: str) -> str:
    """The Markdown text for these reports, and for the tests of the page `before` that did not run this time."""
    system = platform.uname()
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}"
    lines = {line.split(" | ")[0]: line for line in before.splitlines() if "::" in line.split(" | ")[0]}
    for report in reports:
        measured = ", ".join(f"{name}: {value}" for name, value in report.user_properties).replace("|", "\\|")
        test = f"| {report.nodeid.replace('|', '/')}"
        lines[test] = f"{test} | {report.outcome} | {report.duration:.1f} | {today} | {measured} |"
    head = [
        "# Results of the long tests",
        "",
        f"- date: {today} UTC",
        f"- command: `{command}`",
        f"- {platform.python_implementation()} {platform.python_version()}, {system.system} {system.release},"
        f" {system.machine}",
        "",
        "A line is renewed when its test runs; this command has run those of the last date.",
        "",
        "| test | outcome | seconds | date (UTC) | measured |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(lines[test] for test in sorted(lines))]) + "\n"
