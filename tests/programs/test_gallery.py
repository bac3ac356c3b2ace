"""Every program of the gallery: calm, and under three seeds of `mild`, each run repeated with the same digest.

The last seed is run once more with all protocols watched, which must see nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.programs import gallery, table
from wavetank.campaign import target
from wavetank.campaign.confirm import confirm
from wavetank.campaign.plans import plan_for
from wavetank.campaign.session import Session, Settings
from wavetank.faults import parse_families
from wavetank.plan import Plan

MILD = parse_families("mild")
SEEDS = (1, 2, 3)


PROGRAMS = [pytest.param(name, marks=pytest.mark.long if table.facts(name).long else ()) for name in table.names()]


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    path = str(Path(gallery.__file__).with_name(f"{name}.py"))
    with Session(target.parse(f"{path}::scenario"), Settings(families=MILD)) as session:
        plans = [Plan(epoch_s=session.epoch_s)]
        plans += [plan_for(seed, MILD, session.epoch_s, session.hosts) for seed in SEEDS]
        opaque: set[str] = set()
        for plan in plans:
            result = session.run(plan)
            assert result.failure is None, f"{plan.lines()}\n{result.failure.traceback}\n{result.outputs}"
            verdict = confirm(session, plan, result)
            assert not verdict.parted, f"{plan.lines()}\n{verdict.parted}"
            opaque.update(verdict.opaque)
        session.settings = replace(session.settings, oracle=("contract",))
        watched = session.run(plans[-1]).failure
        assert watched is None, f"an alarm of the oracle contract: {watched.error}\n{watched.traceback}"
    assert not opaque or table.facts(name).opaque, f"payload that does not repeat: {sorted(opaque)}"


def test_the_table_in_the_docs_is_that_of_the_gallery() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gallery.md").read_text()
    assert page == table.page(table.versions_in(page)), "run `python -m tests.programs.table`"
