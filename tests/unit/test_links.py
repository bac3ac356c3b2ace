"""Links between the pages of the repository lead somewhere."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGES = [
    *TOP.glob("*.md"),
    *(page for part in ("docs", "examples", "src", "tests") for page in TOP.glob(f"{part}/**/*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_relative_links_lead_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []
