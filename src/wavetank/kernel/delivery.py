"""How signals reach a simulated process: who may block them, what they do by default, when a handler runs.

Owns everything between `kill` and the call of a Python function; the calls that programs make are `kernel.signals`'.
Two stages, as in reality:

- Linux (signal(7), kernel/signal.c): a signal for a process goes to a thread that does not block it, the main thread
  first; while all block it, it is held. A thread in `sigwait` takes it. Else its disposition decides: ignored, the
  default action, or handled.
- CPython (Modules/signalmodule.c): "handled" means that the number is noted (`Process.pending`) and written to the
  wake-up descriptor; the function runs in the main thread at its next step - here: at its next call of the kernel,
  waits included. So a loop that only computes sees no signal, which is a limit.

Sending never switches threads, because events send signals, too; a system call that has sent one ends with `settle`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module under `signal`
import errno
import sys
from collections.abc import Callable, Iterable
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wavetank.kernel import core
from wavetank.kernel.core import FAR, TIMEOUT, Thread
from wavetank.kernel.file import error
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

# Numbers: signal(7), the column of x86 and ARM.
SIGINT, SIGABRT, SIGKILL, SIGPIPE, SIGALRM, SIGCHLD, SIGCONT, SIGSTOP, SIGXFSZ = 2, 6, 9, 13, 14, 17, 18, 19, 25
_SIGTSTP, _SIGTTIN, _SIGTTOU, _SIGURG, _SIGWINCH = 20, 21, 22, 23, 28
#: Dispositions as `_signal` has them.
SIG_DFL, SIG_IGN = 0, 1
#: One more than the highest number (NSIG), and the first real-time signal, of which several can be held.
NSIG: Final = 65
_SIGRTMIN: Final = 32
_STOPS: Final = frozenset({SIGSTOP, _SIGTSTP, _SIGTTIN, _SIGTTOU})
#: Default actions: ignored, stopped; all others end the process.
_IGNORED_BY_DEFAULT: Final = frozenset({SIGCHLD, SIGCONT, _SIGURG, _SIGWINCH})
#: Why a signal was sent (sigaction(2), si_code).
SI_USER, SI_TKILL, SI_KERNEL = 0, -6, 128

#: What every Python process begins with (Python/pylifecycle.c, `init_signals`; `signal_install_handlers`), and what
#: modules have set while the image imported them.
at_start: dict[int, Any] = {SIGINT: _signal.default_int_handler, SIGPIPE: SIG_IGN, SIGXFSZ: SIG_IGN}
_KIND_SIGNAL: Final = int(Kind.SIGNAL)
#: Told of every ITIMER_REAL that is set, in ns: a program may compute until it rings (see `world.spin`).
on_timer: Callable[[int], object] | None = None


class Sent(NamedTuple):
    """A signal on its way: what siginfo_t says of it, and for which thread it is (None: for the process)."""

    number: int
    code: int
    pid: int
    thread: Thread | None


class Signals:
    """What a process keeps of signals, besides `Process.handlers`, `pending` and `wakeup_fd`."""

    __slots__ = (
        "deaf",
        "failed_write",
        "handled",
        "held",
        "timer_at",
        "timer_interval",
        "timer_turn",
        "waiting",
        "warn_if_full",
    )

    def __init__(self) -> None:
        self.held: list[Sent] = []  # blocked by every thread that could take them, in the order in which they came
        self.waiting: dict[Thread, frozenset[int]] = {}  # threads in sigwait, and for what
        self.deaf = False  # handlers wait: the main thread is in sigwait, or has not come to the program's code yet
        self.handled = 0  # how many handlers have run
        self.warn_if_full = True
        self.failed_write = 0  # the errno of a write to the wake-up descriptor that is still to be reported
        self.timer_at = FAR  # ITIMER_REAL
        self.timer_interval = 0
        self.timer_turn = 0  # which setting of the timer is in force


# ---- sending


def send(process: Process, number: int, code: int = SI_USER, sender_pid: int = 0, thread: Thread | None = None) -> None:
    """A signal for `process`, or for one thread of it. Default actions happen at once, handlers later."""
    if process.status is not None:
        return
    kernel = core.K
    kernel.recorder.event(kernel.now, _KIND_SIGNAL, process.pid, number)
    signals = process.signals
    if number == SIGCONT:
        _drop(signals, _STOPS)
        if process.paused:
            process.resume()
    elif number in _STOPS:
        _drop(signals, (SIGCONT,))
    sent = Sent(number, code, sender_pid, thread)
    for waiter, wanted in signals.waiting.items():
        if number in wanted and thread in (None, waiter) and kernel.wake(waiter, sent):
            del signals.waiting[waiter]
            return
    taker = _taker(process, sent)
    if taker is not None:
        _take(process, number, taker)
    elif number >= _SIGRTMIN or not any(each.number == number and each.thread is thread for each in signals.held):
        signals.held.append(sent)


def _drop(signals: Signals, numbers: Iterable[int]) -> None:
    signals.held = [each for each in signals.held if each.number not in numbers]


def _taker(process: Process, sent: Sent) -> Thread | None:
    """The thread that takes a signal (`wants_signal`): the main thread if it can."""
    candidates = [sent.thread] if sent.thread is not None else [process.main_thread, *process.threads]
    for thread in candidates:
        if thread is not None and (sent.number not in thread.signal_mask or sent.number in (SIGKILL, SIGSTOP)):
            return thread
    return None


def _take(process: Process, number: int, taker: Thread) -> None:
    handler = process.handlers.get(number, SIG_DFL)
    if number not in (SIGKILL, SIGSTOP) and callable(handler):
        _trip(process, number, taker)
    elif number != SIGKILL and number != SIGSTOP and handler == SIG_IGN:
        return
    elif number in _STOPS:
        process.pause()
        core.K.attention = 0
    elif number not in _IGNORED_BY_DEFAULT:
        process.kill_signal = number
        process.finish(-number)
        core.K.attention = 0


def _trip(process: Process, number: int, taker: Thread) -> None:
    """Note a handled signal for the main thread (`trip_signal`); the thread that took it leaves its wait (EINTR)."""
    if number not in process.pending:
        process.pending.append(number)
    kernel = core.K
    kernel.attention = 0
    if process.wakeup_fd != -1:
        _write_wakeup(process, number)
    if taker is process.main_thread and taker.parked:
        kernel.wake(taker, None)


def _write_wakeup(process: Process, number: int) -> None:
    file = process.fds.get(process.wakeup_fd)
    try:
        if file is None:
            raise error(errno.EBADF)
        file.write(bytes([number]))
    except OSError as failure:
        if process.signals.warn_if_full or failure.errno != errno.EAGAIN:
            process.signals.failed_write = failure.errno or errno.EIO


# ---- receiving


def settle() -> None:
    """The end of a system call that may have sent a signal: it may have hit the running thread itself."""
    kernel = core.K
    if kernel.soft:
        kernel.run_soft()
    if kernel.running.held:
        kernel.stand_down()
    running = kernel.running
    if running.process.pending:
        run_handlers(running.process, running)


def run_handlers(process: Process, thread: Thread) -> None:
    """Call the handlers of noted signals, lowest number first, if `thread` is the one that does: the main thread.

    What a handler raises goes to the caller; signals that are still noted then have their turn at the next step.
    """
    if thread is not process.main_thread or process.signals.deaf:
        return
    if process.signals.failed_write:
        _report_failed_write(process)
    for number in sorted(process.pending):
        if number not in process.pending:  # the handler before has taken it, or a nested wait
            continue
        process.pending.remove(number)
        handler = process.handlers.get(number, SIG_DFL)
        if callable(handler):
            process.signals.handled += 1
            handler(number, _interrupted_frame())


def _interrupted_frame() -> FrameType | None:
    """The frame of the program: what a handler would get if the kernel were not written in Python."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("wavetank.kernel"):
        frame = frame.f_back
    return frame


def _report_failed_write(process: Process) -> None:
    """`report_wakeup_write_error`."""
    failure = error(process.signals.failed_write)
    process.signals.failed_write = 0
    if sys.stderr is not None:
        sys.stderr.write("Exception ignored when trying to write to the signal wakeup fd:\n")
    if sys.unraisablehook is not sys.__unraisablehook__:
        told = SimpleNamespace(exc_type=type(failure), exc_value=failure, exc_traceback=None, err_msg=None, object=None)
        sys.unraisablehook(told)
    elif sys.stderr is not None:
        sys.stderr.write(f"{type(failure).__name__}: {failure}\n")


# ---- blocking and waiting


def set_mask(thread: Thread, mask: frozenset[int]) -> None:
    """Block exactly these signals; what was held and is blocked no longer is taken now."""
    thread.signal_mask = mask - {SIGKILL, SIGSTOP}
    process = thread.process
    for sent in sorted(process.signals.held, key=lambda each: each.number):
        taker = _taker(process, sent)
        if taker is not None and sent in process.signals.held:
            process.signals.held.remove(sent)
            _take(process, sent.number, taker)


def set_handler(process: Process, number: int, handler: Any) -> Any:
    """Change a disposition; returns the old one. Held signals that are ignored from now on are forgotten."""
    old = process.handlers.get(number, SIG_DFL)
    process.handlers[number] = handler
    if not callable(handler) and (handler == SIG_IGN or number in _IGNORED_BY_DEFAULT):
        _drop(process.signals, (number,))
    return old


def held_for(thread: Thread) -> list[Sent]:
    """The signals that this thread could take if it did not block them, lowest number first."""
    held = [sent for sent in thread.process.signals.held if sent.thread in (None, thread)]
    return sorted(held, key=lambda sent: sent.number)


def wait_deaf(numbers: frozenset[int], reason: str) -> Sent:
    """`sigwait(3)` of glibc, which goes on waiting itself when interrupted: handlers run after it."""
    thread = core.K.running
    signals = thread.process.signals
    if thread is thread.process.main_thread:
        signals.deaf = True
    try:
        sent = wait_for(numbers, FAR, reason)
    finally:
        if thread is thread.process.main_thread:
            signals.deaf = False
    assert sent is not None, "sigwait came back without a signal"
    settle()
    return sent


def wait_for(numbers: frozenset[int], deadline: int, reason: str) -> Sent | None:
    """`sigtimedwait(2)`: take one of these signals, held already or sent until `deadline`; None when there is none."""
    kernel = core.K
    thread = kernel.running
    signals = thread.process.signals
    while True:
        for sent in held_for(thread):
            if sent.number in numbers:
                signals.held.remove(sent)
                return sent
        signals.waiting[thread] = numbers
        try:
            value = kernel.park(reason, deadline)
        finally:
            signals.waiting.pop(thread, None)
        if isinstance(value, Sent):
            return value
        if value is TIMEOUT:
            return None


# ---- the interval timer


def timer(process: Process) -> tuple[int, int]:
    """ITIMER_REAL: ns until it rings (0 when it is off), and its interval."""
    signals = process.signals
    if signals.timer_at == FAR:
        return 0, 0
    return max(1, signals.timer_at - core.K.now), signals.timer_interval


def set_timer(process: Process, delay_ns: int, interval_ns: int) -> tuple[int, int]:
    """Let ITIMER_REAL ring after `delay_ns` (0: never) and then every `interval_ns`; returns what was in force."""
    old = timer(process)
    signals = process.signals
    signals.timer_turn += 1
    signals.timer_interval = interval_ns
    _arm(process, core.K.now + delay_ns if delay_ns else FAR)
    if delay_ns and on_timer is not None:
        on_timer(delay_ns)
    return old


def _arm(process: Process, when: int) -> None:
    process.signals.timer_at = when
    if when < FAR:
        core.K.at(when, _ring, (process, process.signals.timer_turn))


def _ring(setting: tuple[Process, int]) -> None:
    process, turn = setting
    signals = process.signals
    if turn != signals.timer_turn or process.status is not None:
        return
    _arm(process, signals.timer_at + signals.timer_interval if signals.timer_interval else FAR)
    send(process, SIGALRM, SI_KERNEL)
