"""The face `atexit`: what a program wants done when it ends, for each simulated process.

Owns the functions of the module `atexit` and each process's list of callbacks. Who ends a process calls `run_all`. The
callbacks that modules registered while the image imported them belong to every process, as they would in real ones.

But modules are shared: what one of them registered for itself when it was imported ("stop all my threads", "close all
pools") would at the end of one process reach into the others that still run. So callbacks of modules outside the
standard library are left out where a world has several processes; the end of the process stops its threads and closes
its sockets in any case. What a program registers as it runs is always called.

Behaviour: CPython Modules/atexitmodule.c.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from types import FrameType

    from wavetank.kernel.process import Process

_T = TypeVar("_T")
#: The function, its arguments, and whether a module registered it when it was imported.
_Callback = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any], bool]

_state: dict[str, list[_Callback]] = {"callbacks": []}


def register(func: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Callable[..., _T]:
    """Call `func(*args, **kwargs)` when the process ends; returns `func`."""
    if not callable(func):
        raise TypeError("the first argument must be callable")
    _state["callbacks"].append((func, args, kwargs, _importing(sys._getframe(1))))
    return func


def _importing(caller: FrameType) -> bool:
    """Whether the caller is the body of a module that is not the program itself, nor of the standard library."""
    name = str(caller.f_globals.get("__name__", "__main__"))
    return (
        caller.f_code.co_name == "<module>" and name != "__main__" and name.split(".")[0] not in sys.stdlib_module_names
    )


def unregister(func: Callable[..., object], /) -> None:
    """Forget every callback that equals `func`."""
    _state["callbacks"][:] = [callback for callback in _state["callbacks"] if callback[0] != func]


def run_all() -> None:
    """Call the running process's callbacks, last registered first. What they raise is printed, and the rest goes on."""
    callbacks = _state["callbacks"]
    while callbacks:
        func, args, kwargs, _ = callbacks.pop()
        try:
            func(*args, **kwargs)
        except SystemExit:
            continue  # CPython 3.11 and later: an exit status from here is lost
        except BaseException as error:
            _complain(func, error)


def leave_others_alone() -> None:
    """There are other processes: forget what modules registered for themselves, since it would act on all."""
    _state["callbacks"][:] = [callback for callback in _state["callbacks"] if not callback[3]]


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
    process.own(_state, {"callbacks": list(inherited)})


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
