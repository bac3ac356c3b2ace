"""The thread with an asyncio loop in which SSH servers and clients in this process run.

Owns that thread. It is started when it is first used, one for each process, and ends with it. A thread of its own, so
that blocking tests, asyncio tests and Twisted tests can all use the same parts, and none has to keep a loop going.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0


def running() -> asyncio.AbstractEventLoop:
    """The loop; its thread is started when needed."""
    global _loop, _pid
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="wavetank-ssh", daemon=True).start()
        return _loop


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Have it done in the loop; gives a future of this side."""
    return asyncio.run_coroutine_threadsafe(work, running())


def call(work: Coroutine[Any, Any, T]) -> T:
    """Have it done in the loop, and wait for it."""
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
