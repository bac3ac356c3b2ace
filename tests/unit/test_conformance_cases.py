"""The cases are data that can be read; outcomes match what they should; the ledger excuses what it describes."""

import json
import re
from importlib import import_module

import pytest

from wavetank.conformance import ledger
from wavetank.conformance.case import amount, matches, read
from wavetank.conformance.cases import CASES
from wavetank.conformance.engine import VERBS
from wavetank.contract import DIFFERENCES

KNOWN_VERBS = {
    *VERBS, "raise", "keep", "play",
    *(verb for name in ("ground_aio", "verbs_datagram", "verbs_system", "verbs_server", "verbs_tx", "verbs_tx_system")
      for verb in import_module(f"wavetank.conformance.{name}").VERBS),
}  # fmt: skip
#: Each difference of the contract's table, and the case that shows it.
SHOWN_BY = {
    1: "pause-in-made", 2: "abort-with-full-buffer", 3: "limits-by-default", 4: "writelines-empty-then-close",
    5: "memoryview-of-4-byte-items", 6: "write-empty-no-bytes", 7: "made-raises", 8: "write-after-lost",
    9: "eof-once-after-pause", 10: "close-in-resumed", 11: "tls-truncated", 12: "datagram-after-close",
    13: "datagram-flow", 14: "bytearray-changed-after-write", 15: "read-pipe-eof-kept",
    16: "server-wait-closed-with-a-client", 17: "data-raises-oserror", 18: "tls-close-twice-then-ask",
    19: "buffered-size-hint", 20: "events-when-connect-returns",
}  # fmt: skip


def test_there_are_more_than_120_distinct_scripts() -> None:
    scripts = {re.sub(r"\s+", " ", case.script) for case in CASES.values() if "scenario play" not in case.script}
    assert len(scripts) >= 120
    assert len(scripts) == sum("scenario play" not in case.script for case in CASES.values())


@pytest.mark.parametrize("case", CASES.values(), ids=[*CASES])
def test_a_case_is_whole(case) -> None:
    script = read(case.script)
    steps = [*script.steps, *(step for row in script.reactions.values() for step in row)]
    assert steps
    assert {step.verb for step in steps} <= KNOWN_VERBS
    assert case.source
    assert case.allowed


def test_every_difference_of_the_contract_has_a_case() -> None:
    assert {*SHOWN_BY} == {row.number for row in DIFFERENCES}
    assert {*SHOWN_BY.values()} <= {*CASES}
    named = {entry.difference: entry.case for entry in ledger.entries() if entry.difference}
    assert {*named} == {*SHOWN_BY}


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.usual], ids=lambda case: case.name)
def test_who_does_what_is_allowed_and_not_usual_is_in_the_ledger(case) -> None:
    assert any(entry.case == case.name and entry.left_open for entry in ledger.entries())
    assert {*case.usual} <= {*case.outcomes("asyncio"), "log"}


@pytest.mark.parametrize(
    ("heard", "allowed", "fits"),
    [
        ([], "", True),
        (["made"], "", False),
        (["made", "lost clean"], "made, lost clean", True),
        (["made", "lost clean"], "made, eof?, lost clean", True),
        (["made", "eof", "lost clean"], "made, eof?, lost clean", True),
        (["made", "eof", "eof", "lost clean"], "made, eof?, lost clean", False),
        (["made", "lost reset"], "made, lost clean|lost reset", True),
        (["made", "lost ValueError"], "made, lost clean|lost reset", False),
        (["made", "lost ValueError"], "made, lost *", True),
        (["made", "data 5", "lost clean"], "made, *, lost clean", True),
        (["made", "data 5"], "made, *", True),
        (["made"], "made or made, paused", True),
        (["made", "paused"], "made or made, paused", True),
        (["made", "resumed"], "made or made, paused", False),
        (["data 5"], "data 50", False),
    ],
)
def test_what_is_allowed(heard: list[str], allowed: str, fits: bool) -> None:
    assert matches(heard, allowed) is fits


def test_amounts_have_units() -> None:
    assert [amount(word) for word in ("0", "5", "64k", "8M")] == [0, 5, 65536, 8 * 1024 * 1024]


def test_the_ledger_names_cases_reasons_and_issues() -> None:
    for entry in ledger.entries():
        assert entry.case in CASES
        assert entry.why
        assert re.fullmatch(r"gh-\d+|not reported|uvloop #\d+|twisted #\d+|deliberate.*", entry.upstream), entry
        assert entry.shows


@pytest.mark.parametrize(
    ("versions", "version", "covered"),
    [
        ("", "3.11.7", True),
        (">=3.12", "3.11.7", False),
        (">=3.12", "3.12.1", True),
        (">=3.12,<3.14", "3.13.0", True),
        (">=3.12,<3.14", "3.14.0", False),
        ("==26.10", "26.10.0", True),
    ],
)
def test_versions_are_bounds(versions: str, version: str, covered: bool) -> None:
    assert ledger.covers(versions, version) is covered


def test_an_entry_excuses_only_what_it_describes() -> None:
    shown = ["loop: reports AttributeError; allowed: nothing"]
    assert ledger.find("close-in-resumed", "asyncio", "3.13.0", shown)
    assert not ledger.find("close-in-resumed", "asyncio", "3.13.0", [*shown, "client: made; allowed: made, lost clean"])
    assert not ledger.find("close-in-resumed", "uvloop", "0.23.0", shown)
    assert not ledger.find("close-in-made", "asyncio", "3.13.0", shown)


def test_the_ledger_is_plain_json() -> None:
    assert json.loads(ledger._FILE.read_text())["schema"] == 1
