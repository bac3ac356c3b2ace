"""All that knows a framework's private side, one module for each framework. The others never look inside one.

Owns the face of all of them: installing, the state of a new process, the name of the task that acts, and what the tasks
of a thread wait for. Imports no framework but asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from wavetank.frameworks import asyncio, blocking, reports, state, trio, twisted, twisted_producers, uvloop
from wavetank.kernel.core import Thread
from wavetank.kernel.recorder import Recorder

#: What `runner=` names: each runs a main with its arguments as programs of that framework do, and returns its result.
runners: Final[dict[str, Callable[..., Any]]] = {
    "asyncio": asyncio.run,
    "call": blocking.run,
    "trio": trio.run,
    "twisted": twisted.run,
}
#: Called with a host's name, words for where, and an exception that nobody handled inside a loop, reactor or thread.
unhandled_hooks: Final = reports.unhandled_hooks
#: Called with what the reader of a report should know.
note_hooks: Final = reports.note_hooks
#: Called with a host's name, words and details for what a program has lost and what can never end.
leak_hooks: Final = reports.leak_hooks

_task_of_asyncio: Final = asyncio.task_name


def install() -> None:
    """Make every framework a guest of the simulated kernel, which is in place. Once per interpreter, in the image."""
    asyncio.install()
    uvloop.stand_in()
    trio.install()
    twisted.install()
    twisted_producers.install()


begin: Final = state.begin
only_imports: Final = state.only_imports


def name_tasks(recorder: Recorder) -> None:
    """Let `recorder` know the task that acts. It asks for every event: Trio is looked at once it has been imported."""
    recorder.current_task = _task_of_asyncio if trio.context is None else _task_of_either

    def trio_too() -> None:
        recorder.current_task = _task_of_either

    trio.when_met[:] = [trio_too]


def _task_of_either() -> str | None:
    return _task_of_asyncio() or trio.task_name()


def deadlines(thread: Thread) -> list[int]:
    """When timers of a framework in `thread` are due, as virtual time in ns, in no order; of many the first ones."""
    return asyncio.deadlines(thread) or trio.deadlines(thread) or twisted.deadlines(thread)


def unsent_bytes(thread: Thread, number: int) -> int:
    """How many bytes a framework in `thread` keeps for the socket `number`, because the kernel takes no more."""
    return asyncio.unsent_bytes(thread, number) or twisted.unsent_bytes(thread, number)


check_leaks: Final = twisted_producers.check


def watch_protocols() -> None:
    """Watch every protocol of asyncio and Twisted from now on, for the oracle `contract`. Once per interpreter."""
    from wavetank.frameworks import watching_asyncio, watching_twisted  # most runs do without

    watching_asyncio.install()
    watching_twisted.install()


def descriptor_in(variables: Mapping[str, Any]) -> int:
    """The descriptor of the socket that a suspended function of a framework is about, by its variables; -1: of none."""
    for thing in (variables.get("self"), variables.get("sock")):
        socket = thing if thing is None else asyncio.socket_of(thing) or trio.socket_of(thing)
        if socket is not None:
            try:
                return int(socket.fileno())
            except (OSError, ValueError, TypeError, AttributeError):
                return -1
    return -1


def waits(thread: Thread) -> Iterator[tuple[str, str, Any]]:
    """What a framework in `thread` waits for: a name, words for the waiting, the suspended coroutine or None."""
    for name, coroutine in (*asyncio.pending_tasks(thread), *trio.pending_tasks(thread)):
        yield name, "awaits", coroutine
    yield from twisted.waits(thread)
