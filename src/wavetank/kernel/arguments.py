"""Arguments of socket calls, checked as CPython's C code checks them (Modules/socketmodule.c, Python/pytime.c)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from operator import index
from typing import Any, Final, ParamSpec, TypeVar

from wavetank.kernel.endpoint import AF_INET, AF_INET6

_P = ParamSpec("_P")
_R = TypeVar("_R")
_INT_MAX: Final = (1 << 31) - 1
#: The families whose addresses are tuples.
_TUPLES: Final = {AF_INET: "AF_INET", AF_INET6: "AF_INET6"}


def c_int(value: Any) -> int:
    """An argument that C takes as an int (`PyArg_Parse` with "i"), with its TypeError and OverflowError."""
    number: int = index(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError("Python int too large to convert to C long")
    if number > _INT_MAX:
        raise OverflowError("signed integer is greater than maximum")
    if number < -_INT_MAX - 1:
        raise OverflowError("signed integer is less than minimum")
    return number


def receiving(size: Any, flags: Any, negative: str) -> tuple[int, int]:
    """A size that C takes as a Py_ssize_t ("n"), and flags; ValueError with the text `negative` for a size below 0."""
    count, bits = index(size), c_int(flags)
    if not -(1 << 63) <= count < 1 << 63:
        raise OverflowError("Python int too large to convert to C ssize_t")
    if count < 0:
        raise ValueError(negative)
    return count, bits


def as_int(value: Any) -> int:
    """The same for calls with this only argument (`_PyLong_AsInt`)."""
    number: int = index(value)
    if not -_INT_MAX - 1 <= number <= _INT_MAX:
        raise OverflowError("Python int too large to convert to C int")
    return number


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


def writable(buffer: Any, call: str) -> memoryview:
    """The buffer of a call that receives into it, as bytes; TypeError when it cannot be written."""
    try:
        view = memoryview(buffer)
    except TypeError:
        view = memoryview(b"")
    if view.readonly:
        kind = "None" if buffer is None else type(buffer).__name__
        raise TypeError(f"{call}() argument 1 must be read-write bytes-like object, not {kind}")
    return view.cast("B")


def size_into(view: memoryview, nbytes: int, call: str) -> int:
    """How many bytes to receive into a buffer: `nbytes`, or all of it when 0."""
    nbytes, _ = receiving(nbytes, 0, f"negative buffersize in {call}")
    if nbytes > len(view):
        raise ValueError("buffer too small for requested bytes")
    return nbytes or len(view)


def writable_parts(buffers: Any) -> list[memoryview]:
    """The buffers of `recvmsg_into`, as flat bytes."""
    views = [memoryview(buffer) for buffer in buffers]
    if any(view.readonly for view in views):
        raise TypeError("recvmsg_into() argument 1 must be an iterable of single-segment read-write buffers")
    return [view.cast("B") for view in views]


def fill(views: list[memoryview], data: bytes) -> None:
    """Spread what was received over the buffers of `recvmsg_into`."""
    for view in views:
        view[: min(len(view), len(data))] = data[: len(view)]
        data = data[len(view) :]


def joined(buffers: Any) -> bytes:
    """The buffers of `sendmsg` as one."""
    try:
        return b"".join(bytes(memoryview(part).cast("B")) for part in buffers)
    except TypeError as problem:
        raise TypeError(f"sendmsg() argument 1 must be iterable of bytes-like objects: {problem}") from None


def letting_go(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """A call that takes a buffer, and holds on to it no longer than C code would when it ends in an `OSError`.

    The traceback of an exception keeps the arguments of every Python function in it alive, and with them a buffer that
    its owner means to resize while he has the error. So the kernel's frames are left out, and the last one forgets.
    """

    @wraps(call)
    def called(*args: _P.args, **keywords: _P.kwargs) -> _R:
        try:
            return call(*args, **keywords)
        except OSError as problem:
            error = problem
        del args, keywords
        error.__context__ = None  # what the caller handles at the time becomes that, as with C code
        try:
            raise error.with_traceback(None)
        finally:
            del error

    return called


def ancillary_of(items: Any) -> list[tuple[int, int, bytes]]:
    """The ancillary data of `sendmsg`: (level, type, bytes), each checked."""
    checked = []
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 3:
            raise TypeError("[sendmsg() ancillary data items] argument must be sequence of length 3")
        level, kind, data = item
        checked.append((c_int(level), c_int(kind), bytes(bytes_of(data))))
    return checked


def sendto_arguments(family: int, data: Any, rest: tuple[Any, ...]) -> tuple[Any, int, Any]:
    """Data, flags and address of `sendto(data[, flags], address)`."""
    if not 1 <= len(rest) <= 2:
        raise TypeError(f"sendto() takes 2 or 3 arguments ({len(rest) + 1} given)")
    data = bytes_of(data)
    flags = c_int(rest[0]) if len(rest) == 2 else 0
    if rest[-1] is None:  # which `sendmsg` may be given
        if family not in _TUPLES:
            raise TypeError("a bytes-like object is required, not 'NoneType'")
        raise TypeError(f"sendto(): {_TUPLES[family]} address must be tuple, not NoneType")
    return data, flags, rest[-1]


def check_sendmsg_address(family: int, address: Any) -> None:
    """TypeError for an address that cannot be one; None is the peer."""
    if address is not None and family in _TUPLES and not isinstance(address, tuple):
        raise TypeError(f"sendmsg(): {_TUPLES[family]} address must be tuple, not {type(address).__name__}")
