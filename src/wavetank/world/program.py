"""One program of a host, from its start to its end, through restarts.

Owns the life of a program's main thread: what CPython does around a main - the uncaught exception and its print, the
exit status, the wait for threads, `atexit`, the last flush - in CPython's order (Python/pylifecycle.c,
`Py_FinalizeEx`). What a program *is* (a script, a function under some event loop) comes as a callable.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from greenlet import GreenletExit

from wavetank.errors import ProgramKilled
from wavetank.kernel import core, exits, finalizers, refusals, threads
from wavetank.kernel.core import Thread
from wavetank.kernel.process import Process
from wavetank.trace.schema import Kind
from wavetank.world import identity, places
from wavetank.world.job import Output
from wavetank.world.output import Streams

if TYPE_CHECKING:
    from wavetank.world.host import Host
    from wavetank.world.universe import Universe

#: The ends of so many programs of a world collect all garbage; of the later ones, each power of two.
WHOLE_COLLECTIONS: Final = 16
_INTERRUPTED: Final = 130  # what the shell shows for a program that SIGINT ended: 128 + 2


class Program:
    """A program and its present process. `main` is called on the main thread; what it returns is the result."""

    def __init__(
        self, universe: Universe, host: Host, name: str, main: Callable[[], Any], argv: list[str], module: ModuleType
    ) -> None:
        self.universe = universe
        self.host = host
        self.name = name
        self.main = main
        self.argv = argv
        self.module = module
        self.path: list[str] | None = None
        self.process: Process | None = None
        self.streams: Streams | None = None
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.status: int | None = None
        self.fetched = False  # somebody asked for the result, so the error is known to the scenario
        self.reported = False  # its end is a failure of the run, unless the scenario expects it
        self.stopped = False  # by a fault: that it ends is no failure
        self.returns = False  # ... and it will run again: until then it is not done
        self.waiting: list[Thread] = []
        self.when_done: Callable[[], object] = _nothing
        self.earlier_output: list[Output] = []

    @property
    def label(self) -> str:
        """The program as reports name it."""
        return f"{self.host.name}/{self.name}"

    # ---- start

    def start(self) -> None:
        """Start it, for the first time or again, as a new process."""
        universe = self.universe
        kernel = universe.kernel
        stack = self.host.stack
        process = self.process = Process(stack, self.name, universe.new_pid())
        self.streams = Streams(process.fds)
        self.done = self.stopped = self.returns = self.reported = False
        self.value = self.error = self.status = None
        identity.assume(
            process,
            streams=self.streams,
            argv=list(self.argv),
            path=list(sys.path) if self.path is None else list(self.path),
            environment=universe.environment,
            main=self.module,
            inherited=universe.exit_callbacks,
        )
        process.exited.append(self._exited)
        stack.processes.append(process)
        thread = kernel.new_thread(process, "MainThread")
        process.main_thread = thread
        kernel.recorder.event(kernel.now, Kind.PROCESS_START, process.pid, 0, self.name.encode())
        kernel.start(thread, self._life)

    # ---- life

    def _life(self) -> None:
        process = core.K.process
        process.signals.deaf = True  # what a handler raises belongs into the program, not into what is around it
        threads.process_threads_begin()
        finalizers.begin()
        status = 0
        try:
            process.signals.deaf = False
            self.value = self.main()
        except GreenletExit:
            raise  # the world is over: see `teardown`
        except BaseException as error:
            status = self._ended_by(error)
        status = self._leave(status)
        process.signals.deaf = True
        self.universe.check_leaks(process)
        for leave in refusals.copies:
            leave(status)
        self.status = status
        process.finish(status)

    def _ended_by(self, error: BaseException) -> int:
        """What CPython makes of an exception out of `__main__`: its print, and the status."""
        if isinstance(error, SystemExit):
            status, message = _exit_status(error)
            if message:
                _print_error(message + "\n")
            if status == 0:
                return 0
        else:
            status = _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
            _show(error)
        self.error = error
        if not (self.stopped and isinstance(error, (SystemExit, KeyboardInterrupt))):
            self.universe.program_failed(self, error, status)
        return status

    def _leave(self, status: int) -> int:
        """Everything that CPython does between the end of `__main__` and the end of the process."""
        for step in (threads.process_threads_end, self._call_back, self._collect, self._flush):
            try:
                step()
            except GreenletExit:
                raise
            except BaseException as error:
                _show(error)
        return status

    def _call_back(self) -> None:
        if len(self.universe.programs) > 1:
            exits.leave_others_alone()
        exits.run_all()

    def _flush(self) -> None:
        assert self.streams is not None
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name, None)
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        self.streams.flush()

    def _collect(self) -> None:
        # CPython collects once more before it leaves; that is when "Task exception was never retrieved" is often said.
        # Here one collection sees the objects of all programs: in a world of hundreds, most ends look at the young.
        ended = self.universe.ended = self.universe.ended + 1
        gc.collect(2 if ended <= WHOLE_COLLECTIONS or ended & (ended - 1) == 0 else 1)

    # ---- end

    def _exited(self, process: Process) -> None:
        if process is not self.process or self.returns:
            return
        self.done = True
        self.status = process.status
        if self.error is None and process.status:
            self.error = self._cut_off(process.status)
            # A scenario that sends signals or cuts the power expects this; nobody else does.
            if not self.stopped and (process.status > 0 or self.universe.director is None):
                self.universe.program_failed(self, self.error, process.status)
        waiting, self.waiting = self.waiting, []
        for thread in waiting:
            core.K.wake(thread, None)
        self.when_done()

    def _cut_off(self, status: int) -> BaseException:
        """Why a process is gone that did not come to its end: `os._exit`, or a signal."""
        if status > 0:
            return SystemExit(status)
        return ProgramKilled(
            f"{self.label} was killed by signal {-status}",
            where=f"at {core.K.now / 1e9:.6f} s",
            why="a signal was sent to it, or its host lost power",
        )

    def output(self) -> list[Output]:
        """What it wrote, in this life and the earlier ones."""
        streams = self.streams
        if streams is None:
            return self.earlier_output
        status = self.process.status if self.process is not None else None
        return [*self.earlier_output, Output(self.label, streams.stdout.text(), streams.stderr.text(), status)]

    def bury(self) -> None:
        """Keep the output of a life that is over, before the next."""
        self.earlier_output = self.output()
        self.streams = None


def _nothing() -> None:
    """Nobody waits for the end."""


def _exit_status(error: SystemExit) -> tuple[int, str]:
    """The status and the message of a `SystemExit` (CPython Python/pythonrun.c, `_Py_HandleSystemExit`)."""
    code = error.code
    if code is None:
        return 0, ""
    if isinstance(code, int):
        return code & 0xFF, ""
    return 1, str(code)


def _print_error(text: str) -> None:
    stream = sys.stderr
    if stream is not None:
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):
            pass  # the program has closed it


def _show(error: BaseException) -> None:
    """Print an uncaught exception by the program's own `sys.excepthook`, else as Python does, without our lines."""
    hook = sys.excepthook
    if hook is sys.__excepthook__:
        _print_error(places.format_exception(error))
        return
    try:
        hook(type(error), error, places.without_ours(error.__traceback__))
    except BaseException as second:
        _print_error("Error in sys.excepthook:\n" + places.format_exception(second))
