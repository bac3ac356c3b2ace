"""The cases on the simulated kernel: few worlds, a host of its own for each case, the same code as on real sockets.

A world is one thread of one process, so all cases of a target are dealt out to a few worlds that run at once; what a
case hears is not changed by its neighbours, who are on other hosts.

Owns the scenarios that a world runs, and the way from what their programs print to results. A program inside the world
is what `runner.carry_out` does; the image imports this module as it imports any target.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from wavetank.campaign.api import Outcome, run
from wavetank.conformance import runner
from wavetank.conformance.cases import CASES
from wavetank.conformance.targets import Target, loop_target, reactor_target
from wavetank.errors import InternalError
from wavetank.world.world import World

#: Virtual seconds for one case.
_LIMIT_S: Final = 120.0
#: The cases break rules on purpose, and say themselves what came of it.
_NO_ORACLE: Final = ("exception", "unhandled", "hang", "spin", "leak", "buffer", "contract")
#: Real seconds for all of them.
_REAL_LIMIT_S: Final = 120.0
#: Worlds at once: two halve the time, and each more costs another half second of imports.
_WORLDS: Final = 2
#: What a program prints before its answer, so that what a loop prints is not taken for one.
_MARK: Final = "answer of "
#: Not simulated, so not offered: see docs/kernel.md.
_UNAVAILABLE: Final = {"process": "child processes are not simulated"}


def _program(make: Callable[[], Target], name: str) -> None:
    answer: dict[str, Any]
    try:
        answer = runner.carry_out(make(), CASES[name])
    except Exception as error:
        answer = {"crashed": f"{type(error).__name__}: {error}"}
    print(_MARK + json.dumps([name, answer]))  # noqa: T201  # this is how a program in a world answers


def play(world: World, make: Callable[[], Target], names: Iterable[str]) -> None:
    """Run these cases, one after another, each on its own host."""
    for number, name in enumerate(names):
        if CASES[name].wants & {*_UNAVAILABLE}:
            continue
        process = world.host(f"host{number}").run(_program, make, name, name=name)
        try:
            process.exception(timeout=_LIMIT_S)
        except TimeoutError:
            process.kill()


def _dealt(world: World) -> list[str]:
    """The cases of this world: its seed, from which a calm world draws nothing, says which part of them."""
    return [*CASES][world.seed :: _WORLDS]


def asyncio_loop(world: World) -> None:
    """A part of the cases on asyncio's own loop."""
    play(world, lambda: loop_target("asyncio"), _dealt(world))


def select_reactor(world: World) -> None:
    """A part of the cases on Twisted's select reactor."""
    play(world, lambda: reactor_target("select"), _dealt(world))


def poll_reactor(world: World) -> None:
    """A part of the cases on Twisted's poll reactor."""
    play(world, lambda: reactor_target("poll"), _dealt(world))


def epoll_reactor(world: World) -> None:
    """A part of the cases on Twisted's epoll reactor."""
    play(world, lambda: reactor_target("epoll"), _dealt(world))


def asyncio_reactor(world: World) -> None:
    """A part of the cases on Twisted's asyncio reactor."""
    play(world, lambda: reactor_target("asyncio"), _dealt(world))


_SCENARIOS: Final = {
    "asyncio": asyncio_loop,
    "twisted-select": select_reactor,
    "twisted-poll": poll_reactor,
    "twisted-epoll": epoll_reactor,
    "twisted-asyncio": asyncio_reactor,
}


def run_cases(target: Target, names: Iterable[str]) -> Iterator[runner.Result]:
    """The results of these cases on the simulated kernel.

    All cases of a target with a name run in an image; some of them, and any other target, in a fork of this process.
    Raises InternalError when the world itself fails.
    """
    chosen = list(names)
    if target.family == "uvloop":
        for name in chosen:
            yield runner.Result(name, runner.NOT_OFFERED, note="uvloop is C on the real kernel, and is not simulated")
        return
    scenario = _SCENARIOS.get(target.label) if len(chosen) == len(CASES) else None
    if scenario is None:
        outcomes = [_play_all(lambda world: play(world, lambda: target, chosen))]
    else:
        with ThreadPoolExecutor(_WORLDS) as threads:
            outcomes = [*threads.map(partial(_play_all, scenario), range(_WORLDS))]
    answers = {name: answer for outcome in outcomes for name, answer in _answers(outcome)}
    for outcome in outcomes:
        if not any(_answers(outcome)):
            raise InternalError(f"no case answered in the simulated world: {outcome.failure}")
    for name in chosen:
        missing = [why for word, why in _UNAVAILABLE.items() if word in CASES[name].wants]
        answer = {"missing": missing[0]} if missing else answers.get(name, {"hung": "it did not end in virtual time"})
        yield runner.judge(target, CASES[name], answer, ground="simulated")


def _play_all(scenario: Callable[[World], None], seed: int = 0) -> Outcome:
    return run(scenario, seed=seed, no_oracle=_NO_ORACLE, limit_real=_REAL_LIMIT_S, faults="none")


def _answers(outcome: Outcome) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the programs of a world said, by case."""
    for text in outcome.stdout.values():
        for line in text.splitlines():
            if line.startswith(_MARK):
                name, answer = json.loads(line[len(_MARK) :])
                yield name, answer
