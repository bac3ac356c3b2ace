"""What a failed check says: the cut, both outputs side by side, and the way there.

Owns the words of `CheckFailed`. It must never run anything; the test it ends with is made by `regression`.
"""

from __future__ import annotations

import pprint
import textwrap
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, Final

from wavetank.check import regression
from wavetank.check.finding import Finding
from wavetank.check.outcome import shown
from wavetank.check.schedule import Schedule
from wavetank.check.text_form import quoted
from wavetank.errors import CheckFailed

#: The width of one column of two, in characters; so many rows are shown.
_COLUMN: Final = 48
_ROWS: Final = 16
#: Rows that are the same are shown before the first one that differs.
_BEFORE: Final = 3
#: So many pieces of a schedule are shown, and so much of each.
_PIECES: Final = 10
_PIECE_CHARACTERS: Final = 72
#: So many last lines of the history.
_HISTORY: Final = 12


def failure_of(
    finding: Finding,
    factory: Any,
    *,
    observe: Callable[[Any], Any] | str | None = None,
    dialect: str | None = None,
    reads_as: Callable[[bytes], Any] | str | None = None,
    imports: tuple[str, str] | None = None,
) -> CheckFailed:
    """The error for a finding; `factory` and what follows are as they were given, for the regression test."""
    return CheckFailed(
        finding.problem.kind,
        finding.title,
        where=str(finding.schedule),
        why=finding.problem.text,
        report="\n".join(_report(finding)).rstrip(),
        test=regression.test_for(
            finding, factory, observe=observe, dialect=dialect, reads_as=reads_as, imports=imports
        ),
    )


def _report(finding: Finding) -> Iterator[str]:
    yield "The input:"
    yield from _pieces(finding.schedule)
    if finding.reference is not None and finding.problem.kind in ("cut", "pause", "eof", "answer"):
        yield ""
        yield from _side_by_side(finding)
    if finding.problem.details:
        yield ""
        yield from textwrap.indent(finding.problem.details, "  ").splitlines()
    if finding.problem.kind not in ("cut", "pause", "eof", "contract"):
        history = str(finding.outcome.history).splitlines()
        if history and not finding.problem.details.startswith("expected"):
            yield ""
            yield "The last calls:"
            yield from (f"  {line}" for line in history[-_HISTORY:])


def _pieces(schedule: Schedule) -> Iterator[str]:
    count = 0
    for number, turn in enumerate(schedule.pieces, 1):
        if number > 1:
            yield "  < ..."
        for piece in turn:
            count += 1
            if count > _PIECES:
                continue
            text = quoted(piece[:_PIECE_CHARACTERS])
            if len(text) > _PIECE_CHARACTERS or len(piece) > _PIECE_CHARACTERS:
                text = f"{text[:_PIECE_CHARACTERS]}...  ({len(piece):,} bytes)"
            yield f"  > {text}"
    if count > _PIECES:
        yield f"  ... and {count - _PIECES:,} more pieces"
    end = [*schedule.words()][1:]
    if end:
        yield f"  {'; '.join(end)}"


# ---- two columns


def _side_by_side(finding: Finding) -> Iterator[str]:
    first, second = finding.reference, finding.outcome
    assert first is not None
    assert finding.reference_schedule is not None
    left, right = _headings(finding.reference_schedule, finding.schedule)
    yield _row(left, right, " ")
    yield _row("-" * _COLUMN, "-" * _COLUMN, " ")
    if first.reader is None:
        yield from _rows(_lines_of(first.output), _lines_of(second.output), "output")
    else:
        yield from _rows(_pretty(first.read()), _pretty(second.read()), "output")
    if first.closed != second.closed:
        yield _row(f"connection: {first.closed}", f"connection: {second.closed}", "|")
    if shown(first.observed) != shown(second.observed):
        yield _row("observed:", "observed:", " ")
        yield from _rows(_pretty(first.observed), _pretty(second.observed), "observed")


def _headings(reference: Schedule, other: Schedule) -> tuple[str, str]:
    left = next(reference.words())
    right = str(other)
    return left[:_COLUMN], right if len(right) <= _COLUMN else f"{right[: _COLUMN - 3]}..."


def _rows(left: list[str], right: list[str], name: str) -> Iterator[str]:
    pairs = [*zip_longest(left, right, fillvalue="")]
    first = next((number for number, (a, b) in enumerate(pairs) if a != b), 0)
    start = max(0, first - _BEFORE)
    if not pairs or (len(left) == len(right) == 0):
        yield _row(f"(no {name})", f"(no {name})", " ")
        return
    if start:
        yield f"  ... {start} lines that are the same"
    for a, b in pairs[start : start + _ROWS]:
        yield _row(a, b, " " if a == b else "|")
    rest = len(pairs) - start - _ROWS
    if rest > 0:
        yield f"  ... {rest} lines more"


def _row(left: str, right: str, mark: str) -> str:
    return f"  {left:<{_COLUMN}} {mark} {right}".rstrip()


def _lines_of(output: bytes) -> list[str]:
    """Output as rows: a line each where it has lines, else as much as fits."""
    rows: list[str] = []
    for line in output.splitlines(keepends=True):
        text = quoted(line[: _COLUMN * (_ROWS + 64)])
        rows += [text[at : at + _COLUMN] for at in range(0, len(text), _COLUMN)]
    return rows


def _pretty(value: object) -> list[str]:
    try:
        text = pprint.pformat(value, width=_COLUMN)
    except Exception:
        text = shown(value)
    return [line[:_COLUMN] for line in text.splitlines()]
