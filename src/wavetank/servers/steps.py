"""One core, three faces: the procedures of this package are generators, and this module carries them out.

Owns the words in which a procedure says what it waits for, and the blocking and the asyncio way to wait. It must never
know what a procedure is about. The Twisted way is in `wavetank.servers.tx`.

The idea: starting, probing and stopping a server are long sequences of "wait until one of these descriptors is ready,
at most so long". Written as generators that yield `Wait`, they need no threads, can be given up at every wait (the
generator is closed, its `finally` clauses run), and are the same code under `with`, `async with` and a reactor.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import select
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from wavetank.errors import UsageError

T = TypeVar("T")

#: poll(2) takes milliseconds as an int. A procedure that is resumed early just waits again.
_LONGEST_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Until a descriptor can be read or written, or `until` (seconds of time.monotonic); resumes with those ready."""

    readable: tuple[int, ...] = ()
    writable: tuple[int, ...] = ()
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the user's: may block, may be a coroutine function; resumes with its result, or throws its error.

    `seconds` is the most that it may take; TimeoutError is thrown after that where the face can tell.
    """

    function: Callable[[], Any]
    seconds: float


Script = Generator[Wait | Call, Any, T]


def pause(seconds: float) -> Script[None]:
    """Wait for nothing but time."""
    yield Wait(until=time.monotonic() + seconds)


def poll(wait: Wait) -> frozenset[int]:
    """Wait here and now; returns the ready descriptors."""
    poller = select.poll()
    for fd in wait.readable:
        poller.register(fd, select.POLLIN)
    for fd in wait.writable:
        poller.register(fd, select.POLLOUT)
    left_s = min(max(0.0, wait.until - time.monotonic()), _LONGEST_S)
    return frozenset(fd for fd, _ in poller.poll(left_s * 1000))


def carry_out(script: Script[T]) -> T:
    """Carry out a procedure, blocking. An interruption (Ctrl-C) gives it up in order."""
    with contextlib.closing(script):
        send: Callable[[Any], Wait | Call] = script.send
        value: Any = None
        while True:
            try:
                step = send(value)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # StopIteration is not generic
            send = script.send
            if isinstance(step, Wait):
                value = poll(step)
                continue
            try:
                value = _call(step)
            except Exception as error:
                send, value = script.throw, error


def _call(step: Call) -> Any:
    result = step.function()
    if inspect.isawaitable(result):
        return asyncio.run(_bounded(result, step.seconds))
    return result


async def _bounded(awaitable: Any, seconds: float) -> Any:
    return await asyncio.wait_for(awaitable, seconds)


async def carry_out_async(script: Script[T]) -> T:
    """Carry out a procedure in the running asyncio loop. Cancelling gives it up in order."""
    with contextlib.closing(script):
        need_asyncio()
        send: Callable[[Any], Wait | Call] = script.send
        value: Any = None
        while True:
            try:
                step = send(value)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # StopIteration is not generic
            send = script.send
            try:
                value = await (_wait_async(step) if isinstance(step, Wait) else _call_async(step))
            except Exception as error:
                send, value = script.throw, error


async def _call_async(step: Call) -> Any:
    """A plain function runs in a thread, so that the loop goes on; a coroutine in the loop."""
    if inspect.iscoroutinefunction(step.function):
        return await _bounded(step.function(), step.seconds)
    result = await asyncio.wait_for(asyncio.to_thread(step.function), step.seconds)
    return await _bounded(result, step.seconds) if inspect.isawaitable(result) else result


async def _wait_async(wait: Wait) -> frozenset[int]:
    loop = asyncio.get_running_loop()
    if not wait.readable and not wait.writable:
        await asyncio.sleep(max(0.0, wait.until - time.monotonic()))
        return frozenset()
    ready: set[int] = set()
    happened = loop.create_future()
    with _watched(loop, wait, ready, happened):
        await asyncio.wait([happened], timeout=max(0.0, wait.until - time.monotonic()))
    return frozenset(ready)


@contextlib.contextmanager
def _watched(
    loop: asyncio.AbstractEventLoop, wait: Wait, ready: set[int], happened: asyncio.Future[None]
) -> Iterator[None]:
    def note(fd: int) -> None:
        ready.add(fd)
        if not happened.done():
            happened.set_result(None)

    with contextlib.ExitStack() as undo:
        undo.callback(happened.cancel)
        for fds, add, remove in (
            (wait.readable, loop.add_reader, loop.remove_reader),
            (wait.writable, loop.add_writer, loop.remove_writer),
        ):
            for fd in fds:
                own = own_copy(fd)
                if own < 0:
                    note(fd)
                    continue
                undo.callback(os.close, own)
                add(own, note, fd)
                undo.callback(remove, own)
        yield


def own_copy(fd: int) -> int:
    """A descriptor of one wait alone: a loop knows one reader for each, and two procedures may wait for one thing.

    -1 when `fd` is closed: another procedure has brought to an end what this one waits for.
    """
    try:
        return os.dup(fd)
    except OSError:
        return -1


def need_asyncio() -> None:
    """Raise `UsageError` where no asyncio loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "this awaits in an asyncio event loop, and none is running in this thread",
            next="in Trio: await trio.to_thread.run_sync(server.start); in Twisted: wavetank.servers.tx",
        ) from None


def refuse_in_running_loop(what: str, instead: str) -> None:
    """Raise `UsageError` where an event loop runs in this thread: blocking it could block what we wait for.

    `instead` says what to call in an asyncio loop.
    """
    for found, loop, advice in (
        (_in_reactor, "a Twisted reactor", "wavetank.servers.tx, or twisted.internet.threads.deferToThread(...)"),
        (_in_asyncio, "an asyncio event loop", instead),
        (_in_trio, "Trio", "await trio.to_thread.run_sync(...) with the same call"),
    ):
        if found():
            raise UsageError(
                f"{what} blocks, and {loop} is running in this thread",
                why="while it waits, the loop stands still, and with it everything that the server may need from it",
                next=advice,
            )


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_reactor() -> bool:
    """Nobody runs in a reactor who has not imported it, and it is not for us to import (that installs one)."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if not getattr(reactor, "running", False):
        return False
    from twisted.python import threadable

    return bool(threadable.isInIOThread())


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
