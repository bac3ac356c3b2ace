"""The director: the user's scenario function, as a simulated thread of its own on no host.

Owns the process of the director, which has neither descriptors on the network nor addresses, and the end of a world
that a scenario directs: when the function returns, and what must hold eventually holds, the world is over.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, Final

from wavetank.errors import NothingToRun, UsageError
from wavetank.frameworks import state
from wavetank.kernel import core, threads
from wavetank.kernel.process import Process
from wavetank.kernel.stack import Stack
from wavetank.network.fabric import Node
from wavetank.world import identity
from wavetank.world.job import FailureRecord, Output
from wavetank.world.oracles import EXCEPTION, exception_record
from wavetank.world.output import Streams
from wavetank.world.universe import Universe
from wavetank.world.world import World, settle

NAME: Final = "director"
_PID: Final = 1_000

Scenario = Callable[..., Any]


class Director:
    """Runs one scenario in one universe."""

    def __init__(self, universe: Universe, seed: int, load: Callable[[], Scenario]) -> None:
        self.universe = universe
        self.seed = seed
        self.load = load
        self.streams: Streams | None = None
        #: Why there is nothing to direct: the target names no scenario. Then the run has no result.
        self.refused: UsageError | NothingToRun | None = None

    def start(self) -> None:
        """Make the director's thread; it runs when the kernel does."""
        universe = self.universe
        kernel = universe.kernel
        process = universe.director = Process(Stack(NAME, Node(NAME, []), universe.fabric), NAME, _PID)
        self.streams = Streams(process.fds)
        state.only_imports(process)
        identity.assume(
            process,
            streams=self.streams,
            argv=[NAME],
            path=list(sys.path),
            environment=universe.environment,
            main=_empty_main(),
            inherited=universe.exit_callbacks,
        )
        thread = kernel.new_thread(process, "scenario")
        process.main_thread = thread
        kernel.start(thread, self._direct)

    def _direct(self) -> None:
        threads.process_threads_begin()
        try:
            scenario = self._scenario()
            if scenario is not None:
                world = World(self.universe, self.seed, self.fail)
                run_scenario(scenario, world)
                settle(world)
        except BaseException as error:
            self.fail(error)
        core.K.stop("done")

    def _scenario(self) -> Scenario | None:
        try:
            return self.load()
        except (UsageError, NothingToRun) as error:
            self.refused = error
            return None

    def fail(self, error: BaseException) -> None:
        """The scenario, or one of its checks, raised: the world ends. An exception of a program is that program's."""
        universe = self.universe
        now = universe.kernel.now
        for program in universe.programs:
            if program.error is error and program.reported:
                program.fetched = False
                core.K.stop("done")

        def words() -> FailureRecord:
            return exception_record(EXCEPTION, NAME, now, error, "out of the scenario")

        universe.oracles.report(EXCEPTION, NAME, words, first=True, error=error)
        core.K.stop("done")

    def output(self) -> list[Output]:
        """What the scenario printed."""
        if self.streams is None:
            return []
        found = Output(NAME, self.streams.stdout.text(), self.streams.stderr.text(), None)
        return [found] if found.stdout or found.stderr else []


def _empty_main() -> ModuleType:
    return ModuleType("__main__")


def run_scenario(scenario: Scenario, world: World) -> None:
    """Call the scenario with the world; one without parameters is a program, and runs as the only one of one host."""
    if takes_world(scenario):
        if inspect.iscoroutinefunction(scenario):
            world.host("main").run(scenario, world).result()
        else:
            scenario(world)
    else:
        world.host("main").run(scenario).result()


def takes_world(scenario: Scenario) -> bool:
    """Whether the function has a parameter for the world."""
    if type(scenario) is FunctionType and not scenario.__dict__:  # as `signature` finds, in a fiftieth of its time
        return bool(scenario.__code__.co_argcount or scenario.__code__.co_flags & inspect.CO_VARARGS)
    try:
        parameters = inspect.signature(scenario).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(each.kind is not each.KEYWORD_ONLY and each.kind is not each.VAR_KEYWORD for each in parameters)
