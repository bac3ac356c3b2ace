"""What a Twisted program waits for: its suspended functions, its timers, its sockets, for the picture of a hang.

Owns the search for the functions under `inlineCallbacks` and the coroutines that await a Deferred. Twisted keeps no
list of them: what will resume one is a callback of a Deferred, whoever holds that. It looks and changes nothing.
Source: twisted/internet/defer.py (`_inlineCallbacks`), 23.10 to 26.10.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from types import CoroutineType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any, Final

#: The search looks at so many objects at most.
MAX_OBJECTS: Final = 100_000
#: Of each kind at most so many are named.
MAX_NAMED: Final = 50
#: Objects of these packages lead to everything else: the simulator's own, and the sockets on it.
_CLOSED: Final = frozenset({"wavetank", "_socket", "socket", "select", "greenlet", "zope", "logging", "threading"})


def of_reactor(reactor: Any, main: Any) -> list[tuple[str, str, Any]]:
    """A name, words for what is waited for, and the suspended function if it is one. `main`: what a main returned."""
    found = [(_name(each), "awaits", each) for each in _suspended(reactor, main)]
    calls = sorted(reactor.getDelayedCalls(), key=lambda call: call.getTime())
    now = reactor.seconds()
    words = [f"calls {_name(call.func)} in {call.getTime() - now:g} s" for call in calls[:MAX_NAMED]]
    internal = getattr(reactor, "_internalReaders", ())
    readers = [reader for reader in reactor.getReaders() if reader not in internal]
    words += sorted(f"reads from {_name(reader)}" for reader in readers[:MAX_NAMED])
    return found + [("reactor", each, None) for each in words]


def _name(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None)
    return name if isinstance(name, str) else str(thing)


def _suspended(*roots: Any) -> Iterator[Any]:
    """Functions that a callback of some Deferred will resume, of all Deferreds that can be reached from the roots."""
    seen: dict[int, Any] = {}
    found: set[int] = set()
    ahead = deque(roots)
    while ahead and len(seen) < MAX_OBJECTS:
        thing = ahead.popleft()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        resumed = _resumed(thing)
        if resumed is not None and id(resumed) not in found:
            found.add(id(resumed))
            yield resumed
        ahead.extend(_inside(thing))


def _resumed(thing: Any) -> Any:
    """The suspended function, if `thing` is the tuple of arguments of a callback that resumes one."""
    if type(thing) is not tuple or not any(type(part).__name__ == "_CancellationStatus" for part in thing):
        return None
    return next((part for part in thing if isinstance(part, (GeneratorType, CoroutineType))), None)


def _inside(thing: Any) -> list[Any]:
    kind = type(thing)
    if isinstance(thing, (type, ModuleType, str, bytes, int, float)) or kind.__module__.partition(".")[0] in _CLOSED:
        return []
    if isinstance(thing, FunctionType):  # not its globals: these are the whole program's
        return [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    return gc.get_referents(thing)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # assigned to later
        return False
