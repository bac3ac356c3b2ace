"""Engines: what gives a script its turns, its quiet and its time.

Owns how asyncio's loop and a clock of Twisted's kind are moved. It must never look at a line or a conversation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wavetank.check.loop import SPIN, VirtualLoop
from wavetank.check.script import QUIET, TURN, Script
from wavetank.check.watchdog import Stuck


class LoopEngine:
    """Runs scripts inside a virtual asyncio loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self._script: Script
        self._waiting: Any = None
        self._raised: BaseException | None = None

    def run(self, script: Script) -> None:
        """Run a script to its end; raises what it raises."""
        self._script = script
        self._waiting = None
        self._raised = None
        self.loop.call_soon(self._step)
        self.loop.drive(self._idle)
        script.close()
        if self._raised is not None:
            raise self._raised

    def _step(self, answer: bool | None = None) -> None:
        self.loop.moved()
        try:
            request = self._script.send(answer)
        except StopIteration:
            self.loop.stop()
        except Exception as error:
            self._raised = error
            self.loop.stop()
        else:
            if request is TURN:
                self.loop.call_soon(self._step)
            else:
                self._waiting = request

    def _idle(self) -> bool:
        request = self._waiting
        if request is None:
            return False
        self._waiting = None
        if request is QUIET:
            self.loop.call_soon(self._step)
        elif request is True:
            self.loop.call_soon(self._step, True)
        else:
            due = self.loop.next_timer_s()
            if due is None or due > request:
                self.loop.call_soon(self._step, False)
            else:
                self._waiting = True
                self.loop.advance()
        return True


class ClockEngine:
    """Runs scripts with a `twisted.internet.task.Clock`; what its calls raise goes to `escaped`, as to a log."""

    def __init__(self, clock: Any, beat: Callable[[], None], escaped: Callable[[BaseException], None]) -> None:
        self.clock = clock
        self._beat = beat
        self._escaped = escaped
        self._turns = 0

    def moved(self) -> None:
        """The conversation went on: it is no busy wait."""
        self._turns = 0

    def run(self, script: Script) -> None:
        """Run a script to its end; raises what it raises."""
        answer: bool | None = None
        try:
            while True:
                request = script.send(answer)
                self._turns = 0
                answer = None
                if request is TURN:
                    self._turn()
                elif request is QUIET:
                    self._quiet()
                else:
                    answer = self._tick(request)
        except StopIteration:
            pass
        finally:
            script.close()

    def _turn(self) -> None:
        """Make the calls that are due now; those that they add come in the next turn, as in a reactor."""
        self._beat()
        self._turns += 1
        if self._turns > SPIN:
            raise Stuck("spin")
        clock, now = self.clock, self.clock.seconds()
        for call in [each for each in clock.calls if each.getTime() <= now]:
            if not call.active():
                continue
            clock.calls.remove(call)
            call.called = 1
            try:
                call.func(*call.args, **call.kw)
            except Exception as error:
                self._escaped(error)

    def _quiet(self) -> None:
        while (due := self._due()) is not None and due <= self.clock.seconds():
            self._turn()

    def _tick(self, until: float) -> bool:
        due = self._due()
        if due is None or due > until:
            return False
        self.clock.rightNow = max(self.clock.rightNow, due)
        self._turns = 0
        self._quiet()
        return True

    def _due(self) -> float | None:
        calls = self.clock.getDelayedCalls()
        return min(call.getTime() for call in calls) if calls else None
