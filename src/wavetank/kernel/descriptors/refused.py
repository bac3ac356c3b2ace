"""Calls that a simulated descriptor does not take: what Linux refuses on pipes and sockets, and what is not simulated.

Owns two tables, and nothing that works. A call that Linux refuses gets the errno of Linux; one that Linux would serve
is refused by name. Errnos were measured on Linux 6.18 with a pipe, a socket and an eventfd.
"""

from __future__ import annotations

import errno
import operator
import os
import posix
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from wavetank.kernel import core, refusals
from wavetank.kernel.descriptors.table import access_mode, is_simulated, join_sets, resolve
from wavetank.kernel.endpoint import Endpoint
from wavetank.kernel.file import File, error
from wavetank.kernel.replace import when_imported

#: By call: the errno for a socket, and for any other simulated file. 0: done, without effect.
_LINUX: Final[dict[str, tuple[int, int]]] = {
    "pread": (errno.ESPIPE, errno.ESPIPE),
    "pwrite": (errno.ESPIPE, errno.ESPIPE),
    "preadv": (errno.ESPIPE, errno.ESPIPE),
    "pwritev": (errno.ESPIPE, errno.ESPIPE),
    "fsync": (errno.EINVAL, errno.EINVAL),
    "fdatasync": (errno.EINVAL, errno.EINVAL),
    "ftruncate": (errno.EINVAL, errno.EINVAL),
    "truncate": (errno.EINVAL, errno.EINVAL),
    "fchdir": (errno.ENOTDIR, errno.ENOTDIR),
    "chdir": (errno.ENOTDIR, errno.ENOTDIR),
    "ttyname": (errno.ENOTTY, errno.ENOTTY),
    "tcgetpgrp": (errno.ENOTTY, errno.ENOTTY),
    "tcsetpgrp": (errno.ENOTTY, errno.ENOTTY),
    "posix_fadvise": (0, errno.ESPIPE),
    "posix_fallocate": (errno.ENODEV, errno.ESPIPE),
    "copy_file_range": (errno.EINVAL, errno.EINVAL),
}
#: Calls whose errors name the descriptor, as they would name a path.
_NAMES_IT: Final = ("chdir",)
#: Linux serves these; the simulator does not.
_NOT_SIMULATED: Final = (
    "fchown", "fstatvfs", "lockf", "statvfs", "pathconf", "getxattr", "setxattr", "listxattr", "removexattr",
)  # fmt: skip
#: Calls that take a path as well, under this name.
_PATHS: Final = frozenset({
    "truncate", "chdir", "statvfs", "pathconf", "getxattr", "setxattr", "listxattr", "removexattr",
})  # fmt: skip
_TERMINAL: Final = (
    "tcgetattr", "tcsetattr", "tcsendbreak", "tcdrain", "tcflush", "tcflow", "tcgetwinsize", "tcsetwinsize",
)  # fmt: skip


class _Guard:
    """One call: the real one, unless it is given a simulated descriptor."""

    def __init__(self, name: str, own: Callable[..., Any]) -> None:
        self.name = name
        self.own = own

    def _refuse(self, fd: Any, file: File) -> None:
        """What happens instead."""
        errnos = _LINUX.get(self.name)
        if errnos is None:
            raise refusals.unsupported(f"os.{self.name}", f"the file is simulated ({file.describe()})")
        number = errnos[0] if isinstance(file, Endpoint) else errnos[1]
        if self.name == "posix_fallocate" and access_mode(file) == os.O_RDONLY:
            number = errno.EBADF
        if number and self.name in _NAMES_IT:
            raise OSError(number, os.strerror(number), fd)
        if number:
            raise error(number)

    def descriptor(self, *args: Any, **options: Any) -> Any:
        """A call whose first argument is a descriptor."""
        if not args and "fd" not in options:
            return self.own(**options)
        fd = args[0] if args else options["fd"]
        target = resolve(fd)
        if isinstance(target, int):
            return self.own(*args, **options) if target == fd else self.own(target, *args[1:], **options)
        return self._refuse(fd, target)

    def either(self, *args: Any, **options: Any) -> Any:
        """A call whose first argument is a path or a descriptor."""
        path = args[0] if args else options.get("path")
        if isinstance(path, int) and is_simulated(path):
            return self._refuse(path, core.K.fds[path])
        return self.own(*args, **options)

    def both(self, src: Any, dst: Any, *args: Any, **options: Any) -> Any:
        """A call with two descriptors and a count."""
        count = args[0] if args else options.get("count", 0)
        if operator.index(count) < 0:
            raise ValueError("negative value for 'count' not allowed")
        for fd in (src, dst):
            target = resolve(fd)
            if isinstance(target, File):
                return self._refuse(fd, target)
        return self.own(src, dst, *args, **options)


def _guard_terminal(module: ModuleType) -> None:
    """`termios`: a simulated descriptor is no terminal."""
    for name in _TERMINAL:
        own = getattr(module, name, None)
        if own is not None:
            setattr(module, name, _TerminalGuard(own, module).call)


class _TerminalGuard:
    """One call of `termios`."""

    def __init__(self, own: Callable[..., Any], module: ModuleType) -> None:
        self.own = own
        self.module = module

    def call(self, fd: Any, *args: Any) -> Any:
        """`termios.error` with ENOTTY for a simulated descriptor."""
        number = fd if isinstance(fd, int) else fd.fileno()
        target = resolve(number)
        if isinstance(target, File):
            raise self.module.error(errno.ENOTTY, os.strerror(errno.ENOTTY))
        return self.own(target, *args)


def install() -> None:
    """Guard the calls."""
    for name in (*_LINUX, *_NOT_SIMULATED):
        own = getattr(posix, name, None)
        if own is None:
            continue
        guard = _Guard(name, own)
        call = guard.either if name in _PATHS else guard.both if name == "copy_file_range" else guard.descriptor
        for module in (posix, sys.modules["os"]):
            setattr(module, name, call)
        join_sets(name, call)
    when_imported("termios", _guard_terminal)
