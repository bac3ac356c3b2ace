"""The option `--results FILE`: keeps the outcome of a session as a Markdown page, with its date and command.

`make test-long` uses it, so that what takes too long for the gate leaves numbers that a reader can date. A test adds
its own measurements with pytest's fixture `record_property("name", value)`. No path of the machine gets into the page.
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
    path.write_text(page(reports, command=f"pytest {' '.join(session.config.invocation_params.args)}"))


def page(reports: list[pytest.TestReport], *, command: str) -> str:
    """The Markdown text for these reports."""
    system = platform.uname()
    lines = [
        "# Results of the long tests",
        "",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"- command: `{command}`",
        f"- {platform.python_implementation()} {platform.python_version()}, {system.system} {system.release},"
        f" {system.machine}",
        "",
        "| test | outcome | seconds | measured |",
        "|---|---|---|---|",
    ]
    for report in sorted(reports, key=lambda report: report.nodeid):
        measured = ", ".join(f"{name}: {value}" for name, value in report.user_properties).replace("|", "\\|")
        lines.append(f"| {report.nodeid} | {report.outcome} | {report.duration:.1f} | {measured} |")
    return "\n".join(lines) + "\n"
