"""Waiting for changes in a folder: a blocking read of inotify's descriptor, which is real as the disk is.

Owns that one wait. What programs of the world do to the disk comes up in the real queue at once; but a read of an empty
queue would stop the whole world in the real kernel. So the reader waits in virtual time and looks again, less and less
often. `select` and its kin take the descriptor for ready (see `table.RealFile`). Behaviour: inotify(7).
"""

from __future__ import annotations

import array
import fcntl
import stat
from typing import Final

from wavetank.kernel import core
from wavetank.kernel.descriptors.table import real

_FIONREAD: Final = 0x541B  # include/uapi/asm-generic/ioctls.h
_FIRST_NS: Final = 1_000_000
_LONGEST_NS: Final = 1_000_000_000
_ioctl: Final = fcntl.ioctl  # the real one: this module is imported before it is replaced


def wait_for_events(fd: int) -> None:
    """Return when a read of this real descriptor need not wait; at once if it is none of inotify's, or never waits."""
    if stat.S_IFMT(real.fstat(fd).st_mode) or not _is_blocking_inotify(fd):
        return
    pause_ns = _FIRST_NS
    while not _unread_bytes(fd):
        core.K.park("a change that inotify tells", core.K.now + pause_ns)
        pause_ns = min(2 * pause_ns, _LONGEST_NS)


def _is_blocking_inotify(fd: int) -> bool:
    return bool(real.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify" and real.get_blocking(fd))


def _unread_bytes(fd: int) -> int:
    answer = array.array("i", [0])
    _ioctl(fd, _FIONREAD, answer)
    return answer[0]
