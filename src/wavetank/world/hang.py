"""Who waits for what: the picture of a world in which nothing happens any more.

Owns the words of the oracle `hang`. It looks at parked threads and pending tasks and changes nothing. Used on the root
greenlet, when the world has stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from wavetank import frameworks
from wavetank.kernel.core import Kernel, Thread
from wavetank.world import places
from wavetank.world.finder import owner
from wavetank.world.job import FailureRecord
from wavetank.world.oracles import HANG, text_record
from wavetank.world.places import Place
from wavetank.world.program import Program

#: A report lists at most so many threads, and so many tasks of each.
MAX_LISTED = 200


class Wait(NamedTuple):
    """One thread or task that waits: its name, what for, and its stack, innermost first."""

    name: str
    reason: str
    stack: list[Place]

    def lines(self) -> Iterator[str]:
        """The wait as a report shows it."""
        yield f"{self.name}: {self.reason}\n"
        shown = [place for place in self.stack if owner(place.file) == "user"] or self.stack[:4]
        yield from places.lines(shown[::-1])


def waits_of(thread: Thread) -> Iterator[Wait]:
    """What a thread, and each task of its loop, waits for."""
    name = f"{thread.process.host_name}/{thread.process.name}/{thread.name}"
    stack = places.of_frame(thread.greenlet.gr_frame) if thread.greenlet is not None else []
    for waiter, what, suspended in islice(frameworks.waits(thread), MAX_LISTED):
        yield Wait(f"{name} {waiter}", what, places.of_coroutine(suspended))
    yield Wait(name, _reason(thread), stack)


def _reason(thread: Thread) -> str:
    if thread.held:
        return "held: its process or host is paused" if thread.process.status is None else "its process has ended"
    return str(thread.reason) if thread.parked else "ready to run"


def unfinished(kernel: Kernel, programs: list[Program]) -> list[Wait]:
    """The waits in those of the programs that have not ended."""
    found: list[Wait] = []
    processes = [program.process for program in programs if not program.done]
    for thread in kernel.threads:
        if not thread.finished and thread.process in processes and len(found) < MAX_LISTED:
            found.extend(waits_of(thread))
    return found


def record(kernel: Kernel, what: str, programs: list[Program], others: list[Thread]) -> FailureRecord:
    """The failure: `what` happened, and who waits. `others`: threads of no program, the director's."""
    awaited = [program for program in programs if program.waiting] or programs[-1:]
    waits = unfinished(kernel, awaited)
    waits += [wait for thread in others if not thread.finished for wait in waits_of(thread)]
    waits += unfinished(kernel, [program for program in programs if program not in awaited])
    first = _first(waits)
    error = f"{what}; {_clause(first)}" if first else what
    detail = "".join(line for wait in waits for line in wait.lines())
    host = first.name.partition("/")[0] if first else ""
    return text_record(HANG, host, kernel.now, error, first.stack if first else [], detail)


def _clause(wait: Wait) -> str:
    return f"{wait.name} {wait.reason}" if wait.reason == "awaits" else f"{wait.name} waits: {wait.reason}"


def _first(waits: list[Wait]) -> Wait | None:
    """The wait that says most: the first one with a line of the user's own, else the first."""
    for wait in waits:
        if any(owner(place.file) == "user" for place in wait.stack):
            return wait
    return waits[0] if waits else None
