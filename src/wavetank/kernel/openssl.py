"""The OpenSSL beneath `ssl` in the simulated world: its random bytes from the seed, its clock from virtual time.

Owns what makes a TLS exchange repeat byte for byte. OpenSSL reads two things behind Python's back:

- random bytes: replaced by its own means, RAND_set_rand_method(3);
- the time, for session tickets, resumption and the validity of certificates. It calls `time` and `gettimeofday` of the
  C library, and has no hook. So the two entries in the tables through which libssl and libcrypto find these functions
  are pointed at ours (`kernel.elf`). No other library is touched.

Both happen once, in the image, when `_ssl` is imported. Where the library cannot be reached - an interpreter with an
OpenSSL of its own linked in and hidden - `reached` stays False and TLS payload differs from run to run. Callbacks run
in the middle of OpenSSL: they pay no time and let nothing else run.
"""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.clock import wall_at
from wavetank.kernel.elf import loaded_objects, point_at, slots
from wavetank.kernel.entropy import of
from wavetank.kernel.replace import when_imported

#: Libraries whose view of the time is changed, by the beginning of their file names.
_LIBRARIES: Final = ("libssl.so", "libcrypto.so")


class _Method(ctypes.Structure):
    """RAND_METHOD, openssl/rand.h."""

    _fields_ = (
        ("seed", ctypes.c_void_p),
        ("bytes", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("add", ctypes.c_void_p),
        ("pseudorand", ctypes.c_void_p),
        ("status", ctypes.c_void_p),
    )


# ---- what OpenSSL calls


def _fill(address: int, size: int) -> int:
    ctypes.memmove(address, of(core.K.process).tls.take(size), size)
    return 1


def _ready() -> int:
    return 1


def _time(address: int | None) -> int:
    seconds = wall_at(core.K) // 1_000_000_000
    if address:
        ctypes.c_int64.from_address(address).value = seconds
    return seconds


def _gettimeofday(address: int | None, zone: int | None) -> int:
    if address:
        seconds, nanoseconds = divmod(wall_at(core.K), 1_000_000_000)
        moment = (ctypes.c_int64 * 2).from_address(address)
        moment[0], moment[1] = seconds, nanoseconds // 1000
    return 0


_pointer = ctypes.c_void_p
_fill_callback = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, ctypes.c_int)(_fill)
_ready_callback = ctypes.CFUNCTYPE(ctypes.c_int)(_ready)
_clocks: Final[dict[bytes, Any]] = {
    b"time": ctypes.CFUNCTYPE(ctypes.c_int64, _pointer)(_time),
    b"gettimeofday": ctypes.CFUNCTYPE(ctypes.c_int, _pointer, _pointer)(_gettimeofday),
}
_method = _Method(
    bytes=ctypes.cast(_fill_callback, _pointer),
    pseudorand=ctypes.cast(_fill_callback, _pointer),
    status=ctypes.cast(_ready_callback, _pointer),
)

#: Whether the library beneath `ssl` draws from the seed and reads virtual time.
reached = False


# ---- how it comes to call them


def _patch_clocks() -> bool:
    """Whether every call for the time in every library of OpenSSL goes to ours now."""
    done = []
    for loaded in loaded_objects():
        if (loaded.name or b"").decode(errors="replace").rpartition("/")[2].startswith(_LIBRARIES):
            wanted = [(slot, _clocks[name]) for name, slot in slots(loaded) if name in _clocks]
            done += [point_at(slot, callback) for slot, callback in wanted]
    return bool(done) and all(done)


def _patch(module: ModuleType) -> None:
    global reached
    library = ctypes.CDLL(getattr(module, "__file__", None))  # no file: linked into the interpreter
    try:
        set_method = library.RAND_set_rand_method
    except AttributeError:
        return
    set_method.argtypes = (ctypes.c_void_p,)
    reached = set_method(ctypes.byref(_method)) == 1 and _patch_clocks()


def install() -> None:
    """Reach into OpenSSL as soon as `_ssl` is imported."""
    when_imported("_ssl", _patch)
