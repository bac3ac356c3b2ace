"""Stillness: what a protocol may ask that differs from run to run - the time of day, and chance - stands still.

Owns the replacement of clocks and of the sources of randomness while a run goes on, and puts everything back after it.
It must never be on outside of a run: our own clocks are real.

The idea: two runs of one schedule give the same bytes, dates and random keys included, so a difference is the cut's.
Calls that modules have imported by name are replaced there, too. What C code asks by itself (`datetime.now`, OpenSSL)
stays; a comparison that fails is therefore made twice.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, Final

#: What the clocks say when a run begins: 2001-09-09 01:46:40 UTC, a number that is easy to recognise.
EPOCH_S: Final = 1_000_000_000.0
#: Modules whose own waiting needs real time.
_REAL_TIME: Final = ("wavetank", "threading", "queue", "concurrent", "subprocess", "selectors", "hypothesis", "_pytest",
                     "pytest", "xdist", "execnet", "multiprocessing", "faulthandler")  # fmt: skip
_SEED: Final = 0x5EA
_SILENT: Final = logging.NullHandler()

_real_seed = random.Random.seed
_gmtime, _localtime, _ctime, _strftime = time.gmtime, time.localtime, time.ctime, time.strftime


class Stillness:
    """A context manager: inside it, time is what `now` says, in seconds since the run began, and chance repeats."""

    def __init__(self) -> None:
        self._now: Callable[[], float] = lambda: 0.0
        self._bytes = random.Random(_SEED)
        self._replacements = self._calls()
        self._places: list[tuple[ModuleType, str, Any, Any]] = []
        self._modules = 0

    def of(self, now: Callable[[], float]) -> Stillness:
        """From the next run on, time is what `now` says; chance begins again."""
        start = now()
        self._now = lambda: now() - start
        return self

    def __enter__(self) -> Stillness:
        self._state = random.getstate()
        self._bytes.seed(_SEED)
        random.seed(_SEED)
        if len(sys.modules) != self._modules:  # a factory may import, too
            self._modules = len(sys.modules)
            self._places = _places(self._replacements)
        for module, name, _, replacement in self._places:
            setattr(module, name, replacement)
        random.Random.seed = _still_seed  # type: ignore[method-assign]
        # What libraries log about thousands of bad inputs would go to stderr, where nobody has set up logging.
        self._last_resort, logging.lastResort = logging.lastResort, _SILENT
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.lastResort = self._last_resort
        random.Random.seed = _real_seed  # type: ignore[method-assign]
        for module, name, original, _ in self._places:
            setattr(module, name, original)
        random.setstate(self._state)

    def _calls(self) -> dict[Any, Any]:
        """Each call that is replaced, and what stands in its place."""
        return {
            time.time: lambda: EPOCH_S + self._now(),
            time.time_ns: lambda: int((EPOCH_S + self._now()) * 1e9),
            time.monotonic: lambda: EPOCH_S + self._now(),
            time.monotonic_ns: lambda: int((EPOCH_S + self._now()) * 1e9),
            time.perf_counter: lambda: EPOCH_S + self._now(),
            time.perf_counter_ns: lambda: int((EPOCH_S + self._now()) * 1e9),
            time.gmtime: lambda seconds=None: _gmtime(self._wall(seconds)),
            time.localtime: lambda seconds=None: _localtime(self._wall(seconds)),
            time.ctime: lambda seconds=None: _ctime(self._wall(seconds)),
            time.strftime: lambda form, when=None: _strftime(form, when or _localtime(self._wall(None))),
            os.urandom: lambda size: self._bytes.randbytes(size),
        }

    def _wall(self, seconds: float | None) -> float:
        return EPOCH_S + self._now() if seconds is None else seconds


def _still_seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    """`random.Random()` without a seed takes ours, and not the system's."""
    _real_seed(self, _SEED if a is None else a, version)


def _places(calls: dict[Any, Any]) -> list[tuple[ModuleType, str, Any, Any]]:
    """Where the calls stand: (module, name there, the call, its replacement)."""
    found: list[tuple[ModuleType, str, Any, Any]] = []
    by_identity = {id(call): replacement for call, replacement in calls.items()}
    modules: list[tuple[str, object]] = [*sys.modules.items()]
    for name, module in modules:
        if not isinstance(module, ModuleType) or name.partition(".")[0] in _REAL_TIME:
            continue
        for attribute, value in [*vars(module).items()]:
            replacement = by_identity.get(id(value))
            if replacement is not None:
                found.append((module, attribute, value, replacement))
    return found
