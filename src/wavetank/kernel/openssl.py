"""The OpenSSL beneath `ssl` in the simulated world: its random bytes from the seed, its clock from virtual time.

Owns what makes a TLS exchange repeat byte for byte. OpenSSL reads two things behind Python's back:

- random bytes: replaced by its own means, RAND_set_rand_method(3);
- the time, for session tickets, resumption and the validity of certificates. It calls `time` and `gettimeofday` of the
  C library, and has no hook. So the two entries in the tables through which libssl and libcrypto find these functions
  (ELF gABI, "Global Offset Table"; psABI, R_*_JUMP_SLOT) are pointed at ours. No other library is touched.

Both happen once, in the image, when `_ssl` is imported. Where the library cannot be reached - an interpreter with an
OpenSSL of its own linked in and hidden - `reached` stays False and TLS payload differs from run to run. Callbacks run
in the middle of OpenSSL: they pay no time and let nothing else run.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.clock import wall_at
from wavetank.kernel.entropy import of
from wavetank.kernel.replace import when_imported

#: Libraries whose view of the time is changed, by the beginning of their file names.
_LIBRARIES: Final = ("libssl.so", "libcrypto.so")
# ELF: include/elf.h of glibc; only the 64-bit form with explicit addends, which x86-64 and AArch64 use.
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_JMPREL = 2, 5, 6, 7, 8, 23
_DYNAMIC: Final = struct.Struct("=qQ")
_RELA: Final = struct.Struct("=QQq")
_SYMBOL_BYTES: Final = 24
_RTLD_DI_LINKMAP: Final = 2  # dlinfo(3)
_PROT_READ_WRITE: Final = 0x1 | 0x2
_PAGE: Final = 4096


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


class _LinkMap(ctypes.Structure):
    """`struct link_map`, link.h: one loaded object."""

    _fields_ = (
        ("address", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("dynamic", ctypes.c_size_t),
        ("next", ctypes.c_void_p),
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


def _loaded() -> Iterator[_LinkMap]:
    """All loaded objects, the program itself first."""
    program = ctypes.CDLL(None)
    at = ctypes.c_void_p()
    program.dlinfo(ctypes.c_void_p(program._handle), _RTLD_DI_LINKMAP, ctypes.byref(at))
    address = at.value
    while address:
        loaded = _LinkMap.from_address(address)
        yield loaded
        address = loaded.next


def _dynamic(loaded: _LinkMap) -> dict[int, int]:
    """The dynamic section: addresses and sizes by tag. glibc has made the addresses absolute, others leave offsets."""
    found: dict[int, int] = {}
    at = loaded.dynamic
    while True:
        tag, value = _DYNAMIC.unpack(ctypes.string_at(at, _DYNAMIC.size))
        if tag == 0:
            break
        relative = tag in (_DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_JMPREL) and value < loaded.address
        found[tag] = value + loaded.address if relative else value
        at += _DYNAMIC.size
    return found


def _slots(loaded: _LinkMap) -> Iterator[tuple[bytes, int]]:
    """The functions that an object calls elsewhere: name, and where it keeps the address."""
    dynamic = _dynamic(loaded)
    for start, size in ((_DT_JMPREL, _DT_PLTRELSZ), (_DT_RELA, _DT_RELASZ)):
        if start not in dynamic:
            continue
        for offset, information, _ in _RELA.iter_unpack(ctypes.string_at(dynamic[start], dynamic[size])):
            symbol = information >> 32
            if symbol:
                (name,) = struct.unpack("=I", ctypes.string_at(dynamic[_DT_SYMTAB] + symbol * _SYMBOL_BYTES, 4))
                yield ctypes.string_at(dynamic[_DT_STRTAB] + name), loaded.address + offset


def _point_at_ours(slot: int, callback: Any) -> bool:
    """Write into a table that the dynamic linker has closed (RELRO): open its page first."""
    page = slot & ~(_PAGE - 1)
    if ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), _PROT_READ_WRITE):
        return False
    address = ctypes.cast(callback, _pointer).value
    assert address is not None
    ctypes.c_size_t.from_address(slot).value = address
    return True


def _patch_clocks() -> bool:
    """Whether every call for the time in every library of OpenSSL goes to ours now."""
    done = []
    for loaded in _loaded():
        if (loaded.name or b"").decode(errors="replace").rpartition("/")[2].startswith(_LIBRARIES):
            wanted = [(slot, _clocks[name]) for name, slot in _slots(loaded) if name in _clocks]
            done += [_point_at_ours(slot, callback) for slot, callback in wanted]
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
