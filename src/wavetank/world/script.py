"""A plain Python script as a program: what `python script.py ARGUMENTS` does, on a host.

Owns the module `__main__` of a script and the way it is executed (CPython Modules/main.c, `pymain_run_file`). Exit
status, uncaught exceptions and what comes after are every program's: `program`.
"""

from __future__ import annotations

import builtins
import os
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

from wavetank.world import sources
from wavetank.world.host import Host
from wavetank.world.job import HostScript
from wavetank.world.program import Program
from wavetank.world.universe import Universe


def main_module(path: str) -> ModuleType:
    """A fresh `__main__` for the script at `path`."""
    module = ModuleType("__main__")
    module.__dict__.update(
        __file__=path,
        __builtins__=builtins,
        __loader__=SourceFileLoader("__main__", path),
        __cached__=None,
        __annotations__={},
    )
    return module


def start(universe: Universe, host: Host, script: HostScript) -> Program:
    """Run a script as a program of `host`, from now on."""
    module = main_module(script.path)
    code = sources.code_of(script.path)
    folder, name = os.path.split(script.path)
    program = Program(
        universe,
        host,
        name.removesuffix(".py"),
        lambda: exec(code, module.__dict__),
        [script.path, *script.argv],
        module,
    )
    program.path = [folder, *(entry for entry in sys.path if entry != folder)]
    return host.start(program)
