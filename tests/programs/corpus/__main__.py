"""`python -m tests.programs.corpus`: check every row, and write the page of results."""

from __future__ import annotations

import argparse
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.programs.corpus.checking import Checked, checked
from tests.programs.corpus.rows import ROWS, Row, Side

_HEAD = """# Real bugs under `wavetank check`

Made on {date}, CPython {version}, with

    python -m tests.programs.corpus --page docs/results/check-corpus.md

Each row is a bug of a released library. `check` is given what [its module](../../tests/programs/corpus) has: a factory,
and the conversation of an ordinary test (and what to observe, where the server answers nothing). It is run on the
release with the bug and on the one that repaired it. Seconds are of the whole check, the library's import included; on
a machine that others use, processor seconds say more.

| bug | release | found | runs | seconds | of processor | what it says |
|---|---|---|---|---|---|---|
"""
_TAIL = """
*: the release that repaired it has another bug of the kind, or its subject finds one; so it is no false alarm.
asyncio-writelines-unbounded is a bug of Python itself: it is there in 3.12 and in 3.13 before 3.13.2.
"""


def main() -> None:
    """Read the arguments, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, default=Path(".venv-corpus"), metavar="FOLDER")
    parser.add_argument(
        "--python-with-bug", default=sys.executable, metavar="PYTHON", help="3.12, or 3.13 before 3.13.2"
    )
    parser.add_argument("--page", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    arguments.environments.mkdir(exist_ok=True)
    lines = []
    for row in ROWS:
        for side in ("buggy", "fixed"):
            python = arguments.python_with_bug if side == "buggy" and not row.buggy else sys.executable
            line = _line(row, side, checked(row, side, arguments.environments.absolute(), python))  # type: ignore[arg-type]
            print(line, flush=True)
            lines.append(line)
    head = _HEAD.format(date=datetime.now(UTC).date(), version=platform.python_version())
    if arguments.page is not None:
        arguments.page.write_text(head + "\n".join(lines) + "\n" + _TAIL)


def _line(row: Row, side: Side, found: Checked) -> str:
    release = " ".join(getattr(row, side)) or "Python"
    star = "*" if side == "fixed" and row.fixed_may_fail and found.kind else ""
    said = f"{found.what}: {found.why}" if found.kind else ""
    said = said.replace("|", "\\|")
    said = said if len(said) <= 160 else f"{said[:157]}..."
    kind = f"{found.kind}{star}" if found.kind else "no"
    return f"| {row.name} | {release} | {kind} | {found.runs} | {found.seconds} | {found.processor_s} | {said} |"


if __name__ == "__main__":
    main()
