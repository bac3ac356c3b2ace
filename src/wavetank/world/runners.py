"""How a main becomes a program: under `asyncio.run`, or just called.

Owns the table of `runner=`. What a framework needs is that framework's module in `frameworks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from wavetank.errors import UsageError, did_you_mean

#: Names of runners and the modules whose `run(main, *args)` they are; loaded when first used.
_MODULES: Final = {
    "asyncio": "wavetank.frameworks.asyncio",
}
NAMES: Final = ("call", *_MODULES)


def call(main: Callable[..., Any], *args: Any) -> Any:
    """Run a main that is an ordinary function."""
    return main(*args)


def find(runner: str | Callable[..., Any] | None, main: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs `main(*args)`, given `main` and `args`. Raises `UsageError` for an unknown name."""
    if not callable(main):
        raise UsageError(f"a program's main must be callable, not {type(main).__name__}")
    if runner is None:
        runner = "asyncio" if inspect.iscoroutinefunction(main) else "call"
    if not isinstance(runner, str):
        return runner
    if runner == "call":
        return call
    if runner not in _MODULES:
        hint = did_you_mean(runner, NAMES)
        raise UsageError(f"unknown runner {runner!r}.{hint}", why=f"the runners are {', '.join(NAMES)}, or a callable")
    found: Callable[..., Any] = import_module(_MODULES[runner]).run
    return found
