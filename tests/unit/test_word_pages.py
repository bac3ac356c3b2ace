"""The examples in docs/words run, and its tables name every word."""

import doctest
import json
import re
from pathlib import Path

import pytest

from wavetank import errors, plan
from wavetank.faults import FAMILIES, WORDS
from wavetank.trace.schema import Kind

PAGES = sorted((Path(__file__).parents[2] / "docs" / "words").glob("*.md"))
FAULTS, PLANS, TRACE, ERRORS = (
    next(page for page in PAGES if page.stem == stem).read_text()
    for stem in ("faults", "choices-and-plans", "trace", "errors")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_do_what_they_show(page: Path) -> None:
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert result.failed == 0


def test_the_page_of_faults_names_every_word_and_family() -> None:
    named = re.findall(r"^\| `([a-z-]+)` \|", FAULTS, flags=re.MULTILINE)
    assert set(named) == {*WORDS, *FAMILIES}
    for name, family in FAMILIES.items():
        words = ", ".join(word for word, kind in WORDS.items() if kind in family.faults)
        hosts = f"; needs {['no', 'one', 'two'][family.least_hosts]} hosts" if family.least_hosts > 1 else ""
        assert f"| `{name}` | {words}{hosts} | {'yes' if family.mild else 'no'} |" in FAULTS


def test_the_plan_of_the_page_is_a_plan() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PLANS, flags=re.DOTALL)
    assert plan.from_json(json.loads(text)).epoch_s == plan.DEFAULT_EPOCH_S


def test_the_page_of_the_trace_numbers_every_kind() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| (.+?) \|", TRACE, flags=re.MULTILINE)
    named: dict[int, str] = {}
    for numbers, words in rows:
        first, *rest = words.split(", ")
        stem = first.rpartition(" ")[0]
        names = [first, *(f"{stem} {word}".strip() for word in rest)]
        named |= dict(zip(map(int, numbers.split(", ")), names, strict=True))
    assert named == {int(kind): kind.name.lower().replace("_", " ") for kind in Kind}


def test_the_page_of_errors_names_every_class_with_its_exit_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d) \|$", ERRORS, flags=re.MULTILINE))
    classes = [each for each in vars(errors).values() if isinstance(each, type) and each.__module__ == errors.__name__]
    assert rows == {each.__name__: str(getattr(each, "exit_status", "")) for each in classes}
