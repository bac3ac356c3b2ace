"""Arguments of socket calls, checked as CPython's C code checks them (Modules/socketmodule.c, Python/pytime.c)."""

from __future__ import annotations

from typing import Any


def timeout_ns(value: Any) -> int | None:
    """The timeout of `settimeout` in ns: None blocks, 0 does not."""
    if value is None:
        return None
    if not isinstance(value, (int, float)):
        if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
            raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer")
        value = float(value)
    if value != value:
        raise ValueError("Invalid value NaN (not a number)")
    if value < 0:
        raise ValueError("Timeout value out of range")
    if value > 9223372036.0:
        raise OverflowError("timestamp too large to convert to C _PyTime_t")
    return -int(-value * 1_000_000_000 // 1)  # rounded up: _PyTime_ROUND_TIMEOUT


def bytes_of(data: Any) -> Any:
    """A buffer as flat bytes, with CPython's TypeError for anything else."""
    if isinstance(data, (bytes, bytearray)):
        return data
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None
    return view.cast("B") if view.c_contiguous else view.tobytes()


def size_into(view: memoryview, nbytes: int, call: str) -> int:
    """How many bytes to receive into a buffer: `nbytes`, or all of it when 0."""
    if nbytes < 0:
        raise ValueError(f"negative buffersize in {call}")
    if nbytes > len(view):
        raise ValueError("buffer too small for requested bytes")
    return nbytes or len(view)
