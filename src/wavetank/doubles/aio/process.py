"""Subprocesses in asyncio's dialect: a transport without a process.

Owns the order of the callbacks of a process. Must never start one. Source: asyncio/base_subprocess.py of CPython 3.13,
and what was seen of it: data, exit and the loss of pipes in any order, `connection_lost` last, when all pipes are lost.
"""

from __future__ import annotations

import asyncio
import signal as signals
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from wavetank.doubles.aio.transport import as_bytes
from wavetank.doubles.wire import watermarks as marks
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.violation import violation
from wavetank.errors import UsageError

#: Pipes that `subprocess_exec` makes unless told otherwise.
PIPES: Final = (0, 1, 2)


class FakeSubprocessTransport(asyncio.SubprocessTransport):
    """A subprocess transport without a process: remembers what it is asked, and calls its protocol as a process would.

    `protocol`: if given, it is told at once that the process has started. `pipes`: descriptors of the child that have a
    pipe; 0 is written to (`get_pipe_transport(0).write`; `written` has it), the others are read. `signals`: what was
    sent. What a test does: `say(fd, data)`, `close_pipe(fd)`, `exit(...)`, in any order. With `strict=True`, writing
    to a pipe that is closed raises `ContractViolation`; else it is dropped.
    """

    def __init__(
        self, protocol: Any = None, *, pid: int = 4321, pipes: Iterable[int] = PIPES, strict: bool = False
    ) -> None:
        super().__init__()
        self.protocol = protocol
        self.log = Log()
        self.signals: list[int] = []
        self.written = b""
        self.strict = strict
        self.closed = False
        self._pid = pid
        self._returncode: int | None = None
        self._pipes: dict[int, WritePipe | ReadPipe] = {
            fd: WritePipe(self) if fd == 0 else ReadPipe(self, fd) for fd in pipes
        }
        self._open = {*self._pipes}
        self._told = False
        if protocol is not None:
            self.tell("connection_made", self)

    # ---- SubprocessTransport

    def get_pid(self) -> int:
        """The number that the process seems to have."""
        return self._pid

    def get_returncode(self) -> int | None:
        """The return code; None before it has exited; negative when a signal ended it."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        """The transport of a pipe; None where there is no pipe."""
        return self._pipes.get(fd)

    def send_signal(self, signal: int) -> None:
        """Remember a signal; ProcessLookupError when the process has exited."""
        self.log.note("protocol", "send_signal", signal)
        if self._returncode is not None:
            raise ProcessLookupError()
        self.signals.append(signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signals.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signals.SIGKILL)

    def close(self) -> None:
        """Close all pipes, and kill the process if it has not exited, as asyncio does; once only."""
        if self.closed:
            return
        self.log.note("protocol", "close")
        self.closed = True
        for fd in tuple(self._open):
            self.close_pipe(fd)
        if self._returncode is None:
            self.signals.append(signals.SIGKILL)

    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told from now on."""
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    # ---- for tests

    def say(self, fd: int, data: bytes) -> None:
        """The process writes to a pipe that we read; kept while that has paused reading."""
        pipe = self._pipes.get(fd)
        if not isinstance(pipe, ReadPipe) or fd not in self._open:
            open_ones = ", ".join(str(each) for each in sorted(self._open - {0})) or "none"
            raise UsageError(f"nothing can come from descriptor {fd}", why=f"open for reading: {open_ones}")
        pipe.said.append(data)
        pipe.give()

    def close_pipe(self, fd: int, error: BaseException | None = None) -> None:
        """A pipe is lost, from either side; once."""
        if fd not in self._open:
            return
        self._open.discard(fd)
        self.tell("pipe_connection_lost", fd, error)
        self._maybe_lost()

    def exit(self, returncode: int = 0, *, keep_open: bool = False) -> None:
        """The process exits; then its pipes are lost.

        `returncode` is negative for a signal: -9. With `keep_open` the pipes stay, as when a grandchild has them:
        `connection_lost` waits for `close_pipe` of each.
        """
        if self._returncode is not None:
            raise UsageError("the process has exited already", where=f"return code {self._returncode}")
        self._returncode = returncode
        self.tell("process_exited")
        if not keep_open:
            for fd in sorted(self._open):
                self.close_pipe(fd)
        self._maybe_lost()

    def read(self) -> bytes:
        """The process reads all of its standard input; a protocol that was paused may go on."""
        pipe = self._pipes.get(0)
        assert isinstance(pipe, WritePipe)
        data, self.written = self.written, b""
        pipe.drained()
        return data

    def is_open(self, fd: int) -> bool:
        """Whether the pipe is there, and not lost."""
        return fd in self._open

    def tell(self, call: str, *arguments: Any) -> None:
        """Call the protocol."""
        self.log.note("process", call, arguments if call != "connection_made" and arguments else None)
        getattr(self.protocol, call)(*arguments)

    def _maybe_lost(self) -> None:
        if self._returncode is not None and not self._open and not self._told:
            self._told = True
            self.tell("connection_lost", None)


class WritePipe(asyncio.WriteTransport):
    """The standard input of a process."""

    def __init__(self, process: FakeSubprocessTransport) -> None:
        super().__init__()
        self._process = process
        self._low, self._high = marks.limits()
        self._paused = False

    def write(self, data: Any) -> None:
        """Remember `data`; the protocol is asked to pause when the process has not read more than the high mark."""
        data = as_bytes(data)
        process = self._process
        process.log.data("protocol", "write", data)
        if not process.is_open(0):
            if process.strict:
                raise violation("write-after-lost", process.log)
            return
        process.written += data
        if len(process.written) > self._high and not self._paused:
            self._paused = True
            process.tell("pause_writing")

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Remember all of them."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Close the pipe."""
        self.close()

    def can_write_eof(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the pipe; the protocol is told."""
        self._process.close_pipe(0)

    abort = close

    def is_closing(self) -> bool:
        """Whether the pipe is lost."""
        return not self._process.is_open(0)

    def get_write_buffer_size(self) -> int:
        """Bytes that the process has not read."""
        return len(self._process.written)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The marks `(low, high)`, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes, as in asyncio."""
        self._low, self._high = marks.limits(high, low)

    def drained(self) -> None:
        """The process has read everything."""
        if self._paused:
            self._paused = False
            self._process.tell("resume_writing")


class ReadPipe(asyncio.ReadTransport):
    """Standard output or error of a process, or another descriptor that is read."""

    def __init__(self, process: FakeSubprocessTransport, fd: int) -> None:
        super().__init__()
        self._process = process
        self._fd = fd
        self._reading = True
        self.said: deque[bytes] = deque()

    def give(self) -> None:
        """Give the protocol what was said, while it reads."""
        while self.said and self._reading and self._process.is_open(self._fd):
            self._process.tell("pipe_data_received", self._fd, self.said.popleft())

    def is_reading(self) -> bool:
        """Whether data is taken."""
        return self._reading and self._process.is_open(self._fd)

    def pause_reading(self) -> None:
        """Take nothing until `resume_reading`."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take what was said meanwhile."""
        self._reading = True
        self.give()

    def close(self) -> None:
        """Close the pipe; the protocol is told."""
        self._process.close_pipe(self._fd)

    def is_closing(self) -> bool:
        """Whether the pipe is lost."""
        return not self._process.is_open(self._fd)
