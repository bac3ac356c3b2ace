"""The index of the pages names every page."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_every_page_is_in_the_index() -> None:
    named = {*re.findall(r"(?:\]\(|`)([^)`\s]+\.md)[)`]", (DOCS / "README.md").read_text())}
    pages = {
        str(page.relative_to(DOCS)) for folder in ("", "tutorials/", "words/") for page in DOCS.glob(f"{folder}*.md")
    }
    assert pages - {"README.md"} <= named


def test_every_result_is_in_the_index_of_results() -> None:
    named = {*re.findall(r"^\| `([a-z-]+\.md)`", (DOCS / "results" / "README.md").read_text(), flags=re.MULTILINE)}
    assert {page.name for page in DOCS.glob("results/*.md")} - {"README.md"} <= named
