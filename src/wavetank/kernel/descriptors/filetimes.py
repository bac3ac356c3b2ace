"""The times of files on the disk, as the clock of the world would have set them.

Owns the translation. The disk is the real one, and so are the times that it keeps: a file that a run has just written
was changed at the time of day on the machine, which is another in each run, and hours away from what `time.time()` says
in the world. So what has changed since the run began shows the virtual time at which it was opened to be written, or
else at which the change was first seen; the same time again until it changes again. What was there before shows its
real times. Sources (`.py`) always do: by them the interpreter tells whether its cache is good for them.

Must never change a time on the disk. Limits: a file that is open to be written for long seems to have been changed when
it was opened; and one that was only read shows when it was read in real time, in the first run that reads it: Linux
notes that once a day (mount(8), relatime), so that the next run would have other objects if this one made a status.
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple, NoReturn

from wavetank.kernel import core
from wavetank.kernel.clock import wall_at
from wavetank.kernel.descriptors.table import real
from wavetank.kernel.process import FIRST_FD

#: The disk's clock goes in ticks (CONFIG_HZ is 100 at least), so a time on it may lie before that of the call.
_TICK_NS: Final = 10_000_000
_SOURCE: Final = (".py", ".pyc")

#: Device and inode.
Identity = tuple[int, int]


class _Seen(NamedTuple):
    """How a file was when a program last looked, and the time that it was told."""

    changed_ns: int
    size: int
    shown_ns: int


class _Opened(NamedTuple):
    """When a file was opened to write, and whether that alone has changed it."""

    at_ns: int
    changes: bool


class _Run:
    """What is known of the files of this run. `begun_ns`: 0 while none is under way."""

    def __init__(self) -> None:
        self.begun_ns = 0
        self.seen: dict[Identity, _Seen] = {}
        self.opened: dict[Identity, _Opened] = {}


_run: Final = _Run()


def begin() -> None:
    """A run begins."""
    # The disk's own idea of now, since `time` is the world's already: a new file without a name is a moment old.
    fresh = real.memfd_create("now")
    _run.begun_ns = real.fstat(fresh).st_ctime_ns - _TICK_NS
    real.close(fresh)
    _run.seen.clear()
    _run.opened.clear()


def end() -> None:
    """The world is over: times are the disk's again."""
    _run.begun_ns = 0


def anything_written() -> bool:
    """Whether a program of this run has opened a file to write it."""
    return bool(_run.opened or _run.seen)


def written(fd: int, *, emptied: bool) -> None:
    """A real descriptor has been opened to write; `emptied`: what was in the file is gone, so it has changed."""
    if _run.begun_ns and fd < FIRST_FD:
        found = real.fstat(fd)
        _run.opened[found.st_dev, found.st_ino] = _Opened(wall_at(core.K), emptied)


def given(path: Any, **options: Any) -> None:
    """A program has set the times of a file (`os.utime`): they are shown as they are."""
    if _run.begun_ns:
        found = real.stat(path, **options)
        _run.opened.pop((found.st_dev, found.st_ino), None)
        _run.seen[found.st_dev, found.st_ino] = _Seen(found.st_mtime_ns, found.st_size, found.st_mtime_ns)


def shown(found: os.stat_result, path: Any = None) -> os.stat_result:
    """The status as the program is to see it; the very same for a file that this run has not changed."""
    begun_ns = _run.begun_ns
    if not begun_ns or found.st_ctime_ns < begun_ns:
        return found
    if path.__class__ is str and path.endswith(_SOURCE):
        return found
    changed_ns = _changed(found)
    wanted = {"atime": found.st_atime_ns, "mtime": found.st_mtime_ns, "ctime": found.st_ctime_ns}
    known = _run.seen.get((found.st_dev, found.st_ino))
    for name, value in wanted.items():
        is_given = name == "mtime" and known is not None and known.shown_ns == value
        if value >= begun_ns and not is_given:
            wanted[name] = changed_ns
    return _with_times(found, list(wanted.values()))


def _changed(found: os.stat_result) -> int:
    """When the file was changed, in virtual time. One that was only read, when the world began."""
    if max(found.st_ctime_ns, found.st_mtime_ns) < _run.begun_ns:
        return core.K.epoch_ns
    identity = found.st_dev, found.st_ino
    known = _run.seen.get(identity)
    opened = _run.opened.get(identity)
    is_same = known is not None and (known.changed_ns, known.size) == (found.st_mtime_ns, found.st_size)
    if known is not None and is_same and not (opened is not None and opened.changes):
        return known.shown_ns  # and nothing has been written since, even if it is open to be
    _run.opened.pop(identity, None)
    shown_ns = wall_at(core.K) if opened is None else opened.at_ns
    _run.seen[identity] = _Seen(found.st_mtime_ns, found.st_size, shown_ns)
    return shown_ns


def _with_times(found: os.stat_result, times_ns: list[int]) -> os.stat_result:
    whole = [each // 1_000_000_000 for each in times_ns]
    seconds = [each / 1e9 for each in times_ns]
    rest = found.st_blksize, found.st_blocks, found.st_rdev
    return os.stat_result((*found[:7], *whole, *seconds, *times_ns, *rest))


class Entry:
    """An `os.DirEntry` whose `stat` shows these times."""

    __slots__ = ("_own", "name", "path")
    __class__ = os.DirEntry  # type: ignore[assignment]  # what `isinstance` asks besides the type

    def __init__(self, own: os.DirEntry[Any]) -> None:
        self._own = own
        self.name = own.name
        self.path = own.path

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return repr(self._own)

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle 'posix.DirEntry' object")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """As of `os.stat`."""
        return shown(self._own.stat(follow_symlinks=follow_symlinks), self.path)
