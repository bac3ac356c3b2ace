"""The end of a world in an interpreter that goes on: nothing of it may stay behind, and nothing of it may run again.

Owns the unwinding of threads that were still waiting when the world stopped, and what kernel and frameworks have kept
of it between the lines. A run in a child of the image needs none of this: the child leaves.

The idea. A suspended greenlet is never collected, and whoever drops it runs its `finally` blocks at some other time. So
each is unwound at once, in a kernel that has nothing more to offer: calls that need not wait work as they did, a call
that would have to wait ends the thread (`GreenletExit`), and whoever swallows that again and again is left alone, for
ever suspended.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from greenlet import GreenletExit

from wavetank.contract import watch
from wavetank.frameworks import asyncio as aio
from wavetank.frameworks import reports, state
from wavetank.kernel import core, names, threads
from wavetank.kernel.core import FAR, Kernel, Thread

if TYPE_CHECKING:
    from wavetank.world.universe import Universe

#: While it is unwound a thread may make so many kernel calls, and try so often to wait.
CALLS: Final = 10_000
WAITS: Final = 100

_abandoned: list[Any] = []  # greenlets that would not end: kept, for dropping one unwinds it once more


def _nobody(name: str) -> None:
    """Nobody wants to know which names are unknown."""


class _Over(Kernel):
    """A kernel whose world is over."""

    calls_left: int
    waits_left: int

    def look_around(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            self._leave_it()

    def refresh_attention(self) -> None:
        self.attention = -1

    def park(self, reason: Any, deadline: int = FAR) -> NoReturn:
        self.waits_left -= 1
        if self.waits_left < 0:
            self._leave_it()
        raise GreenletExit

    def give_way(self) -> NoReturn:
        self.park("")

    def give_up(self) -> NoReturn:
        self.park("")

    def stop(self, reason: Any) -> NoReturn:
        self.park("")

    def start(self, thread: Thread, body: Any) -> None:
        thread.finished = True

    def _leave_it(self) -> NoReturn:
        _abandoned.append(self.running.greenlet)
        while True:
            self.root.switch()


def end(universe: Universe, outside: Kernel) -> None:
    """End a world that has stopped; from now on `outside` is the kernel. To be called on the world's root greenlet."""
    kernel = universe.kernel
    assert kernel.stopped is not None, "the end of a world that still runs"
    for hooks in (
        reports.unhandled_hooks,
        reports.note_hooks,
        reports.leak_hooks,
        threads.thread_exception_hooks,
        watch.listeners,
    ):
        hooks.clear()
    unfinished = [thread for thread in kernel.threads if not thread.finished and thread is not kernel.home]
    if unfinished:
        _unwind(kernel, unfinished)
    names.on_unknown = _nobody
    state.forget()
    threads.forget()
    universe.clear()
    core.K = outside


def _unwind(kernel: Kernel, unfinished: list[Thread]) -> None:
    assert kernel.home is not None
    kernel.__class__ = _Over
    kernel.attention = -1
    kernel.scheduling = None
    for thread in unfinished:
        greenlet = thread.greenlet
        if greenlet is None or greenlet.dead:
            continue
        kernel.calls_left, kernel.waits_left = CALLS, WAITS  # type: ignore[attr-defined]
        loop = aio.loop_of(thread)
        kernel._switch_state(kernel.running, thread)
        with suppress(BaseException):  # what its cleaning up raises concerns nobody any more
            greenlet.throw(GreenletExit)
        if loop is not None:
            aio.abandon(loop)
    kernel._switch_state(kernel.running, kernel.home)
