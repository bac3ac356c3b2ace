"""The abort family on real loops and reactors, over TCP, TLS and UNIX sockets."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.selectreactor import SelectReactor

from wavetank.conformance import SCENARIOS, run_protocols
from wavetank.conformance.abort import complaints

#: What Twisted does with pyOpenSSL is not ours.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
REACTORS = {
    "select": SelectReactor,
    "poll": PollReactor,
    "epoll": EPollReactor,
    "twisted-asyncio": lambda: AsyncioSelectorReactor(asyncio.new_event_loop()),
}
#: gh-156512: abort inside resume_writing at drain calls _call_connection_lost twice, CPython 3.11 to 3.13.
KNOWN = "reported: AttributeError(\"'NoneType' object has no attribute 'close'\")"
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=[*SCENARIOS])


def result(factory: Any, scenario: Any, endpoint: str) -> list[str]:
    return complaints(scenario, run_protocols(factory, scenario.server, scenario.client, endpoint))


@each_scenario
@pytest.mark.parametrize("endpoint", ["tcp", pytest.param("tls", marks=pytest.mark.long)])
def test_asyncio_aborts_as_documented(scenario: Any, endpoint: str) -> None:
    known = [KNOWN] if "resume" in scenario.name else []
    assert result(asyncio.new_event_loop, scenario, endpoint) == known


@each_scenario
def test_twisted_aborts_as_its_own_tests_ask(scenario: Any) -> None:
    assert result(EPollReactor, scenario, "tcp") == []


@pytest.mark.long
@each_scenario
@pytest.mark.parametrize("endpoint", ["tcp", "tls", "unix"])
@pytest.mark.parametrize("reactor", [*REACTORS])
def test_every_reactor_aborts_as_twisteds_tests_ask(scenario: Any, endpoint: str, reactor: str) -> None:
    assert result(REACTORS[reactor], scenario, endpoint) == []


def test_full_means_that_the_kernel_takes_nothing_more() -> None:
    scenario = SCENARIOS["abort-with-full-buffers"]
    happening = run_protocols(asyncio.new_event_loop, scenario.server, scenario.client)
    # Linux's smallest tcp_wmem default is 16 KiB; asyncio pauses over 64 KiB of its own.
    assert happening.client.unsent_bytes > 16 * 1024
    assert happening.client.buffered_bytes > 64 * 1024


def test_a_known_defect_of_this_python_is_still_one() -> None:
    """When this fails, the ledger and `KNOWN` name a defect that this Python no longer has."""
    assert sys.version_info < (3, 14)
    assert result(asyncio.new_event_loop, SCENARIOS["abort-in-resume"], "tcp") == [KNOWN]


@pytest.mark.long
@pytest.mark.parametrize("reactor", ["Select", "Poll", "EPoll", "AsyncioSelector"])
def test_twisteds_own_tests_agree(reactor: str, tmp_path: Path) -> None:
    """The same eleven scenarios, as Twisted tests them, on the reactors that pass ours."""
    names = [f"twisted.internet.test.test_{module}ReactorTests" for module in (
        f"tcp.AbortConnectionTests_{reactor}", f"tls.AbortSSLConnectionTests_{reactor}",
    )]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "twisted.trial", *names], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "PASSED (successes=22)" in done.stdout, done.stdout[-3000:]
