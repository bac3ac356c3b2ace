"""The pages of the doubles: their examples run, and their tables name what there is."""

import doctest
from pathlib import Path

import pytest

from wavetank.doubles import aio, tx
from wavetank.doubles.wire import datagrams, trouble

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "doubles.md", *sorted((DOCS / "doubles").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_do_what_they_show(page: Path) -> None:
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert result.failed == 0
    assert result.attempted > 0


def test_every_page_is_in_the_overview() -> None:
    overview = PAGES[0].read_text()
    assert [page.name for page in PAGES[1:] if f"(doubles/{page.name})" not in overview] == []


def test_every_public_name_is_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    helpers = {
        "Connection",
        "Entry",
        "Log",
        "Stream",
        "StreamPair",
        "SynchronousResolver",
        "Transport",
        "Watermarks",
        "chunks",
    }
    names = {name for module in (aio, tx) for name in module.__all__ if not name.startswith("_")}
    assert sorted(name for name in names - helpers if f"{name}" not in text) == []


def test_the_overview_names_every_fault_that_means_something() -> None:
    section = PAGES[0].read_text().partition("## Faults")[2].partition("\n## ")[0]
    assert [kind.__name__ for kind in (*trouble.KNOWN, *datagrams.KNOWN) if f"`{kind.__name__}`" not in section] == []
