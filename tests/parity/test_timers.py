"""Timers of TCP that loopback cannot show: in virtual time, and against real Linux in network namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.parity.timers.page import NOT_RUN, PAGE, alike, in_a_world, on_linux, worlds
from tests.parity.timers.scenarios import SCENARIOS
from tests.support.worlds import Worlds

#: What Linux 6.18 answered, and after how many seconds it would have without the coarse steps of its timers.
DOCUMENTED = {
    "syn": ("ETIMEDOUT", 3.0),  # retransmits_timed_out: (2 << 1) - 1 s, whatever tcp_syn_linear_timeouts
    "syn_user_timeout": ("ETIMEDOUT", 3.0),
    "no_neighbour": ("EHOSTUNREACH", 3.06),
    "retransmission": ("ETIMEDOUT", 6.528),  # tail loss probe, then 204 ms doubled until 3 s are over at a timeout
    "retransmission_5": ("ETIMEDOUT", 13.056),
    "user_timeout": ("ETIMEDOUT", 3.408),  # counted from the first retransmission
    "backoff": (True, 3.264),
    "keepalive": ("ETIMEDOUT", 4.0),
    "keepalive_user_timeout": ("ETIMEDOUT", 3.0),
    "keepalive_data": ("ETIMEDOUT", 13.056),
    "window_probe": (True, 6.33),
    "window_probe_void": ("ETIMEDOUT", 9.59),
    "window_user_timeout": ("ETIMEDOUT", 3.204),
    "window_user_timeout_answered": ("ETIMEDOUT", 3.204),
    "fin_wait_2": (True, 3.0),
    "linger2": (True, 2.0),
    "orphan": (True, 6.528),
    "time_wait": (True, 60.0),
    "linger": (None, 2.0),
}


@pytest.fixture(scope="module")
def place() -> Iterator[Worlds]:
    made = worlds()
    yield made
    made.close()


@pytest.fixture(scope="module")
def linux() -> dict[str, Any]:
    found = on_linux()
    if NOT_RUN in found:
        pytest.skip(f"not run: {found[NOT_RUN]}")
    return found


def test_every_program_is_compared() -> None:
    assert set(DOCUMENTED) == set(SCENARIOS)
    for scenario in SCENARIOS.values():
        assert f"| {scenario.what} |" in PAGE.read_text()


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_virtual_time(place: Worlds, name: str) -> None:
    told, seconds = DOCUMENTED[name]
    found = in_a_world(place, name)
    assert found["told"] == told
    assert found["seconds"] == pytest.approx(seconds, abs=0.02)


@pytest.mark.long
@pytest.mark.parametrize("name", SCENARIOS)
def test_as_real_linux(place: Worlds, linux: dict[str, Any], name: str) -> None:
    simulated = in_a_world(place, name)
    assert alike(linux[name], simulated), f"Linux: {linux[name]}, simulated: {simulated}"
