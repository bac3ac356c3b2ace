"""CPython's own tests inside the simulator and on the real system: `python -m tests.suites.cpython MODULE...`.

`--test PATTERN` picks tests, `--show` prints why tests fail that pass on the real system, `--page FILE` writes the
table, `--keep FOLDER` keeps the real system's answers there, so that it is asked once. Without modules: `MODULES`.
What counts is what passes on the real system, here and now: a test that fails there too, or is skipped, says nothing.
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

from wavetank.campaign.session import Session, Settings
from wavetank.campaign.target import parse
from wavetank.plan import Plan

SCRIPT = Path(__file__).with_name("suite_script.py")
#: So many tests of one module may hang, or bring the program down, before the rest counts as not run.
PATIENCE = 40
REAL_LIMIT_S = 600.0
PATH = re.compile(r"(?<![\w.])/[^\s>'\"]+")
REFUSAL = re.compile(r"wavetank\.errors\.NotSimulated\w*: .* is not simulated")
#: What a name of a suite has that the name of a file should not.
NO_FILE = r"[^\w.]+"
#: Tests with the same reason are named, up to so many.
NAMED = 8
HEAD = """# CPython's own suites inside the simulator

Unmodified unittest modules of the standard library, run as ordinary scripts in a simulated world and, with the same
runner, on the real system. What counts is what passes on the real system: a test that fails or is skipped there says
nothing. A test that hangs counts as a difference, and the rest of its module is run without it.

`python -m tests.suites.cpython --page FILE` writes this page, a section for the Python at hand; `make test-long` checks
the shares (`tests/suites/test_cpython.py`).

Why the rest is different, besides what is refused by name (processes, urgent data, VSOCK, timers of processor time):

- `sethostname`, `clock_settime` and pidfds are refused as for a user without privileges.
- The forking servers of `socketserver`, and what waits for a forked child, report the refused fork in their own way.
- A Python function's frame is in the traceback and keeps its arguments alive (`getnameinfo loses a reference`); a
  Python class is not immutable (`test_socket_type`).
- `uuid` has no libuuid, and no programs to ask for the hardware address: its Python code runs, on the host's own
  clock, address and random numbers.
- Threads are switched at calls only: no interrupt of a loop without calls, no `PyThreadState_SetAsyncExc`, no
  subinterpreters. A buffer made by hand over a Python class that waits says "reentrant call" to a second thread.
- Times of files are the disk's own, unless `os.utime` set them.
"""
#: Of a traceback, this much from its end.
SHOWN_LINES = 25


@dataclass
class Outcome:
    """One test: `kind` is ok, skip, fail or hang."""

    kind: str
    reason: str = ""


@dataclass
class Comparison:
    """One module, on both sides."""

    module: str
    real: dict[str, Outcome] = field(default_factory=dict)
    simulated: dict[str, Outcome] = field(default_factory=dict)

    @property
    def passed_real(self) -> list[str]:
        """The tests that count."""
        return [name for name, outcome in self.real.items() if outcome.kind == "ok"]

    @property
    def passed(self) -> list[str]:
        """Those that pass on both sides."""
        return [name for name in self.passed_real if self.of(name).kind == "ok"]

    @property
    def different(self) -> dict[str, Outcome]:
        """Those that pass on the real system only."""
        return {name: self.of(name) for name in self.passed_real if self.of(name).kind != "ok"}

    def of(self, name: str) -> Outcome:
        """How a test ended in the simulator."""
        if name in self.simulated:
            return self.simulated[name]
        holder = next((each for each in self.simulated if "setUp" in each and _holds(each, name)), None)
        return self.simulated[holder] if holder else Outcome("not run")

    def why(self, name: str) -> str:
        """The reason of a difference, in a few words."""
        outcome = self.of(name)
        text = outcome.reason.strip()
        refusal = next((line for line in text.splitlines() if REFUSAL.match(line)), "")
        if refusal:
            return f"refused: {refusal.partition(': ')[2].partition(' is not')[0]}"
        last = text.splitlines()[-1][:150] if text else ""
        return f"{outcome.kind}: {PATH.sub('PATH', last)}"


def _holds(holder: str, name: str) -> bool:
    return name.startswith(holder.partition("(")[2].rstrip(")") + ".")


#: The suites of the page, in its order.
_ASYNCIO = """streams events sock_lowlevel server buffered_proto sslproto ssl sendfile locks queues timeouts taskgroups
    waitfor runners base_events selector_events unix_events tasks futures threads staggered context pep492"""
_OTHERS = """ssl httplib httpservers urllib2_localnet smtplib ftplib imaplib poplib socketserver xmlrpc telnetlib signal
    time asyncore asynchat smtpd nntplib wsgiref docxmlrpc urllib urllib2 sched queue thread threading threading_local
    threadsignals logging io fileio fcntl random secrets uuid tempfile asyncgen coroutines contextlib_async"""
MODULES = (
    *(f"test.test_{name}" for name in ("socket", "select", "poll", "epoll", "selectors")),
    *(f"test.test_asyncio.test_{name}" for name in _ASYNCIO.split()),
    *(f"test.test_{name}" for name in _OTHERS.split()),
)


def compare(module: str, patterns: Sequence[str] = (), keep: Path | None = None) -> Comparison:
    """Run one unittest module on both sides; `keep` is a folder for what the real system answers, to ask it once."""
    kept = keep and keep / f"{platform.python_version()}-{re.sub(NO_FILE, '-', module)}.json"
    if kept and kept.exists():
        real = {name: Outcome(**outcome) for name, outcome in json.loads(kept.read_text()).items()}
        if patterns:
            real = {name: real[name] for name in real if any(fnmatch(name, f"*{each}*") for each in patterns)}
    else:
        real = _side(_real, module, patterns)
        if kept and not patterns:
            kept.write_text(json.dumps({name: asdict(outcome) for name, outcome in real.items()}))
    return Comparison(module, real, _side(_simulated, module, patterns))


def _side(run: Callable[[list[str], str], str], module: str, patterns: Sequence[str]) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        results.touch()
        work = Path(folder, "work")
        work.mkdir()
        for _ in range(PATIENCE):
            before = results.stat().st_size
            message = run([str(results), module, *patterns], str(work))
            lines = [json.loads(line) for line in results.read_text().splitlines()]
            if lines and lines[-1][0] == "finished":
                break
            left = _unfinished(lines)
            with results.open("a") as file:
                for name in left:
                    file.write(json.dumps(["end", name, "hang", message]) + "\n")
            if results.stat().st_size == before:
                lines.append(["end", module, "fail", message])
                break
        else:
            lines = [json.loads(line) for line in results.read_text().splitlines()]
    return {name: Outcome(*rest) for kind, name, *rest in lines if kind == "end"}


def _unfinished(lines: list[list[str]]) -> list[str]:
    ended = {line[1] for line in lines if line[0] == "end"}
    return [line[1] for line in lines if line[0] == "start" and line[1] not in ended]


def _real(arguments: list[str], folder: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            cwd=folder,
            env=os.environ | {"SUITE_LIMIT_S": "60"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=REAL_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return "too long"
    return f"status {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}"


def _simulated(arguments: list[str], folder: str) -> str:
    settings = Settings(no_oracle=("exception", "unhandled"), limit_virtual_ns=36_000 * 10**9, limit_real_s=120.0)
    with Session(parse(str(SCRIPT), arguments), settings, cwd=folder) as session:
        result = session.run(Plan(epoch_s=session.epoch_s))
    if result.failure is not None:
        return f"{result.failure.traceback}\n{result.failure.kind}: {result.failure.error}"
    return f"status {result.status}: {result.outputs[0].stderr[-2000:]}"


def section(comparisons: Sequence[Comparison], command: str) -> str:
    """The table as Markdown, and every difference with its reason."""
    lines = [
        f"## CPython {platform.python_version()}",
        "",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        f"- command: `{command}`",
        f"- {platform.system()} {platform.release()}, {platform.machine()}",
        "",
        "| suite | ran | passed on Linux | of these passed simulated | different |",
        "|---|---:|---:|---:|---:|",
    ]
    total: Counter[str] = Counter()
    for each in comparisons:
        row = {"ran": len(each.real), "real": len(each.passed_real), "both": len(each.passed)}
        total.update(row)
        lines.append(f"| {each.module} | {row['ran']} | {row['real']} | {row['both']} | {row['real'] - row['both']} |")
    share = total["both"] / max(1, total["real"])
    both = f"{total['both']} ({share:.1%})"
    lines.append(f"| **all** | {total['ran']} | {total['real']} | {both} | {total['real'] - total['both']} |")
    return "\n".join([*lines, "", *_reasons(comparisons)]) + "\n"


def _reasons(comparisons: Sequence[Comparison]) -> list[str]:
    """What is different, by reason; tests that start processes are counted, all others named."""
    names: dict[str, list[str]] = {}
    for each in comparisons:
        for name in each.different:
            names.setdefault(each.why(name), []).append(name)
    lines = ["| why different | tests | which |", "|---|---:|---|"]
    for why, tests in sorted(names.items(), key=lambda item: -len(item[1])):
        modules = Counter(name.rpartition(".")[0].rpartition(".")[0] for name in tests)
        shown = tests if len(tests) <= NAMED else [f"{module} ({count})" for module, count in modules.items()]
        which = ", ".join(each.removeprefix("test.").replace("_", "\\_") for each in shown)
        lines.append(f"| {why.replace('|', '/')} | {len(tests)} | {which} |")
    return lines if names else ["Nothing is different."]


def write_page(path: Path, new: str) -> None:
    """Put the section into the page, in the place of the one of the same release."""
    title = new.partition("\n")[0]
    begin, *rest = path.read_text().split("\n## ") if path.exists() else [HEAD]
    sections = [f"## {each}" for each in rest if f"## {each}".partition("\n")[0] != title]
    path.write_text("\n".join([begin.rstrip() + "\n", *sorted([*(each.rstrip() + "\n" for each in sections), new])]))


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--test", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--page", type=Path, metavar="FILE")
    given = parser.parse_args()
    comparisons = []
    for module in given.modules or MODULES:
        if not module.startswith("pytest:") and find_spec(module) is None:
            print(f"{module}: not in this Python")
            continue
        comparison = compare(module, given.test, given.keep)
        comparisons.append(comparison)
        print(
            f"{module}: {len(comparison.real)} ran, {len(comparison.passed_real)} passed on the real system, "
            f"{len(comparison.passed)} of these in the simulator",
            flush=True,
        )
        for name, outcome in comparison.different.items():
            print(f"  {name.removeprefix(module + '.')}: {comparison.why(name)}")
            if given.show:
                lines = outcome.reason.strip().splitlines()
                print("\n".join(f"    {line}" for line in lines[-SHOWN_LINES:]), flush=True)
    if given.page:
        write_page(given.page, section(comparisons, " ".join(["python -m tests.suites.cpython", *given.modules])))


if __name__ == "__main__":
    _main()
