"""Faults of machines: their schedulers, clocks and power, and what they have run out of.

Owns these words, their validity and their text. How they are carried out is the kernel's and the world's.
"""

from __future__ import annotations

import signal
from typing import Final

from wavetank.errors import PlanError
from wavetank.faults.base import (
    MAX_SECONDS,
    Fault,
    check_host,
    check_number,
    check_signed,
    check_size,
    check_word,
    percent,
    seconds_text,
)

#: What `Descriptors.of` may say, with its text.
RESOURCES: Final = {
    "descriptors": "open files of a process",
    "backlog": "connections that wait to be accepted",
    "ports": "ephemeral ports",
}
#: A clock that gains or loses more than this is broken, not drifting: adjtimex(2) takes 500 ppm, and its tick 10 %.
MAX_DRIFT_PPM: Final = 100_000.0
#: What stops a program: it may be caught, or it kills (signal(7)).
STOP_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGKILL")


class Scheduling(Fault, frozen=True, tag="scheduling"):
    """When several threads or hosts are ready, one other than the first in line runs next, `rate` of the times.

    `rate` is 0 to 1. What it may reorder is what a real scheduler may: threads and hosts, never one event loop's queue.
    """

    rate: float

    def check(self) -> None:
        """A probability; the target is every host or one."""
        check_number(self, "rate", 1.0, zero=True)
        check_host(self)

    def phrase(self) -> str:
        """As in `scheduling, out of turn 10 % of the time`."""
        return f"scheduling, out of turn {percent(self.rate)} of the time"


class ClockSkew(Fault, frozen=True, tag="clock-skew"):
    """The wall clock of a host is `offset_s` ahead (behind, when negative), and gains `drift_ppm` us a second.

    Monotonic clocks, sleeps and timeouts do not follow it, as on Linux (clock_gettime(2)). When the fault is healed the
    clock is right again. Source: adjtimex(2); a machine without NTP.
    """

    offset_s: float = 0.0
    drift_ppm: float = 0.0

    def check(self) -> None:
        """Seconds and parts per million, of either sign; the target is every host or one."""
        check_signed(self, "offset_s", MAX_SECONDS)
        check_signed(self, "drift_ppm", MAX_DRIFT_PPM)
        check_host(self)

    def phrase(self) -> str:
        """As in `clock 5 s ahead, drifting by 50 ppm`."""
        parts = []
        if self.offset_s or not self.drift_ppm:
            side = "behind" if self.offset_s < 0 else "ahead"
            parts.append(f"{seconds_text(abs(self.offset_s))} {side}")
        if self.drift_ppm:
            parts.append(f"drifting by {self.drift_ppm:.9g} ppm")
        return f"clock {', '.join(parts)}"


class ClockJump(Fault, frozen=True, tag="clock-jump"):
    """The wall clock of a host is set by `offset_s` (back, when negative): settimeofday(2), NTP's step.

    With `duration_s`, and when the world is healed, it is set right again.
    """

    offset_s: float

    def check(self) -> None:
        """Seconds, of either sign; the target is every host or one."""
        check_signed(self, "offset_s", MAX_SECONDS)
        check_host(self)

    def phrase(self) -> str:
        """As in `clock jumps 5 s back`."""
        return f"clock jumps {seconds_text(abs(self.offset_s))} {'back' if self.offset_s < 0 else 'ahead'}"


class Pause(Fault, frozen=True, tag="pause"):
    """A host stops for a while: no program of it runs, its clocks go on, its network stack takes what arrives.

    As when every process gets SIGSTOP and later SIGCONT, or a machine swaps. Without `duration_s`: until it is healed.
    """

    def check(self) -> None:
        """The target is every host or one."""
        check_host(self)

    def phrase(self) -> str:
        """`pause`."""
        return "pause"


class Crash(Fault, frozen=True, tag="crash"):
    """A host loses power: nothing is cleaned up, nobody is told. It comes back after `restart_after_s`; None: never.

    When it comes back it runs its programs again, from the start. With `signal` ("SIGTERM") it is shut down instead:
    each program gets that signal, and what it leaves behind is closed as at any exit. `duration_s` does not apply.
    """

    restart_after_s: float | None = None
    signal: str = ""

    def check(self) -> None:
        """Seconds, more than 0; the target is every host or one."""
        if self.restart_after_s is not None:
            check_number(self, "restart_after_s", MAX_SECONDS, zero=False)
        if self.signal not in ("", *STOP_SIGNALS):
            raise PlanError(f"crash: unknown signal {self.signal!r}", why=f"it is one of {', '.join(STOP_SIGNALS)}")
        if self.duration_s is not None:
            raise PlanError("crash: takes no duration_s", why="restart_after_s says when the host comes back")
        check_host(self)

    def phrase(self) -> str:
        """As in `crash, restart after 5 s`."""
        what = f"stopped by {self.signal}" if self.signal else "crash"
        back = "" if self.restart_after_s is None else f", restart after {seconds_text(self.restart_after_s)}"
        return f"{what}{back}"

    @property
    def signal_number(self) -> int:
        """The number of `signal`; 0: power is lost."""
        return int(signal.Signals[self.signal]) if self.signal else 0


class Descriptors(Fault, frozen=True, tag="descriptors"):
    """A host has few of something: at most `limit` of `of`, whatever a program asks for.

    "descriptors": open files of each process, beyond which EMFILE (getrlimit(2), RLIMIT_NOFILE). "backlog": connections
    that wait in a listener's queue (listen(2), net.core.somaxconn); further SYNs are dropped. "ports": ephemeral ports,
    beyond which EADDRNOTAVAIL on connect and EADDRINUSE on bind (ip(7), ip_local_port_range).
    """

    limit: int
    of: str = "descriptors"

    def check(self) -> None:
        """A number, 0 or more, and of what; the target is every host or one."""
        check_size(self, "limit", least=0, unit="")
        check_word(self, "of", RESOURCES)
        check_host(self)

    def phrase(self) -> str:
        """As in `at most 20 open files of a process`."""
        return f"at most {self.limit} {RESOURCES[self.of]}"
