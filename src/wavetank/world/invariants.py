"""What must hold in a world besides its programs' own checks: always, every so often, eventually, at the end.

Owns the checks of a scenario and the simulated threads that run them, in the director's process, so that a check is
ordinary code. A check fails when it raises, or returns False; one that returns None has passed, so that a function made
of assertions is a check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wavetank.errors import UsageError
from wavetank.kernel.core import FAR, Thread
from wavetank.world import places

if TYPE_CHECKING:
    from wavetank.world.universe import Universe

Check = Callable[[], Any]


def run_check(check: Check, what: str) -> None:
    """Raise unless `check` passes."""
    if check() is False:
        place = places.of_function(check)
        error = AssertionError(f"{what}: the check{f' at {place}' if place else ''} returned False")
        places.point_to(error, place)
        raise error


class Invariants:
    """The checks of one world. `fail(error)` ends the world."""

    def __init__(self, universe: Universe, fail: Callable[[BaseException], None]) -> None:
        self.universe = universe
        self.fail = fail
        self.each_step: list[Check] = []
        self.last: list[Check] = []
        self.pending = 0
        self.waiting: Thread | None = None
        self._stepper: Thread | None = None
        self._watchers = 0

    def always(self, check: Check) -> None:
        """After each step: whenever a thread has run and the next one is about to."""
        _callable(check)
        self.each_step.append(check)
        if self._stepper is None:
            self._stepper = self._start("always", self._step)
            self.universe.kernel.after_step = self._wake_stepper

    def every(self, seconds: float, check: Check) -> None:
        """Every so many virtual seconds."""
        _callable(check)
        _positive("every", "seconds", seconds)
        self._start("every", lambda: self._repeat(round(seconds * 1e9), check))

    def eventually(self, check: Check, within: float) -> None:
        """At some time from now on, at most `within` virtual seconds from now."""
        _callable(check)
        _positive("eventually", "within", within)
        self.pending += 1
        deadline = self.universe.kernel.now + round(within * 1e9)
        self._start("eventually", lambda: self._await(check, deadline, within))

    def at_end(self, check: Check) -> None:
        """When the scenario has ended."""
        _callable(check)
        self.last.append(check)

    # ---- threads

    def _start(self, name: str, body: Callable[[], None]) -> Thread:
        kernel = self.universe.kernel
        assert self.universe.director is not None
        thread = kernel.new_thread(self.universe.director, name)
        thread.daemon = True
        kernel.start(thread, lambda: self._guarded(body))
        return thread

    def _guarded(self, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            self.fail(error)

    def _wake_stepper(self) -> None:
        kernel, stepper = self.universe.kernel, self._stepper
        assert stepper is not None
        if kernel.running is not stepper and kernel.wake(stepper):
            kernel.ready.pop()
            kernel.ready.appendleft(stepper)

    def _step(self) -> None:
        kernel = self.universe.kernel
        while True:
            for check in self.each_step:
                run_check(check, "always")
            kernel.park("the next step", FAR)

    def _repeat(self, interval_ns: int, check: Check) -> None:
        kernel = self.universe.kernel
        self._watchers += 1
        while True:
            kernel.park("the next check", kernel.now + interval_ns)
            run_check(check, "every")
            self._stop_when_idle()

    def _stop_when_idle(self) -> None:
        # A world in which only our own checks still happen is as idle as one in which nothing does.
        kernel = self.universe.kernel
        if not kernel.ready and len(kernel.heap) < self._watchers:
            kernel.stop("idle")

    def _await(self, check: Check, deadline: int, within: float) -> None:
        kernel = self.universe.kernel
        wait_ns = 1_000_000
        while not _holds(check):
            if kernel.now >= deadline:
                run_check(check, f"eventually, within {within:g} s")
                break
            # Closely at first, then ever more rarely, to a hundredth of the time that is left.
            kernel.park("the next check", min(deadline, kernel.now + wait_ns))
            wait_ns = min(wait_ns * 2, max(1_000_000, (deadline - kernel.now) // 100))
        self.pending -= 1
        if self.pending == 0 and self.waiting is not None:
            kernel.wake(self.waiting)

    def settle(self) -> None:
        """Wait until every `eventually` has come true, then check what must hold at the end."""
        kernel = self.universe.kernel
        self.waiting = kernel.running
        while self.pending:
            kernel.park("waiting for what must hold eventually", FAR)
        for check in self.last:
            run_check(check, "at the end")


def _holds(check: Check) -> bool:
    try:
        return check() is not False
    except AssertionError:
        return False


def _callable(check: Check) -> None:
    if not callable(check):
        raise UsageError(f"a check must be a function without arguments, not {type(check).__name__}")


def _positive(word: str, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e9:
        raise UsageError(f"{word}: {name} must be more than 0 and at most 1e9 seconds, not {value!r}")
