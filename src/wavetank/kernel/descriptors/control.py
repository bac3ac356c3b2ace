"""`fcntl`, `ioctl` and the limit of open files.

Owns flags of descriptors and files (F_GETFL and its kin), sizes of queues (FIONREAD, TIOCOUTQ) and RLIMIT_NOFILE of a
simulated process. Arguments as CPython's Modules/fcntlmodule.c and resource.c take them. Behaviour: fs/fcntl.c,
fs/ioctl.c, net/socket.c, fcntl(2), ioctl_tty(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import struct
from types import SimpleNamespace
from typing import Any, Final

from wavetank.errors import NotSimulatedOSError
from wavetank.kernel import core, netdevice
from wavetank.kernel.descriptors.table import Target, access_mode, resolve
from wavetank.kernel.endpoint import Endpoint
from wavetank.kernel.eventpoll import EpollFile
from wavetank.kernel.file import File, error
from wavetank.kernel.pipe import Pipe, PipeReader, PipeWriter
from wavetank.kernel.process import FIRST_FD
from wavetank.kernel.readiness import fileno_of
from wavetank.kernel.replace import replace_calls
from wavetank.kernel.udp import Udp

_O_DIRECT, _O_ASYNC = 0o40000, 0o20000
_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_GETOWN = 0, 1, 2, 3, 4, 9
_F_DUPFD_CLOEXEC, _F_SETPIPE_SZ, _F_GETPIPE_SZ = 1030, 1031, 1032
_FD_CLOEXEC: Final = 1
#: Commands that Linux has and the simulator has not (include/uapi/linux/fcntl.h, asm-generic/fcntl.h): locks, owners,
#: leases, notifications, seals, hints.
_OTHER_COMMANDS: Final = frozenset({*range(5, 17), 36, 37, 38, 1024, 1025, 1026, 1029, 1033, 1034, *range(1035, 1041)})
# include/uapi/asm-generic/ioctls.h
_TIOCOUTQ, _TIOCGWINSZ, _FIONREAD, _FIONBIO = 0x5411, 0x5413, 0x541B, 0x5421
_FIONCLEX, _FIOCLEX, _FIOASYNC = 0x5450, 0x5451, 0x5452
#: Requests to a socket about interfaces, routes and urgent data (include/uapi/linux/sockios.h); some of those about
#: interfaces are answered.
_SOCKET_REQUESTS: Final = range(0x8900, 0x89FF)
_INT: Final = struct.Struct("=i")
_NR_OPEN: Final = 1_048_576  # /proc/sys/fs/nr_open
_RLIM_INFINITY: Final = -1

_real: Final = SimpleNamespace(
    fcntl=fcntl.fcntl,
    ioctl=fcntl.ioctl,
    flock=fcntl.flock,
    lockf=fcntl.lockf,
    getrlimit=resource.getrlimit,
    setrlimit=resource.setrlimit,
    prlimit=resource.prlimit,
)


def _target(thing: Any) -> tuple[int, Target]:
    fd = fileno_of(thing)
    return fd, resolve(fd)


class Fcntl:
    """The functions of `fcntl`."""

    def fcntl(self, fd: Any, cmd: int, arg: Any = 0, /) -> Any:
        """A command for a descriptor; `arg` and the result are an int, or bytes."""
        number, target = _target(fd)
        if isinstance(target, int):
            return _real.fcntl(target, cmd, arg)
        core.K.tick()
        value = _INT.unpack(bytes(arg)[:4].ljust(4, b"\0"))[0] if not isinstance(arg, int) else arg
        result = _command(number, target, cmd, value)
        return result if isinstance(arg, int) else bytes(arg)

    def ioctl(self, fd: Any, request: int, arg: Any = 0, mutate_flag: bool = True, /) -> Any:
        """A request; the answer is an int, or bytes of the size of `arg`, or is put into a buffer that can change."""
        _, target = _target(fd)
        if isinstance(target, int):
            return _real.ioctl(target, request, arg, mutate_flag)
        core.K.tick()
        if isinstance(arg, int):
            return _request(target, request, bytes(4))[0]
        given = arg.encode() if isinstance(arg, str) else bytes(arg)
        result, answer = _request(target, request, given)
        if isinstance(arg, (bytes, str)) or memoryview(arg).readonly or not mutate_flag:
            return answer
        memoryview(arg).cast("B")[: len(answer)] = answer
        return result

    def flock(self, fd: Any, operation: int, /) -> None:
        """Locks of whole files."""
        _, target = _target(fd)
        if isinstance(target, File):
            raise NotSimulatedOSError("fcntl.flock", f"the file is simulated ({target.describe()})")
        _real.flock(target, operation)

    def lockf(self, fd: Any, cmd: int, len: int = 0, start: int = 0, whence: int = 0, /) -> None:
        """Locks of parts of files."""
        _, target = _target(fd)
        if isinstance(target, File):
            raise NotSimulatedOSError("fcntl.lockf", f"the file is simulated ({target.describe()})")
        _real.lockf(target, cmd, len, start, whence)


def _command(fd: int, file: File, cmd: int, value: int) -> int:
    process = core.K.process
    if cmd == _F_GETFL:
        return access_mode(file) | (os.O_NONBLOCK if file.nonblocking else 0) | (os.O_APPEND if file.append else 0)
    if cmd == _F_SETFL:
        _set_flags(file, value)
    elif cmd == _F_GETFD:
        return 0 if fd in process.inheritable or fd in (0, 1, 2) else _FD_CLOEXEC
    elif cmd == _F_SETFD:
        (process.inheritable.discard if value & _FD_CLOEXEC else process.inheritable.add)(fd)
    elif cmd in (_F_DUPFD, _F_DUPFD_CLOEXEC):
        if value < 0 or value - (FIRST_FD if value >= FIRST_FD else 0) >= process.open_files:
            raise error(errno.EINVAL)
        new = process.install(file, max(0, value - FIRST_FD))
        if cmd == _F_DUPFD:
            process.inheritable.add(new)
        return new
    elif cmd in (_F_GETPIPE_SZ, _F_SETPIPE_SZ):
        pipe = _pipe(file)
        return pipe.limit * 4_096 if cmd == _F_GETPIPE_SZ else pipe.set_size(value)
    elif cmd == _F_GETOWN:
        return 0  # nobody: F_SETOWN is not simulated
    elif cmd in _OTHER_COMMANDS:
        raise NotSimulatedOSError("fcntl.fcntl", f"command {cmd} on a simulated descriptor", errno=errno.EINVAL)
    else:
        raise error(errno.EINVAL)
    return 0


def _set_flags(file: File, flags: int) -> None:
    if flags & (_O_ASYNC | _O_DIRECT):
        raise NotSimulatedOSError("fcntl.fcntl", "O_ASYNC and O_DIRECT of a simulated descriptor", errno=errno.EINVAL)
    file.nonblocking = bool(flags & os.O_NONBLOCK)
    file.append = bool(flags & os.O_APPEND)


def _pipe(file: File) -> Pipe:
    if not isinstance(file, (PipeReader, PipeWriter)):
        raise error(errno.EBADF)
    return file.pipe


def _request(file: File, request: int, given: bytes) -> tuple[int, bytes]:
    """The result, and what is in the buffer then."""
    request &= 0xFFFF_FFFF
    process = core.K.process
    if request == _FIONREAD:
        return 0, _INT.pack(_unread(file)) + given[4:]
    if request == _TIOCOUTQ and isinstance(file, Endpoint):
        return 0, _INT.pack(file.unsent_bytes()) + given[4:]
    if request == _FIONBIO:
        file.nonblocking = any(given[:4])
        return 0, given
    if request in (_FIOCLEX, _FIONCLEX):
        for fd in [fd for fd, other in process.fds.items() if other is file]:
            (process.inheritable.discard if request == _FIOCLEX else process.inheritable.add)(fd)
        return 0, given
    if request in netdevice.REQUESTS and isinstance(file, Endpoint):
        return 0, netdevice.request(request, given)
    if request == _FIOASYNC or (request in _SOCKET_REQUESTS and isinstance(file, Endpoint)):
        raise NotSimulatedOSError("fcntl.ioctl", f"request {request:#x} on {file.describe()}", errno=errno.ENOTTY)
    raise error(_not_known(file))


def _unread(file: File) -> int:
    if isinstance(file, Udp) and file.queue.packets:
        file.queue.first()  # the call itself takes the queue over (`first_packet_length`)
    if isinstance(file, Endpoint):
        return file.readable_bytes()
    if isinstance(file, (PipeReader, PipeWriter)):
        return file.pipe.size
    raise error(_not_known(file))


def _not_known(file: File) -> int:
    """The errno for a request that a file does not know; epoll has requests of its own since Linux 6.9."""
    newer = core.K.process.stack.profile.release >= (6, 9)
    return errno.EINVAL if isinstance(file, EpollFile) and newer else errno.ENOTTY


class Resource:
    """The functions of `resource` that know the limit of open files; other limits are those of the interpreter."""

    def getrlimit(self, limit: int, /) -> tuple[int, int]:
        """The soft and the hard limit."""
        if limit == resource.RLIMIT_NOFILE:
            process = core.K.process
            return process.open_files, process.open_files_most
        soft, hard = _real.getrlimit(limit)
        return soft, hard

    def setrlimit(self, limit: int, limits: Any, /) -> None:
        """Set both. ValueError when the soft one is the higher, or the hard one is raised without privilege."""
        if limit != resource.RLIMIT_NOFILE:
            _real.setrlimit(limit, limits)
            return
        if len(limits) != 2:
            raise ValueError("expected a tuple of 2 integers")
        soft, hard = (_NR_OPEN + 1 if value == _RLIM_INFINITY else int(value) for value in limits)
        process = core.K.process
        if soft > hard:
            raise ValueError("current limit exceeds maximum limit")
        if hard > _NR_OPEN or (hard > process.open_files_most and os.getuid() != 0):
            raise ValueError("not allowed to raise maximum limit")
        process.open_files, process.open_files_most = soft, hard

    def prlimit(self, pid: int, limit: int, limits: Any = None, /) -> tuple[int, int]:
        """The limits of this process before, and perhaps new ones."""
        if limit != resource.RLIMIT_NOFILE or pid not in (0, core.K.process.pid):
            raise NotSimulatedOSError("resource.prlimit", "limits other than the own one of open files")
        before = self.getrlimit(limit)
        if limits is not None:
            self.setrlimit(limit, limits)
        return before


def install() -> None:
    """Replace the functions."""
    replace_calls(Fcntl(), fcntl)
    replace_calls(Resource(), resource)
