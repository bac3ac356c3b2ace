"""How late packets are: at random, in bursts, and next to the deadlines of their receiver."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wavetank.kernel.choices import Choices
from wavetank.network.lateness import AIMED, BURSTS, JITTER_STEP_NS, OFFSETS_NS, STYLES, Lateness, Style

MS = 1_000_000


def late_by(style: Style, arrival: int, most: int, deadlines: Sequence[int], count: int = 500) -> set[int]:
    lateness = Lateness(Choices(1).stream("jitter", "a -> b"), style, lambda: deadlines)
    return {lateness.steps(arrival, most, True) * JITTER_STEP_NS for _ in range(count)}


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.words)
def test_no_packet_is_later_than_the_fault_allows(style: Style) -> None:
    assert all(0 <= late <= 50 * MS for late in late_by(style, 7 * MS, 50_000, [20 * MS, 500 * MS]))


def test_aimed_packets_arrive_next_to_deadlines_that_can_be_reached() -> None:
    style = next(style for style in STYLES if style.kind == AIMED)
    arrivals = {10 * MS + late for late in late_by(style, 10 * MS, 100_000, [5 * MS, 30 * MS, 900 * MS], 2_000)}
    assert arrivals == {10 * MS, *(30 * MS + offset for offset in OFFSETS_NS)}


def test_without_a_deadline_aimed_packets_are_on_time() -> None:
    style = next(style for style in STYLES if style.kind == AIMED)
    assert late_by(style, 10 * MS, 100_000, []) == {0}


def test_what_is_sent_in_one_interval_arrives_at_its_end() -> None:
    style = next(style for style in STYLES if style.kind == BURSTS)
    assert {at + late for at in range(11 * MS, 20 * MS, MS) for late in late_by(style, at, 10_000, [], 1)} == {20 * MS}


def test_what_the_receiver_does_not_notice_does_not_aim() -> None:
    style = next(style for style in STYLES if style.kind == AIMED)
    lateness = Lateness(Choices(1).stream("jitter", "a -> b"), style, lambda: [20 * MS])
    assert {lateness.steps(10 * MS, 50_000, False) for _ in range(100)} == {0}
