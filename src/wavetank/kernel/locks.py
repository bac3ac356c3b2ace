"""`_thread.lock` and `_thread.RLock` of simulated threads.

Owns who holds a lock and who waits for it. It never blocks the real thread: a thread that must wait parks, so a lock
that nobody can release any more makes the world idle, which is reported as a hang. It knows nothing of starting
threads, nor of the module `threading`, which runs unmodified on top.

The idea. The holder is stored in the lock, so that an uncontended operation is a store and one comparison of time with
`Kernel.attention`; only when that says so (the time slice is over, something is due, a `Scheduling` fault is active)
does it become a point at which another thread may run. A released lock is free, not handed over: the woken waiter may
find that a running thread was faster and then waits on, first in line. That is what CPython does (its lock is a POSIX
semaphore: waking a waiter does not give it the lock), and it spares a switch for each release. Waiters wake in the
order in which they came, or by choice while a `Scheduling` fault is active.

Locks that modules made before the world began are shared by its processes, as the modules are. A process that dies
gives back what it holds: with a real one the lock would have died.

Behaviour and error texts: CPython Modules/_threadmodule.c, 3.11 to 3.13.
"""

from __future__ import annotations

import operator
import sys
from collections import deque
from math import ceil, isnan
from typing import TYPE_CHECKING, Any, Final, NoReturn

from greenlet import GreenletExit

from wavetank.errors import KernelError
from wavetank.kernel import core
from wavetank.kernel.core import FAR, TIMEOUT, Thread

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

#: Virtual cost of one lock operation: 40 to 60 ns for `Lock.acquire` with CPython 3.11 to 3.13.
LOCK_COST_NS: Final = 50
#: Python/pytime.c: a timeout is a signed 64-bit number of nanoseconds.
_LARGEST_NS: Final = 1 << 63
_TIME_TYPE: Final = "_PyTime_t" if sys.version_info < (3, 13) else "PyTime_t"
_NEGATIVE: Final = (
    "timeout value must be positive" if sys.version_info < (3, 13) else "timeout value must be a non-negative number"
)


class _Turn:
    __slots__ = ()

    def __repr__(self) -> str:
        return "TURN"


#: What a waiting thread is woken with when it has been taken off the queue: it may try now.
TURN: Final = _Turn()


# ---- arguments


def timeout_ns(seconds: Any) -> int:
    """Seconds in ns, rounded away from zero; the errors of CPython's `_PyTime_FromSecondsObject`."""
    if isinstance(seconds, float):
        if isnan(seconds):
            raise ValueError("Invalid value NaN (not a number)")
        if abs(seconds) * 1e9 >= _LARGEST_NS:
            raise OverflowError("timestamp out of range for platform time_t")
        nanoseconds = ceil(abs(seconds) * 1e9)
        return nanoseconds if seconds >= 0 else -nanoseconds
    nanoseconds = operator.index(seconds) * 1_000_000_000
    if abs(nanoseconds) >= _LARGEST_NS:
        raise OverflowError(f"timestamp too large to convert to C {_TIME_TYPE}")
    return nanoseconds


def deadline_after(nanoseconds: int) -> int:
    """The virtual time so many ns from now; CPython's locks wait whole microseconds, rounded up."""
    return core.K.now - (-nanoseconds // 1_000) * 1_000


def _deadline(blocking: Any, timeout: Any) -> int:
    """Until when `acquire(blocking, timeout)` waits: FAR for ever, 0 not at all."""
    if sys.version_info < (3, 12):
        blocking = operator.index(blocking)  # "i" in the argument format; "p" from 3.12 on
    nanoseconds = timeout_ns(timeout)
    if nanoseconds == -1_000_000_000:
        return FAR if blocking else 0
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if nanoseconds < 0:
        raise ValueError(_NEGATIVE)
    return deadline_after(nanoseconds) if nanoseconds else 0


# ---- waiting


def wake_one(waiters: deque[Thread]) -> None:
    """Give one waiting thread its turn: the first one, or by choice while a `Scheduling` fault is active."""
    kernel = core.K
    while waiters:
        if kernel.scheduling is None:
            thread = waiters.popleft()
        else:
            index = kernel.scheduling.draw(kernel.scheduling_rate, len(waiters))
            thread = waiters[index]
            del waiters[index]
        if kernel.wake(thread, TURN):  # not when it died with its process
            return


def forgo_turn(waiters: deque[Thread], thread: Thread) -> None:
    """A thread stops waiting because of an exception; a turn that it has got already is the next one's."""
    if thread in waiters:
        waiters.remove(thread)
    else:
        wake_one(waiters)


#: The lock that is released when a thread ends, for `Thread.join` of 3.11 and 3.12. `kernel.threads` fills it.
sentinels: dict[Thread, lock] = {}


class _Waiting:
    """Why a thread waits for a lock, in words made only for a report."""

    __slots__ = ("held", "thread")

    def __init__(self, held: lock | RLock, thread: Thread) -> None:
        self.held = held
        self.thread = thread

    def __str__(self) -> str:
        what = "an RLock" if isinstance(self.held, RLock) else "a lock"
        holder = self.held._holder
        if holder is None:
            return f"acquire of {what} that is free again"
        if sentinels.get(holder) is self.held:
            return f"join of thread {holder.name}"
        if holder is self.thread:  # the private lock of a `threading.Condition`, on which Event and Queue stand
            return f"acquire of {what} that this thread itself holds: it waits to be notified, or for itself"
        other = "" if holder.process is self.thread.process else f" of {holder.process.name}"
        return f"acquire of {what} held by thread {holder.name}{other}"


def _abandoned(held: lock | RLock, me: Thread) -> bool:
    """Whether the holder's process is dead. While another one lives, arrange to be woken when it dies."""
    holder = held._holder
    if holder is None or holder.process is me.process:
        return False
    if holder.process.status is not None:
        return True

    def look_again(process: Process) -> None:
        core.K.wake(me)

    holder.process.exited.append(look_again)
    return False


def _wait(held: lock | RLock, deadline: int) -> bool:
    """Take a lock that somebody holds, as soon as it is free; False when `deadline` came first."""
    kernel = core.K
    me = kernel.running
    waiters = held._waiters
    if waiters is None:
        waiters = held._waiters = deque()
    reason = _Waiting(held, me)
    waiters.append(me)
    try:
        while True:
            if held._holder is not None and held._holder.process is not me.process and _abandoned(held, me):
                waiters.remove(me)
                break
            in_time = kernel.park(reason, deadline) is not TIMEOUT
            # Whoever releases takes a waiter off the queue even if it has been woken otherwise and has not yet run.
            queued = me in waiters
            if held._holder is None or not in_time:
                if queued:
                    waiters.remove(me)
                if not in_time:
                    return False
                break
            if not queued:
                waiters.appendleft(me)
    except BaseException:
        if held._holder is None or me in waiters:
            forgo_turn(waiters, me)
        raise
    held._holder = me
    return True


def _wait_through(held: lock | RLock) -> None:
    """Take a lock; what signal handlers raise meanwhile is raised when it is taken, as CPython's plain wait does."""
    late: BaseException | None = None
    while True:
        try:
            if held._holder is None:
                held._holder = core.K.running
            else:
                _wait(held, FAR)
            break
        except (GreenletExit, KernelError):
            raise  # the world is over
        except BaseException as error:
            late = error
    if late is not None:
        raise late


def _type_name(thing: object) -> str:
    """As in C texts: tp_name has the module in front for built-in types only."""
    kind = type(thing)
    return f"_thread.{kind.__name__}" if kind in (lock, RLock) else kind.__name__


def _not_pickled(name: str) -> NoReturn:
    raise TypeError(f"cannot pickle '{name}' object")


# ---- the two types


class lock:  # the name programs see
    """A lock that any thread may release."""

    __slots__ = ("__weakref__", "_holder", "_waiters")
    __module__ = "_thread"
    _holder: Thread | None
    _waiters: deque[Thread] | None

    if sys.version_info < (3, 13):

        def __new__(cls) -> lock:
            """Refused, as for every built-in type without a constructor; see `new_lock`."""
            raise TypeError("cannot create '_thread.lock' instances")

    def __init__(self) -> None:
        self._holder = None
        self._waiters = None

    def __init_subclass__(cls) -> None:
        raise TypeError("type '_thread.lock' is not an acceptable base type")

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; False when it was not to be had in time."""
        kernel = core.K
        kernel.now = now = kernel.now + LOCK_COST_NS
        if now >= kernel.attention:
            kernel.look_around()
        deadline = FAR
        if blocking is not True or timeout != -1:
            deadline = _deadline(blocking, timeout)
        if self._holder is None:
            self._holder = kernel.running
            return True
        if not deadline:
            kernel.empty_poll()
            return False
        return _wait(self, deadline)

    def release(self, type: Any = None, value: Any = None, traceback: Any = None, /) -> None:
        """Set the lock free. As in CPython, `__exit__` is this very function; hence the arguments."""
        if self._holder is None:
            raise RuntimeError("release unlocked lock")
        self._holder = None
        if self._waiters:
            wake_one(self._waiters)
        kernel = core.K
        kernel.now = now = kernel.now + LOCK_COST_NS
        if now >= kernel.attention:
            kernel.look_around()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._holder is not None

    def _at_fork_reinit(self) -> None:
        self._holder = self._waiters = None

    __enter__ = acquire
    __exit__ = release
    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def __repr__(self) -> str:
        state = "unlocked" if self._holder is None else "locked"
        return f"<{state} _thread.lock object at {id(self):#x}>"

    def __reduce__(self) -> NoReturn:
        _not_pickled(_type_name(self))


def new_lock() -> lock:
    """A new lock, free."""
    made: lock = object.__new__(lock)
    made._holder = made._waiters = None
    return made


class RLock:
    """A lock that its holder may take again, and that only the holder releases."""

    __slots__ = ("__weakref__", "_count", "_holder", "_waiters")
    __module__ = "_thread"
    _holder: Thread | None
    _waiters: deque[Thread] | None
    _count: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Arguments are ignored, for subclasses that have some: `rlock_new` ignores them, too."""
        made = object.__new__(cls)
        made._holder = made._waiters = None
        made._count = 0
        return made

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, once more if it is this thread's already; False when it was not to be had in time."""
        kernel = core.K
        kernel.now = now = kernel.now + LOCK_COST_NS
        if now >= kernel.attention:
            kernel.look_around()
        deadline = FAR
        if blocking is not True or timeout != -1:
            deadline = _deadline(blocking, timeout)
        me = kernel.running
        if self._holder is None:
            self._holder = me
            self._count = 1
            return True
        if self._holder is me:
            self._count += 1
            return True
        if not deadline:
            kernel.empty_poll()
            return False
        if not _wait(self, deadline):
            return False
        self._count = 1
        return True

    def release(self, type: Any = None, value: Any = None, traceback: Any = None, /) -> None:
        """Undo one `acquire`; the last one sets the lock free. `__exit__` is this very function, as in CPython."""
        kernel = core.K
        if self._holder is not kernel.running:
            raise RuntimeError("cannot release un-acquired lock")
        if self._count > 1:
            self._count -= 1
            return
        self._count = 0
        self._holder = None
        if self._waiters:
            wake_one(self._waiters)
        kernel.now = now = kernel.now + LOCK_COST_NS
        if now >= kernel.attention:
            kernel.look_around()

    if sys.version_info >= (3, 14):

        def locked(self) -> bool:
            """Whether somebody holds it."""
            return self._holder is not None

    # ---- for `threading.Condition`

    def _is_owned(self) -> bool:
        return self._holder is core.K.running

    def _recursion_count(self) -> int:
        return self._count if self._holder is core.K.running else 0

    def _release_save(self) -> tuple[int, int]:
        holder = self._holder
        if holder is None:
            raise RuntimeError("cannot release un-acquired lock")
        saved = (self._count, holder.ident)
        self._count = 0
        self._holder = None
        if self._waiters:
            wake_one(self._waiters)
        return saved

    def _acquire_restore(self, state: tuple[int, int], /) -> None:
        # The second item, the owner, is the thread that runs: only `Condition.wait` calls this, and for itself.
        if not isinstance(state, tuple):
            raise TypeError(f"_acquire_restore() argument 1 must be 2-item sequence, not {type(state).__name__}")
        count, _ = state
        try:
            _wait_through(self)
        finally:
            self._count = count

    def _at_fork_reinit(self) -> None:
        self._holder = self._waiters = None
        self._count = 0

    __enter__ = acquire
    __exit__ = release

    def __repr__(self) -> str:
        holder = self._holder
        state, owner = ("unlocked", 0) if holder is None else ("locked", holder.ident)
        return f"<{state} {_type_name(self)} object owner={owner} count={self._count} at {id(self):#x}>"

    def __reduce__(self) -> NoReturn:
        _not_pickled(_type_name(self))
