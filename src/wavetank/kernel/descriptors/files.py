"""`open` and `io.FileIO` over simulated descriptors.

Owns the unbuffered file over a simulated descriptor, and the way `open(number)` builds text and buffers on top. Files
on disk are the interpreter's own. Behaviour and texts: CPython Modules/_io/fileio.c and _iomodule.c (`_io_open_impl`).
"""

from __future__ import annotations

import _io
import builtins
import errno
import io
import os
import stat
import warnings
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.arguments import bytes_of
from wavetank.kernel.buffered import buffer_over
from wavetank.kernel.c_errno import c_errno
from wavetank.kernel.descriptors import filetimes, proc, table
from wavetank.kernel.descriptors.table import BLOCK, is_simulated, room_for
from wavetank.kernel.file import File, error
from wavetank.kernel.unix import files as socket_files

_real_open: Final = _io.open
_RealFileIO: Final[Any] = _io.FileIO
_PIECE: Final = 65_536
_MODE_LETTERS: Final = frozenset("axrwb+t")


def _raw_mode(mode: str) -> tuple[bool, bool, bool]:
    """Reading, writing, appending; ValueError with FileIO's texts."""
    for letter in mode:
        if letter not in "rwxab+":
            raise ValueError(f"invalid mode: {mode}")
    if sum(mode.count(letter) for letter in "rwxa") != 1 or mode.count("+") > 1:
        raise ValueError("Must have exactly one of create/read/write/append mode and at most one plus")
    both = "+" in mode
    return "r" in mode or both, "r" not in mode or both, "a" in mode


class DescriptorIO(_RealFileIO):  # type: ignore[misc]  # the base is chosen so that isinstance(x, io.FileIO) holds
    """`io.FileIO` of a simulated descriptor. The C object beneath has no descriptor: no method of it is used."""

    def __init__(self, fd: int, mode: str = "r", closefd: bool = True) -> None:
        self._fd = -1
        self._process = core.K.process
        self._readable, self._writable, self._appending = _raw_mode(mode)
        table.resolve(fd)
        self._fd = fd
        self._closefd = bool(closefd)
        self._exclusive = "x" in mode
        self.name = fd
        self._blksize = BLOCK

    def _file(self) -> File:
        if self._fd < 0:
            raise ValueError("I/O operation on closed file")
        target = table.resolve(self._fd)
        if isinstance(target, int):
            raise error(errno.EBADF)
        return target

    # ---- reading

    def _to_read(self) -> File:
        file = self._file()
        if not self._readable:
            raise io.UnsupportedOperation("File not open for reading")
        return file

    def read(self, size: int | None = -1, /) -> bytes | None:
        """At most `size` bytes, all for -1; None when it would have to wait and must not."""
        file = self._to_read()
        if size is None or size < 0:
            return self.readall()
        try:
            return table.read(file, size)
        except BlockingIOError:
            return None

    def readall(self) -> bytes | None:
        """Everything up to the end; None when nothing is there and it must not wait."""
        file = self._to_read()
        parts: list[bytes] = []
        while True:
            try:
                part = table.read(file, _PIECE)
            except BlockingIOError:
                return b"".join(parts) if parts else None
            if not part:
                return b"".join(parts)
            parts.append(part)

    def readinto(self, buffer: Any, /) -> int | None:
        """Read into `buffer`."""
        file = self._to_read()
        view = memoryview(buffer).cast("B")
        try:
            data = table.read(file, len(view))
        except BlockingIOError:
            return None
        view[: len(data)] = data
        return len(data)

    # ---- writing

    def write(self, data: Any, /) -> int | None:
        """How many bytes were taken; None when it would have to wait and must not."""
        file = self._file()
        if not self._writable:
            raise io.UnsupportedOperation("File not open for writing")
        try:
            return table.write(file, bytes_of(data))
        except BlockingIOError:
            c_errno.value = errno.EAGAIN  # which the buffer in C puts into the error that it raises
            return None

    def truncate(self, size: int | None = None, /) -> int:
        """EINVAL: nothing here has a length."""
        self._file()
        if not self._writable:
            raise io.UnsupportedOperation("File not open for writing")
        raise error(errno.ESPIPE if size is None else errno.EINVAL)

    # ---- position

    def seek(self, position: int, whence: int = 0, /) -> int:
        """As `os.lseek`."""
        self._file()
        return os.lseek(self._fd, position, whence)

    def tell(self) -> int:
        """As `os.lseek`."""
        return self.seek(0, os.SEEK_CUR)

    def seekable(self) -> bool:
        """Whether `os.lseek` works."""
        try:
            self.tell()
        except OSError:
            return False
        return True

    # ---- what it is

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        self._file()
        return self._readable

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        self._file()
        return self._writable

    def fileno(self) -> int:
        """The descriptor."""
        self._file()
        return self._fd

    def isatty(self) -> bool:
        """Never."""
        self._file()
        return False

    def _isatty_open_only(self) -> bool:
        """As `isatty`; CPython 3.13 asks this when it opens a file."""
        return False

    @property
    def mode(self) -> str:
        """The mode in the form that FileIO gives it."""
        plus = "+" if self._readable and self._writable else ""
        if self._exclusive:
            return f"xb{plus}"
        if self._appending:
            return f"ab{plus}"
        return "rb+" if plus else "rb" if self._readable else "wb"

    @property
    def closefd(self) -> bool:
        """Whether closing the file closes the descriptor."""
        return self._closefd

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._fd < 0

    def __repr__(self) -> str:
        if self._fd < 0:
            return "<_io.FileIO [closed]>"
        return f"<_io.FileIO name={self.name!r} mode={self.mode!r} closefd={self._closefd}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("cannot pickle '_io.FileIO' object")

    # ---- ending

    def close(self) -> None:
        """Close it, and the descriptor if it belongs to the file."""
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd < 0 or not self._closefd:
            return
        process = self._process
        if getattr(self, "_finalizing", False):
            # Collected, perhaps while another process runs: the descriptor is its own process's.
            if process.status is None and fd in process.fds:
                self._fd = fd
                try:
                    self._dealloc_warn(self)
                finally:  # also when warnings are errors
                    self._fd = -1
                    process.close(fd)
            return
        core.K.tick()
        process.close(fd)

    def _dealloc_warn(self, source: Any) -> None:
        """A buffer over this file is collected without having been closed."""
        if self._fd >= 0 and self._closefd:
            warnings.warn(f"unclosed file {source!r}", ResourceWarning, stacklevel=2, source=source)


DescriptorIO.__name__ = DescriptorIO.__qualname__ = "FileIO"
DescriptorIO.__module__ = "_io"


class _Kind(type):
    """What makes the name `io.FileIO` work for both kinds of descriptor. A subclass of it is one of the real class."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        if any(isinstance(base, _Kind) for base in bases):
            real_bases = tuple(_RealFileIO if isinstance(base, _Kind) else base for base in bases)
            return type(_RealFileIO)(name, real_bases, namespace)
        return super().__new__(mcs, name, bases, namespace)

    def __call__(cls, file: Any, mode: str = "r", closefd: bool = True, opener: Any = None) -> Any:
        if is_simulated(file):
            return DescriptorIO(file, mode, closefd)
        return _RealFileIO(file, mode, closefd, opener)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _RealFileIO)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, _RealFileIO)


class _FileIO(_RealFileIO, metaclass=_Kind):  # type: ignore[misc]
    __doc__ = _RealFileIO.__doc__


_FileIO.__name__ = _FileIO.__qualname__ = "FileIO"
_FileIO.__module__ = "_io"


class Open:
    """`open`, as a method, so that it stays one function where a class has it as an attribute."""

    def open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """`open` of a path, a real or a simulated descriptor."""
        if not is_simulated(file):
            if socket_files.look(file) is not None:
                number = errno.EEXIST if "x" in mode else errno.ENXIO
                raise OSError(number, os.strerror(number), file)
            if not isinstance(file, int):
                room_for(file)
            opened = _real_open(proc.own(file), mode, buffering, encoding, errors, newline, closefd, opener)
            if not mode.startswith("r") or "+" in mode:
                filetimes.written(opened.fileno(), emptied="w" in mode)
            return opened
        _check(mode, encoding, errors, newline)
        raw_mode = "".join(letter for letter in mode if letter not in "tb")
        raw = DescriptorIO(file, raw_mode, closefd)
        try:
            return _over(raw, mode, buffering, encoding, errors, newline)
        except BaseException:
            raw.close()
            raise


def _check(mode: str, encoding: str | None, errors: str | None, newline: str | None) -> None:
    """The arguments, with the texts of `_io.open`."""
    if set(mode) - _MODE_LETTERS or len(mode) > len(set(mode)):
        raise ValueError(f"invalid mode: {mode!r}")
    if "t" in mode and "b" in mode:
        raise ValueError("can't have text and binary mode at once")
    if sum(letter in mode for letter in "xrwa") > 1:
        raise ValueError("must have exactly one of create/read/write/append mode")
    if "b" in mode:
        for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline)):
            if value is not None:
                raise ValueError(f"binary mode doesn't take {'an' if name[0] == 'e' else 'a'} {name} argument")


def _over(raw: Any, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None) -> Any:
    """Buffer and text over the unbuffered file, as asked for."""
    binary = "b" in mode
    line_buffering = buffering == 1
    if buffering == 1 and binary:
        warnings.warn(
            "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used",
            RuntimeWarning,
            stacklevel=4,
        )
    size = BLOCK if buffering < 0 or buffering == 1 else buffering
    if size == 0:
        if not binary:
            raise ValueError("can't have unbuffered text I/O")
        return raw
    if "+" in mode:
        buffer: Any = io.BufferedRandom(raw, size)  # which wants a seekable file, and says so
    else:
        buffer = buffer_over(raw, reading="r" in mode, writing="r" not in mode, size=size)
    if binary:
        return buffer
    text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering)
    text.mode = mode  # type: ignore[misc]
    return text


def install() -> None:
    """Replace `open` everywhere it stands, and `FileIO`."""
    opening = Open().open
    Open.open.__module__ = io.open.__module__
    for module in (_io, io, builtins):
        module.open = opening  # type: ignore[attr-defined]
    for module in (_io, io):
        module.FileIO = _FileIO  # type: ignore[attr-defined]
    assert stat.S_ISREG(os.stat(__file__).st_mode), "open(path) must go on to be the real one"
