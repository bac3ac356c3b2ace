"""The watchdog over real time: sees that a program burns the processor while virtual time stands still.

Owns a real timer of the child (setitimer(2), ITIMER_PROF: it counts processor time, so a busy machine raises no
alarm) and its real signal handler, and decides by what moved between two ticks. It publishes virtual time for the
parent, which has the last word: it kills a run at the limit on real time.

A tick is a Python signal handler, and thus allocates. So it comes late and rarely: a run shorter than `FIRST_S` has
none, and is repeated exactly.

A program that computes while its alarm is set (`signal.alarm`, `setitimer`) does not spin: Linux would interrupt it.
So does a tick, once the program has used as much processor time as there is left until the alarm: it lets virtual time
go on to the alarm, and the handler runs where the program was. How far it had come by then is not repeated.
"""

from __future__ import annotations

from types import FrameType
from typing import Final

from wavetank.frameworks import asyncio as aio
from wavetank.kernel import delivery
from wavetank.kernel.core import TIMEOUT, Kernel
from wavetank.kernel.shims import real_setitimer, real_signal
from wavetank.world import mailbox, places
from wavetank.world.job import FailureRecord
from wavetank.world.oracles import SPIN, Oracles, text_record

#: Processor time before the first tick, and between ticks; less when the limit on real time is short.
FIRST_S: Final = 3.0
INTERVAL_S: Final = 1.0
FIRST_PART: Final = 10
INTERVAL_PART: Final = 30
#: So many intervals in a row without any virtual time, or with a timer long overdue, are a failure.
PATIENCE: Final = 3
#: The shortest time between ticks, while an alarm is set.
SHORTEST_S: Final = 0.2
# Linux include/uapi/asm-generic/signal.h and include/uapi/linux/time.h; SIG_IGN is signal(2)'s
_SIGPROF: Final = 27
_ITIMER_PROF: Final = 2
_SIG_IGN: Final = 1
_OURS: Final = "wavetank."


class Watchdog:
    """Watches one kernel, from `start` to `stop`. `limit_s`: the limit on real time that the parent keeps."""

    def __init__(self, kernel: Kernel, oracles: Oracles, limit_s: float) -> None:
        self.kernel = kernel
        self.oracles = oracles
        self.first_s = min(FIRST_S, limit_s / FIRST_PART)
        self.interval_s = min(INTERVAL_S, limit_s / INTERVAL_PART)
        self.between_s = self.interval_s
        self.seen_ns = -1
        self.still_s = 0.0
        self.overdue_s = 0.0

    def start(self) -> None:
        """Begin to tick."""
        delivery.on_timer = self._alarm_set
        real_signal(_SIGPROF, self._tick)
        real_setitimer(_ITIMER_PROF, self.first_s, self.interval_s)

    def stop(self) -> None:
        """Tick no more."""
        delivery.on_timer = None
        real_setitimer(_ITIMER_PROF, 0.0, 0.0)
        real_signal(_SIGPROF, _SIG_IGN)

    def _alarm_set(self, left_ns: int) -> None:
        """Tick more often if the alarm is due before the next tick."""
        self.seen_ns = self.kernel.now
        wanted_s = max(SHORTEST_S, left_ns / 1e9)
        if wanted_s < self.between_s:
            self.between_s = wanted_s
            real_setitimer(_ITIMER_PROF, wanted_s, wanted_s)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        kernel = self.kernel
        if mailbox.current is not None:
            mailbox.current.publish(kernel.now)
        self.still_s = self.still_s + self.between_s if kernel.now == self.seen_ns else 0.0
        self.seen_ns = kernel.now
        late_ns = aio.overdue_ns()
        self.overdue_s = self.overdue_s + self.between_s if late_ns > aio.OVERDUE_NS else 0.0
        patience_s = PATIENCE * self.interval_s
        if self.still_s > 0 and self._is_alarm_due(frame, patience_s):
            self._go_on_to_the_alarm()
        elif self.still_s >= patience_s:
            self._fail("the processor is busy and no virtual time passes", frame)
        elif self.overdue_s >= patience_s:
            self._fail(f"the loop's timers never fire; one is {late_ns / 1e9:.1f} s late", frame)

    def _is_alarm_due(self, frame: FrameType | None, patience_s: float) -> bool:
        """Whether the running program has computed until its alarm; or for so long that it would count as spinning."""
        left_ns, _ = delivery.timer(self.kernel.process)
        if not left_ns or frame is None or frame.f_globals.get("__name__", "").startswith(_OURS):
            return False
        return self.still_s >= min(left_ns / 1e9, patience_s)

    def _go_on_to_the_alarm(self) -> None:
        kernel = self.kernel
        self.still_s = 0.0
        deadline = kernel.now + delivery.timer(kernel.process)[0]
        while kernel.park("computing", deadline) is not TIMEOUT:
            pass

    def _fail(self, what: str, frame: FrameType | None) -> None:
        kernel = self.kernel
        if SPIN in self.oracles.off or kernel.stopped is not None:
            return
        stack = places.of_frame(frame)
        detail = "Stack, innermost line last:\n" + "".join(places.lines(stack[::-1]))
        process, now = kernel.process, kernel.now

        def words() -> FailureRecord:
            return text_record(SPIN, process.host_name, now, what, stack, detail)

        self.oracles.report(SPIN, process.host_name, words)
        kernel.stop("spin")
