"""The module `_thread` as programs see it: starting threads, their identity, their handles and their end.

Owns the functions of `_thread`, and what the module `threading`, which runs unmodified on top, keeps for each process.
It must never start a real thread, nor change a class of `threading`. Locks are `kernel.locks`, `_queue` is
`kernel.queues`, the values of `threading.local` are `kernel.locals`.

The idea. A thread is a greenlet of its process that runs `Thread._bootstrap`, or whatever was given to
`start_new_thread`. The interpreter tells `threading` in two ways that a thread has ended: 3.11 and 3.12 release a lock
that the thread asked for (`_set_sentinel`), 3.13 sets a handle (`_ThreadHandle`). Both are here, and `_thread` shows
those that this version has.

Behaviour and error texts: CPython Modules/_threadmodule.c, 3.11 to 3.13; Lib/threading.py for what it expects.
"""

from __future__ import annotations

import _thread
import operator
import sys
from collections.abc import Callable
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from greenlet import GreenletExit

from wavetank.errors import KernelError
from wavetank.kernel import core, finalizers, import_lock, locks, queues
from wavetank.kernel import locals as thread_locals
from wavetank.kernel.core import FAR, TIMEOUT, Thread
from wavetank.kernel.delivery import settle
from wavetank.kernel.process import Process

#: Called with each exception that ends a thread, and words for where; besides `threading.excepthook`, not instead.
thread_exception_hooks: list[Callable[[BaseException, str], object]] = []

#: Identities of threads in `get_native_id`, except those of main threads, which have their process's: above the ids of
#: a world's processes and below Linux's largest (PID_MAX_LIMIT, include/linux/threads.h).
_FIRST_NATIVE_ID: Final = 100_000
#: _PyThread_stacksize limits, Python/thread_pthread.h: THREAD_STACK_MIN.
_SMALLEST_STACK: Final = 0x8000
_SIGNALS: Final = 64  # Linux: _NSIG

_real_excepthook: Final = _thread._excepthook


class _ThreadHandle:
    """What `threading.Thread` of 3.13 knows of its thread."""

    __slots__ = ("__weakref__", "_done", "_ident", "_joining", "_started", "_thread")
    __module__ = "_thread"

    def __init__(self) -> None:
        self._started = False
        self._done = False
        self._ident = 0
        self._thread: Thread | None = None
        self._joining: list[Thread] = []

    @property
    def ident(self) -> int:
        """The thread's identity; 0 before it is started."""
        return self._ident

    def is_done(self) -> bool:
        """Whether the thread has ended."""
        return self._done

    def join(self, timeout: float | None = None, /) -> None:
        """Wait for the thread's end, at most `timeout` seconds; for ever when None or negative."""
        nanoseconds = -1 if timeout is None else locks.timeout_ns(timeout)
        if not self._started:
            raise RuntimeError("thread not started")
        kernel = core.K
        me = kernel.running
        if not self._done and self._ident == me.ident:
            raise RuntimeError("Cannot join current thread")
        kernel.now = now = kernel.now + locks.LOCK_COST_NS
        if now >= kernel.attention:
            kernel.look_around()
        deadline = FAR if nanoseconds < 0 else kernel.now + nanoseconds
        while not self._done and nanoseconds:
            self._joining.append(me)
            try:
                value = kernel.park(_Joining(self), deadline)
            finally:
                self._joining.remove(me)
            if value is TIMEOUT:
                return

    def _set_done(self) -> None:
        if not self._started:
            raise RuntimeError("thread not started")
        self._done = True
        for thread in tuple(self._joining):
            core.K.wake(thread)

    def __repr__(self) -> str:
        return f"<_thread._ThreadHandle object: ident={self._ident}>"


class _Joining:
    """Why a thread waits for another's end, in words made only for a report."""

    __slots__ = ("handle",)

    def __init__(self, handle: _ThreadHandle) -> None:
        self.handle = handle

    def __str__(self) -> str:
        thread = self.handle._thread
        return f"join of thread {self.handle._ident if thread is None else thread.name}"


#: Handles of threads that `_shutdown` waits for; stack sizes asked for.
_awaited: dict[Thread, _ThreadHandle] = {}
_stack_sizes: dict[Process, int] = {}


class _Threads:
    """The functions of `_thread`. Bound methods, so that a class that keeps one does not make a method of it."""

    __slots__ = ()

    # ---- starting

    def start_new_thread(
        self, function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
    ) -> int:
        """Run `function(*args, **kwargs)` in a new thread; returns its identity."""
        if not callable(function):
            raise TypeError("first arg must be callable")
        if not isinstance(args, tuple):
            raise TypeError("2nd arg must be a tuple")
        if kwargs is not None and not isinstance(kwargs, dict):
            raise TypeError("optional 3rd arg must be a dictionary")
        sys.audit("_thread.start_new_thread", function, args, kwargs)
        owner = getattr(function, "__self__", None)
        thread = _new_thread(function, daemon=getattr(owner, "_daemonic", True))
        core.K.start(thread, _Life(function, args, kwargs or {}, None))
        return thread.ident

    def start_joinable_thread(
        self, function: Callable[[], object], handle: _ThreadHandle | None = None, daemon: bool = True
    ) -> _ThreadHandle:
        """Run `function()` in a new thread that `handle` stands for (3.13)."""
        if not callable(function):
            raise TypeError("thread function must be callable")
        if handle is None:
            handle = _ThreadHandle()
        elif not isinstance(handle, _ThreadHandle):
            raise TypeError("'handle' must be a _ThreadHandle")
        sys.audit("_thread.start_joinable_thread", function, daemon, handle)
        if handle._started:
            raise RuntimeError("thread already started")
        thread = _new_thread(function, daemon=bool(daemon))
        handle._started = True
        handle._ident = thread.ident
        handle._thread = thread
        if not daemon:
            _awaited[thread] = handle
        core.K.start(thread, _Life(function, (), {}, handle))
        return handle

    def stack_size(self, size: int = 0, /) -> int:
        """Set the size of the C stack of threads to come, which has no effect here; returns the one in force."""
        size = operator.index(size)
        if size < 0:
            raise ValueError("size must be 0 or a positive value")
        if 0 < size < _SMALLEST_STACK:
            raise ValueError(f"size not valid: {size} bytes")
        process = core.K.process
        before = _stack_sizes.get(process, 0)
        _stack_sizes[process] = size
        return before

    # ---- identity

    def get_ident(self) -> int:
        return core.K.running.ident

    def get_native_id(self) -> int:
        """A main thread has its process's id, as on Linux."""
        thread = core.K.running
        return thread.process.pid if thread is thread.process.main_thread else _FIRST_NATIVE_ID + thread.number

    def _get_main_thread_ident(self) -> int:
        main = core.K.process.main_thread
        return core.K.running.ident if main is None else main.ident

    def set_name(self, name: str) -> None:
        """The running thread's name (3.14)."""
        core.K.running.name = name

    def _count(self) -> int:
        return len(core.K.process.threads) - 1

    def daemon_threads_allowed(self) -> bool:
        return True

    # ---- locks and ends

    def allocate_lock(self) -> locks.lock:
        return locks.new_lock()

    def _set_sentinel(self) -> locks.lock:
        made = locks.sentinels[core.K.running] = locks.new_lock()
        return made

    def _make_thread_handle(self, ident: int, /) -> _ThreadHandle:
        """The handle of a thread that runs already: the main thread, or one that was started without a handle."""
        if not isinstance(ident, int):
            raise TypeError("ident must be an integer")
        if ident < 0:
            raise OverflowError("can't convert negative int to unsigned")
        handle = _ThreadHandle()
        handle._started = True
        handle._ident = ident
        return handle

    def _shutdown(self) -> None:
        """Wait for all threads of the process that are not daemons (3.13)."""
        me = core.K.running
        while waiting := [thread for thread in me.process.threads if thread in _awaited and thread is not me]:
            try:
                _awaited[waiting[0]].join()
            except Exception as error:
                _unraisable(error, "Exception ignored in joining a thread in _thread._shutdown()", None)

    def _excepthook(self, args: Any, /) -> None:
        """The default `threading.excepthook`: the real one, which names no thread by the system's identity."""
        if isinstance(args, _thread._ExceptHookArgs) and args.thread is None:
            unnamed: Any = SimpleNamespace(name=str(core.K.running.ident))
            args = _thread._ExceptHookArgs((args.exc_type, args.exc_value, args.exc_traceback, unnamed))
        _real_excepthook(args)

    def interrupt_main(self, signum: int = 2, /) -> None:
        """A signal for the process, as if from outside, if a Python function handles it."""
        signum = operator.index(signum)
        if not 0 < signum <= _SIGNALS:
            raise ValueError("signal number out of range")
        process = core.K.process
        if callable(process.handlers.get(signum)):
            process.send_signal(signum)
            if process.pending:  # what is the end of any call in the real one
                settle()


def _new_thread(function: Callable[..., object], *, daemon: bool) -> Thread:
    """A thread of the running process, named as the `threading.Thread` whose method `function` is, if it is one."""
    kernel = core.K
    kernel.tick()  # clone(2)
    owner = getattr(function, "__self__", None)
    name = getattr(owner, "_name", None) or getattr(function, "__name__", None) or type(function).__name__
    thread = kernel.new_thread(kernel.process, str(name))
    thread.daemon = daemon
    told = getattr(owner, "_invoke_excepthook", None)
    if told is not None:
        owner._invoke_excepthook = _tell_also(told)  # type: ignore[union-attr]
    return thread


class _Life:
    """What a thread does from its start to its end (`thread_run`)."""

    __slots__ = ("args", "function", "handle", "kwargs")

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], handle: _ThreadHandle | None
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.handle = handle

    def __call__(self) -> None:
        try:
            self.function(*self.args, **self.kwargs)
        except SystemExit:
            pass
        except (GreenletExit, KernelError):
            raise
        except BaseException as error:
            _tell(error, core.K.running.name)
            _unraisable(error, "Exception ignored in thread started by", self.function)
        self.function = self.args = self.kwargs = None  # type: ignore[assignment]  # before the thread's values go
        thread_locals.clear()
        me = core.K.running
        _awaited.pop(me, None)
        sentinel = locks.sentinels.pop(me, None)
        if sentinel is not None and sentinel.locked():
            sentinel.release()
        if self.handle is not None:
            self.handle._set_done()


# ---- exceptions out of threads


def _tell(error: BaseException, name: str) -> None:
    for hook in thread_exception_hooks:
        hook(error, f"in thread {name}")


def _tell_also(invoke: Callable[..., object]) -> Callable[..., object]:
    """`Thread._invoke_excepthook`, which is called while the exception is handled, and our hooks before it."""

    def invoke_excepthook(*args: Any) -> object:
        error = sys.exc_info()[1]
        if isinstance(error, GreenletExit):
            return None  # the world is over, and the thread is unwound
        if error is not None and not isinstance(error, SystemExit):
            _tell(error, core.K.running.name)
        return invoke(*args)

    return invoke_excepthook


_unraisable_type: list[Any] = []


class _Complains:
    """Its end is an unraisable exception: the only way to the type of what `sys.unraisablehook` gets."""

    def __del__(self) -> None:
        raise SystemError


def _find_unraisable_type() -> None:
    before = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: _unraisable_type.append(type(unraisable))
    try:
        _Complains()
    finally:
        sys.unraisablehook = before


def _unraisable(error: BaseException, message: str, thing: object) -> None:
    """`_PyErr_WriteUnraisableMsg`; from 3.13 on `PyErr_FormatUnraisable`, with the thing in the message."""
    if sys.version_info >= (3, 13) and thing is not None:
        message, thing = f"{message} {thing!r}", None
    (make,) = _unraisable_type
    sys.unraisablehook(make((type(error), error, error.__traceback__, message, thing)))


# ---- processes


_image: dict[str, Any] = {}


def remember_image() -> None:
    """Called on the image's thread when everything is imported: what processes inherit from it."""
    import threading

    _image["excepthook"] = threading.excepthook
    _image["atexits"] = tuple(vars(threading)["_threading_atexits"])
    thread_locals.remember_image()


def process_threads_begin(process: Process | None = None) -> None:
    """Give the running process its own state of `threading`, with the running thread as its main thread.

    To be called on the first thread of a process, before any code of the program. Callbacks that modules registered
    with `threading._register_atexit` when the image imported them belong to every process.
    """
    import threading

    running = core.K.running
    process = process or running.process
    assert process is running.process, f"{process.name} begins on a thread of another process, {running!r}"
    if process.main_thread is None:
        process.main_thread = running
    own = vars(threading)
    if not _image:
        _image.update(excepthook=threading.excepthook, atexits=tuple(own["_threading_atexits"]))
    values: dict[str, Any] = {"_active": {}, "_limbo": {}, "_counter": count(1).__next__, "_SHUTTING_DOWN": False}
    values |= {"_threading_atexits": list(_image["atexits"]), "excepthook": _image["excepthook"]}
    if "_shutdown_locks" in own:
        values["_shutdown_locks"] = set()
    process.own(own, values)
    process.own(own, {"_main_thread": own["_MainThread"]()})
    process.exited.append(import_lock.release_all)
    thread_locals.inherit()


def process_threads_end(process: Process | None = None) -> None:
    """The main thread has come to its end: wait for the process's other threads, as CPython does before `atexit`.

    `threading._shutdown` calls what was registered with `threading._register_atexit` (`concurrent.futures` ends its
    workers so) and joins the threads that are not daemons. Daemon threads are left as they are: the end of the process
    stops them.
    """
    import threading

    assert process is None or process is core.K.process
    try:
        vars(threading)["_shutdown"]()
    except (GreenletExit, KernelError):
        raise
    except BaseException as error:
        _unraisable(error, "Exception ignored in", threading)


def forget() -> None:
    """The world is over, and the interpreter goes on: hold nothing of it."""
    known = core.K.threads
    for thread in known:
        _awaited.pop(thread, None)
        locks.sentinels.pop(thread, None)
    processes = {thread.process for thread in known}
    for process in processes:
        _stack_sizes.pop(process, None)
    finalizers.forget(processes)


# ---- installation

_NEW: Final = ("start_new_thread", "start_joinable_thread", "stack_size", "get_ident", "get_native_id", "set_name",
               "_get_main_thread_ident", "_count", "daemon_threads_allowed", "allocate_lock", "_set_sentinel",
               "_make_thread_handle", "_shutdown", "_excepthook", "interrupt_main")  # fmt: skip
_ALIASES: Final = {"start_new": "start_new_thread", "allocate": "allocate_lock"}


def install() -> None:
    """Replace the functions and types of `_thread` and `_queue`, in these modules and where others have copied them.

    `core.K` must have a running thread from now on. Locks that modules have made for themselves before, and that are
    free, are replaced, too; others of their locks stay real: an RLock never blocks, since all threads are one to it.
    """
    assert core.K is not None, "install() before there is a kernel"
    _find_unraisable_type()
    face = _Threads()
    new: dict[str, Any] = {name: getattr(face, name) for name in _NEW}
    for call in new.values():
        call.__func__.__module__ = "_thread"
    new |= {alias: new[name] for alias, name in _ALIASES.items()}
    new |= {"RLock": locks.RLock, "LockType": locks.lock, "lock": locks.lock, "_ThreadHandle": _ThreadHandle}
    if sys.version_info >= (3, 13):
        new["allocate_lock"] = new["allocate"] = locks.lock
    replaced: dict[int, Any] = {}
    for name, value in new.items():
        if hasattr(_thread, name):
            replaced[id(getattr(_thread, name))] = value
    real_types = (_thread.LockType, _thread.RLock)
    for name, value in new.items():
        if hasattr(_thread, name):
            setattr(_thread, name, value)
    thread_locals.install()
    finalizers.install()
    replaced[id(queues.install())] = queues.SimpleQueue
    _replace_copies(replaced, real_types)


def _replace_copies(replaced: dict[int, Any], real_types: tuple[Any, Any]) -> None:
    modules: list[Any] = list(sys.modules.values())  # a program may have put anything there
    for module in modules:
        if not isinstance(module, ModuleType) or module is _thread or module.__name__.startswith("wavetank"):
            continue
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                setattr(module, name, replaced[id(value)])
            elif type(value) is real_types[0] and not value.locked():
                setattr(module, name, locks.new_lock())
            elif type(value) is real_types[1]:
                setattr(module, name, locks.RLock())
