"""Who makes rounds: nobody but the test, an asyncio loop, or whatever has Twisted's `callLater`.

Owns the translation of "soon" and "in so many seconds". Must never import asyncio or Twisted: what it is given knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Driver(Protocol):
    """A source of turns and of time."""

    def now(self) -> float:
        """Seconds; only differences mean something."""

    def soon(self, call: Callable[[], None]) -> None:
        """Call it in the next turn."""

    def later(self, delay_s: float, call: Callable[[], None]) -> Any:
        """Call it when so many seconds have passed; returns what `cancel` takes."""

    def cancel(self, timer: Any) -> None:
        """Do not call it any more."""


class LoopDriver:
    """An asyncio event loop makes the rounds."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def now(self) -> float:
        """The loop's time."""
        now: float = self._loop.time()
        return now

    def soon(self, call: Callable[[], None]) -> None:
        """`loop.call_soon`; nothing when the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon(call)

    def later(self, delay_s: float, call: Callable[[], None]) -> Any:
        """`loop.call_later`."""
        return None if self._loop.is_closed() else self._loop.call_later(delay_s, call)

    def cancel(self, timer: Any) -> None:
        """Cancel a timer of `later`."""
        if timer is not None:
            timer.cancel()


class ClockDriver:
    """A provider of Twisted's IReactorTime makes the rounds: `task.Clock`, or a reactor."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def now(self) -> float:
        """The clock's seconds."""
        now: float = self._clock.seconds()
        return now

    def soon(self, call: Callable[[], None]) -> None:
        """`clock.callLater(0, ...)`."""
        self._clock.callLater(0, call)

    def later(self, delay_s: float, call: Callable[[], None]) -> Any:
        """`clock.callLater`."""
        return self._clock.callLater(delay_s, call)

    def cancel(self, timer: Any) -> None:
        """Cancel a timer of `later` that has not been called."""
        if timer is not None and timer.active():
            timer.cancel()
