"""The cases on the simulated kernel: one world, a host of its own for each case, the same code as on real sockets.

Owns the scenarios that a world runs, and the way from what their programs print to results. A program inside the world
is what `runner.carry_out` does; the image imports this module as it imports any target.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from wavetank.campaign.api import run
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


def asyncio_loop(world: World) -> None:
    """Every case on asyncio's own loop."""
    play(world, lambda: loop_target("asyncio"), CASES)


def select_reactor(world: World) -> None:
    """Every case on Twisted's select reactor."""
    play(world, lambda: reactor_target("select"), CASES)


def poll_reactor(world: World) -> None:
    """Every case on Twisted's poll reactor."""
    play(world, lambda: reactor_target("poll"), CASES)


def epoll_reactor(world: World) -> None:
    """Every case on Twisted's epoll reactor."""
    play(world, lambda: reactor_target("epoll"), CASES)


def asyncio_reactor(world: World) -> None:
    """Every case on Twisted's asyncio reactor."""
    play(world, lambda: reactor_target("asyncio"), CASES)


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

        def scenario(world: World) -> None:
            play(world, lambda: target, chosen)

    outcome = run(scenario, no_oracle=_NO_ORACLE, limit_real=_REAL_LIMIT_S, faults="none")
    answers = {}
    for text in outcome.stdout.values():
        for line in text.splitlines():
            if line.startswith(_MARK):
                name, answer = json.loads(line[len(_MARK) :])
                answers[name] = answer
    if not answers:
        raise InternalError(f"no case answered in the simulated world: {outcome.failure}")
    for name in chosen:
        missing = [why for word, why in _UNAVAILABLE.items() if word in CASES[name].wants]
        answer = {"missing": missing[0]} if missing else answers.get(name, {"hung": "it did not end in virtual time"})
        yield runner.judge(target, CASES[name], answer, ground="simulated")
