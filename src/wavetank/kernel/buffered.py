"""Buffered files over sockets and other simulated descriptors, which several simulated threads may use at once.

Owns the classes that stand for `io.BufferedReader`, `BufferedWriter` and `BufferedRWPair` where the file beneath is a
simulated one. Must never change what these read, write or raise.

The idea. A buffered file has a lock in C. On Linux a second thread waits for it; here all threads are one to C, and the
lock says "reentrant call" (CPython Modules/_io/bufferedio.c, `_enter_buffered_busy`). So each method first tries, and
when that is the answer while another simulated thread is inside, it waits until somebody leaves and tries again. C
takes its lock before it changes anything, so trying is harmless; and what C does without the lock (a line that is in
the buffer already) needs no waiting here either. A call that finds no one inside costs 50 to 80 ns more than C alone.
A thread that meets itself - a signal handler in the middle of a `write` - gets the error, as on Linux.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.core import Thread
from wavetank.kernel.replace import when_imported

_Call = Callable[..., Any]


class _Busy:
    """Why a thread waits, in words that are made only when somebody asks."""

    __slots__ = ("file",)

    def __init__(self, file: Any) -> None:
        self.file = file

    def __str__(self) -> str:
        return f"waiting for another thread to leave {self.file!r}"


def _again(file: Any, problem: RuntimeError, call: _Call, *args: Any) -> Any:
    """The C method said `problem`: if another thread is inside, call again when that has left, until it works."""
    while _is_busy(problem) and not _is_inside(file):
        threads: list[Thread] = file._waiting or []
        file._waiting = threads
        thread = core.K.running
        threads.append(thread)
        try:
            core.K.park(_Busy(file))
        finally:
            if thread in threads:
                threads.remove(thread)
        try:
            return call(file, *args)
        except RuntimeError as another:
            problem = another
    raise problem


def _is_busy(problem: RuntimeError) -> bool:
    """Whether it is C's lock that answered, for this very call: no frame is between the call and the error."""
    traceback = problem.__traceback__
    return traceback is not None and traceback.tb_next is None and str(problem).startswith("reentrant call inside")


def _is_inside(file: Any) -> bool:
    """Whether the running thread itself is inside a method of `file`, further out than the one that asks."""
    frame: FrameType | None = sys._getframe(3)  # past this, `_again` and the method
    while frame is not None:
        if frame.f_code in _METHODS and frame.f_locals.get("self") is file:
            return True
        frame = frame.f_back
    return False


def _wake_all(file: Any) -> None:
    """A thread has left a method: all that wait try again, in the order in which they came."""
    threads, file._waiting = file._waiting, None
    for thread in threads:
        core.K.wake(thread)


# Three forms by the arguments that C takes: passing them on with a star would cost as much again.


def _sized(own: _Call) -> _Call:
    def method(self: Any, size: Any = -1, /) -> Any:
        try:
            return own(self, size)
        except RuntimeError as problem:
            return _again(self, problem, own, size)
        finally:
            if self._waiting:
                _wake_all(self)

    return method


def _given(own: _Call) -> _Call:
    def method(self: Any, data: Any, /) -> Any:
        try:
            return own(self, data)
        except RuntimeError as problem:
            return _again(self, problem, own, data)
        finally:
            if self._waiting:
                _wake_all(self)

    return method


def _other(own: _Call) -> _Call:
    def method(self: Any, *args: Any) -> Any:
        try:
            return own(self, *args)
        except RuntimeError as problem:
            return _again(self, problem, own, *args)
        finally:
            if self._waiting:
                _wake_all(self)

    return method


_METHODS: Final = {form(len).__code__ for form in (_sized, _given, _other)}  # the code of every method made
_FORMS: Final = {
    "read": _sized, "readline": _sized, "read1": _sized, "readinto": _given, "readinto1": _given, "write": _given,
    "peek": _other, "flush": _other, "close": _other, "detach": _other, "seek": _other, "tell": _other,
    "truncate": _other,
}  # fmt: skip


def _make(base: Any) -> type:
    """A subclass of a C class whose methods take turns. It answers to the same name and is as open to extension."""

    def __init__(self: Any, *args: Any, **options: Any) -> None:
        self._waiting = None  # first: `close` is called even when the construction fails
        base.__init__(self, *args, **options)

    names: dict[str, Any] = {
        "__slots__": ("_waiting",),
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "__init__": __init__,
    }
    for name, form in _FORMS.items():
        own = base.__dict__.get(name)
        if own is not None:
            method = names[name] = form(own)
            method.__name__, method.__doc__ = name, own.__doc__
            method.__qualname__ = f"{base.__name__}.{name}"
    if "__repr__" in base.__dict__:
        # C writes the name of the type with its module for C types only.
        names["__repr__"] = lambda self: f"<{base.__module__}.{base.__repr__(self)[1:]}"
    return type(base.__name__, (base,), names)


BufferedReader: Final[Any] = _make(io.BufferedReader)
BufferedWriter: Final[Any] = _make(io.BufferedWriter)
BufferedRWPair: Final[Any] = _make(io.BufferedRWPair)


def buffer_over(raw: io.RawIOBase, *, reading: bool, writing: bool, size: int = io.DEFAULT_BUFFER_SIZE) -> Any:
    """A buffer over an unbuffered simulated file, as `io.open` and `socket.makefile` choose it."""
    if reading and writing:
        return BufferedRWPair(raw, raw, size)
    return BufferedReader(raw, size) if reading else BufferedWriter(raw, size)


def _patch_socket(module: ModuleType) -> None:
    """`socket.makefile` finds the classes in its module's global `io`: give it an `io` of its own."""
    own = ModuleType("io", io.__doc__)
    own.__dict__.update(vars(io))
    for made in (BufferedReader, BufferedWriter, BufferedRWPair):
        setattr(own, made.__name__, made)
    module.io = own  # type: ignore[attr-defined]


def install() -> None:
    """Let `socket.makefile` use these classes, from the import of `socket` on."""
    when_imported("socket", _patch_socket)
