"""Open files as the kernel sees them: a reference count, readiness, and who wants to know about it.

Owns the base of everything a descriptor can name and the push of readiness: a file whose state changes tells its
watchers (epoll entries) and wakes the threads that wait on it. It never scans descriptors. The wake-up rules follow
Linux: `ep_poll_callback` (fs/eventpoll.c) for epoll, wait queues with exclusive waiters (kernel/sched/wait.c) for
blocking calls.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import Any, Protocol

from wavetank.kernel import core
from wavetank.kernel.core import FAR, TIMEOUT, Thread

# Linux include/uapi/linux/eventpoll.h; poll() uses the same values.
IN, PRI, OUT, ERR, HUP, NVAL = 0x001, 0x002, 0x004, 0x008, 0x010, 0x020
RDNORM, RDBAND, WRNORM, WRBAND, RDHUP = 0x040, 0x080, 0x100, 0x200, 0x2000
READABLE = IN | RDNORM
WRITABLE = OUT | WRNORM


class Watcher(Protocol):
    """Who wants to be told when a file's readiness may have changed."""

    def notified(self, events: int) -> None:
        """`events`: the conditions that changed (a hint, as the key of a Linux wake-up)."""


def error(number: int) -> OSError:
    """The `OSError` (of the right subclass) for an errno."""
    return OSError(number, os.strerror(number))


class File:
    """An open file description: what `dup` shares. Subclasses say what reading and writing mean."""

    __slots__ = ("append", "closed", "inode", "kind", "nonblocking", "number", "references", "waiters", "watchers")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.number = 0  # in the trace
        self.inode = 0  # as fstat(2) shows it, from the first call on
        self.references = 0
        self.nonblocking = False
        self.append = False
        self.closed = False
        self.watchers: list[Watcher] = []
        self.waiters: list[tuple[Thread, int]] = []

    # -- what subclasses define

    def poll(self) -> int:
        """The events that hold now (EPOLLIN and so on)."""
        raise NotImplementedError(self.kind)

    def released(self) -> None:
        """The last reference is gone: close."""

    def linger_on(self) -> None:
        """It has been closed by a call: wait, where that is asked for, until the other side knows."""

    def read(self, size: int) -> bytes:
        """`read(2)`: the bytes there are, at most `size`; BlockingIOError when it would wait."""
        raise error(errno.EINVAL)

    def write(self, data: Any) -> int:
        """`write(2)`: how many bytes were taken; BlockingIOError when it would wait."""
        raise error(errno.EINVAL)

    def receive(self, size: int, flags: int) -> bytes | None:
        """`recv(2)`: this is no socket."""
        raise error(errno.ENOTSOCK)

    def send(self, data: Any, flags: int) -> int | None:
        """`send(2)`: this is no socket."""
        raise error(errno.ENOTSOCK)

    def describe(self) -> str:
        """A few words for reports: what this is and, for a connection, between whom."""
        return self.kind

    # -- references

    def hold(self) -> None:
        """One more descriptor (or message in flight) refers to this file."""
        self.references += 1

    def release(self) -> None:
        """One reference less; the last one closes."""
        self.references -= 1
        if self.references == 0 and not self.closed:
            self.closed = True
            self.released()
            if self.watchers:
                for watcher in tuple(self.watchers):
                    gone = getattr(watcher, "file_gone", None)
                    if gone is not None:
                        gone()
                self.watchers.clear()

    # -- readiness

    def notify(self, events: int) -> None:
        """Readiness may have changed for `events`: tell the watchers, wake the waiting threads."""
        for watcher in self.watchers:
            watcher.notified(events)
        waiters = self.waiters
        if waiters:
            for entry in tuple(waiters):
                thread, mask = entry
                # Errors and the end concern every waiter (fs/select.c, `receiver_wake_function`).
                if (
                    events & (mask | ERR | HUP)
                    and core.K.wake(thread, events)
                    and thread.exclusive
                    and entry in waiters
                ):
                    waiters.remove(entry)
                    break

    def wait(self, mask: int, deadline: int, reason: Any, *, exclusive: bool = False) -> bool:
        """Park until told of `mask`, or until `deadline`; False on timeout. May return early: look again.

        `exclusive`: one event wakes only one such waiter (Linux: `accept`).
        """
        kernel = core.K
        thread = kernel.running
        entry = (thread, mask)
        thread.exclusive = exclusive
        self.waiters.append(entry)
        if self not in thread.holds:
            self.references += 1  # a call keeps its file open, whoever closes the descriptor (fdget)
            thread.holds = (self,)
        try:
            return kernel.park(reason, deadline) is not TIMEOUT
        finally:
            if entry in self.waiters:
                self.waiters.remove(entry)
            if self.references > 1:
                thread.holds = ()
                self.references -= 1
            else:  # its descriptor was closed meanwhile: it closes when the call is over
                kernel.later_in_call(_let_go, thread)

    def keep(self) -> None:
        """The call that has waited for this file waits again."""
        kernel = core.K
        if self in kernel.running.holds:
            kernel.soft = deque(work for work in kernel.soft if work != (_let_go, kernel.running))


def _let_go(thread: Thread) -> None:
    held, thread.holds = thread.holds, ()
    for file in held:
        file.release()


class Waiting:
    """Why a thread waits, in words that are made only when somebody asks."""

    __slots__ = ("call", "file")

    def __init__(self, call: str, file: File) -> None:
        self.call = call
        self.file = file

    def __str__(self) -> str:
        return f"{self.call} on {self.file.describe()}"


def deadline_in(seconds: float | None) -> int:
    """The virtual time `seconds` from now, rounded up to the nanosecond as CPython rounds timeouts; FAR for None."""
    if seconds is None:
        return FAR
    return core.K.now - int(-seconds * 1_000_000_000 // 1)
