"""The calls of `os` that take a path and mean a UNIX socket's file, or a simulated descriptor.

Owns what a program sees of the socket files of its world (`kernel.unix.files`), which are not on the disk: looking at
them, listing, renaming and removing them. Every other path goes to the real call; while the world has no socket file,
that costs one look at an empty table. Behaviour: path_resolution(7), unix(7).
"""

from __future__ import annotations

import errno
import os
import posix
import stat
import sys
from typing import Any, Final

from wavetank.kernel import core, refusals
from wavetank.kernel.clock import wall_ns
from wavetank.kernel.descriptors import filetimes, private, proc
from wavetank.kernel.descriptors.listing import Entries, SocketEntry
from wavetank.kernel.descriptors.table import change_mode, is_simulated, join_sets, real, room_for, status
from wavetank.kernel.file import File
from wavetank.kernel.replace import public_calls, replace_calls
from wavetank.kernel.unix import files

_FOLLOWING: Final = "follow_symlinks"


def _from(path: Any, options: dict[str, Any], name: str = "dir_fd") -> Any:
    """The path by which a socket file is looked for: one that starts at a descriptor leads through that."""
    folder = options.get(name)
    if folder is None or not files.any_there() or isinstance(path, int):
        return path
    return os.path.join(os.fsencode(f"/proc/self/fd/{folder}"), os.fsencode(path))


def _look(path: Any, options: dict[str, Any]) -> files.SocketFile | None:
    """The socket file at a path."""
    return files.look(_from(path, options))


def _refuse(call: str, file: File) -> OSError:
    return refusals.unsupported(f"os.{call}", f"the file is simulated ({file.describe()})")


class Paths:
    """One method for each call; each has the name and the arguments of the one in `os`."""

    def stat(self, path: Any, **options: Any) -> os.stat_result:
        """Of a path or a descriptor."""
        if is_simulated(path):
            return status(core.K.fds[path])
        found = _look(path, options)
        if found is not None:
            return found.status()
        try:
            answer: os.stat_result = real.stat(proc.own(path), **options)
        except FileNotFoundError:
            found = files.look_behind_links(_from(path, options)) if options.get(_FOLLOWING, True) else None
            if found is None:
                raise
            return found.status()
        return filetimes.shown(answer, path)

    def lstat(self, path: Any, **options: Any) -> os.stat_result:
        """Of a path, links not followed."""
        found = _look(path, options)
        if found is not None:
            return found.status()
        call = real.stat if private.is_passed(path) else real.lstat
        return filetimes.shown(call(path, **options), path)

    def open(self, path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        """A descriptor of a real file; a socket's cannot be opened."""
        if _look(path, options) is not None:
            number = errno.EEXIST if flags & os.O_CREAT and flags & os.O_EXCL else errno.ENXIO
            raise OSError(number, os.strerror(number), path)
        room_for(path)
        fd = int(real.open(path, flags, mode, **options))
        if flags & (os.O_WRONLY | os.O_RDWR):
            filetimes.written(fd, emptied=bool(flags & os.O_TRUNC))
        return fd

    def getcwd(self) -> str:
        """The working folder."""
        return private.named(real.getcwd())

    def getcwdb(self) -> bytes:
        """The working folder, as bytes."""
        return os.fsencode(self.getcwd())

    def readlink(self, path: Any, **options: Any) -> Any:
        """Where a link leads."""
        return real.readlink(proc.own(path), **options)

    def access(self, path: Any, mode: int, **options: Any) -> bool:
        """Whether the user may do this."""
        found = files.look_behind_links(_from(path, options))
        return bool(real.access(path, mode, **options)) if found is None else found.allows(mode)

    def unlink(self, path: Any, **options: Any) -> None:
        """Remove a file."""
        if _look(path, options) is None:
            real.unlink(path, **options)
        else:
            files.remove(_from(path, options))

    def remove(self, path: Any, **options: Any) -> None:
        """Remove a file."""
        if _look(path, options) is None:
            real.remove(path, **options)
        else:
            files.remove(_from(path, options))

    def rename(self, src: Any, dst: Any, **options: Any) -> None:
        """Give a file another name."""
        old, new = _from(src, options, "src_dir_fd"), _from(dst, options, "dst_dir_fd")
        if not files.move(old, new):
            real.rename(src, dst, **options)
            files.remove(new)

    def replace(self, src: Any, dst: Any, **options: Any) -> None:
        """Give a file another name."""
        old, new = _from(src, options, "src_dir_fd"), _from(dst, options, "dst_dir_fd")
        if not files.move(old, new):
            real.replace(src, dst, **options)
            files.remove(new)

    def link(self, src: Any, dst: Any, **options: Any) -> None:
        """Give a file one more name."""
        if not files.link(src, dst):
            real.link(src, dst, **options)

    def rmdir(self, path: Any, **options: Any) -> None:
        """Remove a folder."""
        if _holds_sockets(_from(path, options)):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        real.rmdir(path, **options)

    def listdir(self, path: Any = None) -> list[Any]:
        """The names in a folder."""
        if is_simulated(path):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        found: list[Any] = real.listdir(proc.own(path))
        more = files.names_in("." if path is None else path)
        return found + (more if isinstance(path, bytes) else [os.fsdecode(name) for name in more])

    def scandir(self, path: Any = None) -> Any:
        """The entries of a folder."""
        if is_simulated(path):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        entries = real.scandir(proc.own(path))
        more = _entries("." if path is None else path) if files.any_there() else []
        return Entries(entries, more) if more or filetimes.anything_written() else entries

    def mkfifo(self, path: Any, mode: int = 0o666, **options: Any) -> None:
        """Refused: who opens such a file waits in the real kernel for its other end, and the whole world with him."""
        raise refusals.unsupported(
            "os.mkfifo", "a pipe with a name on the disk; os.pipe and UNIX sockets are simulated"
        )

    def chmod(self, path: Any, mode: int, **options: Any) -> None:
        """Who may do what."""
        if is_simulated(path):
            change_mode("chmod", core.K.fds[path], mode)
            return
        found = files.look_behind_links(path)
        if found is None:
            real.chmod(path, mode, **options)
        else:
            found.mode = stat.S_IMODE(mode)

    def chown(self, path: Any, uid: int, gid: int, **options: Any) -> None:
        """To whom it belongs."""
        if is_simulated(path):
            raise _refuse("chown", core.K.fds[path])
        _own("chown", files.look_behind_links(path), path, uid, gid, options)

    def lchown(self, path: Any, uid: int, gid: int) -> None:
        """To whom it belongs, links not followed."""
        _own("lchown", files.look(path), path, uid, gid, {})

    def utime(self, path: Any, *times: Any, **options: Any) -> None:
        """When it was used. Of a socket file only the time of its making is kept."""
        if is_simulated(path):
            raise _refuse("utime", core.K.fds[path])
        if files.look_behind_links(path) is not None:
            raise refusals.unsupported("os.utime", "the times of a socket's file")
        if (times or (options.get("times"),))[0] is None and "ns" not in options:
            times, options["ns"] = (), (wall_ns(), wall_ns())  # now, by the clock that the program reads
            options.pop("times", None)
        real.utime(path, *times, **options)
        filetimes.given(path, **{name: value for name, value in options.items() if name in ("dir_fd", _FOLLOWING)})


def _entries(folder: Any) -> list[SocketEntry]:
    """The socket files in a folder, given by its path or by a descriptor."""
    found = []
    for name in files.names_in(folder):
        if isinstance(folder, int):
            file, path = files.look(_from(name, {"dir_fd": folder})), name
        else:
            path = os.path.join(os.fsencode(folder), name)
            file = files.look(path)
        assert file is not None, f"{name!r} is in the folder and yet is not"
        # As of the real call: bytes for a path of bytes, otherwise text.
        is_text = isinstance(folder, int) or not isinstance(os.fspath(folder), bytes)
        entry = SocketEntry(os.fsdecode(name), os.fsdecode(path), file) if is_text else SocketEntry(name, path, file)
        found.append(entry)
    return found


def _holds_sockets(folder: Any) -> bool:
    if not files.any_there():
        return False
    try:
        return stat.S_ISDIR(real.lstat(folder).st_mode) and bool(files.names_in(folder))
    except OSError:
        return False  # the real call says what is wrong


def _own(call: str, found: files.SocketFile | None, path: Any, uid: int, gid: int, options: dict[str, Any]) -> None:
    if found is None:
        getattr(real, call)(path, uid, gid, **options)
        return
    if os.geteuid() != 0 and (uid not in (-1, found.uid) or gid not in (-1, found.gid)):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
    found.uid = found.uid if uid == -1 else uid
    found.gid = found.gid if gid == -1 else gid


def _replace_in_glob(face: Paths) -> None:
    """From 3.13 on, classes of `glob` keep `os.scandir`, for `pathlib`; which is imported before this."""
    for kind in list(vars(sys.modules.get("glob", os)).values()):
        if isinstance(kind, type) and getattr(kind, "scandir", None) is real.scandir:
            kind.scandir = staticmethod(face.scandir)  # type: ignore[attr-defined]


def install() -> None:
    """Replace the calls in `os` and in `posix`."""
    face = Paths()
    replace_calls(face, os, posix)
    _replace_in_glob(face)
    for name, call in public_calls(face).items():
        join_sets(name, call)
