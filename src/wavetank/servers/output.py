"""What a server prints: one file for each stream, cut by test, shown only when something fails.

Owns the files and the way they are read. Must never stand between the server and its output: the server writes to a
file, which never blocks it, however much it prints and whoever reads.

The idea: a *mark* is how far the files had grown at some moment; what came since is the part that belongs to a test. A
file over its limit loses its oldest part - the supervisor punches a hole at its beginning - and what is read from it
then begins with a line that says how many bytes were dropped.

Source: fallocate(2) with FALLOC_FL_PUNCH_HOLE, lseek(2) with SEEK_DATA, open(2) with O_APPEND.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: Most bytes of each stream that are kept on the disk, unless the server is given another limit.
OUTPUT_LIMIT: Final = 64 << 20
#: How much of the end of a stream is shown in an error.
TAIL_BYTES: Final = 4096
TAIL_LINES: Final = 20


class Stream:
    """One stream of one server, as a file. `path` stays readable until the server's folder is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def size(self) -> int:
        """Bytes written so far, those dropped since included."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def dropped(self) -> int:
        """Bytes at the beginning that are no longer there."""
        try:
            with open(self.path, "rb") as file:
                return os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole, or empty
            return 0

    def read_bytes(self, start: int = 0) -> bytes:
        """What was written from byte `start` on and is still there."""
        try:
            with open(self.path, "rb") as file:
                file.seek(max(start, self.dropped()))
                return file.read()
        except OSError:
            return b""

    def read_text(self, start: int = 0) -> str:
        """The same as text; begins with a line that says how many bytes were dropped, if any were."""
        lost = self.dropped() - start
        marker = f"[... {lost} bytes dropped ...]\n" if lost > 0 else ""
        return marker + self.read_bytes(start).decode(errors="replace")

    def tail(self, start: int = 0, *, most_bytes: int = TAIL_BYTES, most_lines: int = TAIL_LINES) -> list[str]:
        """The last lines from byte `start` on."""
        size = self.size()
        begin = max(start, size - most_bytes)
        lines = self.read_bytes(begin).decode(errors="replace").splitlines()
        cut = begin > start or len(lines) > most_lines
        return [*(["..."] if cut else []), *lines[-most_lines:]]


class Mark(tuple[int, int]):
    """How far standard output and standard error had grown, in bytes."""

    __slots__ = ()


class Log:
    """All that a server has printed. `stdout` and `stderr` are its streams; `str(log)` is the text of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stdout = Stream(folder / "stdout.log")
        self.stderr = Stream(folder / "stderr.log")

    def __str__(self) -> str:
        return self.read_text()

    def __contains__(self, text: str | bytes) -> bool:
        wanted = text.encode() if isinstance(text, str) else text
        return any(wanted in stream.read_bytes() for stream in (self.stdout, self.stderr))

    def __repr__(self) -> str:
        return f"<Log {self.stdout.path}, {self.stderr.path}>"

    def open_files(self) -> tuple[int, int]:
        """The files, made when they are not there, as descriptors for the server: append only, for every user.

        For every user, because a server that changes its user may open /dev/stdout again.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        first = os.open(self.stdout.path, flags, 0o666)
        try:
            second = os.open(self.stderr.path, flags, 0o666)
        except BaseException:
            os.close(first)
            raise
        for fd in (first, second):
            os.fchmod(fd, 0o666)
        return first, second

    def mark(self) -> Mark:
        """Remember how far the output has come."""
        return Mark((self.stdout.size(), self.stderr.size()))

    def since(self, mark: Mark) -> str:
        """The text printed since `mark`: standard output, then standard error."""
        return self.stdout.read_text(mark[0]) + self.stderr.read_text(mark[1])

    def read_text(self) -> str:
        """The text of standard output, then that of standard error."""
        return self.stdout.read_text() + self.stderr.read_text()

    def read_bytes(self) -> bytes:
        """The bytes of standard output, then those of standard error."""
        return self.stdout.read_bytes() + self.stderr.read_bytes()

    def dropped(self) -> int:
        """Bytes of both streams that were dropped because of the limit."""
        return self.stdout.dropped() + self.stderr.dropped()

    def excerpt(self, mark: Mark | None = None) -> str:
        """The last lines of both streams under their names and paths, as errors and reports show them."""
        parts = []
        for name, stream, start in zip(("stdout", "stderr"), (self.stdout, self.stderr), mark or (0, 0), strict=True):
            lines = stream.tail(start)
            lost = stream.dropped()
            title = f"{name}, last lines of {stream.path}"
            title += f" ({lost} bytes dropped at the beginning):" if lost else ":"
            parts += [title, *(f"  | {line}" for line in lines)] if lines else [f"{name}: nothing"]
        return "\n".join(parts)


class LineWatch:
    """Looks for a pattern in output as it grows; reads each byte once."""

    def __init__(self, log: Log, mark: Mark) -> None:
        self._streams = [(log.stdout, mark[0]), (log.stderr, mark[1])]

    def new_lines(self) -> list[str]:
        """Whole lines that have appeared since the last call; the text of an unfinished line comes when it is done."""
        lines = []
        for index, (stream, start) in enumerate(self._streams):
            if stream.size() > start:
                data = stream.read_bytes(start)
                whole = data[: data.rfind(b"\n") + 1]
                self._streams[index] = (stream, start + len(whole))
                lines += whole.decode(errors="replace").splitlines()
        return lines
