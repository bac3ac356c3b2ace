"""An asyncio event loop whose time is virtual, for running a protocol without a network.

Owns the loop: its time, what happens when nothing is left to do, and what nobody handled. It must never wait in real
time for the network, and must never change what asyncio itself does: callbacks, tasks, futures, timers, transports and
TLS are asyncio's own.

The idea: asyncio's loop runs its callbacks in order and asks a selector to wait for the network. Here the selector
never waits: while callbacks are ready it returns at once; when none is, it asks `on_idle` what happens next - the next
piece of input, a little time, the end - so a run has no polling and no real waiting, and two runs are alike.

Source: asyncio/base_events.py, `BaseEventLoop._run_once`, and selector_events.py.
"""

from __future__ import annotations

import asyncio
import heapq
import queue
import selectors
import threading
from asyncio import events, tasks
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from wavetank.check.line import ADDRESSES, Socket
from wavetank.check.watchdog import Stuck, Watchdog

_T = TypeVar("_T")

#: So many loop iterations in which neither time nor the conversation moves are a busy wait.
SPIN: Final = 20_000
#: Real seconds to wait for a thread of the program (an executor's) to hand in its result.
_THREAD_WAIT_S: Final = 5.0
#: Real seconds to wait for threads that nobody has announced (anyio's workers, a library's own).
_STRANGER_WAIT_S: Final = 0.005


class _Selector(selectors.DefaultSelector):
    """Never waits: whoever made it says what happens instead."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Callable[[float | None], list[Any]] = lambda timeout: []

    def select(self, timeout: float | None = None) -> list[Any]:
        return self.waiting(timeout)

    def poll(self) -> list[Any]:
        """The descriptors that are ready now."""
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time. `on_idle()` is called when nothing is ready; it returns whether to go on."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._now = 0.0
        self._watched = _Selector()
        super().__init__(self._watched)
        self._watched.waiting = self._wait
        self._clock_resolution = 1e-9
        self._watchdog = watchdog
        self.on_idle: Callable[[], bool] = self.advance
        #: What nobody handled, as contexts of `call_exception_handler`.
        self.unhandled: list[dict[str, Any]] = []
        #: The tasks that were made since `forget`.
        self.made: list[asyncio.Task[Any]] = []
        #: How `create_connection` and `create_server` are answered; None refuses.
        self.on_connect: Callable[[Callable[[], Any]], Any] | None = None
        self.on_listen: Callable[[Callable[[], Any]], None] | None = None
        #: Somebody asked for TLS from the beginning: a conversation is what goes through it.
        self.without_tls = False
        self._iterations = 0
        self._from_threads: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._in_executor = 0

    # ---- time, and what happens next

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def _wait(self, timeout: float | None) -> list[Any]:
        """The selector's part: real sockets, if there are any; else nothing, or whatever `on_idle` does."""
        self._watchdog.beat()
        self._iterations += 1
        # One is asyncio's own, for waking it up from threads.
        if len(self._watched.get_map()) > 1 and (ready := self._watched.poll()):
            self._spinning()
            return ready
        if timeout == 0 or self._stopping:  # type: ignore[attr-defined]
            self._spinning()
            return []
        if self._threads_have_something():
            return []
        if not self.on_idle():
            self.stop()
        return []

    def _spinning(self) -> None:
        if self._iterations > SPIN:
            raise Stuck("spin")

    def moved(self) -> None:
        """The conversation went on: it is no busy wait."""
        self._iterations = 0

    def next_timer_s(self) -> float | None:
        """When the next timer is due, in the loop's time; None without one."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False
        return scheduled[0]._when if scheduled else None

    def advance(self) -> bool:
        """Go to the next timer; returns whether there is one."""
        due = self.next_timer_s()
        if due is None:
            return False
        if due > self._now:
            self._now = due
            self._iterations = 0
        return True

    def pass_time(self, until: float) -> None:
        """Let time pass when nothing is due before."""
        self._now = max(self._now, until)
        self._iterations = 0

    # ---- threads

    def _write_to_self(self) -> None:
        self._from_threads.put(None)

    def _threads_have_something(self) -> bool:
        """Wait a little, in real time, for threads of the program, when it has any; whether one called in."""
        if not self._in_executor and threading.active_count() <= self._watchdog.threads_before:
            return False
        try:
            self._from_threads.get(timeout=_THREAD_WAIT_S if self._in_executor else _STRANGER_WAIT_S)
        except queue.Empty:
            return False
        while not self._from_threads.empty():
            self._from_threads.get()
        return True

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """As asyncio does; time stands still until the thread has its result."""
        future: asyncio.Future[_T] = super().run_in_executor(executor, func, *args)
        self._in_executor += 1
        future.add_done_callback(self._left_executor)
        return future

    def _left_executor(self, future: asyncio.Future[Any]) -> None:
        self._in_executor -= 1

    # ---- what nobody handled

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep the context; a handler that the program has set is called too."""
        self.unhandled.append(context)
        handler = self.get_exception_handler()
        if handler is not None:
            super().call_exception_handler(context)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As asyncio does; the task is remembered, so that what it raises is seen although nobody asks."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        self.made.append(task)
        return task

    def unseen(self) -> Iterator[tuple[asyncio.Task[Any], BaseException]]:
        """The tasks that ended with an exception which nobody has asked for: asyncio would log it."""
        for task in self.made:
            if task.done() and not task.cancelled() and task._log_traceback:
                error = task.exception()
                if error is not None:
                    yield task, error

    # ---- the network, which is not there

    async def create_connection(self, protocol_factory: Callable[[], Any], *args: Any, **options: Any) -> Any:
        """The connection of the conversation; refused when it has been made already."""
        given = options.get("sock")
        if given is not None:
            given.close()
        if self.on_connect is None:
            raise ConnectionRefusedError(111, "Connect call failed: a check has one connection")
        self.without_tls = self.without_tls or bool(options.get("ssl"))
        return await self.on_connect(protocol_factory)

    async def create_server(self, protocol_factory: Callable[[], Any], *args: Any, **options: Any) -> Any:
        """A server that nobody but the conversation's peer connects to."""
        if self.on_listen is None:
            raise OSError(98, "a check has one server")
        self.without_tls = self.without_tls or bool(options.get("ssl"))
        self.on_listen(protocol_factory)
        return Listener(self)

    async def create_unix_connection(self, protocol_factory: Callable[[], Any], *args: Any, **options: Any) -> Any:
        """As `create_connection`."""
        return await self.create_connection(protocol_factory, ssl=options.get("ssl"))

    async def create_unix_server(self, protocol_factory: Callable[[], Any], *args: Any, **options: Any) -> Any:
        """As `create_server`."""
        return await self.create_server(protocol_factory, ssl=options.get("ssl"))

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """A socket that is connected before it is given to `create_connection`: it stays as it is."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """One address for every name."""
        return [(2, 1, 6, "", ("127.0.0.1", port or 0))]

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., Any], *args: Any
    ) -> None:
        """Signals are not of this loop: nothing happens."""

    def remove_signal_handler(self, sig: int) -> bool:
        """Signals are not of this loop."""
        return False

    # ---- from run to run

    def drive(self, on_idle: Callable[[], bool]) -> None:
        """Run until `on_idle` says that it is over."""
        self.on_idle = on_idle
        self._iterations = 0
        try:
            self.run_forever()
        finally:
            self.on_idle = self.advance

    def forget(self) -> None:
        """End the tasks and timers of a run, whatever they do about it."""
        for _ in range(3):  # a task may catch its cancellation, and wait again
            alive = [task for task in self.made if not task.done()]
            if not alive:
                break
            for task in alive:
                task.cancel()
            self.drive(lambda: False)
        self._silence()
        for handle in [*self._scheduled, *self._ready]:  # type: ignore[attr-defined]
            handle.cancel()
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._ready.clear()  # type: ignore[attr-defined]
        self._timer_cancelled_count = 0
        self.made.clear()
        self.unhandled.clear()
        self.on_connect = self.on_listen = None
        self.set_exception_handler(None)

    def abandon(self) -> None:
        """Close the loop of a run that was broken off in the middle: what it had begun stays as it is."""
        self._silence()
        self.made.clear()
        self.close()

    def _silence(self) -> None:
        """What these tasks would log when they are collected is known already."""
        for task in self.made:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            task._log_traceback = False


class Listener:
    """What `create_server` returns: a server with one address, which accepts nothing more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._closed = loop.create_future()
        self.sockets = (Socket(ADDRESSES[1], None),)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Until it is closed."""
        return not self._closed.done()

    async def start_serving(self) -> None:
        """It does already."""

    async def serve_forever(self) -> None:
        """Until it is cancelled."""
        await self._loop.create_future()

    def close(self) -> None:
        """Accept nothing more."""
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        """Until it is closed."""
        await self._closed

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.close()


@contextmanager
def as_current(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Make `loop` the one that `asyncio.get_event_loop` finds, in or outside of a running loop; put back after."""
    running = events._get_running_loop()
    policy_local = getattr(asyncio.get_event_loop_policy(), "_local", None)
    before = getattr(policy_local, "_loop", None)
    events._set_running_loop(None)
    current = None
    if running is not None:  # a check inside of a test that is a coroutine
        current = tasks.current_task(running)
        if current is not None:
            tasks._leave_task(running, current)
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(before)
        events._set_running_loop(running)
        if running is not None and current is not None:
            tasks._enter_task(running, current)
