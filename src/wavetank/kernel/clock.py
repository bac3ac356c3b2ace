"""What the clocks of a simulated host show, given virtual time.

Owns the relation between virtual time (`core`: an integer of nanoseconds since the start of the world) and the clocks
that programs read: the faces are `kernel.time` and `kernel.calendar`. Must never read a real clock.

- wall clock (CLOCK_REALTIME): the world's epoch + virtual time + what the host's own clock is off by (`HostClock`);
- CLOCK_MONOTONIC, `perf_counter`, CLOCK_BOOTTIME: virtual time since a boot `UPTIME_S` before the world began. Not
  since zero, because programs start with `last = 0` and count on a machine that has been up for longer than their
  interval. These clocks do not follow a host's offset or drift, and neither do sleeps and timeouts;
- CPU clocks: the virtual time in which anything ran, that is without the time skipped when all threads waited. All
  processes of a world share them: a limit.
"""

from __future__ import annotations

from typing import Final

from wavetank.kernel import core
from wavetank.kernel.core import Kernel

#: How long the machine had been up when the world began.
UPTIME_S: Final = 100_000
UPTIME_NS: Final = UPTIME_S * 1_000_000_000


class HostClock:
    """What one host's wall clock is off by: an offset, and a drift (its seconds are longer or shorter)."""

    __slots__ = ("_since", "drift_ppm", "offset_ns")

    def __init__(self, offset_ns: int = 0, drift_ppm: float = 0.0) -> None:
        self.offset_ns = offset_ns
        self.drift_ppm = drift_ppm
        self._since = 0

    def error_ns(self, now: int) -> int:
        """How far this clock is ahead of the world's at virtual time `now`."""
        return self.offset_ns + round((now - self._since) * self.drift_ppm / 1_000_000)

    def jump(self, by_ns: int) -> None:
        """Set the clock: from now on it shows `by_ns` more."""
        self.offset_ns += by_ns

    def drift(self, now: int, drift_ppm: float) -> None:
        """From virtual time `now` on the clock gains so many microseconds in a second; what it shows does not jump."""
        self.offset_ns = self.error_ns(now)
        self._since = now
        self.drift_ppm = drift_ppm


def wall_at(kernel: Kernel) -> int:
    """The wall clock of the host that runs, in ns since 1970, without paying for the reading."""
    now = kernel.now
    clock = kernel.process.stack.clock
    return kernel.epoch_ns + (now if clock is None else now + clock.error_ns(now))


def wall_ns() -> int:
    """The wall clock of the host that runs, in ns since 1970; pays for the reading."""
    kernel = core.K
    kernel.read_clock()
    return wall_at(kernel)


def cpu_ns() -> int:
    """Virtual time in which anything ran."""
    kernel = core.K
    return kernel.read_clock() - kernel.idle_ns
