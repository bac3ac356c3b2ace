"""A simulated machine as a scenario sees it, and the programs that run on it.

Owns `Host` and `Process`, the handles given to the user: starting, crashing, pausing, waiting for results. The life of
a program is `program`; how a main becomes a program under an event loop is `frameworks`' table of runners.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wavetank.errors import UsageError
from wavetank.kernel.clock import HostClock
from wavetank.kernel.core import TIMEOUT
from wavetank.kernel.file import deadline_in
from wavetank.kernel.stack import Stack
from wavetank.world import runners
from wavetank.world.power import SIGKILL, Power
from wavetank.world.program import Program

if TYPE_CHECKING:
    from wavetank.network.fabric import Node
    from wavetank.world.universe import Universe


class Process:
    """A program that runs on a host: the handle that `Host.run` returns. Waiting is as in `concurrent.futures`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def __repr__(self) -> str:
        return f"<Process {self._program.label}>"

    @property
    def name(self) -> str:
        """The name given to `Host.run`, or the name of its main."""
        return self._program.name

    def done(self) -> bool:
        """Whether it has ended, in whatever way. False again after `Host.restart`."""
        return self._program.done

    def result(self, timeout: float | None = None) -> Any:
        """What the program's main returned; waits for it, at most `timeout` virtual seconds.

        Raises what main raised; `TimeoutError`; `ProgramKilled` when a signal or a crash ended it.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._program.value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the program's main raised, or None; waits like `result`. Raises `TimeoutError`."""
        program = self._program
        kernel = program.universe.kernel
        program.universe.only_director("wait for a program")
        deadline = deadline_in(timeout)
        while not program.done:
            program.waiting.append(kernel.running)
            if kernel.park(f"waiting for {program.label} to end", deadline) is TIMEOUT:
                program.waiting.remove(kernel.running)
                raise TimeoutError(f"{program.label} has not ended within {timeout:g} virtual seconds")
        program.fetched = True
        return program.error

    def send_signal(self, signum: int) -> None:
        """Send it a signal (signal(7)). Nothing happens when it has ended."""
        if self._program.process is not None:
            self._program.process.send_signal(int(signum))

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(SIGKILL)

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far, since its last start."""
        streams = self._program.streams
        return "" if streams is None else streams.stdout.text()

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far, since its last start."""
        streams = self._program.streams
        return "" if streams is None else streams.stderr.text()


class Clock:
    """The wall clock of a host. It moves no timer: sleeps and timeouts follow the monotonic clock, as on Linux."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def _own(self) -> HostClock:
        stack = self._host.stack
        if stack.clock is None:
            stack.clock = HostClock()
        return stack.clock

    @property
    def offset_s(self) -> float:
        """By how many seconds it is ahead of the world's time now."""
        return self._own().error_ns(self._host._universe.kernel.now) / 1e9

    def jump(self, seconds: float) -> None:
        """Set it forward by so many seconds; back, when negative."""
        self._own().jump(round(seconds * 1e9))

    def drift(self, ppm: float) -> None:
        """From now on it gains so many microseconds in each second; loses, when negative."""
        self._own().drift(self._host._universe.kernel.now, ppm)


class Host:
    """A simulated machine. Made by `World.host`, never by itself."""

    def __init__(self, universe: Universe, name: str, node: Node) -> None:
        self._universe = universe
        self._node = node
        number = universe.kernel.recorder.define_object(f"host {name}")
        self.stack = Stack(name, node, universe.fabric)
        node.stack = self.stack
        self.power = Power(universe.kernel, node, self.stack, number)
        self.name = name
        self.clock = Clock(self)

    def __repr__(self) -> str:
        return f"<Host {self.name}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, those of the loopback not included."""
        return tuple(self._node.addresses)

    @property
    def up(self) -> bool:
        """Whether it has power."""
        return not self._node.down

    def run(
        self,
        main: Callable[..., Any],
        *args: Any,
        runner: str | Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> Process:
        """Run `main(*args)` as a program of this host, from now on; returns its handle at once.

        `runner`: "asyncio" (the default for an `async def`), "call" (the default for others), the name of another
        framework, or a callable that gets `main` and `args`. Raises `UsageError` when the host is down or the runner
        is unknown.
        """
        self._universe.only_director("start a program")
        if not self.power.usable:
            raise UsageError(f"{self.name} is down", next=f"call {self.name}.restart() first")
        start = runners.find(runner, main)
        label = str(name or getattr(main, "__name__", type(main).__name__))
        module = sys.modules.get(getattr(main, "__module__", None) or "__main__") or sys.modules["__main__"]
        argv = [str(getattr(module, "__file__", None) or label)]
        return Process(self.start(Program(self._universe, self, label, lambda: start(main, *args), argv, module)))

    def start(self, program: Program) -> Program:
        """Start a program that was made for this host; `run` makes one from a function."""
        self._universe.programs.append(program)
        self.power.start(program)
        return program

    def crash(self) -> None:
        """Power off: no thread runs again, nothing is cleaned up, nobody is told. Nothing happens when it is down."""
        self.power.off()

    def restart(self) -> None:
        """Power on again (after a power cycle, if it was up): fresh descriptors and ports, each program run anew."""
        self._universe.only_director("restart a host")
        self.power.cycle()

    def pause(self, seconds: float) -> None:
        """No program of this host runs for so long. Its network stack goes on, as when every process is stopped."""
        if not seconds > 0:
            raise UsageError(f"pause: seconds must be more than 0, not {seconds!r}")
        self.power.pause(round(seconds * 1e9))

    def send_signal(self, signum: int) -> None:
        """Send a signal to every program of this host."""
        for process in tuple(self.stack.processes):
            process.send_signal(int(signum))
