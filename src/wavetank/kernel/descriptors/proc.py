"""A program that looks itself up in `/proc`, by the number that `os.getpid` gives.

Owns one thing: `/proc/PID` of the calling simulated process is `/proc/self`, since all processes of a world live in one
real process; `psutil.Process()` asks so. What is read there are the figures of that real process (memory, times,
files): they are no part of the simulation, and no two runs agree on them. Other processes of the world have no entry,
and neither have simulated descriptors. Behaviour: proc(5).
"""

from __future__ import annotations

from typing import Any, Final

from wavetank.kernel import core

_PROC: Final = "/proc/"


def own(path: Any) -> Any:
    """The path to use for `path`."""
    if path.__class__ is not str or not path.startswith(_PROC):
        return path
    mine = f"{_PROC}{core.K.process.pid}"
    rest = path[len(mine) :]
    return f"{_PROC}self{rest}" if path.startswith(mine) and rest[:1] in ("", "/") else path
