"""Other people's suites inside the simulator and on the real system: `python -m tests.suites.others [SUITE...]`.

SUITE is a name of the table (`--list` prints it), the beginning of some names, or any target of one's own: a module of
unittest or trial (`tornado.test.iostream_test`), or `pytest:` and what pytest is given, with commas between
(`pytest:tests/test_server.py,-pno:asyncio`). `--in FOLDER` is the unpacked source archive in which a target of one's
own lies; those of the table are looked for in `--sources FOLDER`, each under the name of its project.

What counts is what passes on the real system. A test that passes there only is *skipped* when its report shows one of a
few reasons (`SKIPS`), else *failed*; no module is skipped as a whole. `--test PATTERN` picks tests, `--show` prints why
tests differ, `--keep FOLDER` keeps the real system's answers, `--page FILE` writes the table, `--least SHARE` makes the
exit status 1 where a smaller share passes, more than 15 % are skipped, or nothing passes on the real system.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import re
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.suites.engine import Comparison, compare
from tests.suites.named import SUITES, Suite

#: Of a traceback, this much from its end.
SHOWN_LINES = 25
#: Tests with the same reason are named, up to so many.
NAMED = 4
#: Of what passes on the real system, at most this share may be skipped.
MOST_SKIPPED = 0.15
#: The kinds of reasons why a test is not comparable, by what its report says.
SKIPS = {
    "starts a process of the real system": r"refused: (subprocess\.Popen|os\.(fork|posix_spawn|system|exec))",
    "a call that is refused by name": r"refused: ",
    "asks whether the Internet is there": r"skip: .*network is unr",
}
HEAD = """# Other people's suites inside the simulator

Unmodified test suites of other projects, run as ordinary programs in a simulated world and, with the same runner, on
the real system. *Share* is of what passes on the real system here: a test that fails or is skipped there says nothing.
*Skipped* are tests that meet what the simulator refuses by name; every other difference is *failed*.

`python -m tests.suites.others SUITE... --page FILE` writes this page, and keeps the rows of suites that it was not
asked for; `--list` prints the suites. `tests/suites/test_others.py` holds the shares (`make test-long`)."""


def kind_of(why: str) -> str:
    """Which kind of reason this is; empty: none, so it counts as failed."""
    return next((kind for kind, pattern in SKIPS.items() if re.match(pattern, why)), "")


def chosen(asked: Sequence[str], folder: Path | None) -> dict[str, Suite]:
    """The suites that are meant, by name."""
    found: dict[str, Suite] = {}
    for each in asked:
        of_table = {name: suite for name, suite in SUITES.items() if name == each or name.startswith(f"{each} ")}
        found |= of_table if of_table and folder is None else {each: Suite(each)}
    return found if asked else SUITES


def skipped(comparison: Comparison) -> list[str]:
    """Tests that meet what is refused by name."""
    return [test for test in comparison.different if kind_of(comparison.why(test))]


def falls_short(comparison: Comparison, least: float) -> bool:
    """Whether a suite passes less than it should, or skips too much."""
    real = len(comparison.passed_real)
    return not real or len(comparison.passed) < least * real or len(skipped(comparison)) > MOST_SKIPPED * real


def row(name: str, comparison: Comparison) -> str:
    """One line of the table."""
    real, passed, without = len(comparison.passed_real), len(comparison.passed), len(skipped(comparison))
    share = f"{passed / real:.1%}" if real else "-"
    return f"| {name} | {len(comparison.real)} | {real} | {passed} | {without} | {real - passed - without} | {share} |"


def reasons(name: str, comparison: Comparison) -> list[str]:
    """A line for each reason why tests of this suite are different."""
    groups: dict[str, list[str]] = {}
    for test in comparison.different:
        groups.setdefault(comparison.why(test), []).append(re.split(r"::|\.(?=test)", test)[-1])
    lines = []
    for why, tests in sorted(groups.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(tests[:NAMED]) + (", ..." if len(tests) > NAMED else "")
        lines.append("| " + " | ".join(each.replace("|", "/") for each in (name, why, str(len(tests)), shown)) + " |")
    return [line.replace("_", "\\_") for line in lines]


def write_page(path: Path, rows: dict[str, str], why: dict[str, list[str]]) -> None:
    """Put the rows into the page; those of suites that were not run stay."""
    old = path.read_text().splitlines() if path.exists() else []
    tables = [line for line in old if line.startswith("| ") and not line.startswith(("| suite", "| **all"))]
    kept = {name_in(line): line for line in tables if line.count(" | ") == 6}
    kept_why: dict[str, list[str]] = {}
    for line in tables:
        if line.count(" | ") == 3:
            kept_why.setdefault(name_in(line).replace("\\_", "_"), []).append(line)
    kept |= rows
    kept_why |= why
    order = [*(name for name in SUITES if name in kept), *sorted(kept.keys() - SUITES.keys())]
    sums = [sum(int(kept[name].split(" | ")[column]) for name in order) for column in range(1, 6)]
    share = f"{sums[2] / max(1, sums[1]):.1%}"
    note = path.read_text().partition("\n## Why\n")[2] if path.exists() else "\n"
    text = [
        HEAD,
        "",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "- command: `python -m tests.suites.others --sources FOLDER --page docs/results/other-suites.md`",
        f"- {platform.system()} {platform.release()}, {platform.machine()}; CPython {platform.python_version()}, "
        + ", ".join(f"{each} {_version(each)}" for each in sorted({name.split()[0].split(".")[0] for name in order})),
        "",
        "| suite | ran | passed on Linux | of these passed simulated | skipped | failed | share |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(kept[name] for name in order),
        f"| **all** | {' | '.join(map(str, sums))} | {share} |",
        "",
        "| suite | why different | tests | which |",
        "|---|---|---:|---|",
        *(line for name in order for line in kept_why.get(name, [])),
        "",
        "## Why",
    ]
    path.write_text("\n".join(text) + "\n" + note)


def shares(path: Path) -> dict[str, float]:
    """What the page says: of each suite, the share of what passes on the real system."""
    lines = [line for line in path.read_text().splitlines() if line.count(" | ") == 6 and line.endswith("% |")]
    cells = {name_in(line): line.split(" | ") for line in lines}
    return {name: int(row[3]) / int(row[2]) for name, row in cells.items() if name != "**all**"}


def name_in(line: str) -> str:
    """The suite of a row."""
    return line.removeprefix("| ").partition(" | ")[0]


def _version(project: str) -> str:
    try:
        return version(project)
    except ImportError:
        return "(not installed)"


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.suites.others", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--in", type=Path, metavar="FOLDER", dest="folder")
    parser.add_argument("--sources", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--test", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--page", type=Path, metavar="FILE")
    parser.add_argument("--least", type=float, metavar="SHARE", default=0.0)
    given = parser.parse_args()
    if given.list:
        for name, suite in SUITES.items():
            print(f"{name:40} {suite.target}" + (f" in {suite.project}" if suite.project else ""))
        return
    rows: dict[str, str] = {}
    why: dict[str, list[str]] = {}
    short: list[str] = []
    for name, suite in chosen(given.suites, given.folder).items():
        if suite.project and given.sources is None:
            print(f"{name}: is in the source archive of {suite.project}; give its parent with --sources", flush=True)
            continue
        try:
            comparison = compare(suite.target, given.test, given.keep, suite.place(given.sources) or given.folder)
        except ValueError as problem:
            sys.exit(f"{name}: {problem}")
        rows[name] = row(name, comparison)
        why[name] = reasons(name, comparison)
        print(rows[name], flush=True)
        if not comparison.passed_real:
            _tell_nothing(comparison)
        _tell(comparison, given.show)
        if given.least and falls_short(comparison, given.least):
            short.append(name)
    if given.page:
        write_page(given.page, rows, why)
    if short:
        sys.exit(f"below {given.least:.0%}, or too much skipped: {', '.join(short)}")


def _tell_nothing(comparison: Comparison) -> None:
    """Nothing passes on the real system: say what stands in the way."""
    counts = Counter((outcome.kind, outcome.reason[-1500:]) for outcome in comparison.real.values())
    for (kind, reason), count in counts.most_common(3):
        print(f"  on the real system, {count} x {kind}: {reason}", flush=True)


def _tell(comparison: Comparison, show: bool) -> None:
    for test, outcome in comparison.different.items():
        print(f"  {test}: {comparison.why(test)}")
        if show:
            print("\n".join(f"    {line}" for line in outcome.reason.splitlines()[-SHOWN_LINES:]), flush=True)


if __name__ == "__main__":
    _main()
