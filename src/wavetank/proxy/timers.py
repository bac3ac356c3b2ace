"""Timers that are never early and nearly never late: one heap, one timerfd in the event loop.

Owns when something of the proxy happens later. Must never know what. asyncio's own timers go through epoll_wait(2),
which counts whole milliseconds and rounds up: a latency of 1 ms would be 2. timerfd_create(2) counts nanoseconds.
Where there is no timerfd (other systems), asyncio's timers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import itertools
import os
import struct
import time
from collections.abc import Callable
from typing import Final

#: Linux include/uapi/linux/timerfd.h: TFD_TIMER_ABSTIME is 1, TFD_CLOEXEC and TFD_NONBLOCK are the flags of open(2).
_ABSOLUTE: Final = 1
#: struct itimerspec: interval (s, ns), value (s, ns).
_SPEC: Final = struct.Struct("@qqqq")
_SECOND_NS: Final = 1_000_000_000

now_ns: Final = time.monotonic_ns


class Timer:
    """One thing to happen at `due_ns` (of `now_ns`)."""

    __slots__ = ("callback", "due_ns")

    def __init__(self, due_ns: int, callback: Callable[[], None]) -> None:
        self.due_ns = due_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """It will not happen."""
        self.callback = None


class Timers:
    """The timers of one event loop. `close` ends them all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = itertools.count()
        self._armed_ns = 0
        self._handle: asyncio.TimerHandle | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1
        with contextlib.suppress(AttributeError):
            self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            loop.add_reader(self._fd, self._expired)

    def at(self, due_ns: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` once at `due_ns` or, when that is past, in the next turn of the loop."""
        timer = Timer(due_ns, callback)
        heapq.heappush(self._heap, (due_ns, next(self._count), timer))
        if not self._armed_ns or due_ns < self._armed_ns:
            self._arm(due_ns)
        return timer

    def close(self) -> None:
        """Forget all timers."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        if self._fd < 0:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_later(max(0, due_ns - now_ns()) / _SECOND_NS, self._run)
            return
        # A value of zero would disarm it (timerfd_settime(2)); a time that is past expires at once.
        seconds, rest = divmod(max(1, due_ns), _SECOND_NS)
        failed = self._libc.timerfd_settime(self._fd, _ABSOLUTE, _SPEC.pack(0, 0, seconds, rest), None)
        assert not failed, f"timerfd_settime: errno {ctypes.get_errno()}"

    def _expired(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._run()

    def _run(self) -> None:
        """Call what is due. What is added meanwhile waits for the next turn, so that timers cannot starve the rest."""
        self._armed_ns = 0
        heap, now, due = self._heap, now_ns(), []
        while heap and (heap[0][0] <= now or heap[0][2].callback is None):
            due.append(heapq.heappop(heap)[2])
        try:
            for timer in due:
                callback, timer.callback = timer.callback, None
                if callback is not None:
                    callback()
        finally:
            if heap and (not self._armed_ns or heap[0][0] < self._armed_ns):
                self._arm(heap[0][0])
