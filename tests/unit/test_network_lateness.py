"""How late packets are: at random, in bursts, and next to the deadlines of their receiver."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wavetank.kernel.choices import Choices
from wavetank.network.lateness import AIMED, BURSTS, JITTER_STEP_NS, OFFSETS_NS, STYLES, TURN_NS, Lateness, Style

MS = 1_000_000


def late_by(style: Style, arrival: int, most: int, deadlines: Sequence[int], count: int = 500) -> set[int]:
    choices = Choices(1)
    draws, control = choices.stream("jitter", "a"), choices.stream("control-jitter", "a")
    lateness = Lateness(draws, control, style, lambda: deadlines, lambda: arrival - MS // 4)
    of_data = {lateness.of_data(arrival, most, at) for at in range(count)}
    return {steps * JITTER_STEP_NS for steps in of_data | {lateness.of_control(arrival, most, True)}}


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.words)
def test_no_packet_is_later_than_the_fault_allows(style: Style) -> None:
    assert all(0 <= late <= 50 * MS for late in late_by(style, 7 * MS, 50_000, [20 * MS, 500 * MS]))


def test_aimed_packets_arrive_next_to_deadlines_that_can_be_reached() -> None:
    style = next(style for style in STYLES if style.kind == AIMED)
    arrivals = {10 * MS + late for late in late_by(style, 10 * MS, 100_000, [5 * MS, 30 * MS, 900 * MS], 2_000)}
    rounded = {30 * MS + MS * 3 // 4 + offset * JITTER_STEP_NS for offset in range(TURN_NS // JITTER_STEP_NS)}
    assert arrivals == {10 * MS, *(30 * MS + offset for offset in OFFSETS_NS)} | rounded


def test_without_a_deadline_aimed_packets_are_on_time() -> None:
    style = next(style for style in STYLES if style.kind == AIMED)
    assert late_by(style, 10 * MS, 100_000, []) == {0}


def test_what_is_sent_in_one_interval_arrives_at_its_end() -> None:
    style = next(style for style in STYLES if style.kind == BURSTS)
    assert {at + late for at in range(11 * MS, 20 * MS, MS) for late in late_by(style, at, 10_000, [], 1)} == {20 * MS}


def test_what_the_receiver_does_not_notice_does_not_aim() -> None:
    style = next(style for style in STYLES if style.kind == AIMED)
    draws = Choices(1).stream("jitter", "a -> b")
    lateness = Lateness(draws, draws, style, lambda: [20 * MS], lambda: 9 * MS)
    assert {lateness.of_control(10 * MS, 50_000, False) for _ in range(100)} == {0}
