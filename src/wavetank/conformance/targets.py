"""What can be tested: a loop of asyncio's or a reactor of Twisted's, by name or by factory.

Owns the names of `--loop` and `--reactor`, and what a target says of itself: its family and version, by which the
ledger knows its deviations. It imports a target only when it is made.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from typing import Any, Final

from wavetank.conformance.pairs import dialect_of
from wavetank.errors import EnvironmentProblem, UsageError, did_you_mean

_REACTORS: Final = {
    "select": "twisted.internet.selectreactor:SelectReactor",
    "poll": "twisted.internet.pollreactor:PollReactor",
    "epoll": "twisted.internet.epollreactor:EPollReactor",
    "asyncio": "twisted.internet.asyncioreactor:AsyncioSelectorReactor",
}
_LOOPS: Final = {"asyncio": "asyncio:new_event_loop", "uvloop": "uvloop:new_event_loop"}


@dataclass(frozen=True)
class Target:
    """One target: `label` names it, `make` gives a new loop or reactor each time.

    `family`: asyncio, uvloop, twisted, or the module of a loop that is none of them; `version`: of that family (of
    Python for asyncio). `endpoint`: makes an object with `listen` and `connect` (see `run_protocols`), for transports
    of one's own; None for those of the loop.
    """

    label: str
    make: Callable[[], Any]
    dialect: str
    family: str
    version: str
    endpoint: Any = None


def loop_target(name: str) -> Target:
    """A loop by name (asyncio, uvloop) or as module:factory. Raises UsageError, EnvironmentProblem."""
    return of_factory(found_function(name, _LOOPS, "--loop"), label=name)


def reactor_target(name: str) -> Target:
    """A reactor by name (select, poll, epoll, asyncio) or as module:factory. Raises UsageError, EnvironmentProblem."""
    factory = found_function(name, _REACTORS, "--reactor")
    if name == "asyncio":
        return of_factory(lambda: factory(asyncio.new_event_loop()), label="twisted-asyncio")
    return of_factory(factory, label=f"twisted-{name}" if name in _REACTORS else name)


def any_target(name: str) -> Target:
    """A loop or a reactor by name: asyncio, uvloop, select, poll, epoll, twisted-asyncio, or module:factory."""
    bare = name.removeprefix("twisted-")
    if bare in _REACTORS and name not in _LOOPS:
        return reactor_target(bare)
    if name in _LOOPS or ":" in name:
        return loop_target(name)
    known = [*_LOOPS, *(f"twisted-{each}" for each in _REACTORS)]
    raise UsageError(
        f"no target {name!r}.{did_you_mean(name, known)}", next=f"one of {', '.join(known)}, or module:factory"
    )


def with_endpoint(target: Target, name: str) -> Target:
    """The target with the transports of `module:factory`, a function or class that makes an endpoint."""
    return replace(target, label=f"{target.label} with {name}", endpoint=found_function(name, {}, "--endpoint"))


def of_factory(factory: Callable[[], Any], *, label: str = "") -> Target:
    """The target that this factory makes; it is called once, and what it made is closed. Raises UsageError."""
    try:
        made = factory()
    except Exception as error:
        raise UsageError(
            f"the factory {label or factory!r} failed: {type(error).__name__}: {error}",
            next="give a function without arguments that returns a new loop each time, as asyncio:new_event_loop",
        ) from error
    dialect = dialect_of(made)
    family = _family(made)
    if dialect == "asyncio":
        made.close()
    else:
        import_module("wavetank.conformance.pairs_tx").close_reactor(made)
    return Target(label or getattr(factory, "__name__", "loop"), factory, dialect, family, _version(family))


def _family(made: Any) -> str:
    for kind in type(made).__mro__:
        top = kind.__module__.partition(".")[0]
        if top in ("asyncio", "uvloop", "twisted"):
            own = type(made).__module__.partition(".")[0]
            return top if own == top else own
    return type(made).__module__.partition(".")[0]


def _version(family: str) -> str:
    if family == "asyncio":
        return platform.python_version()
    try:
        return metadata.version(family)
    except metadata.PackageNotFoundError:
        return "0"


def found_function(name: str, names: dict[str, str], option: str) -> Callable[..., Any]:
    """The function that a name stands for."""
    text = names.get(name, name)
    module, colon, attribute = text.partition(":")
    if not colon:
        raise UsageError(
            f"{option} {name}: no such name.{did_you_mean(name, names)}",
            next=f"{option} one of {', '.join(names)}, or module:factory",
        )
    sys.path.insert(0, "")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ImportError as error:
        top = module.partition(".")[0]
        raise EnvironmentProblem(
            f"{option} {name}: {error}", next=f"pip install {top}" if name in names else f"a module named {module}"
        ) from error
    except AttributeError as error:
        raise UsageError(f"{option} {name}: {error}", next=f"{option} module:factory") from error
    finally:
        sys.path.remove("")
    if not callable(found):
        raise UsageError(f"{option} {name}: a {type(found).__name__} is no factory", next=f"{option} module:factory")
    factory: Callable[..., Any] = found
    return factory
