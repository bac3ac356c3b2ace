"""Blocking programs and threads as guests: nothing stands between them and the simulated kernel.

Owns how a main without a framework is run. Exceptions that end a thread are seen by `wavetank.kernel.threads`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def run(main: Callable[..., Any], *args: Any) -> Any:
    """Run `main(*args)`: call it."""
    return main(*args)
