"""`select`, `poll` and `epoll` for simulated descriptors, as the `select` module offers them.

Owns the waiting on many descriptors at once. Files push their changes (see `kernel.file`), so a wait costs what is
ready, not what is watched. epoll keeps Linux's ready list (fs/eventpoll.c: `ep_poll_callback`, `ep_send_events`): its
order is the order of events, level-triggered entries go to its end after being reported.
"""

from __future__ import annotations

import errno
import math
import select as real
import sys
from _stat import S_ISCHR
from collections.abc import Callable
from contextlib import suppress
from operator import index
from posix import fstat as _fstat  # not by name in `os`, where programs put functions of their own
from types import ModuleType
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.core import CALL_COST_NS, FAR, TIMEOUT
from wavetank.kernel.eventpoll import EpollFile, Item
from wavetank.kernel.file import ERR, HUP, IN, NVAL, OUT, PRI, RDBAND, RDHUP, RDNORM, WRBAND, WRNORM, File, error
from wavetank.kernel.process import FIRST_FD
from wavetank.kernel.replace import replace_calls

# fs/select.c: what select() means by readable, writable, exceptional
_IN_SET: Final = IN | RDNORM | RDBAND | HUP | ERR | NVAL
_OUT_SET: Final = OUT | WRNORM | WRBAND | ERR | NVAL
_EXCEPTION_SET: Final = PRI | NVAL
_FD_SETSIZE: Final = 1024
_TIME_LIMIT: Final = 1 << 63  # nanoseconds in PyTime_t
_INT_MAX: Final = (1 << 31) - 1


def fileno_of(thing: Any) -> int:
    """The descriptor of an int or an object with `fileno()`, with CPython's errors (PyObject_AsFileDescriptor)."""
    if type(thing) is int:
        fd = thing
    elif isinstance(thing, int):
        fd = int(thing)
    else:
        method = getattr(thing, "fileno", None)
        if method is None:
            raise TypeError("argument must be an int, or have a fileno() method.")
        fd = method()
        if not isinstance(fd, int):
            raise TypeError("fileno() returned a non-integer")
    if not -_INT_MAX - 1 <= fd <= _INT_MAX:
        raise OverflowError("Python int too large to convert to C int")
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


class _AlwaysReady(File):
    """A real descriptor (a file on disk) among simulated ones: always readable and writable, as regular files are."""

    __slots__ = ()

    def poll(self) -> int:
        return IN | OUT | RDNORM | WRNORM


_REAL_FILE: Final = _AlwaysReady("file")
_REAL_FILE.hold()  # it stands for many, and is never closed


class _Reserved(File):
    """A number that a waiting `accept` has taken: select() finds it among the open ones, and nothing behind it."""

    __slots__ = ()

    def poll(self) -> int:
        return NVAL


_RESERVED: Final = _Reserved("reserved number")
_RESERVED.hold()


def _file(fd: int) -> File | None:
    file = core.K.fds.get(fd)
    if file is None and is_real(fd):
        return _REAL_FILE
    return file


def is_real(fd: int) -> bool:
    """Whether `fd` is the number of an open descriptor of the real system."""
    return fd < FIRST_FD and fd > 2 and _is_open(fd)


def _is_open(fd: int) -> bool:
    try:
        _fstat(fd)
    except OSError:
        return False
    return True


def _is_terminal(fd: int) -> bool:
    return S_ISCHR(_fstat(fd).st_mode)


def _wait_many(files: list[tuple[File, int]], deadline: int, reason: Any) -> bool:
    """Park until one of the files is told of its mask, or the deadline; True when woken."""
    kernel = core.K
    thread = kernel.running
    thread.exclusive = False
    entries = [(file, (thread, mask)) for file, mask in files]
    for file, entry in entries:
        file.waiters.append(entry)
        file.references += 1
    thread.holds = tuple(file for file, _ in files)
    try:
        return kernel.park(reason, deadline) is not TIMEOUT
    finally:
        thread.holds = ()
        for file, entry in entries:
            if entry in file.waiters:
                file.waiters.remove(entry)
            file.release()


class _Waiting:
    """Why a thread waits, in words made only when somebody asks."""

    __slots__ = ("call", "files")

    def __init__(self, call: str, files: list[tuple[File, int]]) -> None:
        self.call = call
        self.files = files

    def __str__(self) -> str:
        names = [file.describe() for file, _ in self.files[:5]]
        more = f" and {len(self.files) - 5} more" if len(self.files) > 5 else ""
        return f"{self.call} on {', '.join(names) or 'nothing'}{more}"


def _timeout_ns(timeout: Any, unit_ns: int, refuse: Callable[[Any], object]) -> int:
    """A timeout in ns, rounded up (_PyTime_ROUND_TIMEOUT). `refuse`: the real call, which fails for any other."""
    if isinstance(timeout, float):
        ns = timeout * unit_ns
        if not abs(ns) < _TIME_LIMIT:
            refuse(timeout)
        return math.ceil(ns) if ns > 0 else math.floor(ns)
    try:
        whole: int = index(timeout) * unit_ns
    except TypeError:
        refuse(timeout)
        raise
    if abs(whole) >= _TIME_LIMIT:
        refuse(timeout)
    return whole


def _deadline_ms(timeout: Any, unit_ns: int, refuse: Callable[[Any], object]) -> int:
    """The deadline (ns) of poll(2) and epoll_wait(2), which count milliseconds; FAR for none, -1 for "do not wait"."""
    if timeout is None:
        return FAR
    ns = _timeout_ns(timeout, unit_ns, refuse)
    if ns <= 0:
        return FAR if ns else -1
    ms = -(-ns // 1_000_000)
    if ms > _INT_MAX:
        raise OverflowError("timeout is too large")
    return core.K.now + ms * 1_000_000


# ---- select


def _set_of(things: Any, mask: int, wanted: dict[int, int]) -> list[tuple[Any, int]]:
    try:  # a list may change while its members are asked for their descriptors (`seq2set`)
        items = things if isinstance(things, (list, tuple)) else list(things)
    except TypeError:
        raise TypeError("arguments 1-3 must be sequences") from None
    pairs: list[tuple[Any, int]] = []
    for item in items:
        fd = fileno_of(item)
        if FIRST_FD <= fd < FIRST_FD + _FD_SETSIZE or fd < _FD_SETSIZE:
            wanted[fd] = wanted.get(fd, 0) | mask
            pairs.append((item, fd))
        else:
            raise ValueError("filedescriptor out of range in select()")
    return pairs


def _select_deadline(timeout: Any) -> int:
    if timeout is None:
        return FAR
    ns = _timeout_ns(timeout, 1_000_000_000, _refuse_select)
    if ns < 0:
        raise ValueError("timeout must be non-negative")
    return min(core.K.now + ns, FAR) if ns else -1


def _select(rlist: Any, wlist: Any, xlist: Any, timeout: Any) -> tuple[list[Any], list[Any], list[Any]]:
    kernel = core.K
    kernel.tick()
    deadline = _select_deadline(timeout)
    wanted: dict[int, int] = {}
    reading = _set_of(rlist, _IN_SET, wanted)
    writing = _set_of(wlist, _OUT_SET, wanted)
    exceptional = _set_of(xlist, _EXCEPTION_SET, wanted)
    files: list[tuple[File, int]] = []
    table: dict[int, File] = {}
    for fd, mask in wanted.items():
        file = _RESERVED if fd in kernel.process.reserved else _file(fd)
        if file is None:
            raise error(errno.EBADF)
        table[fd] = file
        files.append((file, mask))
    while True:
        masks = {fd: file.poll() for fd, file in table.items()}
        found = (
            [item for item, fd in reading if masks[fd] & _IN_SET],
            [item for item, fd in writing if masks[fd] & _OUT_SET],
            [item for item, fd in exceptional if masks[fd] & _EXCEPTION_SET],
        )
        if deadline < 0 or any(found):
            kernel.empty_poll()
            return found
        if kernel.now >= deadline:
            return found
        _wait_many(files, deadline, _Waiting("select()", files))


# ---- poll


class _Poll:
    """`select.poll()` objects, which only that call makes."""

    __slots__ = ("_busy", "_wanted")
    _wanted: dict[int, int]
    _busy: bool

    def __new__(cls, *_: Any, **__: Any) -> _Poll:
        raise TypeError("cannot create 'select.poll' instances")

    @classmethod
    def _made(cls) -> _Poll:
        new = object.__new__(cls)
        new._wanted = {}
        new._busy = False
        return new

    def register(self, fd: Any, eventmask: int = IN | PRI | OUT, /) -> None:
        """Register or modify."""
        self._wanted[fileno_of(fd)] = _short(eventmask)

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Modify; ENOENT when it is not registered."""
        number = fileno_of(fd)
        if number not in self._wanted:
            raise error(errno.ENOENT)
        self._wanted[number] = _short(eventmask)

    def unregister(self, fd: Any, /) -> None:
        """Remove; KeyError when it is not registered."""
        del self._wanted[fileno_of(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for events; `timeout` in milliseconds."""
        if self._busy:
            raise RuntimeError("concurrent poll() invocation")
        kernel = core.K
        kernel.tick()
        deadline = _deadline_ms(timeout, 1_000_000, _refuse_poll)
        self._busy = True
        try:
            while True:
                found, files = self._scan()
                if found or deadline < 0:
                    kernel.empty_poll()
                    return found
                if kernel.now >= deadline:
                    return found
                _wait_many(files, deadline, _Waiting("poll()", files))
        finally:
            self._busy = False

    def _scan(self) -> tuple[list[tuple[int, int]], list[tuple[File, int]]]:
        found, files = [], []
        for fd, mask in self._wanted.items():
            file = _file(fd)
            if file is None:
                found.append((fd, NVAL))
                continue
            files.append((file, mask | ERR | HUP))
            events = file.poll() & (mask | ERR | HUP)
            if events:
                found.append((fd, events))
        return found, files


def _short(mask: int) -> int:
    if mask < 0:
        raise ValueError("value must be positive")
    if mask > 0xFFFF:
        raise OverflowError("Python int too large for C unsigned short")
    return mask


# ---- epoll


class epoll:
    """`select.epoll()` objects."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        if sizehint != -1 and sizehint <= 0:
            raise ValueError("sizehint must be positive or -1")
        if flags & ~real.EPOLL_CLOEXEC:
            raise error(errno.EINVAL)
        core.K.tick()
        self._process = core.K.process
        self._fd = self._process.install(EpollFile())

    @classmethod
    def fromfd(cls, fd: int, /) -> epoll:
        """An epoll object for an open descriptor."""
        new = cls.__new__(cls)
        new._process, new._fd = core.K.process, index(fd)
        return new

    def close(self) -> None:
        """Close the descriptor, whatever it is by now; CPython reports no error (`select_epoll_close_impl`)."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            core.K.tick()
            with suppress(OSError):
                core.K.process.close(fd)

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0 and core.K.process is self._process and fd in self._process.fds:
            self._process.close(fd)

    def __enter__(self) -> epoll:
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._fd < 0

    def fileno(self) -> int:
        """Its descriptor."""
        self._check()
        return self._fd

    def _check(self) -> None:
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")

    def _target(self, fd: Any) -> tuple[EpollFile, int, File]:
        number = fileno_of(fd)
        self._check()
        core.K.tick()
        own = core.K.fds.get(self._fd)
        file = core.K.fds.get(number)
        if own is None:
            raise error(errno.EBADF)
        if file is None:
            if not is_real(number):
                raise error(errno.EBADF)
            if not _is_terminal(number):  # a file on disk (fs/eventpoll.c, `file_can_poll`)
                raise error(errno.EPERM)
            file = _REAL_FILE
        if file is own or not isinstance(own, EpollFile):
            raise error(errno.EINVAL)
        return own, number, file

    def register(self, fd: Any, eventmask: int = IN | PRI | OUT) -> None:
        """EPOLL_CTL_ADD."""
        own, number, file = self._target(fd)
        if isinstance(file, EpollFile) and own in file.watched():
            raise error(errno.ELOOP)
        if (number, file) in own.items:
            raise error(errno.EEXIST)
        item = own.items[number, file] = Item(own, number, file, eventmask)
        file.watchers.insert(0, item)  # who came last is told first (add_wait_queue)
        item.notified(file.poll())

    def modify(self, fd: Any, eventmask: int) -> None:
        """EPOLL_CTL_MOD."""
        own, number, file = self._target(fd)
        item = own.items.get((number, file))
        if item is None:
            raise error(errno.ENOENT)
        item.watch(eventmask)
        item.notified(file.poll())

    def unregister(self, fd: Any) -> None:
        """EPOLL_CTL_DEL."""
        own, number, file = self._target(fd)
        item = own.items.pop((number, file), None)
        if item is None:
            raise error(errno.ENOENT)
        file.watchers.remove(item)
        if item.listed:
            own.ready.remove(item)
            item.listed = False

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Wait for events; `timeout` in seconds, None or negative for ever."""
        kernel = core.K
        kernel.now = now = kernel.now + CALL_COST_NS  # Kernel.tick, without the call
        if now >= kernel.attention:
            kernel.look_around()
        if maxevents <= 0:
            if maxevents != -1:
                raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
            maxevents = FIRST_FD
        own = kernel.fds.get(self._fd)
        if own.__class__ is not EpollFile:
            self._check()
            raise error(errno.EBADF if own is None else errno.EINVAL)
        if own.ready:
            found = own.collect(maxevents)
            if found:
                kernel.empty_poll()
                return found if kernel.scheduling is None else _shuffled(found)
        if timeout == 0:
            kernel.empty_poll()
            return []
        deadline = _deadline_ms(timeout, 1_000_000_000, _refuse_epoll)
        if deadline < 0:
            kernel.empty_poll()
            return []
        entry = (kernel.running, IN)
        kernel.running.exclusive = False
        while True:
            own.waiters.append(entry)
            try:
                kernel.park(own, deadline)
            finally:
                own.waiters.remove(entry)
            found = own.collect(maxevents)
            if found or kernel.now >= deadline:
                return _shuffled(found) if kernel.scheduling is not None and found else found


def _shuffled(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The order in which one poll reports is a choice: which entry comes first."""
    kernel = core.K
    assert kernel.scheduling is not None
    if len(found) > 1:
        first = kernel.scheduling.draw(kernel.scheduling_rate, len(found))
        found = found[first:] + found[:first]
    return found


# ---- the module


def _refuse_select(timeout: Any) -> None:
    real.select((), (), (), timeout)


def _refuse_poll(timeout: Any) -> None:
    real.poll().poll(timeout)


def _refuse_epoll(timeout: Any) -> None:
    try:  # the same check, and the other text for types
        real.select((), (), (), timeout)
    except TypeError:
        raise TypeError("timeout must be an integer or None") from None


class _Calls:
    """The functions of `select`: bound methods, as `selectors` keeps `select` as a class attribute (see `replace`)."""

    __slots__ = ()

    def select(
        self, rlist: Any, wlist: Any, xlist: Any, timeout: Any = None, /
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Wait for descriptors; `timeout` in seconds."""
        return _select(rlist, wlist, xlist, timeout)

    def poll(self) -> _Poll:
        """A new poll object."""
        return _Poll._made()


def install() -> None:
    """Put the simulated `select` module in place."""
    module = ModuleType("select", real.__doc__)
    for name in dir(real):
        if not name.startswith("__"):
            setattr(module, name, getattr(real, name))
    replace_calls(_Calls(), module)
    module.epoll = epoll  # type: ignore[attr-defined]
    _Poll.__name__ = _Poll.__qualname__ = "poll"
    for new in (_Poll, epoll):
        new.__module__ = "select"
    module.__spec__ = real.__spec__
    module.__file__ = getattr(real, "__file__", None)
    sys.modules["select"] = module
    assert RDHUP == real.EPOLLRDHUP
