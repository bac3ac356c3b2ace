"""Pipes: a ring of pages between a reading and a writing end.

Owns the bytes in the pipe and the readiness of both ends. It never waits: an end that would have to raises
BlockingIOError, and `kernel.descriptors` parks the thread.

The idea: Linux keeps a pipe's bytes in pages, and what a program can see follows from that. A write fills whole pages;
only its odd part (its length modulo the page size) is put into the last page, and only if it fits there whole. So a
pipe of 64 KiB is full after 640 writes of 100 bytes, and writable again when a whole page has been read.
Behaviour: fs/pipe.c (`pipe_read`, `pipe_write`, `pipe_poll`, `pipe_release`, `pipe_set_size`), pipe(7).
"""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.endpoint import MSG_NOSIGNAL
from wavetank.kernel.file import ERR, HUP, PRI, RDHUP, READABLE, WRBAND, WRITABLE, File, error
from wavetank.trace.schema import Kind

PAGE: Final = 4_096  # PAGE_SIZE, also PIPE_BUF (include/uapi/linux/limits.h)
PAGES: Final = 16  # PIPE_DEF_BUFFERS, include/linux/pipe_fs_i.h
MOST_BYTES: Final = 1 << 20  # /proc/sys/fs/pipe-max-size
SIGPIPE: Final = 13
SIG_IGN: Final = 1
#: A wake-up without a key, as when an end is closed: whoever waits looks again.
EVERYTHING: Final = READABLE | WRITABLE | WRBAND | PRI | ERR | HUP | RDHUP

_SEND, _RECEIVE, _CLOSE = int(Kind.SEND), int(Kind.RECEIVE), int(Kind.CLOSE)


def broken_pipe(flags: int = 0) -> OSError:
    """EPIPE, and before it SIGPIPE for a program that has stopped ignoring it.

    CPython ignores SIGPIPE from its start (Python/pylifecycle.c, `init_signals`), which is why no entry means that.
    """
    process = core.K.running.process
    if not flags & MSG_NOSIGNAL and process.handlers.get(SIGPIPE, SIG_IGN) != SIG_IGN:
        process.send_signal(SIGPIPE)
    return error(errno.EPIPE)


class Pipe:
    """What both ends share: the pages, oldest first; of the first page `skip` bytes have been read."""

    __slots__ = ("limit", "made_ns", "name", "number", "pages", "payload", "reader", "size", "skip", "writer")

    def __init__(self) -> None:
        kernel = core.K
        stack = kernel.process.stack
        ordinal = stack.counters["pipe"] = stack.counters.get("pipe", 0) + 1
        self.name = f"pipe {stack.name} #{ordinal}"
        self.number = kernel.recorder.define_object(self.name)
        self.payload = kernel.recorder.payload(self.name, self.number)
        self.made_ns = kernel.epoch_ns + kernel.now
        self.pages: deque[bytearray] = deque()
        self.skip = 0
        self.size = 0
        self.limit = PAGES
        self.reader = PipeReader(self)
        self.writer = PipeWriter(self)

    def room(self) -> int:
        """Bytes in the pages that are free."""
        return (self.limit - len(self.pages)) * PAGE

    def take(self, size: int) -> bytes:
        """The first bytes, at most `size`."""
        pages = self.pages
        taken: list[bytes] = []
        left = min(size, self.size)
        was_full = len(pages) >= self.limit
        self.size -= left
        while left:
            page = pages[0]
            part = page[self.skip : self.skip + left]
            taken.append(bytes(part))
            left -= len(part)
            self.skip += len(part)
            if self.skip == len(page):
                pages.popleft()
                self.skip = 0
        if was_full and len(pages) < self.limit:
            self.writer.notify(WRITABLE)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def peek(self, size: int) -> bytes:
        """The first bytes, at most `size`, which stay."""
        return b"".join(self.pages)[self.skip : self.skip + size]

    def put(self, data: bytes | memoryview) -> int:
        """Take in what fits; how many bytes that was."""
        pages = self.pages
        size = len(data)
        start = 0
        odd = size % PAGE
        if odd and self.size and len(pages[-1]) + odd <= PAGE:
            pages[-1] += data[:odd]
            start = odd
        while start < size and len(pages) < self.limit:
            pages.append(bytearray(data[start : start + PAGE]))
            start += PAGE
        start = min(start, size)
        if start:
            self.size += start
            assert 0 < self.size <= self.limit * PAGE, f"{self.name} holds {self.size} bytes"
            self.reader.notify(READABLE)
        return start

    def set_size(self, size: int) -> int:
        """`F_SETPIPE_SZ`: the new size, a power of two of pages that holds `size` bytes."""
        if size < 0:
            raise error(errno.EINVAL)
        if size > MOST_BYTES:
            raise error(errno.EPERM)
        pages = 1 << max(0, (size + PAGE - 1) // PAGE - 1).bit_length()
        if pages < len(self.pages):
            raise error(errno.EBUSY)
        self.limit = pages
        self.writer.notify(EVERYTHING)  # pipe_resize_ring wakes all who wait to write, without saying what for
        return pages * PAGE

    def end_closed(self) -> None:
        """`pipe_release`: whoever waits at the other end looks again."""
        kernel = core.K
        if self.reader.closed != self.writer.closed:
            (self.writer if self.reader.closed else self.reader).notify(EVERYTHING)
        else:
            kernel.recorder.event(kernel.now, _CLOSE, self.number, self.size)


class PipeReader(File):
    """The end to read from."""

    __slots__ = ("pipe",)

    def __init__(self, pipe: Pipe) -> None:
        super().__init__("pipe")
        self.pipe = pipe
        self.number = pipe.number

    def poll(self) -> int:
        """`pipe_poll`."""
        return (READABLE if self.pipe.pages else 0) | (HUP if self.pipe.writer.closed else 0)

    def read(self, size: int) -> bytes:
        """`pipe_read`."""
        pipe = self.pipe
        if size and not pipe.pages:
            if pipe.writer.closed:
                return b""
            raise error(errno.EAGAIN)
        data = pipe.take(size)
        kernel = core.K
        kernel.recorder.event(kernel.now, _RECEIVE, pipe.number, len(data), data)
        return data

    def write(self, data: Any) -> int:
        """Not open for writing."""
        raise error(errno.EBADF)

    def released(self) -> None:
        """Closed."""
        self.pipe.end_closed()

    def describe(self) -> str:
        """Which pipe."""
        return f"{self.pipe.name}, reading end"


class PipeWriter(File):
    """The end to write to."""

    __slots__ = ("pipe",)

    def __init__(self, pipe: Pipe) -> None:
        super().__init__("pipe")
        self.pipe = pipe
        self.number = pipe.number

    def poll(self) -> int:
        """`pipe_poll`: writable while a whole page is free."""
        pipe = self.pipe
        return (WRITABLE if len(pipe.pages) < pipe.limit else 0) | (ERR if pipe.reader.closed else 0)

    def read(self, size: int) -> bytes:
        """Not open for reading."""
        raise error(errno.EBADF)

    def write(self, data: Any) -> int:
        """`pipe_write`."""
        if not len(data):
            return 0
        pipe = self.pipe
        if pipe.reader.closed:
            raise broken_pipe()
        count = pipe.put(data)
        if not count:
            pipe.reader.notify(READABLE)  # an edge for epoll, although nothing came (`pipe->poll_usage`)
            raise error(errno.EAGAIN)
        kernel = core.K
        kernel.recorder.event(kernel.now, _SEND, pipe.number, count, data[:count])
        pipe.payload.add(data[:count])
        return count

    def released(self) -> None:
        """Closed."""
        self.pipe.end_closed()

    def describe(self) -> str:
        """Which pipe."""
        return f"{self.pipe.name}, writing end"


def make_pipe(flags: int) -> tuple[PipeReader, PipeWriter]:
    """`pipe2(2)`: both ends; `flags` may have O_NONBLOCK (the descriptors' flags are the caller's)."""
    pipe = Pipe()
    pipe.reader.nonblocking = pipe.writer.nonblocking = bool(flags & os.O_NONBLOCK)
    return pipe.reader, pipe.writer
