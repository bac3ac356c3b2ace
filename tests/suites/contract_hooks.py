"""Runs somebody's test suite under the monitor: `python contract_hooks.py REPORT unittest|trial|pytest ARGUMENTS...`.

Every real transport of asyncio, and of Twisted under trial, is watched as the oracle `contract` watches those of a
world (`wavetank.frameworks.watching`). Violations are recorded, never raised; the file REPORT gets one JSON object: how
many connections and calls were watched, and each violation.

Not watched: protocols that are mocks, since a suite asserts on their attributes; transports on loops that are fakes of
the suite, where the test itself plays the kernel and the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import sys
import time
import traceback
import unittest
from collections import Counter
from typing import Any
from unittest import mock

from wavetank.contract import ContractViolation, Watch
from wavetank.frameworks import watching, watching_asyncio, watching_twisted

_count: Counter[str] = Counter()
_found: list[dict[str, str]] = []
_enter, _init = Watch.enter, Watch.__init__


def _report(violation: ContractViolation) -> None:
    # The innermost frames outside of this project say whose call it was.
    frames = [
        f"{frame.filename.rpartition('site-packages/')[2].rpartition('/lib/')[2]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_stack()
        if "wavetank" not in frame.filename and "contract_hooks" not in frame.filename
    ]
    _found.append(
        {"rule": violation.rule, "text": str(violation), "frames": " < ".join(frames[-6:][::-1]), "test": _test()}
    )


def _test() -> str:
    current = os.environ.get("PYTEST_CURRENT_TEST", "")
    frame: Any = sys._getframe()
    while frame is not None and not current:
        case = frame.f_locals.get("self")
        if isinstance(case, unittest.TestCase):
            return case.id()
        frame = frame.f_back
    return current


def _meant(holder: Any, protocol: Any) -> bool:
    """Whether a protocol is to be watched: no mock, and not on a loop that a test made up."""
    if isinstance(protocol, mock.NonCallableMock):
        return False
    loop = getattr(holder, "_loop", None)
    return loop is None or isinstance(loop, asyncio.SelectorEventLoop)


def _made(self: Watch, *args: Any, **keywords: Any) -> None:
    _count["connections"] += 1
    _init(self, *args, **keywords)


def _write(path: str) -> None:
    with open(path, "w") as file:
        json.dump({**_count, "violations": _found}, file)


def _counted(self: Watch, by: str, name: str, args: tuple[Any, ...]) -> None:
    _count["calls"] += 1
    _enter(self, by, name, args)


def main() -> None:
    """Install the hooks and hand over to the runner."""
    report, runner, *arguments = sys.argv[1:]
    process = os.getpid()
    atexit.register(lambda: os.getpid() == process and _write(report))
    if report != os.devnull:
        Watch.enter, Watch.__init__ = _counted, _made
        watching.manner = watching.Manner(_report, time.monotonic, _meant)
        watching_asyncio.install()
    sys.argv = [runner, *arguments]
    if runner == "trial":
        if report != os.devnull:
            watching_twisted.install()
        from twisted.scripts.trial import run

        run()
    elif runner == "pytest":
        import pytest

        sys.exit(pytest.main(arguments))
    else:
        unittest.main(module=None, argv=["unittest", *arguments])


if __name__ == "__main__":
    main()
