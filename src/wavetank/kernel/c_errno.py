"""The variable `errno` of the C library, in this one OS thread: C code reports it where Python code has failed.

Owns nothing but the way to it (errno(3), glibc's `__errno_location`).
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

_location = ctypes.CDLL(None).__errno_location
_location.restype = ctypes.POINTER(ctypes.c_int)
#: Read and written as `c_errno.value`.
c_errno: Final[Any] = _location().contents
