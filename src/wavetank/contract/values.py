"""What the arguments and answers of calls must be: types, sizes, and the water marks at that moment.

Owns one small function for each call that has such a rule; each looks and never changes anything. Which call may come
when is not here but in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

#: A check gets the transport (None before there is one) and the call's arguments; it gives the broken rule or "".
Check = Callable[[Any, tuple[Any, ...]], str]


def _data(transport: Any, args: tuple[Any, ...]) -> str:
    if not isinstance(args[-1], bytes):
        return "data-is-bytes"
    return "" if args[-1] else "data-not-empty"


def _datagram(transport: Any, args: tuple[Any, ...]) -> str:
    return "" if isinstance(args[0], bytes) else "data-is-bytes"


def _tx_data(transport: Any, args: tuple[Any, ...]) -> str:
    return "" if isinstance(args[-1], bytes) else "data-is-bytes"


def _reason(transport: Any, args: tuple[Any, ...]) -> str:
    return "" if args[-1] is None or isinstance(args[-1], BaseException) else "reason-is-exception"


def _failure(transport: Any, args: tuple[Any, ...]) -> str:
    # Twisted's own classes have a default for the reason; a Failure is told by what it carries, without importing it.
    return "" if not args or isinstance(getattr(args[0], "value", None), BaseException) else "reason-is-failure"


def _error(transport: Any, args: tuple[Any, ...]) -> str:
    return "" if isinstance(args[0], OSError) else "error-is-oserror"


def _written(transport: Any, args: tuple[Any, ...]) -> str:
    return "" if isinstance(args[0], (bytes, bytearray, memoryview)) else "write-is-bytes"


def _all_written(transport: Any, args: tuple[Any, ...]) -> str:
    return "" if all(isinstance(each, (bytes, bytearray, memoryview)) for each in args[0]) else "write-is-bytes"


def _tx_written(transport: Any, args: tuple[Any, ...]) -> str:
    return "" if isinstance(args[-1], bytes) else "twisted-write-is-bytes"


def _tx_all_written(transport: Any, args: tuple[Any, ...]) -> str:
    # abstract.FileDescriptor.writeSequence refuses str only; b"".join takes what has the buffer protocol.
    return "" if not any(isinstance(each, str) for each in args[0]) else "twisted-write-is-bytes"


def marks(transport: Any) -> tuple[int, int, int] | None:
    """The size of the write buffer, and the low and high water mark, in bytes; None where a transport does not say.

    A transport that has given up its connection may raise anything here (asyncio's TLS transport does, spec of the
    contract 1.13); that is no break of the contract.
    """
    try:
        low, high = transport.get_write_buffer_limits()
        return int(transport.get_write_buffer_size()), int(low), int(high)
    except Exception:
        return None


def _paused(transport: Any, args: tuple[Any, ...]) -> str:
    found = marks(transport)
    return "pause-over-high" if found is not None and found[0] <= found[2] else ""


def _resumed(transport: Any, args: tuple[Any, ...]) -> str:
    found = marks(transport)
    return "resume-at-low" if found is not None and found[0] > found[1] else ""


#: The checks before a call, by kind of dialect and call.
AIO: Final[Mapping[str, Check]] = {
    "data_received": _data,
    "pipe_data_received": _data,
    "datagram_received": _datagram,
    "connection_lost": _reason,
    "error_received": _error,
    "write": _written,
    "sendto": _written,
    "writelines": _all_written,
    "pause_writing": _paused,
    "resume_writing": _resumed,
}

TX: Final[Mapping[str, Check]] = {
    "dataReceived": _tx_data,
    "childDataReceived": _tx_data,
    "datagramReceived": _datagram,
    "connectionLost": _failure,
    "processEnded": _failure,
    "processExited": _failure,
    "write": _tx_written,
    "writeSequence": _tx_all_written,
    "writeToChild": _tx_written,
}


def size_of(args: tuple[Any, ...]) -> int | None:
    """How many bytes a call carries, None for one that carries none: of the first argument that is bytes or a list."""
    for value in args:
        if isinstance(value, (bytes, bytearray)):
            return len(value)
        if isinstance(value, memoryview):
            return value.nbytes
        if isinstance(value, list):
            return sum(len(each) for each in value if isinstance(each, (bytes, bytearray, memoryview)))
    return None
