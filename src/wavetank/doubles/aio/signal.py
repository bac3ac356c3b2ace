"""Something that happens once, and that tests can await, ask or ignore.

Owns the waiting. It needs no event loop until somebody awaits it, and serves any number of waiters, of any loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from wavetank.errors import UsageError

T = TypeVar("T")


class Signal(Generic[T]):
    """Happens once, with a result: `await signal` gives it, at once when it has happened; `done()`, `result()`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._result: list[T] = []
        self._waiting: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        state = repr(self._result[0]) if self._result else "not yet"
        return f"<{self._what}: {state}>"

    def __bool__(self) -> bool:
        return bool(self._result)

    def done(self) -> bool:
        """Whether it has happened."""
        return bool(self._result)

    def result(self) -> T:
        """The result; `UsageError` when it has not happened."""
        if not self._result:
            raise UsageError(f"not yet {self._what}", next=f"await it, or ask {self._what}.done() first")
        return self._result[0]

    def happen(self, result: T) -> None:
        """It happens; the first time counts."""
        if self._result:
            return
        self._result.append(result)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done() and not future.get_loop().is_closed():
                future.set_result(None)

    def __await__(self) -> Generator[Any, None, T]:
        if not self._result:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            yield from future
        return self._result[0]
