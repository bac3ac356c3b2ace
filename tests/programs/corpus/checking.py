"""One row, checked: the subject's module in the row's environment, with this tree's Wavetank.

Owns the subprocess and what is kept of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs.corpus.rows import TOP, Row, Side, environment

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Checked:
    """What came of one side of a row; `kind` is None when nothing was found. Processor seconds are the command's."""

    kind: str | None
    what: str
    why: str
    where: str
    seconds: float
    processor_s: float
    runs: int
    text: str


def checked(row: Row, side: Side, environments: Path, made_by: str = sys.executable) -> Checked:
    """Check one side of a row in its environment, which `made_by` makes in `environments` unless it is there."""
    python = environment(row, side, environments, made_by)
    done = subprocess.run(
        [str(python), "run_row.py", row.module],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(TOP / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Checked(
        found["kind"], found["what"] or "", found["why"] or "", found["where"] or "", found["seconds"],
        found["processor_seconds"], found["runs"], found["text"],
    )  # fmt: skip
