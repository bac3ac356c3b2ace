"""What C code keeps for `threading.local` in each OS thread, made to belong to each simulated thread.

Owns the parts of that which the exchange of the thread-state dictionary (`core`) does not do. `threading.local` itself
stays the C type. Where it keeps a thread's values depends on the version (CPython Modules/_threadmodule.c):

- 3.11 and 3.12: in the thread-state dictionary, under a key made of the address of the `local`. When a `local` dies it
  takes its entries out of the dictionaries of all OS threads, but cannot know of those of parked simulated threads; a
  later `local` at the same address would find a stale entry there, which points to freed memory. So a subclass looks
  at each new `local` and drops what parked threads have under its key.
- 3.13: by two pointers in the thread state itself, `threading_local_key` and `threading_local_sentinel`, which are
  exchanged at each switch, as raw bytes: the reference that each pointer owns moves with it.

In a real process a module is imported by the main thread, and what it puts into a `local` meanwhile the main thread
finds later. Here the image imports, so each process's main thread starts with a copy of the image's values.
"""

from __future__ import annotations

import _thread
import ctypes
import gc
import struct
import sys
from typing import Any, Final

from wavetank.kernel import core

_Local: Final = _thread._local
#: `threading_local_key` and the field after it, `threading_local_sentinel` (Include/cpython/pystate.h, 3.13).
_POINTERS: Final = struct.Struct("PP")
_NOTHING: Final = bytes(_POINTERS.size)
_BY_POINTERS: Final = sys.hexversion >= 0x030D0000
#: At most so many words of the thread state are looked at in search of the two pointers: it has about 40 in 3.13.
_STATE_WORDS: Final = 64


class _ReusedLocal(_thread._local):
    """`threading.local` for 3.11 and 3.12: see above."""

    __slots__ = ()
    __module__ = "_thread"
    __qualname__ = "_local"

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Any:
        made = _Local.__new__(cls, *args, **kwargs)
        key = f"thread.local.{id(made):#x}"  # "%p"
        for thread in core.K.threads:
            thread.local.pop(key, None)
        return made


_ReusedLocal.__name__ = "_local"


class _Pointers:
    """The two pointers of 3.13, in the state of the one OS thread."""

    def __init__(self) -> None:
        state = self._thread_state()
        probe = _Local()
        probe.found = None  # now the two objects exist
        *_, values, watchdogs = gc.get_referents(probe)
        (key,), (watchdog,) = values, watchdogs
        words = list((ctypes.c_size_t * _STATE_WORDS).from_address(state))
        offset = words.index(id(key)) * ctypes.sizeof(ctypes.c_size_t)
        self._bytes = (ctypes.c_char * _POINTERS.size).from_address(state + offset)
        assert _POINTERS.unpack(self._bytes.raw) == (id(key), id(watchdog())), "PyThreadState looks different here"
        self._release: Any = ctypes.pythonapi.Py_DecRef
        self._release.argtypes = [ctypes.c_void_p]
        self._release.restype = None

    @staticmethod
    def _thread_state() -> int:
        get = ctypes.pythonapi.PyThreadState_Get
        get.restype = ctypes.c_void_p
        state = get()
        assert isinstance(state, int)
        return state

    def get(self) -> bytes:
        """The pointers, with the references they own: the caller puts others in their place at once."""
        return self._bytes.raw

    def put(self, pointers: bytes | None) -> None:
        """Set the pointers, to those of a thread that has run before or to none."""
        self._bytes.raw = pointers or _NOTHING

    def clear(self) -> bool:
        """Let the objects go, and with them the thread's values; False when there were none."""
        pointers = _POINTERS.unpack(self._bytes.raw)
        self._bytes.raw = _NOTHING
        for pointer in pointers:
            if pointer:
                self._release(pointer)
        return any(pointers)


_pointers: _Pointers | None = None
_image_values: list[tuple[Any, dict[str, Any]]] = []
#: A finalizer may make values anew while a thread's are cleared; CPython drops such with the dictionary at the end.
_MAX_ROUNDS: Final = 10


def clear() -> None:
    """The running thread ends: let go of what it has in any `local`, as PyThreadState_Clear does."""
    for _ in range(_MAX_ROUNDS):
        found = bool(core._STATE)
        values = list(core._STATE.values())
        core._STATE.clear()
        core.K.running.local = {}
        del values
        if _pointers is not None:
            found |= _pointers.clear()
        if not found:
            return


def remember_image() -> None:
    """The image has imported what it is to import: remember the values that its thread, which runs now, has."""
    _image_values.clear()
    for found in gc.get_objects():
        if issubclass(type(found), _Local) and (values := dict(found.__dict__)):
            _image_values.append((found, values))


def inherit() -> None:
    """Give the running thread, a process's first, the values that the image's thread had."""
    for found, values in _image_values:
        found.__dict__.update(values)


def install() -> None:
    """Make the values a simulated thread's own. Once per interpreter."""
    global _pointers
    if not _BY_POINTERS:
        _thread._local = _ReusedLocal  # type: ignore[misc]
        return
    assert _pointers is None, "installed twice"
    _pointers = _Pointers()
    core.per_thread.append((_pointers.get, _pointers.put))
    for thread in core.K.threads:
        thread.framework.append(None)
