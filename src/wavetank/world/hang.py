"""Who waits for what: the picture of a world in which nothing happens any more.

Owns the words of the oracle `hang`. It looks at parked threads and pending tasks and changes nothing. Used on the root
greenlet, when the world has stopped.

The headline names a few of those that wait, each host's first before the second of any: of a loop, its tasks say what
is waited for, and its thread only that it waits. Behind each stands the innermost line of the user's own code.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import Final, NamedTuple

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
#: The headline names so many of them, and shows so much of each line.
MAX_NAMED: Final = 4
MAX_TEXT: Final = 80
#: What `await` itself calls says nothing.
_AWAITING: Final = ("__await__", "__iter__")


class Wait(NamedTuple):
    """One thread or task that waits: its name, what for, and its stack, innermost first.

    `loop`: it is a thread that runs a loop, whose tasks are listed beside it.
    """

    name: str
    reason: str
    stack: list[Place]
    loop: bool = False

    def lines(self) -> Iterator[str]:
        """The wait as a report shows it."""
        yield f"{self.name}: {self.reason}\n"
        shown = [place for place in self.stack if owner(place.file) == "user"] or self.stack[:4]
        yield from places.lines(shown[::-1])


def waits_of(thread: Thread) -> Iterator[Wait]:
    """What a thread, and each task of its loop, waits for."""
    name = f"{thread.process.host_name}/{thread.process.name}/{thread.name}"
    stack = places.of_frame(thread.greenlet.gr_frame) if thread.greenlet is not None else []
    found = 0
    for waiter, what, suspended in islice(frameworks.waits(thread), MAX_LISTED):
        found += 1
        frames = places.frames_of_coroutine(suspended)
        yield Wait(f"{name} {waiter}", f"{what}{_awaited(thread, frames)}", places.of_coroutine(suspended))
    yield Wait(name, _reason(thread), stack, loop=found > 0)


def _awaited(thread: Thread, frames: list[FrameType]) -> str:
    """The call out of the user's code that a task is in, and the socket that it is about, as far as they are known."""
    call = ""
    for frame in frames:
        if owner(frame.f_code.co_filename) == "user":
            break
        if frame.f_code.co_name not in _AWAITING:
            call = f" {_called(frame)}()"
    for frame in frames:
        file = thread.process.fds.get(frameworks.descriptor_in(frame.f_locals))
        if file is not None:
            return f"{call} on {file.describe()}"
    return call


def _called(frame: FrameType) -> str:
    """A function's name as its caller would write it: of a method, with the class of its object."""
    code = frame.f_code
    owned = code.co_argcount > 0 and code.co_varnames[0] == "self" and code.co_qualname.count(".") == 1
    return f"{type(frame.f_locals.get('self')).__name__}.{code.co_name}" if owned else code.co_qualname


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
    directing = [wait for thread in others if not thread.finished for wait in waits_of(thread)]
    waits += directing
    waits += unfinished(kernel, [program for program in programs if program not in awaited])
    # What the director waits for is a program, as a rule: it is named when it alone waits.
    named = _named([wait for wait in waits if wait not in directing]) or _named(directing)
    error = "; ".join([what, *(_clause(wait) for wait in named[:MAX_NAMED])])
    if len(named) > MAX_NAMED:
        error += f"; and {len(named) - MAX_NAMED} more"
    detail = "".join(line for wait in waits for line in wait.lines())
    host = named[0].name.partition("/")[0] if named else ""
    return text_record(HANG, host, kernel.now, error, named[0].stack if named else [], detail)


def _clause(wait: Wait) -> str:
    """One wait in the headline: who, what for, and the line of the user's own code."""
    text = f"{wait.name} {wait.reason}" if wait.reason.startswith("awaits") else f"{wait.name} waits: {wait.reason}"
    place = places.innermost(wait.stack)
    if place is None:
        return text
    line = places.source_line(place)
    shown = line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}..."
    return f"{text} ({places.short(place.file)}:{place.line}{': ' if shown else ''}{shown})"


def _named(waits: list[Wait]) -> list[Wait]:
    """Those that a headline may name, in order: with a line of the user's own, each host's first before the others."""
    own = [wait for wait in waits if any(owner(place.file) == "user" for place in wait.stack) and not wait.loop]
    first = {wait.name.partition("/")[0]: wait for wait in reversed(own)}
    ahead = [wait for wait in own if wait in first.values()]
    return ahead + [wait for wait in own if wait not in ahead] or waits[:1]
