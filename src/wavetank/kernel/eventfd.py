"""Event counters and timers behind descriptors: `eventfd` and `timerfd`.

Owns both kinds of file. They never wait: a read that would have to raises BlockingIOError, and `kernel.descriptors`
parks the thread. Behaviour: fs/eventfd.c, fs/timerfd.c, eventfd(2), timerfd_create(2).
"""

from __future__ import annotations

import errno
import struct
import time
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.core import FAR
from wavetank.kernel.file import ERR, IN, OUT, File, error

_COUNTER: Final = struct.Struct("=Q")
_MOST: Final = (1 << 64) - 1  # ULLONG_MAX


class EventFile(File):
    """A counter of 64 bits (`eventfd(2)`)."""

    __slots__ = ("counter", "one_by_one")

    def __init__(self, initial: int, one_by_one: bool) -> None:
        super().__init__("eventfd")
        self.counter = initial
        self.one_by_one = one_by_one  # EFD_SEMAPHORE

    def poll(self) -> int:
        """`eventfd_poll`: without the RDNORM and WRNORM of other files."""
        counter = self.counter
        return (IN if counter else 0) | (OUT if counter < _MOST - 1 else 0) | (ERR if counter == _MOST else 0)

    def read(self, size: int) -> bytes:
        """`eventfd_read`: the counter, which is then 0; one of it with EFD_SEMAPHORE."""
        if size < _COUNTER.size:
            raise error(errno.EINVAL)
        if not self.counter:
            raise error(errno.EAGAIN)
        value = 1 if self.one_by_one else self.counter
        self.counter -= value
        self.notify(OUT)
        return _COUNTER.pack(value)

    def write(self, data: Any) -> int:
        """`eventfd_write`: add to the counter."""
        if len(data) != _COUNTER.size:
            raise error(errno.EINVAL)
        (value,) = _COUNTER.unpack(data)
        if value == _MOST:
            raise error(errno.EINVAL)
        if _MOST - self.counter <= value:
            raise error(errno.EAGAIN)
        self.counter += value
        self.notify(IN)
        return _COUNTER.size

    def describe(self) -> str:
        """The counter's value."""
        return f"eventfd at {self.counter}"


class TimerFile(File):
    """A timer that counts how often it has expired (`timerfd_create(2)`)."""

    __slots__ = ("clock", "expired", "interval_ns", "next_at", "setting")

    def __init__(self, clock: int) -> None:
        super().__init__("timerfd")
        self.clock = clock
        self.expired = 0
        self.interval_ns = 0
        self.next_at = FAR
        self.setting = 0  # entries of the heap from an earlier setting are stale

    def poll(self) -> int:
        """`timerfd_poll`."""
        return IN if self.expired else 0

    def read(self, size: int) -> bytes:
        """`timerfd_read_iter`: how often it has expired since the last read or setting."""
        if size < _COUNTER.size:
            raise error(errno.EINVAL)
        if not self.expired:
            raise error(errno.EAGAIN)
        count, self.expired = self.expired, 0
        return _COUNTER.pack(count)

    def remaining(self) -> tuple[int, int]:
        """Ns until it expires next (0: disarmed) and the interval."""
        return (0 if self.next_at == FAR else max(1, self.next_at - core.K.now)), self.interval_ns

    def set_time(self, initial_ns: int, interval_ns: int, *, absolute: bool) -> None:
        """Expire after (or at, on the timer's clock) `initial_ns`, then every `interval_ns`; 0 disarms."""
        self.setting += 1
        self.expired = 0
        self.interval_ns = interval_ns
        self.next_at = FAR
        if initial_ns:
            delay = initial_ns - time.clock_gettime_ns(self.clock) if absolute else initial_ns
            self.next_at = core.K.now + max(0, delay)
            core.K.at(self.next_at, self._expire, self.setting)

    def _expire(self, setting: int) -> None:
        if setting != self.setting or self.closed:
            return
        self.expired += 1
        if self.interval_ns:
            self.next_at += self.interval_ns
            core.K.at(self.next_at, self._expire, setting)
        else:
            self.next_at = FAR
        self.notify(IN)

    def describe(self) -> str:
        """When it expires."""
        return "timerfd, not armed" if self.next_at == FAR else f"timerfd, next at {self.next_at / 1e9:.6f} s"
