"""The ledger of known deviations: which case, on what and which versions, how it shows, and where it is reported.

Owns the reading of `ledger.json`. An entry excuses only what it describes: a case that fails in another way is new.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("ledger.json")


@dataclass(frozen=True)
class Entry:
    """One known deviation.

    `case`, `family`, `versions` (as `>=3.12,<3.14`; empty: all), `shows`: patterns, one of which each complaint must
    match; `why`; `upstream`: the issue, or "not reported"; `difference`: its number in the contract's table, 0 for
    none; `ground`: "real", "simulated" or "both"; `left_open`: the documentation allows it.
    """

    case: str
    family: str
    shows: tuple[str, ...]
    why: str
    upstream: str
    versions: str = ""
    difference: int = 0
    ground: str = "both"
    left_open: bool = False

    def text(self) -> str:
        """In one line."""
        number = f"difference {self.difference}, " if self.difference else ""
        versions = f"{self.family} {self.versions}".strip()
        left_open = "left open by the documentation; " if self.left_open else ""
        return f"{self.why} ({number}{versions}; {left_open}{self.upstream})"


@cache
def entries() -> tuple[Entry, ...]:
    """The whole ledger."""
    data = json.loads(_FILE.read_text())
    assert data["schema"] == 1, "ledger.json has another schema"
    return tuple(Entry(**{**row, "shows": tuple(row["shows"])}) for row in data["entries"])


def find(case: str, family: str, version: str, complaints: Sequence[str], *, ground: str = "real") -> Entry | None:
    """The entry that describes all of these complaints, or None; also None when there are none."""
    for entry in entries() if complaints else ():
        if entry.case != case or entry.family != family or entry.ground not in ("both", ground):
            continue
        if covers(entry.versions, version) and all(
            any(fnmatch.fnmatchcase(text, pattern) for pattern in entry.shows) for text in complaints
        ):
            return entry
    return None


def covers(versions: str, version: str) -> bool:
    """Whether a version satisfies a list of bounds (`>=3.12,<3.14`); an empty list is satisfied by any."""
    for bound in filter(None, versions.split(",")):
        found = re.fullmatch(r"(>=|<=|<|>|==)([\d.]+)", bound.strip())
        assert found is not None, f"no bound: {bound!r}"
        ours, theirs = _numbers(version), _numbers(found[2])
        size = max(len(ours), len(theirs))
        ours, theirs = (each + (0,) * (size - len(each)) for each in (ours, theirs))
        holds = {
            ">=": ours >= theirs, "<=": ours <= theirs, "<": ours < theirs, ">": ours > theirs, "==": ours == theirs,
        }[found[1]]  # fmt: skip
        if not holds:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
