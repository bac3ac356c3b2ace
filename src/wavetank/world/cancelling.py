"""Cancellation as a choice: what a program marks with `World.cancellable` may be cancelled wherever it is suspended.

Owns the draw and its delivery under asyncio, Trio and Twisted. Nothing that is not marked is ever cancelled.

The idea: an awaitable is driven by hand, one suspension after another (PEP 492: `__await__` gives what the loop is to
wait for). One draw decides at which suspension it is cancelled, and how: at once, or in the very turn of the loop in
which what it waits for has come, before it is told - a loop that is busy does both. Each call draws, whether it counts
or not, so that the n-th call has the n-th choice whatever the faults are.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Awaitable, Callable, Generator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core
from wavetank.kernel.choices import rate_of

if TYPE_CHECKING:
    import asyncio  # not when this is imported: the shims must come first

#: How often a marked wait is cancelled while a fault of scheduling is in force.
RATE: Final = rate_of(0.3)
#: At which suspension, each of these as likely: most awaitables have few.
TURNS: Final = (1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12)


def cancellable(awaitable: Any) -> Any:
    """The same as something to await (or, of a Deferred, the same Deferred), which a choice may cancel."""
    kernel = core.K
    process = kernel.process
    stream = kernel.choices.stream("cancel", f"{process.host_name}/{process.name}")
    chosen = stream.draw(RATE if kernel.scheduling is not None else 0, 2 * len(TURNS) + 1)
    turn, late = decode(chosen)
    if hasattr(awaitable, "addBoth") and hasattr(awaitable, "cancel"):
        return _deferred(awaitable, turn) if turn else awaitable
    return _awaited(awaitable, turn, late)


def decode(chosen: int) -> tuple[int, bool]:
    """At which suspension (0: never), and whether as late as can be, a choice means."""
    return (TURNS[(chosen - 1) // 2], chosen % 2 == 0) if chosen else (0, False)


async def _awaited(awaitable: Awaitable[Any], turn: int, late: bool) -> Any:
    if not turn:
        return await awaitable
    task = _asyncio_task()
    if task is None:
        return await _under_trio(awaitable, turn)
    try:
        return await _driven(awaitable, turn, lambda waits_for: _cancel(task, waits_for, late))
    finally:
        if task in _struck:
            _struck.discard(task)
            task.uncancel()  # who awaits may go on: asyncio.timeout counts requests (asyncio.Task.uncancel)


_struck: set[asyncio.Task[Any]] = set()


def _asyncio_task() -> asyncio.Task[Any] | None:
    loops = sys.modules.get("asyncio")
    try:
        return None if loops is None else loops.current_task()
    except RuntimeError:  # no loop of asyncio runs
        return None


def _cancel(task: asyncio.Task[Any], waits_for: Any, late: bool) -> None:
    def strike(_: object = None) -> None:
        _struck.add(task)
        task.cancel()

    if late and hasattr(waits_for, "add_done_callback"):
        waits_for.add_done_callback(strike)  # before the task has put its own there: it is cancelled, and then woken
    else:
        task.get_loop().call_soon(strike)


async def _under_trio(awaitable: Awaitable[Any], turn: int) -> Any:
    """In a scope of its own: cancelled, it is over without a result, as with `trio.move_on_after`."""
    trio = sys.modules.get("trio")
    if trio is None:
        return await awaitable
    results = []
    with trio.CancelScope() as scope:
        results.append(await _driven(awaitable, turn, lambda _: scope.cancel()))
    return results[0] if results else None


@types.coroutine
def _driven(awaitable: Awaitable[Any], turn: int, strike: Callable[[Any], object]) -> Generator[Any, Any, Any]:
    """Await by hand; call `strike` with what it waits for at suspension number `turn`."""
    steps: Any = awaitable.__await__()
    value, error, suspensions = None, None, 0
    while True:
        try:
            waits_for = steps.send(value) if error is None else steps.throw(error)
        except StopIteration as stop:
            return stop.value
        suspensions += 1
        if suspensions == turn:
            strike(waits_for)
        value = error = None
        try:
            value = yield waits_for
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as thrown:
            error = thrown


def _deferred(deferred: Any, turn: int) -> Any:
    """Cancel a Deferred that has not fired by so many turns of the reactor."""
    reactor: Any = import_module("twisted.internet.reactor")

    def strike(left: int) -> None:
        if deferred.called and not getattr(deferred, "paused", 0):
            return
        if left > 1:
            reactor.callLater(0, strike, left - 1)
        else:
            deferred.cancel()

    reactor.callLater(0, strike, turn)
    return deferred
