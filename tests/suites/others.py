"""Other people's suites inside the simulator and on the real system: `python -m tests.suites.others [SUITE...]`.

Twisted and Trio bring their tests along; those of anyio, websockets and aiohttp are in their source archives, which
`--sources FOLDER` holds unpacked. The machinery is that of `cpython`; what counts is what passes on the real system.
A skip has one of a few reasons (`SKIPS`), and no module is skipped as a whole.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

from tests.suites import cpython
from tests.suites.cpython import Comparison, compare

_TRIO = "-ptrio._tests.pytest_plugin"
#: What each suite is given to; `{sources}` is the folder of unpacked archives.
SUITES = {
    **{
        f"twisted.internet {name}": f"twisted.internet.test.test_{name}"
        for name in ("tcp", "udp", "unix", "tls", "core", "time", "threads", "endpoints")
    },
    **{f"twisted.web {name}": f"twisted.web.test.test_{name}" for name in ("http", "web", "client", "agent", "static")},
    **{f"twisted.protocols {name}": f"twisted.test.test_{name}" for name in ("protocols", "policies", "amp", "ftp")},
    **{
        f"trio {name}": f"pytest:--pyargs,trio._tests.test_{name},{_TRIO}"
        for name in (
            "socket", "ssl", "highlevel_socket", "highlevel_generic", "highlevel_open_tcp_stream",
            "highlevel_open_tcp_listeners", "highlevel_open_unix_stream", "highlevel_serve_listeners",
            "highlevel_ssl_helpers", "unix_pipes",
        )
    },
    "anyio sockets": "pytest:{sources}/anyio/tests/test_sockets.py",
    "websockets asyncio": "pytest:{sources}/websockets/tests/asyncio",
    "websockets sync": "pytest:{sources}/websockets/tests/sync",
    "aiohttp server": "pytest:{sources}/aiohttp/tests/test_web_functional.py",
    "aiohttp client": "pytest:{sources}/aiohttp/tests/test_client_functional.py",
}  # fmt: skip
#: The kinds of reasons why a test is not comparable, by what its report says.
SKIPS = {
    "starts a process": r"subprocess\.Popen|os\.fork|posix_spawn|spawnProcess|Process",
    "a call that is refused by name": r"NotSimulated|is not simulated",
    "asks the real machine through C code": r"_posixifaces",
}


def kind_of(reason: str) -> str:
    """Which kind of reason this is; empty: none, so it counts as failed."""
    return next((kind for kind, pattern in SKIPS.items() if re.search(pattern, reason)), "")


def row(name: str, comparison: Comparison) -> str:
    """One line of the table."""
    skipped = [test for test, outcome in comparison.different.items() if kind_of(outcome.reason)]
    real, passed = len(comparison.passed_real), len(comparison.passed)
    share = f"{passed / real:.1%}" if real else "-"
    failed = real - passed - len(skipped)
    return f"| {name} | {len(comparison.real)} | {real} | {passed} | {len(skipped)} | {failed} | {share} |"


def page(rows: list[str], reasons: Counter[str]) -> str:
    """The table, and why tests are skipped."""
    lines = [
        "| suite | ran | passed on Linux | of these passed simulated | skipped | failed | share |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "| skipped because | tests |",
        "|---|---:|",
        *(f"| {kind} | {count} |" for kind, count in reasons.most_common()),
    ]
    return "\n".join(lines) + "\n"


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--sources", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--test", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--page", type=Path, metavar="FILE")
    given = parser.parse_args()
    rows: list[str] = []
    reasons: Counter[str] = Counter()
    for name in given.suites or SUITES:
        target = SUITES[name]
        if "{sources}" in target:
            if given.sources is None:
                print(f"{name}: needs --sources")
                continue
            target = target.format(sources=given.sources)
        comparison = compare(target, given.test, given.keep)
        rows.append(row(name, comparison))
        print(rows[-1], flush=True)
        for test, outcome in comparison.different.items():
            kind = kind_of(outcome.reason)
            reasons[kind] += bool(kind)
            if not kind or given.show:
                print(f"  {test.rpartition('test.')[2]}: {comparison.why(test)}")
                if given.show:
                    print("\n".join(f"    {line}" for line in outcome.reason.splitlines()[-cpython.SHOWN_LINES :]))
    if given.page:
        given.page.write_text(page(rows, Counter({kind: count for kind, count in reasons.items() if count})))


if __name__ == "__main__":
    _main()
