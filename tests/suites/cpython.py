"""CPython's own tests inside the simulator and on the real system: `python -m tests.suites.cpython MODULE...`.

`--test PATTERN` picks tests, `--show` prints why tests fail that pass on the real system, `--page FILE` writes the
table, `--keep FOLDER` keeps the real system's answers there, so that it is asked once. Without modules: `MODULES`.
What counts is what passes on the real system, here and now: a test that fails there too, or is skipped, says nothing.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.suites.engine import Comparison, compare

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
        if find_spec(module) is None:
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
