"""What a simulated process reads and writes as its standard streams: descriptors 0, 1 and 2.

Owns the files behind these descriptors and the text objects `sys.stdin`, `sys.stdout` and `sys.stderr` on top of them.
Nothing is printed here: what was written is kept, within a limit, and handed out with the result of the run.

Each line is written out at once, as with `python -u`: what a program said before it was killed is what a reader of a
report needs most. Writing never lets another thread run: the buffered file is locked meanwhile, in C, for real.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.file import READABLE, WRITABLE, File
from wavetank.trace.schema import Kind

#: Each process has three buffers, and each line is written out at once: CPython's 8 KiB would be a third of a process.
BUFFER_BYTES: Final = 1024
#: So much of the beginning and of the end of a stream is kept.
KEPT_BYTES: Final = 256 * 1024


class NoInput(File):
    """Standard input that is at its end, as `/dev/null`."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("stdin")

    def poll(self) -> int:
        """Always readable: the end is what there is to read."""
        return READABLE

    def read(self, size: int) -> bytes:
        """The end of the file."""
        return b""


class Captured(File):
    """Standard output or error: what was written, the middle left out when it is too much."""

    __slots__ = ("head", "skipped_bytes", "stream", "tail")

    def __init__(self, stream: int) -> None:
        super().__init__("stdout" if stream == 1 else "stderr")
        self.stream = stream
        self.head = bytearray()
        self.tail = bytearray()
        self.skipped_bytes = 0

    def poll(self) -> int:
        """Always writable."""
        return WRITABLE

    def write(self, data: Any) -> int:
        """Keep `data`."""
        whole = bytes(data)
        kernel = core.K
        kernel.recorder.event(kernel.now, Kind.OUTPUT, self.stream, len(whole), whole)
        room = KEPT_BYTES - len(self.head)
        self.head += whole[:room] if room > 0 else b""
        self.tail += whole[max(room, 0) :]
        if len(self.tail) > 2 * KEPT_BYTES:
            self.skipped_bytes += len(self.tail) - KEPT_BYTES
            del self.tail[:-KEPT_BYTES]
        return len(whole)

    def text(self) -> str:
        """What was written, as text."""
        gap = f"\n... {self.skipped_bytes:,} bytes left out ...\n".encode() if self.skipped_bytes else b""
        return (bytes(self.head) + gap + bytes(self.tail)).decode("utf-8", "replace")


class Stream(io.RawIOBase):
    """The unbuffered file over one of these descriptors. It follows the descriptor, so that `dup2` onto it works."""

    def __init__(self, fd: int, fds: dict[int, File]) -> None:
        self._fd = fd
        self._fds = fds
        self.name = ("<stdin>", "<stdout>", "<stderr>")[fd]
        self.mode = "wb" if fd else "rb"

    def fileno(self) -> int:
        """0, 1 or 2."""
        return self._fd

    def readable(self) -> bool:
        """Whether this is the input."""
        return self._fd == 0

    def writable(self) -> bool:
        """Whether this is an output."""
        return self._fd != 0

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`; 0 at the end, and when the program has closed the descriptor."""
        file = self._fds.get(self._fd)
        if file is None:
            return 0
        view = memoryview(buffer).cast("B")
        data = file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        """Write all of `data`. What goes to a closed descriptor is lost, as the program asked for."""
        view = memoryview(data).cast("B")
        file = self._fds.get(self._fd)
        return len(view) if file is None else file.write(view)


class Follower(Stream):
    """A stream of whichever process runs now; in the image, where none does, the real descriptor.

    What a library takes for its own when it is imported (loguru: `sys.stderr`) is taken in the image.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, {})

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        self._fds = core.K.fds
        if self._fd in self._fds or self._fd in core.K.process.closed_streams:
            return super().write(data)
        return os.write(self._fd, data)


def follow() -> None:
    """In the image: from now on `sys.stdout` and `sys.stderr` go to the process that writes."""
    _images_own.extend((sys.stdout, sys.stderr))
    sys.stdout = sys.__stdout__ = _text(Follower(1), "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text(Follower(2), "backslashreplace")  # type: ignore[misc]


_images_own: Final[list[Any]] = []  # kept, for what may hold a part of them


class Streams:
    """The standard streams of one process."""

    def __init__(self, fds: dict[int, File]) -> None:
        self.stdout = Captured(1)
        self.stderr = Captured(2)
        for fd, file in enumerate((NoInput(), self.stdout, self.stderr)):
            file.hold()
            fds[fd] = file
        reader = io.BufferedReader(Stream(0, fds), BUFFER_BYTES)
        self.input_text = io.TextIOWrapper(reader, encoding="utf-8", errors="surrogateescape")
        self.output_text = _text(Stream(1, fds), "strict")
        self.error_text = _text(Stream(2, fds), "backslashreplace")  # Library: sys.stderr

    def flush(self) -> None:
        """Write out what is buffered, as the interpreter does at its end."""
        for text in (self.output_text, self.error_text):
            if not text.closed:
                text.flush()


def _text(raw: Stream, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw, BUFFER_BYTES), encoding="utf-8", errors=errors, line_buffering=True, write_through=True
    )
