"""Small programs, each with one bug of a class that real ones have: exploring finds it soon, and is silent when mended.

Each script in `bugs/` is an ordinary program, and does it right when its argument is "fixed".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from wavetank.campaign import target as targets
from wavetank.campaign.explore import Search, explore
from wavetank.campaign.session import Session, Settings
from wavetank.faults import parse_families

BUGS = Path(__file__).with_name("bugs")
#: Faults that a bug needs besides the mild ones.
FAMILIES: dict[str, str] = {}
#: More seeds than this no bug needs. The rarest shows in one run of a hundred: two events within two microseconds.
SEEDS = 250


def search(name: str, *argv: str, runs: int) -> dict[int, str]:
    """Seed and error of each failure that exploring finds."""
    target = targets.parse(str(BUGS / f"{name}.py"), argv)
    settings = Settings(families=parse_families(FAMILIES.get(name, "mild")))
    with Session(target, settings) as session:
        found = explore(session, Search(runs=runs, shrink=False))
    return {group.seed: f"{group.result.failure}" for group in found.groups}


@pytest.mark.parametrize("name", sorted(path.stem for path in BUGS.glob("*.py")))
def test_the_bug_is_found(name: str) -> None:
    assert search(name, runs=SEEDS)


@pytest.mark.parametrize("name", sorted(path.stem for path in BUGS.glob("*.py")))
def test_the_mended_program_is_left_alone(name: str) -> None:
    assert search(name, "fixed", runs=10) == {}


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(path.stem for path in BUGS.glob("*.py")))
def test_the_mended_program_is_left_alone_by_many_seeds(name: str) -> None:
    assert search(name, "fixed", runs=500) == {}
