"""One suite on both sides: as a program inside the simulator, and with the same runner on the real system.

Owns running and comparing; what stands on a page, and which suites there are, is the matter of others. What counts is
what passes on the real system, here and now: a test that fails there too, or is skipped, says nothing.

A target is what `suite_script` takes: a module of unittest or of trial, or `pytest:` and what pytest is given. A suite
out of a source archive has a folder, too: each side works in a copy of it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from wavetank.campaign.session import Session, Settings
from wavetank.campaign.target import parse
from wavetank.plan import Plan

SCRIPT = Path(__file__).with_name("suite_script.py")
#: So many tests of one module may hang, or bring the program down, before the rest counts as not run.
PATIENCE = 40
REAL_LIMIT_S = 900.0
#: Real seconds for all tests of a suite; the oracles end a test that hangs or spins long before.
SIMULATED_LIMIT_S = 900.0
PATH = re.compile(r"(?<![\w.])/[^\s>'\"]+")
REFUSAL = re.compile(r"(?:E +)?wavetank\.errors\.NotSimulated\w*: .* is not simulated")
#: What `suite_script` adds when the simulator refused something during a test.
NOTED = "refused during the test: "
#: What a name of a suite has that the name of a file should not.
NO_FILE = r"[^\w.]+"


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
        if NOTED in text:
            return f"refused: {text.rpartition(NOTED)[2].strip()}"
        last = text.splitlines()[-1][:150] if text else ""
        return f"{outcome.kind}: {PATH.sub('PATH', last)}"


def _holds(holder: str, name: str) -> bool:
    return name.startswith(holder.partition("(")[2].rstrip(")") + ".")


def compare(
    target: str, patterns: Sequence[str] = (), keep: Path | None = None, folder: Path | None = None
) -> Comparison:
    """Run one suite on both sides.

    `patterns` picks tests; `keep` is a folder for what the real system answers, to ask it once; `folder` is what the
    suite came in. Raises `ValueError` when it is not there.
    """
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give that of an unpacked source archive")
    kept = keep and keep / f"{platform.python_version()}-{re.sub(NO_FILE, '-', _named(target, folder))}.json"
    if kept and kept.exists():
        real = {name: Outcome(**outcome) for name, outcome in json.loads(kept.read_text()).items()}
        if patterns:
            real = {name: real[name] for name in real if any(fnmatch(name, f"*{each}*") for each in patterns)}
    else:
        real = _side(_real, target, patterns, folder)
        if kept and not patterns and any(outcome.kind == "ok" for outcome in real.values()):
            kept.write_text(json.dumps({name: asdict(outcome) for name, outcome in real.items()}))
    return Comparison(target, real, _side(_simulated, target, patterns, folder))


def _named(target: str, folder: Path | None) -> str:
    return f"{folder.name}-{target}" if folder else target


def _side(
    run: Callable[[list[str], str], str], target: str, patterns: Sequence[str], source: Path | None
) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        results.touch()
        work = Path(folder, "work")
        if source is None:
            work.mkdir()
        else:
            shutil.copytree(source, work, symlinks=True)
        for _ in range(PATIENCE):
            before = results.stat().st_size
            message = run([str(results), target, *patterns], str(work))
            lines = [json.loads(line) for line in results.read_text().splitlines()]
            if lines and lines[-1][0] == "finished":
                if len(lines) == 1:  # nothing was found, and why is only printed
                    lines.append(["end", target, "fail", message])
                break
            left = _unfinished(lines)
            with results.open("a") as file:
                for name in left:
                    file.write(json.dumps(["end", name, "hang", message]) + "\n")
            if results.stat().st_size == before:
                lines.append(["end", target, "fail", message])
                break
        else:
            lines = [json.loads(line) for line in results.read_text().splitlines()]
    # Parameters may hold the folder, which is another on each side.
    return {name.replace(str(work), "FOLDER"): Outcome(*rest) for kind, name, *rest in lines if kind == "end"}


def _unfinished(lines: list[list[str]]) -> list[str]:
    ended = {line[1] for line in lines if line[0] == "end"}
    return [line[1] for line in lines if line[0] == "start" and line[1] not in ended]


def _real(arguments: list[str], folder: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            cwd=folder,
            env=os.environ | {"SUITE_LIMIT_S": os.environ.get("SUITE_REAL_LIMIT_S", "60")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=REAL_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return "too long"
    return f"status {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}"


def _simulated(arguments: list[str], folder: str) -> str:
    settings = Settings(
        no_oracle=("exception", "unhandled"), limit_virtual_ns=36_000 * 10**9, limit_real_s=SIMULATED_LIMIT_S
    )
    with Session(parse(str(SCRIPT), arguments), settings, cwd=folder) as session:
        result = session.run(Plan(epoch_s=session.epoch_s))
    if result.failure is not None:
        return f"{result.failure.traceback}\n{result.failure.kind}: {result.failure.error}"
    return f"status {result.status}: {result.outputs[0].stderr[-2000:]}"
