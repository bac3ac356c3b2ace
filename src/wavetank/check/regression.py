"""A regression test for what was found: Python that runs as it stands.

Owns its text. It must never need anything but the factory, `wavetank.check` and the standard library.
"""

from __future__ import annotations

import base64
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final

from wavetank.check.finding import HELD_BYTES, Finding
from wavetank.check.schedule import Schedule

#: Data longer than this is packed, unless it repeats itself.
_PLAIN_BYTES: Final = 1500
#: A repeated part up to this long is written once.
_LONGEST_PERIOD: Final = 4096

_NAMES: Final = {
    "cut": "the_cut_does_not_matter",
    "pause": "a_slow_peer_does_not_matter",
    "eof": "the_end_of_the_stream_loses_nothing",
    "answer": "everything_is_answered",
    "exception": "nothing_is_raised",
    "unhandled": "nothing_is_raised",
    "hang": "the_connection_ends",
    "spin": "the_loop_goes_on",
    "contract": "the_contract_is_kept",
    "buffer": "what_is_held_is_bounded",
    "injection": "clear_text_stays_outside_of_tls",
}


def test_for(
    finding: Finding,
    factory: Any,
    *,
    observe: Callable[[Any], Any] | str | None,
    dialect: str | None,
    reads_as: Callable[[bytes], Any] | str | None,
    imports: tuple[str, str] | None,
) -> str:
    """The source of a test module with one test."""
    names = _Names()
    made = names.use(factory, "factory", imports)
    options = []
    if observe is not None:
        options.append(
            f"observe={observe!r}" if isinstance(observe, str) else f"observe={names.use(observe, 'observe')}"
        )
    if dialect is not None:
        options.append(f"dialect={dialect!r}")
    if reads_as is not None:
        options.append(
            f"reads_as={reads_as!r}" if isinstance(reads_as, str) else f"reads_as={names.use(reads_as, 'reads_as')}"
        )
    body = _body(finding, made, options, names)
    head = ["from wavetank.check import " + ("check_protocol" if "check_protocol(" in "\n".join(body) else "play")]
    if names.packed:
        head = ["import base64", "import zlib", "", *head]
    return "\n".join([*head, *(["", *names.imports] if names.imports else []), *names.notes, "", "",
                      f"def test_{_NAMES[finding.problem.kind]}():", *_indented(body)])  # fmt: skip


def _indented(body: Sequence[str]) -> list[str]:
    """The body of a function; lines within a text stay where they are."""
    lines, inside = [], False
    for line in body:
        lines.append(line if inside else f"    {line}")
        inside ^= line.count('"""') % 2 == 1
    return lines


class _Names:
    """What the test imports, and what it cannot."""

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.notes: list[str] = []
        self.packed = False

    def use(self, thing: Any, role: str, known: tuple[str, str] | None = None) -> str:
        """The expression for `thing`; known as (module, name) or by what it says itself."""
        module, name = known or (getattr(thing, "__module__", ""), getattr(thing, "__qualname__", ""))
        if module == "__main__":
            module = os.path.splitext(os.path.basename(getattr(sys.modules["__main__"], "__file__", "") or ""))[0]
        first = name.partition(".")[0]
        if not module or not name or "<" in name:
            where = getattr(getattr(thing, "__code__", None), "co_filename", "")
            line = getattr(getattr(thing, "__code__", None), "co_firstlineno", "")
            self.notes.append(f"{role} = ...  # what was given as {role}{f', {where}:{line}' if where else ''}")
            return role
        if all(part.isidentifier() for part in module.split(".")):
            self.imports.append(f"from {module} import {first}")
        else:
            self.imports += ["import importlib", "", f"{first} = importlib.import_module({module!r}).{first}"]
        return name

    def data(self, data: bytes) -> str:
        """An expression for bytes: plain, repeated, or packed."""
        if len(data) <= _PLAIN_BYTES // 4:
            return repr(data)
        unit = _period(data)
        if unit is not None:
            times = f" * {len(data) // len(unit)}"
            rest = data[len(unit) * (len(data) // len(unit)) :]
            return f"{unit!r}{times}" + (f" + {rest!r}" if rest else "")
        if len(data) <= _PLAIN_BYTES:
            return repr(data)
        self.packed = True
        text = base64.b85encode(zlib.compress(data, 9)).decode()
        lines = [repr(text[at : at + 88]) for at in range(0, len(text), 88)]
        return "zlib.decompress(base64.b85decode(\n    " + "\n    ".join(lines) + "\n))"


def _body(finding: Finding, factory: str, options: Sequence[str], names: _Names) -> list[str]:
    kind, schedule, conversation = finding.problem.kind, finding.schedule, finding.conversation
    if (
        kind == "injection"
        or schedule.end == "flood"
        or (kind == "buffer" and schedule.deaf_after is None)
        or (kind == "answer" and schedule.end == "settle")
    ):
        spoken = _list([names.data(message) for turn in conversation.turns for message in turn.messages])
        if any(turn.answer for turn in conversation.turns):
            spoken = f'r"""\n{conversation.text()}"""'
        return _call("check_protocol", "", factory, spoken, options)
    run = _call("play", "outcome = ", factory, _pieces(schedule, names), [*_settings(schedule), *options])
    if kind == "buffer":
        most = HELD_BYTES + max(finding.outcome.writes, default=0)
        return [*run, f"assert outcome.most_held <= {most}"]
    if finding.reference_schedule is None or kind not in ("cut", "pause", "eof", "answer"):
        return [*run, "assert outcome.problems == []"]
    expected = _call("play", "expected = ", factory, _pieces(finding.reference_schedule, names),
                     [*_settings(finding.reference_schedule), *options])  # fmt: skip
    if any(option.startswith("reads_as=") for option in options) and kind in ("eof", "answer"):
        return [*expected, *run, "assert outcome.reads_the_same(expected)"]
    if kind == "eof":
        return [*expected, *run, "assert (outcome.output, outcome.observed) == (expected.output, expected.observed)"]
    if kind == "answer":
        return [*expected, *run, "assert outcome.output == expected.output"]
    return [*expected, *run, "assert outcome.differences(expected) == []"]


def _settings(schedule: Schedule) -> list[str]:
    options = []
    if schedule.pace != "apart":
        options.append(f"pace={schedule.pace!r}")
    if schedule.end != "settle":
        options.append(f"end={schedule.end!r}")
    if schedule.deaf_after is not None:
        options.append(f"deaf_after={schedule.deaf_after}")
        if not schedule.hears_again:
            options.append("hears_again=False")
    return options


def _pieces(schedule: Schedule, names: _Names) -> str:
    turns = [_turn(turn, names) for turn in schedule.pieces]
    return turns[0] if len(turns) == 1 else _list(turns)


def _turn(pieces: Sequence[bytes], names: _Names) -> str:
    if len(pieces) > 8 and all(len(piece) == 1 for piece in pieces):
        return f"[bytes([byte]) for byte in {names.data(b''.join(pieces))}]"
    parts = []
    for piece, same in groupby(pieces):
        count = len([*same])
        parts.append(names.data(piece) if count == 1 else f"*[{names.data(piece)}] * {count}")
    return _list(parts)


def _list(parts: Sequence[str]) -> str:
    line = f"[{', '.join(parts)}]"
    if len(line) <= 100 and "\n" not in line:
        return line
    return "[\n" + "".join(f"    {line}\n" for part in parts for line in f"{part},".splitlines()) + "]"


def _call(name: str, target: str, factory: str, first: str, options: Sequence[str]) -> list[str]:
    rest = "".join(f", {option}" for option in options)
    return f"{target}{name}({factory}, {first}{rest})".splitlines()


def _period(data: bytes) -> bytes | None:
    """The shortest part that `data` is a repetition of, at least four times; None without one."""
    # Where the first bytes come again, the period may end.
    at = data.find(data[:16], 1)
    while 0 < at <= _LONGEST_PERIOD:
        if data[at:] == data[:-at]:
            return data[:at]
        at = data.find(data[:16], at + 1)
    return None
