"""Twisted's own abort tests beside ours: `python -m tests.suites.aborting [--page FILE]`.

The eleven scenarios of Twisted's AbortConnectionMixin, as its trial runs them and as `wavetank.conformance.SCENARIOS`
has them, on the same reactors, over TCP and TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from wavetank.conformance import SCENARIOS, run_protocols
from wavetank.conformance.abort import complaints

#: Twisted's name of each scenario, and ours.
TWINS = {
    "test_dataReceivedAbort": "abort-in-data",
    "test_clientAbortsConnectionTwice": "client-aborts-twice",
    "test_clientAbortsConnectionThenLosesConnection": "client-aborts-then-closes",
    "test_serverAbortsConnectionTwice": "server-aborts-twice",
    "test_serverAbortsConnectionThenLosesConnection": "server-aborts-then-closes",
    "test_resumeProducingAbort": "abort-in-resume",
    "test_resumeProducingAbortLater": "abort-in-resume-later",
    "test_fullWriteBuffer": "abort-with-full-buffers",
    "test_fullWriteBufferAfterByteExchange": "abort-with-full-buffers-later",
    "test_dataReceivedThrows": "abort-in-data-then-raise",
    "test_resumeProducingThrows": "abort-in-resume-then-raise",
}
CLASSES = {"tcp": "twisted.internet.test.test_tcp.AbortConnectionTests",
           "tls": "twisted.internet.test.test_tls.AbortSSLConnectionTests"}  # fmt: skip
REACTORS = {
    "Select": "twisted.internet.selectreactor:SelectReactor",
    "Poll": "twisted.internet.pollreactor:PollReactor",
    "EPoll": "twisted.internet.epollreactor:EPollReactor",
    "AsyncioSelector": "twisted.internet.asyncioreactor:AsyncioSelectorReactor",
}


def theirs(reactor: str, endpoint: str) -> dict[str, str]:
    """What Twisted's own tests say on this reactor: "ok", or what trial says instead."""
    name = f"{CLASSES[endpoint]}_{reactor}ReactorTests"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "twisted.trial", "--reporter=verbose", name],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    found = re.findall(r"^\s+(test_\w+) \.\.\.\s+(?:.*\s)?\[(\w+)\]", done.stdout, flags=re.M)
    return {test: verdict.lower() for test, verdict in found}


def ours(reactor: str, endpoint: str, scenario: str) -> str:
    """What our scenario says there: "ok", or its complaints."""
    found = SCENARIOS[scenario]
    happening = run_protocols(_factory(reactor), found.server, found.client, endpoint)
    return "; ".join(complaints(found, happening)) or "ok"


def _factory(reactor: str) -> Callable[[], Any]:
    module, _, name = REACTORS[reactor].partition(":")
    made = getattr(import_module(module), name)
    return (lambda: made(asyncio.new_event_loop())) if reactor == "AsyncioSelector" else made  # type: ignore[no-any-return]


def page() -> tuple[str, bool]:
    """The table, and whether both agree everywhere."""
    columns = [(reactor, endpoint) for reactor in REACTORS for endpoint in CLASSES]
    verdicts = {column: theirs(*column) for column in columns}
    heads = [f"{reactor.lower()}, {endpoint.upper()}" for reactor, endpoint in columns]
    lines = [
        "# Twisted's abort tests and ours",
        "",
        "The eleven scenarios of Twisted's `AbortConnectionMixin` on the same reactors: what Twisted's own test says,",
        "then what ours says.",
        "",
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "- command: `python -m tests.suites.aborting --page docs/results/aborting.md`",
        f"- Twisted {metadata.version('twisted')}, CPython {platform.python_version()}, {platform.system()}"
        f" {platform.release()}",
        "",
        f"| Twisted's test | our scenario | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(heads)}",
    ]
    agree = True
    for test, scenario in TWINS.items():
        cells = []
        for column in columns:
            both = (verdicts[column].get(test, "not run"), ours(*column, scenario))
            agree &= both[0] == both[1]
            cells.append(", ".join(both))
        lines.append(f"| `{test}` | `{scenario}` | {' | '.join(cells)} |")
    lines += ["", "They agree everywhere." if agree else "They do not agree everywhere."]
    return "\n".join(lines) + "\n", agree


def main() -> None:
    """Read the command line, run, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites.aborting", description=__doc__)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    text, agree = page()
    print(text)
    if given.page:
        given.page.write_text(text)
    sys.exit(not agree)


if __name__ == "__main__":
    main()
