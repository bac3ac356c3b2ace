"""What a descriptor means to the program that runs, and reading and writing that may wait.

Owns the way from a number to a simulated file or a real descriptor, `fstat` of simulated files, and the blocking loops
around files that never wait themselves. Behaviour: fs/read_write.c, fs/pipe.c, net/socket.c.
"""

from __future__ import annotations

import errno
import operator
import os
import posix
import stat
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from wavetank.kernel import core, refusals
from wavetank.kernel.core import FAR
from wavetank.kernel.endpoint import SOCK_STREAM, Endpoint
from wavetank.kernel.eventfd import EventFile, TimerFile
from wavetank.kernel.eventpoll import EpollFile
from wavetank.kernel.file import IN, OUT, RDNORM, READABLE, WRITABLE, WRNORM, File, Waiting, error
from wavetank.kernel.pipe import PipeReader, PipeWriter
from wavetank.kernel.process import FIRST_FD

#: The calls of the real system, from before anything was replaced.
real: Final = SimpleNamespace(**vars(posix))
#: One write of a program is at most so large (MAX_RW_COUNT, include/linux/fs.h).
MOST: Final = 0x7FFF_F000
BLOCK: Final = 4_096  # st_blksize of pipes, sockets and anonymous inodes

_ANONYMOUS: Final = (EventFile, TimerFile, EpollFile)
#: Real descriptors that are not the program's: `closerange` leaves them alone.
_protected: set[int] = set()


class RealFile(File):
    """A real descriptor in the place of a standard stream, after `os.dup2(real, 1)`."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        super().__init__("file")
        self.fd: int = real.dup(fd)

    def poll(self) -> int:
        """As a regular file: always ready."""
        return IN | OUT | RDNORM | WRNORM

    def read(self, size: int) -> bytes:
        """From the real file."""
        data: bytes = real.read(self.fd, size)
        return data

    def write(self, data: Any) -> int:
        """To the real file."""
        count: int = real.write(self.fd, data)
        return count

    def released(self) -> None:
        """Nobody refers to it any more."""
        real.close(self.fd)


_INT_MAX: Final = (1 << 31) - 1

#: A simulated file, or the number of a real descriptor.
Target: TypeAlias = File | int


def protect(numbers: Iterable[int] = ()) -> None:
    """From now on these real descriptors belong to the simulator; without any, all that are open."""
    _protected.update(numbers or open_real())


def is_protected(fd: int) -> bool:
    """Whether a real descriptor belongs to the simulator."""
    return fd in _protected


def open_real() -> list[int]:
    """The real descriptors that are open."""
    # The one that reads the folder is closed again when this returns.
    return [fd for fd in sorted(map(int, real.listdir("/proc/self/fd"))) if _is_open(fd)]


def _is_open(fd: int) -> bool:
    try:
        real.fstat(fd)
    except OSError:
        return False
    return True


def resolve(fd: Any) -> Target:
    """What `fd` names; EBADF when it is not open, TypeError when it is no integer."""
    if fd.__class__ is int:
        if 2 < fd < FIRST_FD:
            return fd
    else:
        fd = operator.index(fd)
    if not -_INT_MAX - 2 < fd <= _INT_MAX:
        raise OverflowError("Python int too large to convert to C int")
    kernel = core.K
    file: File | None = kernel.fds.get(fd)
    if file is None:
        if 0 <= fd < FIRST_FD and fd not in kernel.process.closed_streams:
            return int(fd)
        raise error(errno.EBADF)
    return file.fd if file.__class__ is RealFile else file


def room_for(path: Any) -> None:
    """EMFILE, with the path, when the process has as many descriptors as it may: a real file is not counted itself."""
    try:
        core.K.process.need_room()
    except OSError as problem:
        problem.filename = path
        raise


def is_simulated(thing: Any) -> bool:
    """Whether `thing` is the number of an open simulated descriptor. For calls that take a path or a descriptor."""
    if not isinstance(thing, int):
        return False
    file = core.K.fds.get(thing)
    return file is not None and not isinstance(file, RealFile)


# ---- waiting


def read(file: File, size: int) -> bytes:
    """`read(2)`: waits until there is something, unless the file is non-blocking."""
    kernel = core.K
    kernel.tick()
    if not size and isinstance(file, Endpoint):
        return b""  # "Match SYS5 behaviour" (`sock_read_iter`)
    data: bytes | None = None
    while data is None:
        try:
            data = file.read(size)
        except BlockingIOError:
            wait(file, READABLE, "read()")
    if kernel.soft:
        kernel.run_soft()
    kernel.streak = 0
    return data


def write(file: File, data: Any) -> int:
    """`write(2)`: a blocking file takes everything, unless something goes wrong in the middle."""
    kernel = core.K
    kernel.tick()
    whole = data if isinstance(data, bytes) else bytes(data)
    sent = 0
    while True:
        try:
            sent += file.write(whole[sent:] if sent else whole)
        except BlockingIOError:
            if sent and file.nonblocking:
                break
            wait(file, WRITABLE, "write()")
            continue
        except OSError:
            if sent:
                break
            raise
        if sent >= len(whole) or file.nonblocking or not _is_stream(file):
            break
    if kernel.soft:
        kernel.run_soft()
    kernel.streak = 0
    return sent


def _is_stream(file: File) -> bool:
    return isinstance(file, PipeWriter) or (isinstance(file, Endpoint) and file.type == SOCK_STREAM)


def wait(file: File, mask: int, call: str) -> None:
    """Wait until `file` may have changed; EAGAIN when it is non-blocking."""
    kernel = core.K
    if kernel.soft:
        kernel.run_soft()
        if file.poll() & mask:
            return
    if file.nonblocking:
        raise error(errno.EAGAIN)
    file.wait(mask, FAR, Waiting(call, file))


# ---- what fstat and F_GETFL say


def access_mode(file: File) -> int:
    """O_RDONLY, O_WRONLY or O_RDWR."""
    if isinstance(file, PipeReader) or file.kind == "stdin":
        return os.O_RDONLY
    if isinstance(file, PipeWriter) or file.kind in ("stdout", "stderr"):
        return os.O_WRONLY
    return os.O_RDWR


def mode(file: File) -> int:
    """`st_mode`. The standard streams are pipes, as in a test runner."""
    if isinstance(file, _ANONYMOUS):
        return 0o600
    kind, usual = (stat.S_IFSOCK, 0o777) if isinstance(file, Endpoint) else (stat.S_IFIFO, 0o600)
    return kind | core.K.process.stack.counters.get(f"mode of {_bearer(file).inode}", usual)


def _bearer(file: File) -> File:
    """Whose inode it is: both ends of a pipe have the same."""
    return file.pipe.reader if isinstance(file, (PipeReader, PipeWriter)) else file


def change_mode(call: str, file: File, new: int) -> None:
    """`fchmod(2)`; a name that the socket gets by `bind` afterwards has this mode, too (`unix_bind_bsd`)."""
    if isinstance(file, _ANONYMOUS):
        raise refusals.unsupported(f"os.{call}", f"the file is simulated ({file.describe()})")
    # Among the host's counters, by the number of the inode: few files have another mode, and each file is to be small.
    core.K.process.stack.counters[f"mode of {inode(_bearer(file))}"] = new & 0o7777


def status(file: File) -> os.stat_result:
    """`fstat(2)`: what tells files apart. Owner and times as Linux gives them for a pipe and a socket."""
    kind = mode(file)
    at_ns = 0
    number = inode(_bearer(file))
    if isinstance(file, (PipeReader, PipeWriter)):
        at_ns = file.pipe.made_ns
    device = 9 if stat.S_ISSOCK(kind) else 15 if stat.S_ISFIFO(kind) else 16  # sockfs, pipefs, anon_inodefs
    at = at_ns // 1_000_000_000
    times = (at, at, at, *(at_ns / 1e9,) * 3, *(at_ns,) * 3)
    return os.stat_result((kind, number, device, 1, os.getuid(), os.getgid(), 0, *times, BLOCK, 0, 0))


def inode(file: File) -> int:
    """The number by which programs compare two descriptors."""
    if not file.inode:
        counters = core.K.process.stack.counters
        file.inode = counters["inode"] = counters.get("inode", 0) + 1
    return file.inode


def join_sets(name: str, new: Callable[..., Any]) -> None:
    """`os.supports_fd` and its kin name functions: what the real one can do, the new one can."""
    for known in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if getattr(real, name) in known:
            known.add(new)
