"""Other people's suites under the monitor: `python -m tests.suites.contract NAME[=FOLDER]... [--page FILE]`.

NAME is asyncio, twisted, aiohttp or websockets; FOLDER is where a suite lies that no wheel carries (the unpacked source
distribution; a package in it that is not built, as aiohttp's, is moved away first). `--python FILE` is an interpreter
that has what the suite needs, and no plugin that changes the order of tests. Each suite runs twice, without and with
the hooks of `contract_hooks`: what fails only in the second run was broken by watching. A violation is a false alarm
unless `EXPLAINED` names it.
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
#: All of aiohttp's tests but its benchmarks and what runs in interpreters of its own, where no hook reaches.
_AIOHTTP = ["tests", "--ignore-glob=tests/test_benchmarks_*", "--ignore=tests/isolated", "--ignore=tests/autobahn"]
#: What a suite is run with, and the distribution whose version stands in the page.
SUITES = {
    "asyncio": (["unittest", "test.test_asyncio"], ""),
    "twisted": (["trial", "twisted"], "twisted"),
    "aiohttp": (
        ["pytest", *_AIOHTTP, "-q", "-rfE", "-o", "addopts=", "-p", "no:cacheprovider", "-n", "0", "--timeout=120",
         "-m", "not dev_mode and not autobahn and not internal",
         # The hooks have imported it before pytest could; aiohttp takes warnings for errors.
         "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"], "aiohttp",
    ),
    "websockets": (["unittest", "discover", "-s", "tests", "-t", "."], "websockets"),
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
    """Run one suite, plain and watched."""
    arguments, distribution = SUITES[name]
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or scratch
        plain, _ = _once(python, arguments, os.devnull, place)
        report = Path(scratch, "report.json")
        watched, ran = _once(python, arguments, str(report), place)
        data = json.loads(report.read_text())
    return Result(
        name,
        _version(python, distribution),
        ran,
        data.get("connections", 0),
        data.get("calls", 0),
        data["violations"],
        sorted(watched - plain),
    )


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
    failed = {next(name for name in found if name) for found in FAILED.findall(text)}
    counts = [int(next(count for count in found if count)) for found in RAN.findall(text)]
    if not counts:
        raise SystemExit(f"{' '.join(arguments)} did not run:\n{text[-2000:]}")
    return failed, max(counts)


def _version(python: str, distribution: str) -> str:
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    ask = code if distribution else "import platform; print('CPython', platform.python_version())"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def page(results: list[Result], command: str) -> str:
    """The results as Markdown."""
    lines = [
        "# Other people's suites under the monitor",
        "",
        "The own test suites of asyncio, Twisted, aiohttp and websockets, with a watch on every real transport that",
        "they open, under the profiles `cpython` and `twisted`. A violation without a reason here is a false alarm.",
        "Not watched are protocols that are mocks and transports on loops that a test made up. A test that fails only",
        "when watched was disturbed by the hooks (a private attribute holds a monitor), or by time; each is named.",
        "",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        f"- command: `{command}`",
        f"- {platform.system()} {platform.release()}, {platform.machine()}",
        "",
        "| suite | version | tests | connections watched | calls checked | violations | without a reason |"
        " tests that fail only when watched |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for each in results:
        lines.append(
            f"| {each.name} | {each.version} | {each.ran:,} | {each.connections:,} | {each.calls:,} |"
            f" {len(each.violations)} | {len(each.alarms())} | {len(each.failed_only_watched)} |"
        )
    for each in results:
        if each.violations or each.failed_only_watched:
            lines += ["", f"## {each.name}", ""]
        lines += [f"- {count} x {reason}" for reason, count in sorted(each.explained().items())]
        lines += [f"- no reason: {alarm['rule']} in {alarm['test']}" for alarm in each.alarms()]
        lines += [f"- fails only when watched: `{test}`" for test in each.failed_only_watched]
    return "\n".join(lines) + "\n"


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
        print(page(results[-1:], "-"))
    if given.page:
        shown = " ".join(each.partition("=")[0] + ("=FOLDER" if "=" in each else "") for each in given.suites)
        given.page.write_text(page(results, f"python -m tests.suites.contract {shown}"))
    sys.exit(any(each.alarms() for each in results))


if __name__ == "__main__":
    main()
