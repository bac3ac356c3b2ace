"""Finding code that never gives control back: a loop without an await, a call that blocks for ever.

Owns one thread that looks, from time to time, whether the event loop still turns. It must never touch a run that
turns.

The idea: the loop beats at each iteration; when beats stop and the thread that should beat has used so much processor
time, or so much real time has gone, the watcher notes the line it stands on and raises `Stuck` in it. Processor time
decides for code that spins, so a busy machine makes nothing stuck, and nothing that spins look blocked.

Source: pthread_getcpuclockid(3); `PyThreadState_SetAsyncExc` of Python's C API, "Thread State and the Global
Interpreter Lock".
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from types import FrameType
from typing import Final

#: Frames of these are not shown.
_OURS: Final = tuple(f"{os.sep}wavetank{os.sep}{room}{os.sep}" for room in ("check", "doubles", "contract"))
#: Whatever stands above these has only called the loop.
_CALLERS: Final = (f"asyncio{os.sep}events.py", f"asyncio{os.sep}base_events.py", f"asyncio{os.sep}runners.py")
#: Processor seconds without a beat after which the code spins.
SPIN_CPU_S: Final = 1.0
#: Real seconds without a beat after which the code is blocked, if it has computed for less than `_IDLE_CPU_S` of them;
#: and after which it is in any case, as where it sleeps again and again.
BLOCKED_S: Final = 15.0
_IDLE_CPU_S: Final = 0.05
_BLOCKED_AT_LAST_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1
#: The real one: while a run goes on, `time.monotonic` is that of the run, also in this thread.
_monotonic: Final = time.monotonic


class Stuck(SystemExit):
    """Raised in code that does not give control back. A SystemExit, because asyncio's tasks let those out."""


class Watchdog:
    """Watches the thread that makes it; a context manager.

    `stuck` is ("spin" or "blocked", the stack of the user's code) once something was found, and None before.
    """

    def __init__(self) -> None:
        self._thread_id = threading.get_ident()
        self._clock_id = time.pthread_getcpuclockid(self._thread_id)
        self._beats = 0
        self._armed = False
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="wavetank check watchdog", daemon=True)
        self._lock = threading.Lock()
        self.stuck: tuple[str, str] | None = None
        self.threads_before = 0

    def __enter__(self) -> Watchdog:
        self._watcher.start()
        self.threads_before = threading.active_count()
        return self

    def __exit__(self, *raised: object) -> None:
        self.rest()
        self._over.set()
        self._watcher.join()

    def beat(self) -> None:
        """Control came back."""
        self._beats += 1

    def watch(self) -> None:
        """From now on, beats are expected."""
        self.stuck = None
        self._beats += 1
        self._armed = True

    def rest(self) -> None:
        """No beats are expected; nothing is raised any more."""
        with self._lock:
            self._armed = False

    def _watch(self) -> None:
        seen, since_cpu, since = -1, 0.0, 0.0
        while not self._over.wait(_LOOK_EVERY_S):
            cpu, now = time.clock_gettime(self._clock_id), _monotonic()
            if not self._armed or self._beats != seen:
                seen, since_cpu, since = self._beats, cpu, now
                continue
            kind = _kind(cpu - since_cpu, now - since)
            if kind:
                self._raise(kind)
                since_cpu, since = cpu, now

    def _raise(self, kind: str) -> None:
        frame = sys._current_frames().get(self._thread_id)
        with self._lock:
            if self._armed:
                self.stuck = self.stuck or (kind, _stack(frame))
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), ctypes.py_object(Stuck))


def _kind(computed_s: float, passed_s: float) -> str:
    """What is the matter when no beat has come for so long; "" when it is too early to say."""
    if computed_s > SPIN_CPU_S:
        return "spin"
    idle = computed_s < _IDLE_CPU_S
    return "blocked" if passed_s > (BLOCKED_S if idle else _BLOCKED_AT_LAST_S) else ""


def _stack(frame: FrameType | None) -> str:
    """The innermost lines of the stack, without those of the check itself."""
    return "".join(traceback.format_list(theirs(traceback.extract_stack(frame))[-6:]))


def theirs(frames: Iterable[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """The frames of the user's code and libraries: without those of the checker, and of what called the loop."""
    kept = [frame for frame in frames if not any(ours in frame.filename for ours in _OURS)]
    callers = [number for number, frame in enumerate(kept) if frame.filename.endswith(_CALLERS)]
    return kept[callers[-1] + 1 :] if callers and callers[-1] + 1 < len(kept) else kept
