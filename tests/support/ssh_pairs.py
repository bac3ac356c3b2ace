"""Under `--require-debian` (CI), the session fails when a pair of SSH client, server and direction did not run.

A session that was asked for other folders alone, as on further interpreters, is not meant.

The tests of `tests/servers/test_ssh_forward.py` record each pair that passed as a property of their report, which is
what reaches the process that counts when tests run in several.
"""

from pathlib import Path

import pytest

#: Where they run.
TESTS = Path(__file__).parents[1] / "servers" / "test_ssh_forward.py"
#: Three clients, three servers, five directions.
EXPECTED = 45


def pytest_configure(config: pytest.Config) -> None:
    """Registers the count in the process that prints."""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    meant = any(path in (TESTS, *TESTS.parents) for path in asked)
    if meant and config.getoption("require_debian") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Pairs(), "ssh-pairs")


class Pairs:
    """Counts the pairs that ran."""

    def __init__(self) -> None:
        self.ran: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.ran |= {str(value) for name, value in report.user_properties if name == "ssh-pair"}

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> object:
        if len(self.ran) != EXPECTED and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(
            f"Pairs of SSH client, server and direction that ran: {len(self.ran)} of {EXPECTED}"
        )
