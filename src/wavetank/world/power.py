"""Whether a host runs: its power, its pauses, and which of its programs run again afterwards.

Owns what a scenario's `Host` and the faults `Crash` and `Pause` have in common. A program that a fault has stopped, and
that will run again, is not done meanwhile: who waits for its result waits for its next life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.core import Kernel
    from wavetank.kernel.stack import Stack
    from wavetank.network.fabric import Node
    from wavetank.world.program import Program

SIGKILL: Final = 9


class Power:
    """The power of one host. `programs`: all that were started on it."""

    def __init__(self, kernel: Kernel, node: Node, stack: Stack, number: int) -> None:
        self.programs: list[Program] = []
        self._kernel = kernel
        self._node = node
        self._stack = stack
        self._number = number  # of the host, in the trace
        self._stopped: list[Program] | None = None  # by a fault that is still in force
        self._returns = False  # ... and ends by itself
        self._holds = 0  # how many pauses are in force

    @property
    def usable(self) -> bool:
        """Whether a program can be started: now, or as soon as a fault is over."""
        return not self._node.down or self._returns

    def start(self, program: Program) -> None:
        """Start a program; when a fault keeps the host down, as soon as it is back."""
        self.programs.append(program)
        if self._node.down and self._stopped is not None:
            program.returns = True
            self._stopped.append(program)
        else:
            self._begin(program)

    def _begin(self, program: Program) -> None:
        program.start()
        if self._holds and program.process is not None:
            program.process.pause()

    # ---- power

    def off(self) -> None:
        """No thread runs again, nothing is cleaned up, nobody is told. Nothing happens when it is off."""
        if self._node.down:
            return
        kernel = self._kernel
        kernel.recorder.event(kernel.now, Kind.HOST_CRASH, self._number, 0)
        self._node.down = True
        for process in tuple(self._stack.processes):
            process.finish(-SIGKILL, power_lost=True)
        self._stack.lose_power()

    def cycle(self) -> None:
        """Off, and on again: each program runs anew."""
        self.off()
        self._on()
        self._stopped, self._returns = None, False
        for program in self.programs:
            program.bury()
            self._begin(program)

    def _on(self) -> None:
        kernel = self._kernel
        kernel.recorder.event(kernel.now, Kind.HOST_RESTART, self._number, 0)
        self._node.down = False

    # ---- faults

    def stop(self, signum: int, *, returns: bool) -> bool:
        """A fault cuts the power, or (`signum` > 0) has every program stopped; `returns`: they will run again.

        False: the host is down, or being stopped, already.
        """
        if self._node.down or self._stopped is not None:
            return False
        self._stopped = [each for each in self.programs if each.process is not None and each.process.status is None]
        self._returns = returns
        for program in self._stopped:
            program.stopped = True
            program.returns = returns
        if signum:
            for process in tuple(self._stack.processes):
                process.send_signal(signum)
        else:
            self.off()
        return True

    def start_again(self) -> None:
        """The fault of `stop` is over: power on, and run again what ran; what has not stopped by now is killed."""
        stopped, self._stopped, self._returns = self._stopped, None, False
        if stopped is None:
            return
        if self._node.down:
            self._on()
        for program in stopped:
            if program.process is not None and program.process.status is None:
                program.process.send_signal(SIGKILL)
            program.bury()
            self._begin(program)

    # ---- pauses

    def pause(self, length_ns: int) -> None:
        """No program runs for so long."""
        kernel = self._kernel
        kernel.recorder.event(kernel.now, Kind.HOST_PAUSE, self._number, length_ns)
        self.hold()
        kernel.after(length_ns, lambda _: self.let_go())

    def hold(self) -> None:
        """No program runs until `let_go`, as often as it was held."""
        self._holds += 1
        for process in self._stack.processes:
            if process.status is None:
                process.pause()

    def let_go(self) -> None:
        """Undo one `hold`."""
        self._holds -= 1
        for process in self._stack.processes:
            if process.status is None and process.paused and not self._holds:
                process.resume()
