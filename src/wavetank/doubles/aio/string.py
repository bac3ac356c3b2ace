"""`StringTransport` and its kin in asyncio's dialect: transports that remember what was written.

Owns what such a transport remembers, its buffer and marks. Nothing happens by itself: what the other side would do, the
test does (`feed_data`, `feed_eof`, `clear`). Source of the behaviour: asyncio/transports.py and selector_events.py of
CPython 3.13; for `strict`, the rules of `wavetank.contract`; for the names, Twisted's doubles.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, Final

from wavetank.doubles.aio.transport import ANY_SIZE, as_bytes, is_buffered
from wavetank.doubles.wire import watermarks as marks
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.violation import violation
from wavetank.errors import UsageError

SOCKNAME: Final = ("10.0.0.1", 12345)
PEERNAME: Final = ("192.168.1.1", 54321)
_END: Final = "protocol"


class StringTransport(asyncio.Transport):
    """Remembers what was written: `value()` is all of it since the last `clear()`.

    `protocol`, if there is one (here, or by `set_protocol`), is asked to pause when more than the high mark has been
    written since the last `clear()`, which is when the other side reads it all: then it may resume. It is told nothing
    else, except what the test feeds it. What is written after `close()` is remembered as long as something waits, else
    dropped; `eof_written`, `closed` and `aborted` say what was asked for; `log` is every call in order.

    With `strict=True`, writing after `close`, `abort` and `write_eof` raises `ContractViolation`.
    """

    def __init__(
        self,
        protocol: Any = None,
        *,
        sockname: Any = SOCKNAME,
        peername: Any = PEERNAME,
        extra: Mapping[str, Any] | None = None,
        watermarks: Any = None,
        strict: bool = False,
    ) -> None:
        super().__init__({"sockname": sockname, "peername": peername, **(extra or {})})
        self.protocol = protocol
        self.eof_written = self.closed = self.aborted = False
        self.log = Log()
        self.dropped = 0
        self.io = BytesIO()
        self._low, self._high = marks.read(watermarks) or marks.limits()
        self._size = 0
        self._reading = True
        self._paused = False
        self._strict = strict
        self._fed: deque[bytes] = deque()
        self._eof_fed = False

    # ---- for tests

    def value(self) -> bytes:
        """All that was written since the last `clear()`."""
        return self.io.getvalue()

    def clear(self) -> None:
        """Forget what was written: the other side has read it; writing may go on."""
        self.io = BytesIO()
        self.flush()

    def flush(self) -> None:
        """The other side has read what was written, which is still remembered; writing may go on."""
        self._size = 0
        if self._paused:
            self._paused = False
            self._tell("resume_writing")

    def feed_data(self, data: bytes) -> None:
        """Give the protocol `data`, at once or, if it has paused reading, when it resumes; dropped after `close()`."""
        if self.closed or not data:
            return
        if self._eof_fed:
            raise UsageError("feed_data() after feed_eof()", why="nothing follows the end of a stream")
        self._fed.append(as_bytes(data))
        self._give()

    def feed_eof(self) -> None:
        """Give the protocol the end of the stream, after all that was fed; closes unless it returns true."""
        self._eof_fed = True
        self._give()

    # ---- BaseTransport

    def close(self) -> None:
        """Set `closed`; no more reading."""
        self.log.note(_END, "close")
        self.closed = True
        self._fed.clear()

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is asked to pause, and fed."""
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is asked to pause, and fed."""
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    # ---- ReadTransport

    def is_reading(self) -> bool:
        """Whether data is taken."""
        return self._reading and not self.closed

    def pause_reading(self) -> None:
        """Take nothing until `resume_reading`."""
        if self.is_reading():
            self.log.note(_END, "pause_reading")
            self._reading = False

    def resume_reading(self) -> None:
        """Take what was fed meanwhile. As everywhere here, the protocol gets it inside the call."""
        if not self._reading and not self.closed:
            self.log.note(_END, "resume_reading")
            self._reading = True
            self._give()

    # ---- WriteTransport

    def write(self, data: Any) -> None:
        """Remember `data`, copied. TypeError for what is not bytes-like, RuntimeError after `write_eof`."""
        data = as_bytes(data)
        self.log.data(_END, "write", data)
        if self._strict and (self.eof_written or self.closed):
            raise violation("write-after-eof" if self.eof_written else "write-after-close", self.log)
        if self.eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.aborted or (self.closed and not self._size):
            self.dropped += len(data)
            return
        self.io.write(data)
        self._size += len(data)
        self._maybe_pause()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Remember all of them, as one write."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Set `eof_written`; nothing when it closes."""
        if not self.closed and not self.eof_written:
            self.log.note(_END, "write_eof")
            self.eof_written = True

    def can_write_eof(self) -> bool:
        """True: it can half close."""
        return True

    def abort(self) -> None:
        """Set `aborted` and `closed`; what was written is still remembered, so that a test can look at it."""
        self.log.note(_END, "abort")
        self.aborted = self.closed = True
        self._fed.clear()
        self._size = 0

    def get_write_buffer_size(self) -> int:
        """Bytes written since the last `clear()`."""
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The marks `(low, high)`, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes; what is missing follows from the other, as in asyncio. Raises `ValueError`."""
        self._low, self._high = marks.limits(high, low)
        self._maybe_pause()

    # ---- below

    def _maybe_pause(self) -> None:
        if self._size > self._high and not self._paused:
            self._paused = True
            self._tell("pause_writing")

    def _tell(self, call: str, *arguments: Any) -> Any:
        if self.protocol is None:
            return None
        self.log.note("transport", call, *arguments)
        return getattr(self.protocol, call)(*arguments)

    def _give(self) -> None:
        """Give the protocol what was fed, while it reads."""
        if self.protocol is None:
            raise UsageError(
                "there is no protocol to be fed", next="StringTransport(protocol), or set_protocol(protocol)"
            )
        while self._fed and self.is_reading():
            data = self._fed.popleft()
            if is_buffered(self.protocol):
                data = self._fill(data)
            else:
                self._tell("data_received", data)
        if self._eof_fed and not self._fed and self.is_reading():
            self._eof_fed = False
            if not self._tell("eof_received"):
                self.close()

    def _fill(self, data: bytes) -> bytes:
        room = memoryview(self._tell("get_buffer", ANY_SIZE)).cast("B")
        if not len(room):
            raise RuntimeError("get_buffer() returned an empty buffer")
        size = min(len(room), len(data))
        room[:size] = data[:size]
        if data[size:]:
            self._fed.appendleft(data[size:])
        self._tell("buffer_updated", size)
        return b""


class StringTransportWithDisconnection(StringTransport):
    """A `StringTransport` that tells its `protocol` that the connection is lost: `connection_lost(None)`, once.

    Inside `close()` and `abort()`, as Twisted's does. With `strict=True` never inside the protocol's own call: in a
    running loop soon after, else by `flush()` or `clear()`.
    """

    _told = False

    def close(self) -> None:
        """Close, and lose the connection."""
        super().close()
        self._lose()

    def abort(self) -> None:
        """Abort, and lose the connection."""
        super().abort()
        self._lose()

    def flush(self) -> None:
        """As in `StringTransport`; strict: the protocol is told of the loss."""
        super().flush()
        if self.closed:
            self._tell_lost()

    def _lose(self) -> None:
        if self.protocol is None:
            raise UsageError("there is no protocol to be told", next="transport.protocol = protocol, before it closes")
        if not self._strict:
            self._tell_lost()
            return
        try:
            asyncio.get_running_loop().call_soon(self._tell_lost)
        except RuntimeError:
            return

    def _tell_lost(self) -> None:
        if not self._told:
            self._told = True
            self._tell("connection_lost", None)
