"""Trio as a guest: its own loop, sockets and threads run unmodified; here is what it keeps for a process or a thread.

Owns what Wavetank knows of Trio's private side: its cache of worker threads, the name of the task that acts, and what
the tasks wait for. It never imports Trio unless a program's main is to run under it. What Trio keeps for a thread
(`GLOBAL_RUN_CONTEXT`, sniffio's name) lies in `threading.local`, which the kernel exchanges. Source: trio/_core/, its
_run.py, _run_context.py and _thread_cache.py, 0.24 to 0.35.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any, Final

from wavetank.frameworks import state
from wavetank.kernel import core, replace
from wavetank.kernel.clock import UPTIME_NS

#: At most so many pending deadlines of one run are looked at.
DEADLINES: Final = 64
#: Trio's `GLOBAL_RUN_CONTEXT`, None until Trio has been imported.
context: Any = None
#: Called when Trio has been imported.
when_met: list[Callable[[], object]] = []


def run(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    """Run `main(*args)` as programs do: `trio.run`."""
    import trio

    return trio.run(main, *args)


def install() -> None:
    """Wait for Trio to be imported, if it is. Once per interpreter."""
    replace.when_imported("trio._core._run", _meet_run)
    replace.when_imported("trio._core._thread_cache", _meet_thread_cache)


def _meet_run(module: ModuleType) -> None:
    global context
    context = module.GLOBAL_RUN_CONTEXT
    for call in when_met:
        call()


def _meet_thread_cache(module: ModuleType) -> None:
    from itertools import count

    # An idle worker of one process must not do the work of another.
    names = module.__dict__
    state.own([(names, "THREAD_CACHE"), (names, "name_counter")], lambda: (module.ThreadCache(), count()))


def task_name() -> str | None:
    """The name of the task that runs now, None outside of tasks. A number makes it unique, which Trio does not."""
    task = getattr(context, "task", None)
    return None if task is None else f"{task.name} {task._counter}"


def pending_tasks(thread: core.Thread) -> list[tuple[str, Any]]:
    """Name and coroutine of each task of the program that runs in `thread`, in the order in which they were started.

    A name shows the task's ancestors from the main task on. Trio's own system tasks are left out.
    """
    runner = None if context is None else state.seen_from(thread, _runner)
    if runner is None:
        return []
    tasks = sorted(runner.tasks, key=lambda task: task._counter)
    named = [(_path(task, runner.main_task), task.coro) for task in tasks]
    return [(" > ".join(path), coroutine) for path, coroutine in named if path]


def deadlines(thread: core.Thread) -> list[int]:
    """When cancel scopes of the program in `thread` expire, as virtual time in ns; of many, some of the first."""
    runner = None if context is None else state.seen_from(thread, _runner)
    offset = getattr(getattr(runner, "clock", None), "offset", None)
    if runner is None or not isinstance(offset, float):  # a clock of the program's own, as in tests
        return []
    return [round((entry[0] - offset) * 1e9) - UPTIME_NS for entry in runner.deadlines._heap[:DEADLINES]]


def socket_of(thing: Any) -> Any:
    """The socket inside one of Trio's, or inside a stream on one; None when it is neither."""
    if not type(thing).__module__.startswith("trio."):
        return None
    inside = getattr(thing, "socket", thing)
    return getattr(inside, "_sock", None)


def _runner() -> Any:
    return getattr(context, "runner", None)


def _path(task: Any, main: Any) -> list[str]:
    """The names of the tasks from `main` to `task`; empty when it does not descend from `main`."""
    names: list[str] = []
    while task is not None:
        names.append(task.name.rpartition(".")[2])
        if task is main:
            return names[::-1]
        nursery = task.parent_nursery
        task = None if nursery is None else nursery.parent_task
    return []
