"""asyncio as a guest: its own loops, transports and streams run unmodified; here is what they keep for an OS thread.

Owns what Wavetank knows of asyncio's private side: the running loop of each thread, the name of the task that acts, the
exceptions that a loop's default handler gets, and what the pending tasks wait for. It changes nothing that a program
sees. Source: CPython Lib/asyncio/base_events.py, tasks.py, Modules/_asynciomodule.c, 3.11 to 3.13.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.tasks
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.clock import UPTIME_NS

#: A loop whose earliest timer is overdue by so much virtual time does not come to its timers any more.
OVERDUE_NS: Final = 10_000_000_000


def _ignore(error: BaseException, context: str) -> object:
    return None


#: Who is told of exceptions that nobody handled inside a loop: the exception, and asyncio's words for where.
report_unhandled: Callable[[BaseException, str], object] = _ignore

_place = -1  # where in `core.Thread.framework` the running loop is kept


def run(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    """Run `main(*args)` as programs do: `asyncio.run`."""
    return asyncio.run(main(*args))


def install() -> None:
    """Make the running loop a thread's own, and listen to the default exception handler. Once per interpreter."""
    global _place
    assert _place < 0, "installed twice"
    _place = len(core.per_thread)
    core.per_thread.append((asyncio._get_running_loop, asyncio._set_running_loop))
    for thread in core.K.threads:
        thread.framework.append(None)
    _listen()


def _listen() -> None:
    original = asyncio.base_events.BaseEventLoop.default_exception_handler

    def default_exception_handler(self: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            report_unhandled(error, str(context.get("message") or ""))
        original(self, context)

    asyncio.base_events.BaseEventLoop.default_exception_handler = (  # type: ignore[method-assign]
        default_exception_handler
    )


def task_name() -> str | None:
    """The name of the task that runs now, None outside of tasks."""
    loop = asyncio._get_running_loop()
    if loop is None:
        return None
    task = asyncio.current_task(loop)
    return None if task is None else task.get_name()


def loop_of(thread: core.Thread) -> asyncio.AbstractEventLoop | None:
    """The loop that `thread` runs; the thread must not be the one that runs now."""
    if not 0 <= _place < len(thread.framework):
        return None
    loop = thread.framework[_place]
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def pending_tasks(thread: core.Thread) -> list[tuple[str, Any]]:
    """Name and coroutine of each task that the loop of `thread` has not finished, in the order of their numbers."""
    loop = loop_of(thread)
    if loop is None:
        return []
    tasks = [(task.get_name(), task.get_coro()) for task in asyncio.all_tasks(loop)]
    return sorted(tasks, key=lambda named: [(len(part), part) for part in re.findall(r"\d+|\D+", named[0])])


def overdue_ns() -> int:
    """By how much the earliest timer of the loop that runs now is late; 0 when none is."""
    loop = asyncio._get_running_loop()
    timers = getattr(loop, "_scheduled", None)
    if not timers:
        return 0
    when: float = timers[0].when()
    return max(0, core.K.now + UPTIME_NS - round(when * 1e9))
