"""`_queue.SimpleQueue` of simulated threads.

Owns the queue's items and who waits for one. `queue.Queue` is not here: it runs unmodified on `threading.Condition`.

`put` never waits and may be called from anywhere, also from a weak reference's callback while the kernel works. An item
belongs to nobody until a thread takes it: a woken thread may find that a running one was faster, and waits on, first in
line. Behaviour and error texts: CPython Modules/_queuemodule.c.
"""

from __future__ import annotations

from collections import deque
from types import GenericAlias, ModuleType
from typing import Any, NoReturn

from wavetank.kernel import core
from wavetank.kernel.core import FAR, TIMEOUT, Thread
from wavetank.kernel.locks import LOCK_COST_NS, deadline_after, forgo_turn, timeout_ns, wake_one
from wavetank.kernel.replace import when_imported

#: `_queue.Empty`, from `install` on: the module is not imported before.
_empty: list[type[Exception]] = []


class _Waiting:
    """Why a thread waits for a queue, in words made only for a report."""

    __slots__ = ("queue",)

    def __init__(self, queue: SimpleQueue) -> None:
        self.queue = queue

    def __str__(self) -> str:
        others = len(self.queue._waiters) - 1
        return "get from an empty SimpleQueue" + (f", for which {others} more threads wait" if others > 0 else "")


class SimpleQueue:
    """An unbounded queue, first in, first out."""

    __slots__ = ("__weakref__", "_items", "_waiters")
    __module__ = "_queue"
    __class_getitem__: Any = classmethod(GenericAlias)
    _items: deque[Any]
    _waiters: deque[Thread]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Arguments are for subclasses only."""
        if cls is SimpleQueue and (args or kwargs):
            raise TypeError("SimpleQueue() takes no arguments")
        made = object.__new__(cls)
        made._items = deque()
        made._waiters = deque()
        return made

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Append an item. `block` and `timeout` are there because `queue.Queue` has them."""
        self._items.append(item)
        if self._waiters:
            wake_one(self._waiters)
        kernel = core.K
        kernel.now = now = kernel.now + LOCK_COST_NS
        if now >= kernel.attention:
            kernel.look_around()

    def put_nowait(self, item: Any) -> None:
        """Append an item."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the first item; `Empty` when none came in time."""
        kernel = core.K
        kernel.now = now = kernel.now + LOCK_COST_NS
        if now >= kernel.attention:
            kernel.look_around()
        deadline = FAR
        if block and timeout is not None:
            nanoseconds = timeout_ns(timeout)
            if nanoseconds < 0:
                raise ValueError("'timeout' must be a non-negative number")
            deadline = deadline_after(nanoseconds)
        if not self._items:
            if not block:
                kernel.empty_poll()
                raise _empty[0]
            self._wait(deadline)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        """Take the first item; `Empty` when there is none."""
        return self.get(False)

    def empty(self) -> bool:
        """Whether there is no item now."""
        return not self._items

    def qsize(self) -> int:
        """How many items there are now."""
        return len(self._items)

    def _wait(self, deadline: int) -> None:
        """Park until there is an item; `Empty` at the deadline."""
        kernel = core.K
        me = kernel.running
        waiters = self._waiters
        waiters.append(me)
        reason = _Waiting(self)
        try:
            while True:
                in_time = kernel.park(reason, deadline) is not TIMEOUT
                # `put` takes a waiter off the queue even if it has been woken otherwise and has not yet run.
                queued = me in waiters
                if self._items or not in_time:
                    if queued:
                        waiters.remove(me)
                    if not in_time:
                        raise _empty[0]
                    return
                if not queued:
                    waiters.appendleft(me)
        except BaseException:
            if self._items or me in waiters:
                forgo_turn(waiters, me)
            raise

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle '_queue.SimpleQueue' object")


def _put_in(module: ModuleType) -> None:
    vars(module).update(SimpleQueue=SimpleQueue, Empty=_empty[0])


def install() -> type:
    """Replace `_queue.SimpleQueue`, also in a `_queue` that somebody imports anew. Returns the real type."""
    import _queue

    real = _queue.SimpleQueue
    _empty.append(_queue.Empty)
    when_imported("_queue", _put_in)
    return real
