"""The tables by which loaded libraries find each other's functions: read, and pointed at functions of ours.

Owns the way into a loaded object (ELF gABI, "Global Offset Table"; psABI, R_*_JUMP_SLOT), not what is put there. It is
for C code that asks the real system behind Python's back and has no hook. Only the 64-bit form with explicit addends,
which x86-64 and AArch64 use; another library than the one named is never touched.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from typing import Any, Final

# include/elf.h of glibc
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_JMPREL = 2, 5, 6, 7, 8, 23
_DYNAMIC: Final = struct.Struct("=qQ")
_RELA: Final = struct.Struct("=QQq")
_SYMBOL_BYTES: Final = 24
_RTLD_DI_LINKMAP: Final = 2  # dlinfo(3)
_PROT_READ_WRITE: Final = 0x1 | 0x2
_PAGE: Final = 4096


class LinkMap(ctypes.Structure):
    """`struct link_map`, link.h: one loaded object."""

    _fields_ = (
        ("address", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("dynamic", ctypes.c_size_t),
        ("next", ctypes.c_void_p),
    )


def loaded_objects() -> Iterator[LinkMap]:
    """All loaded objects, the program itself first."""
    program = ctypes.CDLL(None)
    at = ctypes.c_void_p()
    program.dlinfo(ctypes.c_void_p(program._handle), _RTLD_DI_LINKMAP, ctypes.byref(at))
    address = at.value
    while address:
        loaded = LinkMap.from_address(address)
        yield loaded
        address = loaded.next


def _dynamic(loaded: LinkMap) -> dict[int, int]:
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


def slots(loaded: LinkMap) -> Iterator[tuple[bytes, int]]:
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


def point_at(slot: int, callback: Any) -> bool:
    """Write into a table that the dynamic linker has closed (RELRO): open its page first."""
    page = slot & ~(_PAGE - 1)
    if ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), _PROT_READ_WRITE):
        return False
    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert address is not None
    ctypes.c_size_t.from_address(slot).value = address
    return True
