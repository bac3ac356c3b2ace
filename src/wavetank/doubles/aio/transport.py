"""The transport of a joined asyncio protocol, and how such a protocol is spoken to.

Owns asyncio's words: which callback, which argument, which error. Must never hold bytes or decide when something
happens: `wire` does. Source: Python's documentation (asyncio-protocol), asyncio/transports.py and selector_events.py of
CPython 3.13, `_SelectorSocketTransport`.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from wavetank.contract import Monitor
from wavetank.doubles.wire.end import End, Loss
from wavetank.doubles.wire.log import KEPT_BYTES
from wavetank.doubles.wire.watermarks import Watermarks, limits
from wavetank.doubles.wire.way import Way
from wavetank.errors import UsageError

#: asyncio/selector_events.py, `_SelectorTransport.max_size`: bytes of one recv().
MAX_READ: Final = 256 * 1024
#: `get_buffer` is asked so, for any size (selector_events.py, `_read_ready__get_buffer`).
ANY_SIZE: Final = -1


def as_bytes(data: Any) -> bytes:
    """What was written, copied: a buffer that changes afterwards does not change what was sent.

    Raises `TypeError`, in CPython's words, for what is no bytes-like object. A memoryview of items longer than a byte
    gives all its bytes.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")


def lost_with(loss: Loss, error: BaseException | None) -> BaseException | None:
    """The argument of `connection_lost`: None when this side closed or aborted, or the other closed in order."""
    match loss:
        case Loss.RESET:
            return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        case Loss.BROKEN:
            return BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    return error


class Speaker:
    """Calls one asyncio protocol, stream or buffered; `loop` is told what it raises, if there is one."""

    max_read = MAX_READ
    insists = False
    ends_at_once = False
    words: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        protocol: Any,
        watermarks: Watermarks | None,
        extra: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.protocol = protocol
        self.watermarks = limits() if watermarks is None else watermarks
        self.loop = loop
        self.transport: Transport = Transport(self, extra)
        self._end: End
        self._monitor = protocol if isinstance(protocol, Monitor) else None

    def attach(self, end: End) -> None:
        """Speak for this end from now on."""
        self._end = self.transport._end = end
        self.transport._way = end.outward
        self.set_protocol(self.protocol)

    def set_protocol(self, protocol: Any) -> None:
        """From now on, that is the protocol."""
        self.protocol = protocol
        end = self._end
        end.buffered = is_buffered(protocol)
        end.target, end.word = protocol, "buffer_updated" if end.buffered else "data_received"
        end.inward.changed()

    def face(self) -> Any:
        """The transport, or what a monitor shows of it."""
        return self.transport if self._monitor is None else self._monitor.transport or self.transport

    def made(self) -> None:
        """`connection_made(transport)`."""
        self.protocol.connection_made(self.transport)

    def fill(self, data: bytes) -> int:
        """`get_buffer(-1)`, and as much of `data` as fits in; raises as asyncio does when nothing does."""
        room = memoryview(self.protocol.get_buffer(ANY_SIZE)).cast("B")
        if not len(room):
            raise RuntimeError("get_buffer() returned an empty buffer")
        size = min(len(room), len(data))
        room[:size] = data[:size]
        return size

    def filled(self, size: int) -> None:
        """`buffer_updated(size)`."""
        self.protocol.buffer_updated(size)

    def ended(self) -> bool:
        """`eof_received()`: true keeps the transport open for writing."""
        return bool(self.protocol.eof_received())

    def lost(self, loss: Loss, error: BaseException | None) -> None:
        """`connection_lost(exc)`, and no reference to the protocol is kept."""
        protocol, self.protocol, self._end.target = self.protocol, None, None
        protocol.connection_lost(lost_with(loss, error))

    def pausing(self) -> Callable[[], Any] | None:
        """`pause_writing()`."""
        return getattr(self.protocol, "pause_writing", None)

    def resuming(self) -> Callable[[], Any] | None:
        """`resume_writing()`."""
        return getattr(self.protocol, "resume_writing", None)

    def emptied(self) -> None:
        """Nobody waits for an empty buffer here."""

    def half_closed(self) -> None:
        """Nobody is told."""

    def report(self, error: BaseException, call: str) -> None:
        """To the loop's exception handler, in the words of CPython's transports."""
        if self.loop is not None:
            self.loop.call_exception_handler({
                "message": f"Fatal error: protocol.{call}() call failed.",
                "exception": error,
                "transport": self.transport,
                "protocol": self.protocol,
            })  # fmt: skip


def is_buffered(protocol: Any) -> bool:
    """Whether the protocol wants to be filled: a `BufferedProtocol`, or one in all but name."""
    return isinstance(protocol, asyncio.BufferedProtocol) or (
        hasattr(protocol, "get_buffer") and not hasattr(protocol, "data_received")
    )


class Transport(asyncio.Transport):
    """A real asyncio transport in every way that a protocol can see, without a socket below it.

    `write` never gives the other side anything inside the call; `pause_writing` is called inside `write`, as asyncio
    does; `connection_lost` is called by a later round. What is written before `close` is sent, also after `close` while
    some of it still waits; what is written after `abort` or the loss is dropped.
    """

    #: So that `loop.start_tls` takes it (asyncio/base_events.py).
    _start_tls_compatible = True

    def __init__(self, speaker: Speaker, extra: Mapping[str, Any]) -> None:
        super().__init__(dict(extra))
        self._speaker = speaker
        self._end: End
        self._way: Way

    def __repr__(self) -> str:
        end = self._end
        state = "lost" if end.lost else "closing" if end.closing else "open"
        return f"<{type(self).__name__} {end.name} {state} write={end.outward.size}>"

    # ---- BaseTransport

    def close(self) -> None:
        """Close when all that is buffered has been sent; `connection_lost(None)` follows in a later round."""
        self._end.close()

    def is_closing(self) -> bool:
        """Whether it is closing, or closed."""
        return self._end.closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From the next callback on, `protocol` is called."""
        self._speaker.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called; None after its `connection_lost`."""
        protocol: asyncio.BaseProtocol = self._speaker.protocol
        return protocol

    # ---- ReadTransport

    def is_reading(self) -> bool:
        """Whether data is taken: not paused, and not closing."""
        return self._end.reading and not self._end.closing

    def pause_reading(self) -> None:
        """No data until `resume_reading`; nothing when it is paused or closing already."""
        if self.is_reading():
            self._end.pause_reading()

    def resume_reading(self) -> None:
        """Take data again; nothing when it is not paused, or closing."""
        if not self._end.reading and not self._end.closing:
            self._end.resume_reading()

    # ---- WriteTransport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`, in a later round. It is copied.

        Raises `TypeError` for what is not bytes-like, `RuntimeError` after `write_eof`.
        """
        way = self._way
        if type(data) is bytes and data and way.open:
            # What `End.write` does, for the most frequent case.
            raw = way.raw
            size = len(data)
            raw.append(way.wrote)
            if size <= KEPT_BYTES:
                raw.append(data)
            else:
                raw.append(data[:KEPT_BYTES])
                raw.append(size)
            way.queue.append(data)
            way.size = size = way.size + size
            if size > way.limit:
                self._end.written()
            return
        data = as_bytes(data)
        if self._end.eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if data:
            self._end.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of them, as one write."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Send what is buffered, then the end of the stream; reading goes on. Once only, nothing when closing."""
        self._end.write_eof()

    def can_write_eof(self) -> bool:
        """True: it can half close."""
        return True

    def abort(self) -> None:
        """Close at once: what is buffered or on its way is lost; `connection_lost(None)` follows in a later round."""
        self._end.abort()

    def _force_close(self, exc: BaseException | None) -> None:
        """Abort with this reason: what asyncio's TLS calls of the transport below it (asyncio/sslproto.py)."""
        if exc is None:
            self._end.abort()
        else:
            self._end.fail(exc)

    def get_write_buffer_size(self) -> int:
        """Bytes written and not yet taken by the other side."""
        return self._end.outward.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The marks `(low, high)`, in bytes."""
        return self._end.low, self._end.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes; what is missing follows from the other, as in asyncio. Raises `ValueError`."""
        self._end.set_limits(limits(high, low))

    # ---- for tests

    @property
    def name(self) -> str:
        """The name of this end in the log and in targets of faults."""
        return self._end.name


def speaker_for(
    protocol: Any, watermarks: Watermarks | None, extra: Mapping[str, Any], loop: asyncio.AbstractEventLoop | None
) -> Speaker:
    """A speaker for `protocol`; raises `UsageError` where a callback is missing that will be called."""
    wanted = ("connection_made", "connection_lost", "eof_received", "pause_writing", "resume_writing")
    missing = [name for name in wanted if not callable(getattr(protocol, name, None))]
    if missing:
        raise UsageError(
            f"{type(protocol).__name__} has no {' and no '.join(missing)}",
            why="a stream protocol of asyncio has them all",
            next="derive it from asyncio.Protocol or asyncio.BufferedProtocol",
        )
    return Speaker(protocol, watermarks, extra, loop)
