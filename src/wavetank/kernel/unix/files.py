"""The names that UNIX sockets have in the file system.

Owns the socket files of a world. They exist in the world alone, not on the disk: runs of one program go on side by
side in one folder, and a file that one of them left would be in the way of the next. Everything else about a path is
real: its folder must exist and be writable, a real file of that name is in the way, and the name is found by the
folder's identity, whichever way the path leads there. `kernel.descriptors.paths` shows these files to the program.
Behaviour: net/unix/af_unix.c (`unix_bind_bsd`), fs/namei.c.
"""

from __future__ import annotations

import errno
import os
import posix
import stat
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core
from wavetank.kernel.descriptors.table import mode
from wavetank.kernel.file import error

if TYPE_CHECKING:
    from wavetank.kernel.unix.endpoint import Unix

# The interpreter's own, also where the program has put others into `os`, as blockbuster does.
real_stat: Final = posix.stat
_real_lstat: Final = posix.lstat
_real_readlink: Final = posix.readlink
real_access: Final = posix.access
#: include/linux/namei.h, MAXSYMLINKS
_LINKS_MOST: Final = 40
#: Inode numbers that no real file has.
_FIRST_NUMBER: Final = 1 << 62

#: Device and inode of the folder, and the last part of the path.
Place = tuple[int, int, bytes]


class SocketFile:
    """One socket file; `socket` is bound to it, until it is closed."""

    __slots__ = ("at_ns", "device", "gid", "links", "mode", "number", "socket", "uid")

    def __init__(self, device: int, number: int, mode: int, socket: Unix) -> None:
        self.device = device
        self.number = number
        self.mode = mode
        self.uid = os.getuid()
        self.gid = os.getgid()
        self.at_ns = core.K.epoch_ns + core.K.now
        self.links = 1
        self.socket: Unix | None = socket

    def status(self) -> os.stat_result:
        """`stat(2)`."""
        at = self.at_ns // 1_000_000_000
        times = (at, at, at, *(self.at_ns / 1e9,) * 3, *(self.at_ns,) * 3)
        mode = stat.S_IFSOCK | self.mode
        return os.stat_result((mode, self.number, self.device, self.links, self.uid, self.gid, 0, *times, 4_096, 0, 0))

    def allows(self, wanted: int) -> bool:
        """Whether the user may: `wanted` of R_OK, W_OK, X_OK (`generic_permission`)."""
        user = os.geteuid()
        if user == 0:
            return not wanted & os.X_OK or bool(self.mode & 0o111)
        shift = 6 if user == self.uid else 3 if self.gid in (os.getegid(), *os.getgroups()) else 0
        return not wanted & ~(self.mode >> shift)


class _Disk:
    """All socket files of the world."""

    def __init__(self) -> None:
        self.files: dict[Place, SocketFile] = {}
        self.names: dict[bytes, int] = {}  # how many files have this last part: most paths need no further look
        self.made = 0


_disk: Final = _Disk()


def _place(path: Any) -> Place | None:
    """Where a path leads, None when its folder is not there."""
    folder, name = os.path.split(os.fsencode(path))
    try:
        found = real_stat(folder or b".")
    except OSError:
        return None
    return found.st_dev, found.st_ino, name


def look(path: Any) -> SocketFile | None:
    """The socket file at a path, or None. A symbolic link at its end is not followed."""
    if not _disk.files or isinstance(path, int):
        return None
    try:
        name = os.path.basename(os.fsencode(path))
    except TypeError:
        return None
    if name not in _disk.names:
        return None
    place = _place(path)
    return None if place is None else _disk.files.get(place)


def look_behind_links(path: Any) -> SocketFile | None:
    """The socket file to which a path leads, or None."""
    for _ in range(_LINKS_MOST):
        found = look(path)
        if found is not None or not _disk.files:
            return found
        try:
            path = os.path.join(os.path.dirname(path), _real_readlink(path))
        except (OSError, TypeError, ValueError):  # no link, or no path
            return None
    return None


def make(path: bytes, socket: Unix) -> SocketFile:
    """A new socket file: EADDRINUSE if there is something already, else what mknod(2) says of the folder."""
    folder, name = os.path.split(path)
    try:
        found = real_stat(folder or b".")
    except OSError as problem:
        raise error(problem.errno or errno.ENOENT) from None
    if not stat.S_ISDIR(found.st_mode):
        raise error(errno.ENOTDIR)
    place = (found.st_dev, found.st_ino, name)
    if place in _disk.files or _exists(path):
        raise error(errno.EADDRINUSE)
    if not name:
        raise error(errno.ENOENT)
    if not real_access(folder or b".", os.W_OK | os.X_OK):
        raise error(errno.EACCES)
    mask = os.umask(0)
    os.umask(mask)
    _disk.made += 1
    file = SocketFile(found.st_dev, _FIRST_NUMBER + _disk.made, stat.S_IMODE(mode(socket)) & ~mask, socket)
    _put(place, file)
    return file


def _exists(path: bytes) -> bool:
    try:
        _real_lstat(path)
    except OSError:
        return False
    return True


def _put(place: Place, file: SocketFile) -> None:
    _disk.files[place] = file
    _disk.names[place[2]] = _disk.names.get(place[2], 0) + 1


def _take(place: Place) -> SocketFile:
    file = _disk.files.pop(place)
    _disk.names[place[2]] -= 1
    if not _disk.names[place[2]]:
        del _disk.names[place[2]]
    return file


def remove(path: Any) -> bool:
    """`unlink(2)` of a socket file; False when there is none at this path."""
    if look(path) is None:
        return False
    place = _place(path)
    assert place is not None
    _take(place).links -= 1
    return True


def move(source: Any, target: Any) -> bool:
    """`rename(2)` of a socket file: what is at the target goes; False when there is none at the source."""
    if look(source) is None:
        return False
    old, new = _place(source), _place(target)
    assert old is not None
    if new is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), source, None, target)
    if new == old:
        return True
    if new in _disk.files:
        _take(new).links -= 1
    elif _exists(os.fsencode(target)):
        posix.unlink(target)
    _put(new, _take(old))
    return True


def link(source: Any, target: Any) -> bool:
    """`link(2)` to a socket file; False when there is none at the source."""
    file = look(source)
    if file is None:
        return False
    place = _place(target)
    if place is None or place in _disk.files or _exists(os.fsencode(target)):
        number = errno.ENOENT if place is None else errno.EEXIST
        raise OSError(number, os.strerror(number), source, None, target)
    file.links += 1
    _put(place, file)
    return True


def any_there() -> bool:
    """Whether the world has socket files at all."""
    return bool(_disk.files)


def names_in(folder: Any) -> list[bytes]:
    """The names of the socket files in a folder."""
    if not _disk.files:
        return []
    found = real_stat(folder)
    return [name for device, number, name in _disk.files if (device, number) == (found.st_dev, found.st_ino)]


def clear() -> None:
    """The world is over."""
    _disk.files.clear()
    _disk.names.clear()
    _disk.made = 0
