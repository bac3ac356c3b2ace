"""Other people's suites under the monitor: `python -m tests.suites.contract NAME[=FOLDER]... [--page FILE]`.

NAME is asyncio, twisted, aiohttp or websockets; FOLDER is where a suite lies that no wheel carries (the unpacked source
distribution; a package in it that is not built, as aiohttp's, is moved away first). `--python FILE` is an interpreter
that has what the suite needs, and no plugin that changes the order of tests. Each suite runs once, with the hooks of
`contract_hooks`; what fails runs again by itself, without the hooks and with them, so that it is known which tests were
disturbed by watching. A violation is a false alarm unless `EXPLAINED` names it. The page keeps what it says of suites
that were not asked for.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HOOKS = Path(__file__).with_name("contract_hooks.py")
LIMIT_S = 4 * 3600.0
#: All of aiohttp's tests but its benchmarks, and what runs in interpreters of its own, where no hook reaches.
_AIOHTTP = ["--ignore-glob=tests/test_benchmarks_*", "--ignore=tests/isolated", "--ignore=tests/autobahn",
            "--ignore=tests/test_circular_imports.py", "--ignore=tests/test_imports.py", "--ignore=tests/test_leaks.py",
            ]  # fmt: skip
#: The runner and its options, what of the suite is run, and the distribution whose version stands in the page.
SUITES = {
    "asyncio": (["unittest"], ["test.test_asyncio"], ""),
    "twisted": (["trial"], ["twisted"], "twisted"),
    "aiohttp": (
        ["pytest", "-q", "-rfE", "-o", "addopts=", "-p", "no:cacheprovider", "-n", "0", "--timeout=120",
         "-m", "not dev_mode and not autobahn and not internal", *_AIOHTTP,
         # The hooks have imported it before pytest could; aiohttp takes warnings for errors.
         "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"], ["tests"], "aiohttp",
    ),
    "websockets": (["unittest"], ["discover", "-s", "tests", "-t", "."], "websockets"),
}  # fmt: skip
FAILED = re.compile(
    r"^(?:FAIL|ERROR): (\S+ \(\S+\)|\S+)|^(?:FAILED|ERROR) (\S+::\S+)|^(twisted\.[\w.]+\.test_\w+)$", re.M
)
RAN = re.compile(r"^Ran (\d+) tests|(\d+) passed", re.M)

#: Violations with a reason: the rule, a pattern of the test's name, and whose matter it is.
EXPLAINED = (
    ("twisted-write-is-bytes", "test_writeSequenceWithUnicodeRaisesException", "the test breaks the rule on purpose"),
    (
        "made-first", "test_buildProtocolReturnsNone",
        "a bug of Twisted's: the placeholder that it connects where a factory builds no protocol is told"
        " `connectionLost` and was never told `makeConnection`",
    ),
    ("made-first", "AfterDisconnect", "the test connects a transport by hand, without its protocol"),
    ("made-first", "test_baseprocess", "the test plays the process"),
    (
        "write-after-eof", r"test_writing_in_(data_received|send_context)_fails|test_broadcast_\w+_failing_to_send",
        "the test ends the writing side by hand, so that the next write fails",
    ),
    ("started-first", "test_udp_internals", "the test plays the port"),
)  # fmt: skip


#: Tests that fail only when watched: a pattern of the name, and why.
DISTURBED = (
    (
        r"test_serverAddress|test_serverRepr",
        "`repr` of a transport names the class of what its attribute holds: a face",
    ),
    (r"test_newtls\.ProducerTestsMixin", "compares a private attribute, which holds a watched producer or protocol"),
    (r"test_baseprocess", "compares a private attribute, which holds a watched protocol"),
    (r"test_set_new_app_protocol", "compares a private attribute, which holds a watched protocol"),
)


@dataclass
class Result:
    """One suite: tests that ran, what was watched, and what came of it."""

    name: str
    version: str
    ran: int = 0
    connections: int = 0
    calls: int = 0
    violations: list[dict[str, str]] = field(default_factory=list)
    failed_only_watched: list[str] = field(default_factory=list)
    failed_once: list[str] = field(default_factory=list)

    def explained(self) -> Counter[str]:
        """How many violations have each reason."""
        return Counter(reason for each in self.violations if (reason := why(each)))

    def alarms(self) -> list[dict[str, str]]:
        """The violations that have none."""
        return [each for each in self.violations if not why(each)]


def why(violation: dict[str, str]) -> str:
    """Whose matter a violation is, or nothing."""
    for rule, pattern, reason in EXPLAINED:
        if violation["rule"] == rule and re.search(pattern, violation["test"]):
            return reason
    return ""


def run(name: str, folder: str | None, python: str) -> Result:
    """Run one suite watched, and what failed by itself."""
    runner, tests, distribution = SUITES[name]
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or scratch
        report = Path(scratch, "report.json")
        failed, ran = _once(python, [*runner, *tests], str(report), place)
        data = json.loads(report.read_text())
        disturbed, passing = _again(python, runner, sorted(failed), place)
    return Result(
        name,
        _version(python, distribution),
        ran,
        data.get("connections", 0),
        data.get("calls", 0),
        data["violations"],
        disturbed,
        passing,
    )


def _again(python: str, runner: list[str], failed: list[str], folder: str) -> tuple[list[str], list[str]]:
    """Of tests that failed: those that fail by themselves when watched only, and those that pass when watched."""
    failed = [
        name for name in failed if "_FailedTest" not in name
    ]  # a module that cannot be imported here has no tests
    if not failed:
        return [], []
    # unittest names a test as `method (module.Class.method)`.
    asked = [name.rpartition("(")[2].rstrip(")") for name in failed]
    with tempfile.TemporaryDirectory() as scratch:
        watched, _ = _once(python, [*runner, *asked], str(Path(scratch, "report.json")), folder)
    plain, _ = _once(python, [*runner, *asked], os.devnull, folder)
    return sorted(watched - plain), sorted(set(failed) - watched)


def _once(python: str, arguments: list[str], report: str, folder: str) -> tuple[set[str], int]:
    done = subprocess.run(
        [python, str(HOOKS), report, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT_S,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(each for each in (folder, f"{folder}/src") if folder)},
    )
    text = done.stdout.decode(errors="replace")
    counts = [int(next(count for count in found if count)) for found in RAN.findall(text)]
    if not counts:
        raise SystemExit(f"{' '.join(arguments)} did not run:\n{text[-2000:]}")
    return failures(text), max(counts)


def failures(text: str) -> set[str]:
    """The names of tests that failed, from what a runner printed."""
    return {next(name for name in found if name) for found in FAILED.findall(text)}


def _version(python: str, distribution: str) -> str:
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    ask = code if distribution else "import platform; print('CPython', platform.python_version())"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


HEAD = """# Other people's suites under the monitor

The own test suites of asyncio, Twisted, aiohttp and websockets, with a watch on every real transport that
they open, under the profiles `cpython` and `twisted`. A violation without a reason here is a false alarm.
Not watched are protocols that are mocks and transports on loops that a test made up. What fails is run again by itself,
watched and not: a test that then fails only when watched was disturbed by the hooks, and is named with the reason; one
that passes when watched failed by time, or by the order of tests.

`python -m tests.suites.contract NAME[=FOLDER] --page FILE` writes a suite's part of this page and keeps the others.

"""
COLUMNS = """| suite | version | tests | connections watched | calls checked | violations | without a reason |\
 tests that fail only when watched | run |
|---|---|---:|---:|---:|---:|---:|---:|---|
"""


def row(each: Result) -> str:
    """A suite's line of the table."""
    return (
        f"| {each.name} | {each.version} | {each.ran:,} | {each.connections:,} | {each.calls:,} |"
        f" {len(each.violations)} | {len(each.alarms())} | {len(each.failed_only_watched)} |"
        f" {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.system()} {platform.release()} |"
    )


def section(each: Result) -> str:
    """What there is to say of a suite besides; nothing, often."""
    lines = [f"- {count} x {reason}" for reason, count in sorted(each.explained().items())]
    lines += [f"- no reason: {alarm['rule']} in {alarm['test']}" for alarm in each.alarms()]
    for test in each.failed_only_watched:
        reasons = [reason for pattern, reason in DISTURBED if re.search(pattern, test)]
        lines.append(f"- fails only when watched: `{test}`: {reasons[0] if reasons else 'not known why'}")
    lines += [f"- failed once, passes by itself, watched: `{test}`" for test in each.failed_once]
    return "\n".join([f"## {each.name}", "", *lines, ""]) if lines else ""


def write_page(path: Path, results: list[Result]) -> None:
    """Put these suites into the page; what it says of others stays."""
    old = path.read_text() if path.exists() else ""
    rows = {name: found[0] for name in SUITES if (found := re.findall(rf"^\| {name} \|.*$", old, re.M))}
    parts = {part.partition("\n")[0]: f"## {part.strip()}\n" for part in old.split("\n## ")[1:]}
    for each in results:
        rows[each.name], parts[each.name] = row(each), section(each)
    table = "".join(f"{rows[name]}\n" for name in SUITES if name in rows)
    rest = "".join(f"\n{parts[name]}" for name in SUITES if parts.get(name))
    path.write_text(HEAD + COLUMNS + table + rest)


def main() -> None:
    """Read the command line, run, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites.contract", description=__doc__)
    parser.add_argument("suites", nargs="+", metavar="NAME[=FOLDER]")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    results = []
    for each in given.suites:
        name, _, folder = each.partition("=")
        if name not in SUITES:
            parser.error(f"no suite {name!r}; there are {', '.join(SUITES)}")
        results.append(run(name, folder or None, given.python))
        print(row(results[-1]), section(results[-1]), sep="\n")
    if given.page:
        write_page(given.page, results)
    sys.exit(any(each.alarms() for each in results))


if __name__ == "__main__":
    main()
