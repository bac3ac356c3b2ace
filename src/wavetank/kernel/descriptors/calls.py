"""The calls of `os` that work on simulated descriptors.

Owns the face: argument checks as CPython's Modules/posixmodule.c makes them, and the choice between the simulated file
and the real call. What a file does is its own matter (`pipe`, `eventfd`, `unix`, `udp`, `tcp`).
"""

from __future__ import annotations

import errno
import math
import operator
import os
import posix
import struct
from collections.abc import Sequence
from typing import Any, Final

from wavetank.kernel import core, refusals
from wavetank.kernel.arguments import as_int, bytes_of, letting_go
from wavetank.kernel.descriptors import filetimes, inotify, transfer
from wavetank.kernel.descriptors.table import (
    RealFile,
    change_mode,
    is_protected,
    join_sets,
    open_real,
    read,
    real,
    resolve,
    status,
    write,
)
from wavetank.kernel.eventfd import EventFile, TimerFile
from wavetank.kernel.file import File, error
from wavetank.kernel.pipe import PAGE, make_pipe
from wavetank.kernel.process import FIRST_FD
from wavetank.kernel.replace import replace_calls

_O_DIRECT: Final = 0o40000
_O_NOTIFICATION_PIPE: Final = 0o200  # O_EXCL
_SEMAPHORE: Final = 1  # EFD_SEMAPHORE
_ABSOLUTE, _CANCEL_ON_SET = 1, 2  # TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET
_CLOCKS: Final = (0, 1, 7, 8, 9)  # CLOCK_REALTIME, MONOTONIC, BOOTTIME and their alarms
_UINT_MOST: Final = (1 << 32) - 1
#: `sysconf` and `pathconf` names that have an answer for simulated descriptors.
_SC_OPEN_MAX: Final = os.sysconf_names["SC_OPEN_MAX"]
_PC_PIPE_BUF: Final = os.pathconf_names["PC_PIPE_BUF"]


def _install(file: File, flags: int) -> int:
    """A new descriptor, inherited unless `flags` has O_CLOEXEC."""
    process = core.K.process
    fd = process.install(file)
    if not flags & os.O_CLOEXEC:
        process.inheritable.add(fd)
    return fd


class Calls:
    """One method for each call; each has the name and the arguments of the one in `os`."""

    # ---- reading and writing

    def read(self, fd: int, length: int, /) -> bytes:
        """At most `length` bytes."""
        target = resolve(fd)
        if isinstance(target, int):
            inotify.wait_for_events(target)
            data: bytes = real.read(target, length)
            return data
        if length < 0:
            raise error(errno.EINVAL)
        return read(target, length)

    @letting_go
    def write(self, fd: int, data: Any, /) -> int:
        """How many bytes were taken."""
        target = resolve(fd)
        if isinstance(target, int):
            count: int = real.write(target, data)
            return count
        return write(target, bytes_of(data))

    @letting_go
    def readv(self, fd: int, buffers: Sequence[Any], /) -> int:
        """Read into several buffers."""
        target = resolve(fd)
        if isinstance(target, int):
            return int(real.readv(target, buffers))
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data = read(target, sum(map(len, views)))
        start = 0
        for view in views:
            part = data[start : start + len(view)]
            view[: len(part)] = part
            start += len(part)
        return len(data)

    @letting_go
    def writev(self, fd: int, buffers: Sequence[Any], /) -> int:
        """Write several buffers as one."""
        target = resolve(fd)
        if isinstance(target, int):
            return int(real.writev(target, buffers))
        return write(target, b"".join(bytes_of(buffer) for buffer in buffers))

    def sendfile(self, out_fd: int, in_fd: int, offset: Any, count: int) -> int:
        """Bytes sent from `in_fd` to `out_fd`; 0 at the end."""
        out, source = resolve(out_fd), resolve(in_fd)
        if isinstance(out, int) and isinstance(source, int):
            return int(real.sendfile(out, source, offset, count))
        return transfer.sendfile(out, source, offset, count)

    def splice(
        self, src: int, dst: int, count: int, offset_src: Any = None, offset_dst: Any = None, flags: int = 0
    ) -> int:
        """Bytes moved from `src` to `dst`, one of which is a pipe."""
        source, out = resolve(src), resolve(dst)
        if isinstance(out, int) and isinstance(source, int):
            return int(real.splice(source, out, count, offset_src, offset_dst, flags))
        if count < 0:
            raise ValueError("negative value for 'count' not allowed")
        return transfer.splice(source, out, count, offset_src, offset_dst, flags)

    # ---- descriptors

    def close(self, fd: int) -> None:
        """Close it."""
        if fd.__class__ is int and 2 < fd < FIRST_FD:
            real.close(fd)
            return
        core.K.tick()
        if isinstance(resolve(fd), int) and fd not in core.K.fds:
            real.close(fd)
        else:
            core.K.process.close_lingering(fd)

    def closerange(self, fd_low: int, fd_high: int, /) -> None:
        """Close what is open of them, but for the simulator's own."""
        process = core.K.process
        for fd in sorted(fd for fd in process.fds if fd_low <= fd < fd_high):
            process.close(fd)
        for fd in open_real():
            if max(fd_low, 3) <= fd < fd_high and not is_protected(fd):
                real.close(fd)

    def dup(self, fd: int, /) -> int:
        """Another descriptor, which is not inherited."""
        target = resolve(fd)
        if isinstance(target, int):
            return int(real.dup(target))
        core.K.tick()
        return core.K.process.install(target)

    def dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        """Make `fd2` mean what `fd` means."""
        target = resolve(fd)
        if isinstance(target, int) and 2 < fd2 < FIRST_FD:
            return int(real.dup2(target, fd2, inheritable))
        process = core.K.process
        if fd2 < 0 or fd2 >= FIRST_FD + process.open_files:
            raise error(errno.EBADF)
        if 2 < fd2 < FIRST_FD:
            raise refusals.unsupported(
                "os.dup2", "a simulated descriptor cannot have the number of a real one", errno.EBADF
            )
        if isinstance(target, int) and fd2 in (0, 1, 2) and not process.fds.keys() & {0, 1, 2}:
            return int(real.dup2(target, fd2, inheritable))  # an image: its streams are real
        core.K.tick()
        if fd == fd2:  # dup2 leaves it as it is, dup3 refuses
            if not inheritable:
                raise error(errno.EINVAL)
            return fd2
        process.install_at(RealFile(target) if isinstance(target, int) else target, fd2)
        process.inheritable.discard(fd2)
        if inheritable:
            process.inheritable.add(fd2)
        return fd2

    def pipe(self) -> tuple[int, int]:
        """A pipe whose ends are not inherited."""
        return self.pipe2(os.O_CLOEXEC)

    def pipe2(self, flags: int, /) -> tuple[int, int]:
        """A pipe: O_CLOEXEC, O_NONBLOCK."""
        flags = as_int(flags)
        core.K.tick()
        if flags & (_O_DIRECT | _O_NOTIFICATION_PIPE):
            raise refusals.unsupported("os.pipe2", "pipes of packets (O_DIRECT) and of notifications", errno.EINVAL)
        if flags & ~(os.O_CLOEXEC | os.O_NONBLOCK):
            raise error(errno.EINVAL)
        reader, writer = make_pipe(flags)
        fd = _install(reader, flags)
        try:
            return fd, _install(writer, flags)
        except OSError:
            core.K.process.close(fd)
            raise

    def get_blocking(self, fd: int, /) -> bool:
        """Whether O_NONBLOCK is off."""
        target = resolve(fd)
        return bool(real.get_blocking(target)) if isinstance(target, int) else not target.nonblocking

    def set_blocking(self, fd: int, blocking: Any, /) -> None:
        """Set or clear O_NONBLOCK."""
        target = resolve(fd)
        if isinstance(target, int):
            real.set_blocking(target, blocking)
        else:
            target.nonblocking = not blocking

    def get_inheritable(self, fd: int, /) -> bool:
        """Whether close-on-exec is off. The standard streams are inherited from the start."""
        target = resolve(fd)
        if isinstance(target, int) and fd not in core.K.fds:
            return bool(real.get_inheritable(target))
        return fd in core.K.process.inheritable or fd in (0, 1, 2)

    def set_inheritable(self, fd: int, inheritable: Any, /) -> None:
        """Set or clear close-on-exec."""
        target = resolve(fd)
        if isinstance(target, int) and fd not in core.K.fds:
            real.set_inheritable(target, inheritable)
        elif inheritable:
            core.K.process.inheritable.add(fd)
        else:
            core.K.process.inheritable.discard(fd)

    # ---- what it is

    def fstat(self, fd: int) -> os.stat_result:
        """Its kind and its inode number."""
        target = resolve(fd)
        return filetimes.shown(real.fstat(target)) if isinstance(target, int) else status(target)

    def fchmod(self, fd: int, mode: int) -> None:
        """Who may do what."""
        target = resolve(fd)
        if isinstance(target, int):
            real.fchmod(target, mode)
        else:
            change_mode("fchmod", target, operator.index(mode))

    def isatty(self, fd: int, /) -> bool:
        """Never for a simulated one."""
        try:
            target = resolve(fd)
        except OSError:
            return False
        return isinstance(target, int) and bool(real.isatty(target))

    def device_encoding(self, fd: int) -> str | None:
        """The encoding of a terminal."""
        if not self.isatty(fd):
            return None
        encoding: str | None = real.device_encoding(fd)
        return encoding

    def get_terminal_size(self, fd: int = 1, /) -> os.terminal_size:
        """Columns and lines of a terminal; ENOTTY for what is none."""
        target = resolve(fd)
        if isinstance(target, int):
            found: os.terminal_size = real.get_terminal_size(target)
            return found
        raise error(errno.ENOTTY)

    def lseek(self, fd: int, position: int, whence: int, /) -> int:
        """ESPIPE, but for anonymous inodes, which take it without effect (`noop_llseek`)."""
        target = resolve(fd)
        if isinstance(target, int):
            return int(real.lseek(target, position, whence))
        if isinstance(target, (EventFile, TimerFile)):
            return 0
        raise error(errno.ESPIPE)

    def fpathconf(self, fd: int, name: Any, /) -> int:
        """PC_PIPE_BUF."""
        target = resolve(fd)
        if isinstance(target, int):
            return int(real.fpathconf(target, name))
        if name not in ("PC_PIPE_BUF", _PC_PIPE_BUF):
            raise refusals.unsupported("os.fpathconf", f"{name!r} of a simulated descriptor", errno.EINVAL)
        return PAGE

    def sysconf(self, name: Any, /) -> int:
        """The limit of open files is the simulated process's own."""
        if name in ("SC_OPEN_MAX", _SC_OPEN_MAX):
            return core.K.process.open_files
        return int(real.sysconf(name))

    # ---- event counters and timers

    def eventfd(self, initval: int, flags: int = os.O_CLOEXEC) -> int:
        """A counter behind a descriptor."""
        core.K.tick()
        if not 0 <= initval <= _UINT_MOST:
            raise OverflowError("unsigned int is less than minimum" if initval < 0 else "unsigned int is too large")
        if flags & ~(os.O_CLOEXEC | os.O_NONBLOCK | _SEMAPHORE):
            raise error(errno.EINVAL)
        file = EventFile(initval, bool(flags & _SEMAPHORE))
        file.nonblocking = bool(flags & os.O_NONBLOCK)
        return _install(file, flags)

    def eventfd_read(self, fd: int) -> int:
        """Its value: read(2) of 8 bytes."""
        data = self.read(fd, 8)
        if len(data) != 8:
            raise error(errno.EINVAL)
        return int(struct.unpack("=Q", data)[0])

    def eventfd_write(self, fd: int, value: int) -> None:
        """Add to it: write(2) of 8 bytes."""
        self.write(fd, struct.pack("=Q", value))

    def timerfd_create(self, clockid: int, /, *, flags: int = os.O_CLOEXEC) -> int:
        """A timer behind a descriptor."""
        core.K.tick()
        if clockid not in _CLOCKS or flags & ~(os.O_CLOEXEC | os.O_NONBLOCK):
            raise error(errno.EINVAL)
        file = TimerFile({8: 0, 9: 7}.get(clockid, clockid))
        file.nonblocking = bool(flags & os.O_NONBLOCK)
        return _install(file, flags)

    def timerfd_settime_ns(self, fd: int, /, *, flags: int = 0, initial: int = 0, interval: int = 0) -> tuple[int, int]:
        """Set it; what was set before: ns until it would have expired, and the interval."""
        timer = _timer(fd)
        if flags & _CANCEL_ON_SET:
            raise refusals.unsupported("os.timerfd_settime", "TFD_TIMER_CANCEL_ON_SET", errno.EINVAL)
        if flags & ~_ABSOLUTE or initial < 0 or interval < 0:
            raise error(errno.EINVAL)
        before = timer.remaining()
        timer.set_time(initial, interval, absolute=bool(flags & _ABSOLUTE))
        return before

    def timerfd_gettime_ns(self, fd: int, /) -> tuple[int, int]:
        """Ns until it expires, and the interval."""
        return _timer(fd).remaining()

    def timerfd_settime(
        self, fd: int, /, *, flags: int = 0, initial: float = 0.0, interval: float = 0.0
    ) -> tuple[float, float]:
        """The same in seconds."""
        return _seconds(self.timerfd_settime_ns(fd, flags=flags, initial=_ns(initial), interval=_ns(interval)))

    def timerfd_gettime(self, fd: int, /) -> tuple[float, float]:
        """The same in seconds."""
        return _seconds(self.timerfd_gettime_ns(fd))


def _timer(fd: int) -> TimerFile:
    core.K.tick()
    target = resolve(fd)
    if not isinstance(target, TimerFile):
        raise error(errno.EINVAL)
    return target


def _ns(seconds: float) -> int:
    return math.floor(seconds * 1e9)  # _PyTime_ROUND_FLOOR


def _seconds(pair: tuple[int, int]) -> tuple[float, float]:
    return pair[0] / 1e9, pair[1] / 1e9


def install() -> None:
    """Replace the calls in `os` and in `posix`."""
    face = Calls()
    replace_calls(face, os, posix)
    join_sets("fpathconf", face.fpathconf)
