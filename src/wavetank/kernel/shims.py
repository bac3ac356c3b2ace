"""What is replaced where: one call that puts the whole simulated kernel under the standard library.

Owns the order of the replacements and the *image kernel*, in whose only process everything runs until a world begins.
Each kernel module knows itself what it replaces, and does so in its `install()`.

The order matters in three places: what is to be asked of the real system is asked first; locks must be simulated before
any module makes one; and `_socket` and `select` must be in place before `socket`, `ssl` or `selectors` are imported,
because these copy names out of them (`from _socket import *`).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module under `signal`
import sys
from importlib import import_module
from typing import Final

from wavetank.errors import InternalError
from wavetank.kernel import core
from wavetank.kernel.choices import Choices
from wavetank.kernel.core import Kernel
from wavetank.kernel.process import Process
from wavetank.kernel.recorder import Recorder
from wavetank.kernel.stack import Stack
from wavetank.network.fabric import Fabric
from wavetank.plan import DEFAULT_EPOCH_S

#: Modules that copy from what is replaced, or that make locks when they are imported.
TOO_EARLY: Final = (
    "socket", "select", "selectors", "threading", "ssl", "_ssl", "asyncio", "subprocess", "random", "queue", "_queue",
    "logging", "tempfile", "concurrent.futures", "multiprocessing",
)  # fmt: skip

#: The modules of this package that replace something, in the order in which they do.
FACES: Final = (
    "refusals",
    "exits",
    "time",
    "threads",
    "descriptors",
    "buffered",
    "entropy",
    "signals",
    "outside",
    "sharing",
    "c_functions",
    "interfaces",
    "identity",
    "readiness",
    "socket",
    "names",
    "netdevice",
    "tls",
)

#: The real calls that our own watchdog needs.
real_signal: Final = _signal.signal
real_setitimer: Final = _signal.setitimer

_installed: list[str] = []


def image_kernel(epoch_s: int = DEFAULT_EPOCH_S) -> Kernel:
    """A kernel with one process, `image`, on a host of its own: for everything that runs before a world begins."""
    choices = Choices(0)
    kernel = Kernel(choices, Recorder(), epoch_s * 1_000_000_000)
    fabric = Fabric(kernel, choices.stream)
    node = fabric.add("image")
    node.stack = Stack("image", node, fabric)
    process = Process(node.stack, "image", 1)
    node.stack.processes.append(process)
    process.main_thread = kernel.adopt(process, "MainThread")
    return kernel


def install() -> None:
    """Replace everything, once in an interpreter. Raises `InternalError` when a module was imported too early."""
    early = [name for name in TOO_EARLY if name in sys.modules]
    if early:
        raise InternalError(
            f"imported before the simulated kernel was in place: {', '.join(early)}",
            why="what these modules copied from the real system when they were imported would be used for ever",
        )
    install_late()


def install_late() -> None:
    """Replace everything although modules have copied from the real system: for who exchanges these copies himself."""
    if _installed:
        raise InternalError("the simulated kernel was installed twice in one interpreter")
    core.K = image_kernel()
    for name in FACES:
        import_module(f"wavetank.kernel.{name}").install()
        _installed.append(name)


def installed() -> bool:
    """Whether this interpreter has the simulated kernel in place."""
    return bool(_installed)
