"""Real bugs of servers and protocols: `check` finds each in the release that has it, and passes the one without."""

import sys
from pathlib import Path

import pytest

from tests.programs.corpus.checking import checked
from tests.programs.corpus.rows import ROWS, TOP, Row

ENVIRONMENTS = TOP / ".venv-corpus"
#: Python's own bug: of 3.12, and of 3.13 before 3.13.2 (gh-127655).
PYTHON_HAS_IT = (3, 12) <= sys.version_info < (3, 13, 2)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bug_is_found_where_it_is_and_nowhere_else(row: Row, record_property: object) -> None:
    assert callable(record_property)
    if row.buggy or PYTHON_HAS_IT:
        found = checked(row, "buggy", ENVIRONMENTS)
        record_property("buggy", f"{found.kind} after {found.seconds} s, {found.runs} runs: {found.why}")
        assert found.kind is not None
    if (row.fixed or not PYTHON_HAS_IT) and not row.fixed_may_fail:
        passed = checked(row, "fixed", ENVIRONMENTS)
        record_property("fixed", f"{passed.kind or 'passes'} in {passed.seconds} s, {passed.runs} runs")
        assert passed.kind is None, passed.text


def test_the_product_knows_of_no_row() -> None:
    names = {row.name.partition("-")[0] for row in ROWS} - {"asyncio", "twisted"}
    for module in Path(TOP / "src" / "wavetank" / "check").glob("*.py"):
        text = module.read_text()
        assert [name for name in names if f"import {name}" in text or f'"{name}' in text] == [], module
