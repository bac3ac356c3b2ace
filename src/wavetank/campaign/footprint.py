"""What a fork costs: how much of the image's memory a child must copy, and how it gets more of its own.

Owns two settings of the image's memory, made before the first fork. They change no result.

The idea. A child shares the pages of the image until it writes into one, and each page that it writes into costs a
fault and a copy. CPython writes into objects that are only looked at, because their reference counts lie in front of
them. So the image makes its objects immortal (PEP 683, made for this very purpose): their counts stand still. Measured
with one exchange over asyncio, many libraries imported: 940 of 1840 page faults less. Objects that were made while the
image imported libraries are thus never freed in a run; a run would hardly do that, and ends soon.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from types import CodeType
from typing import Any, Final

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK: Final = 32 << 20  # the most that glibc allows on 64-bit machines: HEAP_MAX_SIZE / 2
_KEPT: Final = 256 << 20
#: Where the low half of a 64-bit reference count is, as in these versions; 3.11 counts everything, 3.14 differs.
_IMMORTALS: Final = (3, 12) <= sys.version_info < (3, 14) and not hasattr(sys, "gettotalrefcount")

_WORDS: Final = 1 << 46  # programs have addresses below 2**47 (x86-64) or 2**48 (arm64): Linux, Documentation/arch
_ATOMS: Final = frozenset({str, bytes, int, float})  # these refer to nothing


def keep_large_blocks() -> None:
    """Let the C library keep freed memory, large blocks included: mapping them anew costs a page fault for each 4 KiB.

    Measured: a bulk transfer over asyncio in blocks of 256 KiB gets three times as fast.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def make_immortal() -> None:
    """Make everything that the image has made immortal, where this version of Python can: strings and numbers, too."""
    if not _IMMORTALS:
        return
    # All addresses as one table of 32-bit words: a third of the time of a ctypes object for each count.
    words = memoryview((ctypes.c_uint32 * _WORDS).from_address(0)).cast("B").cast("I")
    immortal = words[id(None) // 4]
    waiting: list[Any] = gc.get_objects()
    while waiting:
        each = waiting.pop()
        word = id(each) // 4
        if words[word] == immortal:
            continue
        words[word] = immortal
        if type(each) is CodeType:
            waiting += _parts(each)
        elif type(each) not in _ATOMS:
            waiting += gc.get_referents(each)


def _parts(code: CodeType) -> tuple[Any, ...]:
    """What a code object refers to, which the collector does not tell."""
    names = (*code.co_varnames, *code.co_freevars, *code.co_cellvars)
    tables = (code.co_consts, code.co_names, code.co_linetable, code.co_exceptiontable)
    return (*names, *tables, code.co_name, code.co_qualname, code.co_filename)
