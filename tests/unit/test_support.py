"""What the support of the tests promises: missing Debian packages are counted, long tests leave a dated page."""

import re
from pathlib import Path

import pytest

NEEDY = """
import pytest

@pytest.mark.debian("strace", command="a-command-that-nobody-has")
def test_one(): ...

@pytest.mark.debian("strace", command="a-command-that-nobody-has")
def test_two(): ...

@pytest.mark.debian("strace", command="sh")
def test_three(): ...
"""


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(
        "[pytest]\nmarkers = debian: .\naddopts = -p tests.support.debian -p tests.support.results -p no:randomly"
    )
    return pytester


def test_a_missing_package_skips_and_is_counted_and_named(inner: pytest.Pytester) -> None:
    inner.makepyfile(NEEDY)
    result = inner.runpytest_inprocess()
    result.assert_outcomes(skipped=2, passed=1)
    result.stdout.fnmatch_lines("Skipped for a missing Debian package: 2: strace (2)")


def test_a_session_without_skips_says_so(inner: pytest.Pytester) -> None:
    inner.makepyfile("def test_one(): ...")
    inner.runpytest_inprocess().stdout.fnmatch_lines("Skipped for a missing Debian package: 0")


def test_the_gate_machine_fails_instead(inner: pytest.Pytester) -> None:
    inner.makepyfile(NEEDY)
    result = inner.runpytest_inprocess("--require-debian")
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines("needs the Debian package strace (no command 'a-command-that-nobody-has' here)")


def test_a_package_that_nobody_installs_is_refused(inner: pytest.Pytester) -> None:
    inner.makepyfile(NEEDY.replace("strace", "left-pad"))
    result = inner.runpytest_inprocess()
    result.stdout.fnmatch_lines("left-pad is not listed in .ci/debian-packages; add it there")


def test_the_page_of_results_has_date_command_and_measurements(inner: pytest.Pytester) -> None:
    inner.makepyfile(test_sweep="def test_one(record_property): record_property('runs per second', 170)")
    inner.runpytest_inprocess("--results", "kept/page.md")
    page = Path("kept/page.md").read_text()
    assert re.search(r"^- date: \d{4}-\d\d-\d\d \d\d:\d\d UTC$", page, re.MULTILINE)
    assert "- command: `pytest --results kept/page.md" in page
    assert re.search(
        r"^\| test_sweep.py::test_one \| passed \| \d+\.\d \| [-\d]+ [:\d]+ \| runs per second: 170 \|$",
        page,
        re.MULTILINE,
    )


def test_the_page_keeps_the_lines_of_tests_that_do_not_run_this_time(inner: pytest.Pytester) -> None:
    inner.makepyfile(test_sweep="def test_one(): ...\ndef test_two(): ...")
    inner.runpytest_inprocess("--results", "page.md")
    old = Path("page.md").read_text().replace("passed", "failed")
    Path("page.md").write_text(old)
    inner.runpytest_inprocess("--results", "page.md", "-k", "two")
    outcomes = re.findall(r"^\| test_sweep.py::(\w+) \| (\w+)", Path("page.md").read_text(), re.MULTILINE)
    assert outcomes == [("test_one", "failed"), ("test_two", "passed")]
