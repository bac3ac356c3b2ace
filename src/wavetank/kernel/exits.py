"""The face `atexit`: what a program wants done when it ends, for each simulated process.

Owns the functions of the module `atexit` and each process's list of callbacks. Who ends a process calls `run_all`. The
callbacks that modules registered while the image imported them belong to every process, as they would in real ones.
Behaviour: CPython Modules/atexitmodule.c.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

_T = TypeVar("_T")
_Callback = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]

_state: dict[str, list[_Callback]] = {"callbacks": []}


def register(func: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Callable[..., _T]:
    """Call `func(*args, **kwargs)` when the process ends; returns `func`."""
    if not callable(func):
        raise TypeError("the first argument must be callable")
    _state["callbacks"].append((func, args, kwargs))
    return func


def unregister(func: Callable[..., object], /) -> None:
    """Forget every callback that equals `func`."""
    _state["callbacks"][:] = [callback for callback in _state["callbacks"] if callback[0] != func]


def run_all() -> None:
    """Call the running process's callbacks, last registered first. What they raise is printed, and the rest goes on."""
    callbacks = _state["callbacks"]
    while callbacks:
        func, args, kwargs = callbacks.pop()
        try:
            func(*args, **kwargs)
        except SystemExit:
            continue  # CPython 3.11 and later: an exit status from here is lost
        except BaseException as error:
            _complain(func, error)


def _complain(func: Callable[..., object], error: BaseException) -> None:
    import traceback

    if sys.stderr is not None:
        sys.stderr.write(f"Exception ignored in atexit callback: {func!r}\n")
        sys.stderr.write("".join(traceback.format_exception(error)))


def _clear() -> None:
    _state["callbacks"].clear()


def _count() -> int:
    return len(_state["callbacks"])


def begin(process: Process, inherited: list[_Callback]) -> None:
    """Give a new process its own list, which starts with the image's callbacks."""
    process.own(_state, "callbacks", list(inherited))


def registered() -> list[_Callback]:
    """The callbacks of the process that runs now."""
    return list(_state["callbacks"])


def install() -> None:
    """Replace the functions of `atexit`. The real list stays empty: an image and its children leave by `_exit`."""
    for name, function in (
        ("register", register),
        ("unregister", unregister),
        ("_run_exitfuncs", run_all),
        ("_clear", _clear),
        ("_ncallbacks", _count),
    ):
        setattr(atexit, name, function)
