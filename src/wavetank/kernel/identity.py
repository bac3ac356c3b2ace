"""Who a simulated process is and what machine it runs on, as `os` and `platform` say it.

Owns process ids, groups and sessions, `os.uname`, and the number of processors. Each program is the leader of its own
session and group, started by init. The machine is the one of the kernel profile, the same wherever a run is repeated:
pools that are sized by the processors have the same size everywhere. Priority and processors of a process are
remembered and change nothing. Users and groups stay the real ones, because files on the real disk belong to them.
"""

from __future__ import annotations

import errno
import operator
import os
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core
from wavetank.kernel.file import error
from wavetank.kernel.replace import replace_calls, when_imported
from wavetank.kernel.signals import processes

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

#: The parent of every program.
INIT_PID: Final = 1
#: Processors of every host.
PROCESSORS: Final = 4
#: The kernel profile (docs: the Linux release whose behaviour is followed).
RELEASE: Final = "6.12.0"
VERSION: Final = "#1 SMP"

_real_uname = os.uname()


def _own(pid: int) -> bool:
    """Whether `pid` (0: oneself) is the calling process; ESRCH when it is nobody."""
    own = core.K.process.pid
    if pid in (0, own):
        return True
    if not any(each.pid == pid for each in processes()):
        raise error(errno.ESRCH)
    return False


class _Identity:
    """The calls of `os`."""

    __slots__ = ()

    def getpid(self) -> int:
        return core.K.process.pid

    def getppid(self) -> int:
        return INIT_PID

    def getpgrp(self) -> int:
        return core.K.process.pid

    def getpgid(self, pid: int) -> int:
        pid = operator.index(pid)
        return core.K.process.pid if _own(pid) else pid

    def getsid(self, pid: int, /) -> int:
        pid = operator.index(pid)
        return core.K.process.pid if _own(pid) else pid

    def setsid(self) -> None:
        """Refused, as for every leader of a process group (setsid(2))."""
        raise error(errno.EPERM)

    def setpgrp(self) -> None:
        """Refused, as for every leader of a session (setpgid(2))."""
        raise error(errno.EPERM)

    def setpgid(self, pid: int, pgrp: int, /) -> None:
        """Refused: oneself leads a session, and others are no children (setpgid(2))."""
        pid, pgrp = operator.index(pid), operator.index(pgrp)
        if pgrp < 0:
            raise error(errno.EINVAL)
        raise error(errno.EPERM if pid in (0, core.K.process.pid) else errno.ESRCH)

    def uname(self) -> os.uname_result:
        """The host's name, and the machine of the kernel profile."""
        name = core.K.process.stack.name
        return os.uname_result(("Linux", name, RELEASE, VERSION, _real_uname.machine))

    def cpu_count(self) -> int:
        return PROCESSORS

    def process_cpu_count(self) -> int:
        return PROCESSORS

    def sched_getaffinity(self, pid: int, /) -> set[int]:
        return set(_process(operator.index(pid)).affinity or range(PROCESSORS))

    def sched_setaffinity(self, pid: int, mask: Iterable[int], /) -> None:
        """On which processors it may run: remembered."""
        pid, wanted = operator.index(pid), set()
        for number in map(operator.index, mask):
            if number < 0:
                raise ValueError("negative CPU number")
            if number >= 1 << 31:
                raise OverflowError("CPU number too large")
            wanted.add(number)
        process = _process(pid)
        allowed = frozenset(wanted & set(range(PROCESSORS)))
        if not allowed:
            raise error(errno.EINVAL)
        process.affinity = allowed

    def getpriority(self, which: int, who: int) -> int:
        return _chosen(which, who).nice

    def setpriority(self, which: int, who: int, priority: int) -> None:
        """Remembered. To go down needs privileges (setpriority(2))."""
        process = _chosen(which, who)
        nice = max(-20, min(19, operator.index(priority)))
        if nice < process.nice and os.geteuid():
            raise error(errno.EACCES)
        process.nice = nice

    def nice(self, increment: int, /) -> int:
        """As `setpriority`, for oneself."""
        process = core.K.process
        nice = max(-20, min(19, process.nice + operator.index(increment)))
        if nice < process.nice and os.geteuid():
            raise error(errno.EPERM)
        process.nice = nice
        return nice

    def getloadavg(self) -> tuple[float, float, float]:
        return 0.0, 0.0, 0.0


def _process(pid: int) -> Process:
    """The process `pid` of this host (0: oneself); ESRCH."""
    found = core.K.process if pid == 0 else next((each for each in processes() if each.pid == pid), None)
    if found is None:
        raise error(errno.ESRCH)
    return found


def _chosen(which: int, who: int) -> Process:
    """Of `getpriority(2)`: a process, or a group, which is one process here; of a user the calling one."""
    which, who = operator.index(which), operator.index(who)
    if which not in (os.PRIO_PROCESS, os.PRIO_PGRP, os.PRIO_USER):
        raise error(errno.EINVAL)
    return core.K.process if which == os.PRIO_USER and who in (0, os.getuid()) else _process(who)


class _Platform:
    """`platform.uname`, on which the rest of that module stands; the real one remembers its first answer."""

    __slots__ = ("_module",)

    def __init__(self, module: Any) -> None:
        self._module = module

    def uname(self) -> Any:
        """What `os.uname` says, in the form of `platform`."""
        said = os.uname()
        return self._module.uname_result(said.sysname, said.nodename, said.release, said.version, said.machine)


def _patch_platform(module: ModuleType) -> None:
    replace_calls(_Platform(module), module)
    platforms: dict[Any, str] = module._platform_cache  # it holds what was asked before: the real release
    platforms.clear()


def install() -> None:
    """Replace the calls in `os`, and `platform.uname`."""
    import posix

    replace_calls(_Identity(), os, posix)
    when_imported("platform", _patch_platform)
