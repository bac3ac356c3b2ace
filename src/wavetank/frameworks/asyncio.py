"""asyncio as a guest: its own loops, transports and streams run unmodified; here is what they keep for an OS thread.

Owns what Wavetank knows of asyncio's private side: the running loop of each thread, the name of the task that acts, the
exceptions that a loop's default handler gets, and what the pending tasks wait for. It changes nothing that a program
sees. Source: CPython Lib/asyncio/base_events.py, tasks.py, Modules/_asynciomodule.c, 3.11 to 3.14.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.tasks
import re
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from wavetank.frameworks import reports, state
from wavetank.kernel import core
from wavetank.kernel.clock import UPTIME_NS

#: A loop whose earliest timer is overdue by so much virtual time does not come to its timers any more.
OVERDUE_NS: Final = 10_000_000_000

#: At most so many pending timers of one loop are looked at.
DEADLINES: Final = 64

_place = -1  # where in `core.Thread.framework` a thread's loop and, from 3.14 on, its task are kept
_get_running_loop: Final = asyncio._get_running_loop
_current_task: Callable[[Any], asyncio.Task[Any] | None]
if sys.version_info < (3, 12):
    # `asyncio.current_task` is Python code there, and the trace asks for every event (0.3 us against 0.1 us).
    _current_task = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]
else:
    _current_task = asyncio.current_task


def run(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    """Run `main(*args)` as programs do: `asyncio.run`."""
    return asyncio.run(main(*args))


def install() -> None:
    """Make the running loop a thread's own, and listen to the default exception handler. Once per interpreter."""
    global _place
    assert _place < 0, "installed twice"
    # The C code caches the loop beside the OS thread's id, and all our threads have one: the cache must be what counts.
    asyncio._set_running_loop(_get_running_loop())
    _place = state.per_thread(_leave, _enter) if _swap_task is not None else state.per_thread(*_LOOP_ONLY)
    _listen()


_LOOP_ONLY: Final = (_get_running_loop, asyncio._set_running_loop)
#: 3.14 keeps the current task with the OS thread (`_PyThreadStateImpl.asyncio_running_task`), no longer by its loop.
_swap_task: Final[Callable[[Any, Any], Any] | None] = (
    getattr(asyncio.tasks, "_swap_current_task", None) if sys.version_info >= (3, 14) else None
)


def _leave() -> Any:
    loop = _get_running_loop()
    if loop is None:
        return None
    assert _swap_task is not None
    return loop, _swap_task(loop, None)


def _enter(kept: Any) -> None:
    loop, task = kept or (None, None)
    asyncio._set_running_loop(loop)
    if task is not None:
        assert _swap_task is not None
        _swap_task(loop, task)


def _listen() -> None:
    original = asyncio.base_events.BaseEventLoop.default_exception_handler

    def default_exception_handler(self: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # A cancellation is no error, although `asyncio.streams` of 3.11 logs that of a handler at the end.
        harmless = isinstance(error, asyncio.CancelledError) or _is_end_of_a_stream(context.get("future"), error)
        # When descriptors run out, the loop says so here, and has handled it: it accepts again a second later.
        harmless = harmless or context.get("message") == "socket.accept() out of system resource"
        if isinstance(error, BaseException) and not harmless:
            reports.unhandled(str(context.get("message") or ""), error)
        task = context.get("task")
        if isinstance(task, asyncio.Task) and error is None and self.is_running() and not task.done():
            # "Task was destroyed but it is pending!", while its loop goes on: nobody can ever wake it.
            name = getattr(task.get_coro(), "__qualname__", "")
            what = f"{task.get_name()} was dropped while it waited: nothing refers to it"
            reports.leaked(what, f"its coroutine: {name}")
        original(self, context)

    asyncio.base_events.BaseEventLoop.default_exception_handler = (  # type: ignore[method-assign]
        default_exception_handler
    )


def _is_end_of_a_stream(future: Any, error: Any) -> bool:
    """Whether a future nobody looked at is one that asyncio's streams make for every connection.

    `StreamReaderProtocol._closed` holds the error that ended the connection, which the reader got as well. Its owner
    marks it as seen in `__del__`; in a cycle the garbage collector may finalise the future first, and then asyncio
    complains without a fault of the program (Lib/asyncio/streams.py, 3.11 to 3.13).
    """
    return isinstance(error, OSError) and future is not None and not isinstance(future, asyncio.Task)


def task_name() -> str | None:
    """The name of the task that runs now, None outside of tasks."""
    loop = _get_running_loop()
    if loop is None:
        return None
    task = _current_task(loop)
    return None if task is None else task.get_name()


def loop_of(thread: core.Thread) -> asyncio.AbstractEventLoop | None:
    """The loop that `thread` runs."""
    if thread is core.K.running:
        return _get_running_loop()
    if not 0 <= _place < len(thread.framework):
        return None
    kept = thread.framework[_place]
    loop = kept[0] if isinstance(kept, tuple) else kept
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def pending_tasks(thread: core.Thread) -> list[tuple[str, Any]]:
    """Name and coroutine of each task that the loop of `thread` has not finished, in the order of their making."""
    loop = loop_of(thread)
    if loop is None:
        return []
    tasks = [(task.get_name(), task.get_coro()) for task in asyncio.all_tasks(loop)]
    return sorted(tasks, key=lambda named: [(len(part), part) for part in re.findall(r"\d+|\D+", named[0])])


def abandon(loop: asyncio.AbstractEventLoop) -> None:
    """A loop whose world is over: what is left of it may be collected without a word."""
    if loop.is_closed():
        return
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    vars(loop)["_closed"] = True  # BaseEventLoop.__del__ warns otherwise


def deadlines(thread: core.Thread) -> list[int]:
    """When timers of the loop of `thread` are due, as virtual time in ns; of many, those near the top of its heap."""
    timers = getattr(loop_of(thread), "_scheduled", None)
    if not timers:
        return []
    return [round(timer.when() * 1e9) - UPTIME_NS for timer in timers[:DEADLINES] if not timer.cancelled()]


def unsent_bytes(thread: core.Thread, number: int) -> int:
    """How many bytes a transport of the loop of `thread` keeps for the descriptor `number`."""
    transport = getattr(loop_of(thread), "_transports", {}).get(number)
    size = getattr(transport, "get_write_buffer_size", None)
    return int(size()) if size is not None else 0


def socket_of(thing: Any) -> Any:
    """The socket of a stream, a protocol or a transport, or a socket itself; None when it is nothing of that."""
    if isinstance(thing, socket.socket):
        return thing
    transport = vars(thing).get("_transport", thing) if hasattr(thing, "__dict__") else thing
    ask = getattr(transport, "get_extra_info", None) if isinstance(transport, asyncio.BaseTransport) else None
    return None if ask is None else ask("socket")


def overdue_ns() -> int:
    """By how much the earliest timer of the loop that runs now is late; 0 when none is."""
    loop = _get_running_loop()
    timers = getattr(loop, "_scheduled", None)
    if not timers:
        return 0
    due_ns: int = round(timers[0].when() * 1e9)
    return max(0, core.K.now + UPTIME_NS - due_ns)
