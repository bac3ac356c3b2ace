"""The module `time` as programs see it: readings of the host's clocks, and `time.sleep`.

Owns the calls of `time`; what the clocks show is `kernel.clock`'s, and `datetime` is `kernel.calendar`'s. Must never
read a real clock. The time zone is UTC (TZ in the C environment, which `os.environ` does not show; a program that sets
its own and calls `time.tzset()` gets it). Resolutions are those of Linux's high-resolution timers. Error texts are left
to the real functions where these cannot but fail.
"""

from __future__ import annotations

import errno
import math
import operator
import os
import sys
import time as real_time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from wavetank.kernel import calendar, core
from wavetank.kernel.clock import UPTIME_NS, cpu_ns, wall_ns
from wavetank.kernel.core import BUSY_AFTER, BUSY_COST_NS, CLOCK_COST_NS, TIMEOUT
from wavetank.kernel.file import error
from wavetank.kernel.replace import replace_calls
from wavetank.trace.schema import Kind

#: Kernels on machines with a high-resolution timer report 1 ns for every clock but the coarse one (CONFIG_HZ=250).
_RESOLUTION_NS: Final = 1
_COARSE_NS: Final = 4_000_000
# Linux include/uapi/linux/time.h
_REALTIME, _MONOTONIC, _PROCESS_CPU, _THREAD_CPU, _MONOTONIC_RAW = 0, 1, 2, 3, 4
_REALTIME_COARSE, _MONOTONIC_COARSE, _BOOTTIME, _TAI = 5, 6, 7, 11
_WALL: Final = frozenset({_REALTIME, _REALTIME_COARSE, _TAI})
_STEADY: Final = frozenset({_MONOTONIC, _MONOTONIC_RAW, _MONOTONIC_COARSE, _BOOTTIME})
_CPU: Final = frozenset({_PROCESS_CPU, _THREAD_CPU})
_COARSE: Final = frozenset({_REALTIME_COARSE, _MONOTONIC_COARSE})
#: Sleeps of up to so many seconds are ours to judge; beyond, the real function refuses them (2**63 ns are 292 years).
_LONGEST_S: Final = (2**63 - 1) / 1e9

_KIND_SLEEP: Final = int(Kind.SLEEP)
_real_sleep = real_time.sleep
_real_localtime = real_time.localtime
_real_gmtime = real_time.gmtime
_real_ctime = real_time.ctime
_real_asctime = real_time.asctime
_real_strftime = real_time.strftime
_real_getres = real_time.clock_getres
_real_gettime = real_time.clock_gettime
_real_clock_info = real_time.get_clock_info


class _Clocks:
    """The calls of `time`. Hot ones repeat `Kernel.read_clock`: the call to it would be a third of their cost."""

    __slots__ = ()

    def time(self) -> float:
        """Seconds since 1970 by the host's wall clock."""
        return wall_ns() / 1e9

    def time_ns(self) -> int:
        return wall_ns()

    def monotonic(self) -> float:
        """Seconds since the host was booted."""
        kernel = core.K
        kernel.streak = streak = kernel.streak + 1
        kernel.now = now = kernel.now + (CLOCK_COST_NS if streak < BUSY_AFTER else BUSY_COST_NS)
        if now >= kernel.attention:
            kernel.look_around()
            now = kernel.now
        return (now + UPTIME_NS) / 1e9

    def perf_counter(self) -> float:
        """The same clock as `monotonic`, as on Linux."""
        kernel = core.K
        kernel.streak = streak = kernel.streak + 1
        kernel.now = now = kernel.now + (CLOCK_COST_NS if streak < BUSY_AFTER else BUSY_COST_NS)
        if now >= kernel.attention:
            kernel.look_around()
            now = kernel.now
        return (now + UPTIME_NS) / 1e9

    def monotonic_ns(self) -> int:
        return core.K.read_clock() + UPTIME_NS

    def perf_counter_ns(self) -> int:
        return core.K.read_clock() + UPTIME_NS

    def process_time(self) -> float:
        return cpu_ns() / 1e9

    def process_time_ns(self) -> int:
        return cpu_ns()

    def thread_time(self) -> float:
        return cpu_ns() / 1e9

    def thread_time_ns(self) -> int:
        return cpu_ns()

    # ---- clock_gettime(2) and its relatives

    def clock_gettime(self, clk_id: int, /) -> float:
        return self.clock_gettime_ns(clk_id) / 1e9

    def clock_gettime_ns(self, clk_id: int, /) -> int:
        clock = _clock_id(clk_id, _real_gettime)
        if clock in _WALL:
            return wall_ns()
        if clock in _STEADY:
            return core.K.read_clock() + UPTIME_NS
        if clock in _CPU or _is_of_a_thread(clock):
            return cpu_ns()
        raise error(errno.EINVAL)

    def clock_getres(self, clk_id: int, /) -> float:
        clock = _clock_id(clk_id, _real_getres)
        if clock in _COARSE:
            return _COARSE_NS / 1e9
        if clock in _WALL or clock in _STEADY or clock in _CPU or _is_of_a_thread(clock):
            return _RESOLUTION_NS / 1e9
        raise error(errno.EINVAL)

    def clock_settime(self, clk_id: int, time: float, /) -> None:
        """Refused as for every user without CAP_SYS_TIME: `ClockJump` and `ClockSkew` set a host's clock."""
        raise error(errno.EPERM if _clock_id(clk_id, _real_gettime) == _REALTIME else errno.EINVAL)

    def clock_settime_ns(self, clk_id: int, time: int, /) -> None:
        self.clock_settime(clk_id, operator.index(time))

    def pthread_getcpuclockid(self, thread_id: int, /) -> int:
        """The number of the clock of a thread of this process."""
        clock = _clock_of_thread(operator.index(thread_id))
        if _is_of_a_thread(clock):
            return clock
        raise error(errno.ESRCH)

    def get_clock_info(self, name: Any, /) -> Any:
        """As CPython on Linux with high-resolution timers, whatever the real machine has."""
        words = _CLOCK_INFO.get(name)
        if words is None:
            return _real_clock_info(name)  # which refuses it
        clock, monotonic, adjustable = words
        implementation = f"clock_gettime({clock})"
        return SimpleNamespace(
            implementation=implementation, monotonic=monotonic, adjustable=adjustable, resolution=_RESOLUTION_NS / 1e9
        )

    # ---- the calendar

    def localtime(self, seconds: float | None = None, /) -> Any:
        return _real_localtime(wall_ns() // 1_000_000_000 if seconds is None else seconds)

    def gmtime(self, seconds: float | None = None, /) -> Any:
        return _real_gmtime(wall_ns() // 1_000_000_000 if seconds is None else seconds)

    def ctime(self, seconds: float | None = None, /) -> str:
        return _real_ctime(wall_ns() // 1_000_000_000 if seconds is None else seconds)

    def asctime(self, *when: Any) -> str:
        return _real_asctime(*(when or (_real_localtime(wall_ns() // 1_000_000_000),)))

    def strftime(self, format: str, /, *when: Any) -> str:
        return _real_strftime(format, *(when or (_real_localtime(wall_ns() // 1_000_000_000),)))

    # ---- waiting

    def sleep(self, seconds: float, /) -> None:
        """Wait at least so long in virtual time. Signal handlers run meanwhile and the sleep goes on (PEP 475)."""
        sys.audit("time.sleep", seconds)
        nanoseconds = _duration_ns(seconds)
        kernel = core.K
        deadline = kernel.now + nanoseconds
        kernel.tick()
        kernel.recorder.event(kernel.now, _KIND_SLEEP, 0, nanoseconds)
        if not nanoseconds:
            kernel.empty_poll()
            if kernel.ready:
                kernel.give_way()
            return
        while kernel.park("time.sleep", deadline) is not TIMEOUT:
            pass


#: Clock, monotonic, adjustable: CPython Python/pytime.c and Modules/timemodule.c.
_CLOCK_INFO: Final = {
    "time": ("CLOCK_REALTIME", False, True),
    "monotonic": ("CLOCK_MONOTONIC", True, False),
    "perf_counter": ("CLOCK_MONOTONIC", True, False),
    "process_time": ("CLOCK_PROCESS_CPUTIME_ID", True, False),
    "thread_time": ("CLOCK_THREAD_CPUTIME_ID", True, False),
}


def _clock_id(given: Any, refuse: Callable[[Any], object]) -> int:
    if not hasattr(given, "__index__"):
        refuse(given)  # the real call, which does so in the words of this version
    return operator.index(given)


def _clock_of_thread(ident: int) -> int:
    """Linux include/linux/posix-timers.h: `make_thread_cpuclock`, with the thread's ident for its tid."""
    return ~ident << 3 | 4 | 2


def _is_of_a_thread(clock: int) -> bool:
    return clock < 0 and any(_clock_of_thread(thread.ident) == clock for thread in core.K.process.threads)


def _duration_ns(seconds: Any) -> int:
    """The argument of `sleep` in ns, rounded up (CPython: _PyTime_ROUND_TIMEOUT); the real function's errors."""
    if isinstance(seconds, float):
        if 0.0 <= seconds < _LONGEST_S:
            return math.ceil(seconds * 1e9)
    elif 0 <= (whole := operator.index(seconds)) < _LONGEST_S:
        return whole * 1_000_000_000
    _real_sleep(seconds)
    raise AssertionError(f"time.sleep({seconds!r}) was not refused")


def install() -> None:
    """Replace the calls of `time`, and make the time zone UTC."""
    os.putenv("TZ", "UTC0")
    real_time.tzset()
    replace_calls(_Clocks(), real_time)
    calendar.install()
