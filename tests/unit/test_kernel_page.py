"""The page on the simulated kernel says the numbers and names that the code has."""

import re
from pathlib import Path

import pytest

from wavetank.kernel import clock, core, guard, identity, locks, names, profile, refusals
from wavetank.kernel.tcp import state
from wavetank.network import link

PAGE = (Path(__file__).parents[2] / "docs" / "kernel.md").read_text()
WORDS = " ".join(PAGE.split())


@pytest.mark.parametrize(
    ("words", "value", "unit"),
    [
        (r"a system call \| {} us", core.CALL_COST_NS, 1_000),
        (r"a reading of the clock; a lock operation \| {} ns", core.CLOCK_COST_NS, 1),
        (r"a reading of the clock; a lock operation \| {} ns", locks.LOCK_COST_NS, 1),
        (r"after {} of them in a row", core.BUSY_AFTER, 1),
        (r"of them in a row \| {} us", core.BUSY_COST_NS, 1_000),
        (r"name of another host \| {} us", names.LOOKUP_NS, 1_000),
        (r"others that are ready after {} ms", core.SLICE_NS, 1_000_000),
        (r"has been up for {} s", clock.UPTIME_S, 1),
        (r"a machine with {} processors", identity.PROCESSORS, 1),
        (r"a packet takes {} us", link.LATENCY_NS, 1_000),
        (r"segments of at most {} bytes", state.MSS_ETHERNET, 1),
        (r"EHOSTUNREACH after 3.{:02} s", state.NO_NEIGHBOUR_NS - 3 * state.SECOND, 10 * state.MS),
        (r"sent again after {} ms", state.RTO_MIN, state.MS),
        (r"twice as long each time, to {} s", state.RTO_MAX, state.SECOND),
        (r"ETIMEDOUT after {} times", profile.DEFAULT.tcp_retries2, 1),
        (r"asked for \| after {} s", profile.DEFAULT.tcp_keepalive_time, 1),
        (r"s, {} times 75 s", profile.DEFAULT.tcp_keepalive_probes, 1),
        (r"its port rests for {} s", state.TIME_WAIT_NS, state.SECOND),
    ],
)
def test_a_number_of_the_page_is_that_of_the_code(words: str, value: int, unit: int) -> None:
    shown = value // unit
    assert value % unit == 0
    assert re.search(words.format(shown), WORDS) or re.search(words.replace("{}", f"{shown:,}"), WORDS)


def test_the_profile_is_named() -> None:
    assert f"Linux {identity.RELEASE.removesuffix('.0')} " in PAGE


def test_every_name_that_can_be_allowed_is_on_the_page_and_no_other() -> None:
    section = PAGE[PAGE.index("`--allow` takes these names") : PAGE.index("Refused without a way around it")]
    named = {*re.findall(r"`([^`]+)`", section)} - {"--allow"}
    assert named == {*refusals.names(), *guard.names()}
