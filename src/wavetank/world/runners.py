"""How a main becomes a program: under `asyncio.run`, or just called.

Owns the choice of the runner. What a framework needs is that framework's module in `frameworks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from wavetank.errors import UsageError, did_you_mean
from wavetank.frameworks import runners


def find(runner: str | Callable[..., Any] | None, main: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs `main(*args)`, given `main` and `args`. Raises `UsageError` for an unknown name."""
    if not callable(main):
        raise UsageError(f"a program's main must be callable, not {type(main).__name__}")
    if runner is None:
        runner = "asyncio" if inspect.iscoroutinefunction(main) else "call"
    if not isinstance(runner, str):
        return runner
    if runner not in runners:
        hint = did_you_mean(runner, runners)
        raise UsageError(
            f"unknown runner {runner!r}.{hint}", why=f"the runners are {', '.join(runners)}, or a callable"
        )
    return runners[runner]
