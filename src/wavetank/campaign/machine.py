"""What this machine lets us do: the checks that every campaign makes, and the list that `wavetank doctor` prints.

Owns the facts and their words. It changes nothing: what must be tried is tried in a process of its own.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from wavetank.campaign.image import LAST_FD
from wavetank.errors import EnvironmentProblem, WavetankError
from wavetank.world.mailbox import SLOTS

OK: Final = "ok"
NOTE: Final = "note"
PROBLEM: Final = "problem"
_FRAMEWORKS: Final = ("trio", "twisted", "anyio", "uvloop")
_NEEDED: Final = ("greenlet", "msgspec", "click", "rich")

# Linux include/uapi/linux/personality.h: ADDR_NO_RANDOMIZE is 0x40000; 0xffffffff asks without setting.
_TRY_ADDRESSES: Final = """
import ctypes
call = ctypes.CDLL(None).personality
call(ctypes.c_ulong(call(ctypes.c_ulong(0xffffffff)) | 0x40000))
print(bool(call(ctypes.c_ulong(0xffffffff)) & 0x40000))
"""
# seccomp(2): with an invalid filter pointer, EFAULT says that filters are supported, EINVAL or EPERM that not.
# prctl(2): PR_SET_NO_NEW_PRIVS is 38, PR_SET_SECCOMP 22, SECCOMP_MODE_FILTER 2; EFAULT is 14.
_TRY_FILTER: Final = """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
zero = ctypes.c_ulong(0)
library.prctl(38, ctypes.c_ulong(1), zero, zero, zero)
library.prctl(22, ctypes.c_ulong(2), zero, zero, zero)
print(ctypes.get_errno() == 14)
"""


class Fact(NamedTuple):
    """One line of the doctor: how it stands (OK, NOTE or PROBLEM), about what, and the words."""

    state: str
    name: str
    text: str


def refuse_unusable() -> None:
    """Raise `EnvironmentProblem` where no run can work at all."""
    if sys.platform == "win32":
        raise EnvironmentProblem("Wavetank runs on Linux; on Windows it works inside WSL 2")
    if sys.platform != "linux":
        raise EnvironmentProblem(f"Wavetank runs on Linux, and this is {sys.platform}")
    if sys.implementation.name != "cpython":
        raise EnvironmentProblem(f"Wavetank needs CPython, and this is {sys.implementation.name}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise EnvironmentProblem("Wavetank does not work with a free-threaded build of Python (the `t` in python3.13t)")


def examine(folder: str) -> Iterator[Fact]:
    """All facts, `folder` being where failures are kept."""
    yield Fact(OK if sys.platform == "linux" else PROBLEM, "system", f"{platform.system()} {platform.release()}")
    yield _python()
    for name in _NEEDED:
        version = _version(name)
        yield Fact(OK if version else PROBLEM, name, version or "not installed")
    if sys.platform == "linux":
        yield from _linux()
    yield _writable(folder)
    yield Fact(OK, "asyncio", "part of Python")
    for name in _FRAMEWORKS:
        yield Fact(OK, name, _version(name) or "not installed")


def _python() -> Fact:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    try:
        refuse_unusable()
    except WavetankError as error:
        return Fact(PROBLEM, "python", f"{version}: {error.what}")
    return Fact(OK, "python", version)


def _linux() -> Iterator[Fact]:
    if _try(_TRY_ADDRESSES):
        yield Fact(OK, "addresses", "fixed: orders of sets repeat")
    else:
        why = "cannot be fixed (personality(2) is refused, as by Docker's default seccomp profile): "
        yield Fact(NOTE, "addresses", f"{why}programs that depend on the order of sets may not repeat exactly")
    if _try(_TRY_FILTER):
        yield Fact(OK, "guard", "seccomp filters work: nothing leaves to the real network")
    else:
        yield Fact(NOTE, "guard", "seccomp filters are refused: only Python's own calls are kept from the real network")
    yield from _descriptors()
    readable = os.path.isdir("/proc/self/fd")
    yield Fact(OK if readable else PROBLEM, "/proc", "mounted" if readable else "not mounted")


def _descriptors() -> Iterator[Fact]:
    number = -1
    try:
        number = os.pidfd_open(os.getpid())
        yield Fact(OK, "pidfd", "the end of a run is noticed at once")
    except OSError as error:
        yield Fact(NOTE, "pidfd", f"refused ({error.strerror}): the end of a run is noticed some 20 ms late")
    finally:
        if number >= 0:
            os.close(number)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = LAST_FD + 1 + SLOTS + 3
    enough = hard == resource.RLIM_INFINITY or hard >= needed
    text = "no limit" if hard == resource.RLIM_INFINITY else f"{hard} allowed"
    yield Fact(OK if enough else PROBLEM, "open files", text if enough else f"{text}, {needed} needed")


def _writable(folder: str) -> Fact:
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Fact(OK, "folder", f"{folder} can be written")
    return Fact(PROBLEM, "folder", f"{folder} cannot be written; choose another one with --dir DIR")


def _try(program: str) -> bool:
    command = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() == "True"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
