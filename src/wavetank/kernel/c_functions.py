"""Functions of the C library that a program finds by ctypes, and that must not meet the real ones.

Owns the way: every library loaded by ctypes gives a callback of ours under a name that is listed here, with types that
the caller sets as on any other function. And the names of threads, `pthread_setname_np` and `pthread_getname_np`: the
identity of a simulated thread is no `pthread_t`, so that the real ones would read wild memory (Trio names its workers).
Behaviour: pthread_setname_np(3).
"""

from __future__ import annotations

import ctypes
import errno
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.core import Thread

_NAME_BYTES: Final = 16  # TASK_COMM_LEN, linux/sched.h

_callbacks: dict[str, Any] = {}  # kept alive: C has their addresses
_places: dict[str, int] = {}
_names: dict[tuple[int, int], bytes] = {}  # of threads, by process and number
_real_getitem: Final = ctypes.CDLL.__getitem__


def answer(name: str, callback: Any) -> None:
    """From now on ctypes gives `callback`, made by `ctypes.CFUNCTYPE`, for the function `name` of any library."""
    place = ctypes.cast(callback, ctypes.c_void_p).value
    assert place
    _callbacks[name] = callback
    _places[name] = place


def _getitem(library: ctypes.CDLL, name: Any) -> Any:
    found = _real_getitem(library, name)  # raises when the library has none
    if name not in _places:
        return found
    function = type(found)(_places[name])
    function.__name__ = name
    return function


def _thread(ident: int | None) -> Thread | None:
    return next((each for each in core.K.process.threads if each.ident == ident and not each.finished), None)


def _setname(ident: int | None, name: bytes) -> int:
    thread = _thread(ident)
    if thread is None:
        return errno.ESRCH
    if len(name) >= _NAME_BYTES:
        return errno.ERANGE
    _names[thread.process.pid, thread.number] = name
    return 0


def _getname(ident: int | None, buffer: int, size: int) -> int:
    thread = _thread(ident)
    if thread is None:
        return errno.ESRCH
    if size < _NAME_BYTES:
        return errno.ERANGE
    name = _names.get((thread.process.pid, thread.number))
    if name is None:  # that of the program
        name = thread.process.name.encode()[: _NAME_BYTES - 1]
    ctypes.memmove(buffer, name + b"\0", len(name) + 1)
    return 0


def clear() -> None:
    """The world is over, and its threads with it."""
    _names.clear()


def install() -> None:
    """Let ctypes find ours."""
    pointer = ctypes.c_void_p
    answer("pthread_setname_np", ctypes.CFUNCTYPE(ctypes.c_int, pointer, ctypes.c_char_p)(_setname))
    answer("pthread_getname_np", ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, ctypes.c_size_t)(_getname))
    ctypes.CDLL.__getitem__ = _getitem  # type: ignore[method-assign]
