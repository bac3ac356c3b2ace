"""uvloop as a guest: programs that ask for it get asyncio's own loop, and the report says so.

Owns a stand-in for the module `uvloop`, used only where the real one is installed. uvloop's loop is C code that calls
libuv, never the simulated kernel. What differs for a program: uvloop's own buffer sizes and its order of callbacks.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from wavetank.frameworks import reports

NAME: Final = "uvloop"
NOTE: Final = "uvloop was replaced by asyncio's own loop: its C code does not call the simulated kernel"


class Loop(asyncio.SelectorEventLoop):
    """What stands for `uvloop.Loop`."""


Loop.__module__ = NAME  # by which programs recognise it


def new_event_loop() -> Loop:
    """A new loop."""
    reports.note(NOTE)
    return Loop()


class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """What stands for `uvloop.EventLoopPolicy`: asyncio's policy, with these loops."""

    def _loop_factory(self) -> Loop:  # BaseDefaultEventLoopPolicy calls it to make a loop
        return new_event_loop()


def install() -> None:
    """`uvloop.install`."""
    asyncio.set_event_loop_policy(EventLoopPolicy())


def run(
    main: Coroutine[Any, Any, Any],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = new_event_loop,
    debug: bool | None = None,
) -> Any:
    """`uvloop.run`."""
    with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
        return runner.run(main)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        for name in ("Loop", "new_event_loop", "EventLoopPolicy", "install", "run"):
            setattr(module, name, globals()[name])
        module.__dict__["__version__"] = _version()
        if module.__name__ == NAME:
            module.__dict__["__all__"] = ("new_event_loop", "install", "EventLoopPolicy")
            import_module(f"{NAME}.loop")  # the real one has it as soon as it is imported


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(NAME)
    except PackageNotFoundError:
        return "0"


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (NAME, f"{NAME}.loop"):
            return None
        if fullname == NAME and not any(
            finder.find_spec(fullname, path, target)
            for finder in sys.meta_path
            if finder is not self and hasattr(finder, "find_spec")
        ):
            return None  # not installed: the ordinary error
        return ModuleSpec(fullname, _Loader(), is_package=fullname == NAME)


def stand_in() -> None:
    """From now on `import uvloop` gives the stand-in, where the real one is installed."""
    sys.meta_path.insert(0, _Finder())
