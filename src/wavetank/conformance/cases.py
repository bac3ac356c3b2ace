"""Every case by its name, those of the abort family included."""

from __future__ import annotations

from typing import Final

from wavetank.conformance import cases_more, cases_stream, cases_system, cases_write
from wavetank.conformance.abort import SCENARIOS
from wavetank.conformance.case import Case

_ABORT: Final = "twisted/internet/test/test_tcp.py, AbortConnectionMixin; asyncio Transports, abort"

_FAMILY: Final = tuple(
    Case(f"{endpoint}-{name}" if endpoint != "tcp" else name, endpoint if endpoint == "tls" else "",
         f"scenario play {name} {endpoint}", {"scenario": "kept"}, _ABORT)
    for endpoint in ("tcp", "tls")
    for name in SCENARIOS
    if name != "abort-in-data" or endpoint == "tls"
)  # fmt: skip

#: Every case by its name. `abort-in-data` over TCP is a script of its own; the scenario of that name adds writes to it.
CASES: Final[dict[str, Case]] = {
    case.name: case
    for case in (*cases_stream.CASES, *cases_write.CASES, *cases_more.CASES, *cases_system.CASES, *_FAMILY)
}

assert len(CASES) == sum(
    map(len, (cases_stream.CASES, cases_write.CASES, cases_more.CASES, cases_system.CASES, _FAMILY))
)
