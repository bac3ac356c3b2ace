"""The countable part of how this code reads: short modules, short functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
MODULE_LINES = 600
FUNCTION_LINES = 60


def findings(text: str) -> Iterator[tuple[int, str]]:
    """What is too long in one module's text: line and words."""
    lines = text.count("\n")
    if lines > MODULE_LINES:
        yield 1, f"{lines} lines; {MODULE_LINES} is a room that one person can hold in the head"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield node.lineno, f"{node.name} is {length} lines long; the most is {FUNCTION_LINES}"


def test_the_source_is_in_pieces_that_can_be_read() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {words}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, words in findings(path.read_text())
    ]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x = 1\n" * MODULE_LINES, 0),
        ("x = 1\n" * (MODULE_LINES + 1), 1),
        ("def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1), 0),
        ("async def f():\n" + "    x = 1\n" * FUNCTION_LINES, 1),
    ],
)
def test_each_limit_is_kept_exactly(text: str, count: int) -> None:
    assert len([*findings(text)]) == count
