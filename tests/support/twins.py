"""The same calls on real Linux and on the simulated kernel, each in an interpreter of its own, compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.unit.kernel_harness import real, simulated

#: Everything that descriptors and sockets stand on, in the order in which it is installed.
FACES = ("time", "threads", "descriptors", "readiness", "socket", "names")
#: The kernel that the tests run on: some details are newer than the oldest one.
LINUX = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


def as_on_linux(body: Callable[..., Any], *args: Any) -> Any:
    """What `body(*args)` returns in the simulator, after checking that it returns the same on real Linux."""
    there = real(body, *args)
    here = simulated(body, *args, faces=FACES)
    if isinstance(there, list) and isinstance(here, list):
        for number, (one, other) in enumerate(zip(here, there, strict=True)):
            assert one == other, f"item {number}: {one!r} in the simulator, {other!r} on Linux"
    assert here == there
    return here


# ---- for bodies, which import them inside themselves


class Log(list[Any]):
    """What happened, call by call."""

    def note(self, name: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Make a call and note its result, or its error as class and errno (text when it has none)."""
        try:
            result = call(*args, **options)
        except OSError as error:
            result = (type(error).__name__, error.errno or str(error))
        except Exception as error:
            result = (type(error).__name__, str(error))
        self.append((name, result))
        return result


def events(thing: Any) -> int:
    """The readiness of a descriptor: everything that poll(2) can say."""
    import select

    poll = select.poll()
    poll.register(thing, 0x1 | 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000)
    ready = poll.poll(0)
    return ready[0][1] if ready else 0


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls in threads of their own, started in this order; their results or errors."""
    import threading

    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            results[number] = calls[number]()
        except OSError as error:
            results[number] = (type(error).__name__, error.errno)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
