"""The modules `signal` and `os` as far as they concern signals and the end of a process.

Owns the calls, their argument checks and error texts (CPython Modules/signalmodule.c, Modules/posixmodule.c); how a
signal reaches a process is `kernel.delivery`'s. The C module `_signal` is changed in place, so that `signal.py` runs
unmodified on top, its enums included. Must never send a real signal or end the real process.

Limits: handlers run only at calls of the kernel (see `delivery`). ITIMER_VIRTUAL and ITIMER_PROF are refused: they
count the processor time of one process, which a world does not keep. `os.wait` and its kin stay the real ones: a
simulated process has no children, and Linux says so (ECHILD).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module under `signal`
import errno
import math
import operator
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core, delivery, refusals
from wavetank.kernel.core import FAR
from wavetank.kernel.delivery import NSIG, SI_TKILL, SIGABRT, SIGKILL, SIGSTOP, settle
from wavetank.kernel.file import error
from wavetank.kernel.replace import public_calls, replace_calls

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

_ITIMER_REAL, _ITIMER_VIRTUAL, _ITIMER_PROF = 0, 1, 2
_SIG_BLOCK, _SIG_UNBLOCK, _SIG_SETMASK = 0, 1, 2
#: glibc keeps 32 and 33 for its threads; sigaction(2) and sigaddset(3) refuse them.
_RESERVED: Final = (32, 33)
_OUT_OF_RANGE: Final = "signal number out of range"
_ITIMER_ERROR: Final[type[OSError]] = _signal.ItimerError


def _main_thread_only(call: str) -> None:
    running = core.K.running
    if running is not running.process.main_thread:
        raise ValueError(f"{call} only works in main thread of the main interpreter")


def _number_in_range(signalnum: Any) -> int:
    number = operator.index(signalnum)
    if not 1 <= number < NSIG:
        raise ValueError(_OUT_OF_RANGE)
    return number


def _can_be_handled(number: int) -> None:
    if number in (SIGKILL, SIGSTOP, *_RESERVED):
        raise error(errno.EINVAL)


def _set_of(mask: Iterable[Any]) -> frozenset[int]:
    """`_Py_Sigset_Converter`."""
    numbers = set()
    for item in mask:
        number = operator.index(item)
        if not 1 <= number < NSIG:
            shown = number if -(2**63) <= number < 2**63 else -1  # PyLong_AsLongAndOverflow
            raise ValueError(f"signal number {shown} out of range [1; {NSIG - 1}]")
        if number in _RESERVED:
            import warnings

            text = f"invalid signal number {number}, please use valid_signals()"
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        else:
            numbers.add(number)
    return frozenset(numbers)


def _nanoseconds(seconds: Any, *, round_up_to: int = 1) -> int:
    """A time argument in ns, rounded up; CPython's errors (Python/pytime.c)."""
    if isinstance(seconds, float):
        if seconds != seconds:
            raise ValueError("Invalid value NaN (not a number)")
        if abs(seconds) >= 2**63 / 1e9:
            raise OverflowError("timestamp out of range for platform time_t")
        ns = math.ceil(seconds * 1e9)
    else:
        ns = operator.index(seconds) * 1_000_000_000
    return -(-ns // round_up_to) * round_up_to


class _Signals:
    """The calls of `_signal`."""

    __slots__ = ()

    # ---- dispositions

    def signal(self, signalnum: int, handler: Any, /) -> Any:
        """Set a handler; returns the old one."""
        number = operator.index(signalnum)
        _main_thread_only("signal")
        _number_in_range(number)
        if not callable(handler) and not (type(handler) is int and handler in (delivery.SIG_DFL, delivery.SIG_IGN)):
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
        core.K.tick()
        _can_be_handled(number)
        return delivery.set_handler(core.K.process, number, handler)

    def getsignal(self, signalnum: int, /) -> Any:
        """The handler of a signal; None for one that Python did not set."""
        number = _number_in_range(signalnum)
        return None if number in _RESERVED else core.K.process.handlers.get(number, delivery.SIG_DFL)

    def siginterrupt(self, signalnum: int, flag: int, /) -> None:
        """Checked and forgotten: Python calls resume in any case (PEP 475)."""
        number, _ = operator.index(signalnum), operator.index(flag)
        _can_be_handled(_number_in_range(number))

    def set_wakeup_fd(self, fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
        """From now on the number of each handled signal is written to `fd`; returns the one before, or -1."""
        fd = operator.index(fd)
        _main_thread_only("set_wakeup_fd")
        process = core.K.process
        if fd != -1:
            file = process.fds.get(fd)
            if file is None:
                raise error(errno.EBADF)
            if not file.nonblocking:
                raise ValueError(f"the fd {fd} must be in non-blocking mode")
        old, process.wakeup_fd = process.wakeup_fd, fd
        process.signals.warn_if_full = bool(warn_on_full_buffer)
        return old

    # ---- the timer

    def alarm(self, seconds: int, /) -> int:
        """`alarm(2)`: SIGALRM after so many seconds; returns what was left of the alarm before, rounded."""
        seconds = operator.index(seconds)
        if not -(2**31) <= seconds < 2**31:
            raise OverflowError("Python int too large to convert to C int")
        left, _ = delivery.set_timer(core.K.process, (seconds & 0xFFFF_FFFF) * 1_000_000_000, 0)
        # kernel/time/itimer.c, alarm_setitimer: half a second and more counts as one, and an alarm is never "none".
        whole, rest = divmod(left // 1000, 1_000_000)
        return whole + 1 if (not whole and rest) or rest >= 500_000 else whole

    def setitimer(self, which: int, seconds: float, interval: float = 0.0, /) -> tuple[float, float]:
        """`setitimer(2)` with ITIMER_REAL in virtual time; returns what was in force."""
        which = operator.index(which)
        delay, period = _nanoseconds(seconds, round_up_to=1000), _nanoseconds(interval, round_up_to=1000)
        if not _ITIMER_REAL <= which <= _ITIMER_PROF or delay < 0 or period < 0:
            raise _ITIMER_ERROR(errno.EINVAL, os.strerror(errno.EINVAL))
        core.K.tick()
        if which != _ITIMER_REAL:
            name = "ITIMER_VIRTUAL" if which == _ITIMER_VIRTUAL else "ITIMER_PROF"
            raise refusals.unsupported(f"signal.setitimer({name})", "the processor time of one process is not kept")
        left, before = delivery.set_timer(core.K.process, delay, period)
        return left // 1000 / 1e6, before // 1000 / 1e6

    def getitimer(self, which: int, /) -> tuple[float, float]:
        """What is left of a timer, and its interval, in seconds."""
        which = operator.index(which)
        if not _ITIMER_REAL <= which <= _ITIMER_PROF:
            raise _ITIMER_ERROR(errno.EINVAL, os.strerror(errno.EINVAL))
        left, period = delivery.timer(core.K.process) if which == _ITIMER_REAL else (0, 0)
        return left // 1000 / 1e6, period // 1000 / 1e6

    # ---- sending

    def raise_signal(self, signalnum: int, /) -> None:
        """Send a signal to the running thread."""
        number = operator.index(signalnum)
        core.K.tick()
        if not 0 <= number < NSIG:
            raise error(errno.EINVAL)
        if number:
            running = core.K.running
            delivery.send(running.process, number, SI_TKILL, running.process.pid, running)
            settle()

    def pthread_kill(self, thread_id: int, signalnum: int, /) -> None:
        """Send a signal to a thread of this process."""
        ident, number = operator.index(thread_id), operator.index(signalnum)
        sys.audit("signal.pthread_kill", ident, number)
        core.K.tick()
        process = core.K.process
        thread = next((each for each in process.threads if each.ident == ident and not each.finished), None)
        if thread is None:
            raise error(errno.ESRCH)
        if not 0 <= number < NSIG or number in _RESERVED:
            raise error(errno.EINVAL)
        if number:
            delivery.send(process, number, SI_TKILL, process.pid, thread)
            settle()

    # ---- masks and waiting

    def pthread_sigmask(self, how: int, mask: Iterable[Any], /) -> set[int]:
        """Change which signals the running thread blocks; returns those that it blocked before."""
        how, numbers = operator.index(how), _set_of(mask)
        sys.audit("signal.pthread_sigmask", how, mask)
        core.K.tick()
        thread = core.K.running
        old = thread.signal_mask
        if how == _SIG_BLOCK:
            delivery.set_mask(thread, old | numbers)
        elif how == _SIG_UNBLOCK:
            delivery.set_mask(thread, old - numbers)
        elif how == _SIG_SETMASK:
            delivery.set_mask(thread, numbers)
        else:
            raise error(errno.EINVAL)
        settle()
        return set(old)

    def sigpending(self) -> set[int]:
        """The signals that are held because they are blocked."""
        return {sent.number for sent in delivery.held_for(core.K.running)}

    def sigwait(self, sigset: Iterable[Any], /) -> int:
        """Wait for one of these signals, and take it."""
        numbers = _set_of(sigset)
        core.K.tick()
        return delivery.wait_deaf(numbers, "signal.sigwait").number

    def sigwaitinfo(self, sigset: Iterable[Any], /) -> Any:
        """As `sigwait`, with what is known of the signal."""
        return _information(_wait(_set_of(sigset), FAR, "signal.sigwaitinfo"))

    def sigtimedwait(self, sigset: Iterable[Any], timeout: float, /) -> Any:
        """As `sigwaitinfo`, or None when none has come in time."""
        numbers, ns = _set_of(sigset), _nanoseconds(timeout)
        if ns < 0:
            raise ValueError("timeout must be non-negative")
        sent = _wait(numbers, core.K.now + ns, "signal.sigtimedwait")
        return None if sent is None else _information(sent)

    def pause(self) -> None:
        """Wait until a handler has run."""
        core.K.tick()
        signals = core.K.process.signals
        before = signals.handled
        while signals.handled == before:
            core.K.park("signal.pause")


def _wait(numbers: frozenset[int], deadline: int, reason: str) -> delivery.Sent | None:
    core.K.tick()
    return delivery.wait_for(numbers, deadline, reason)


def _information(sent: delivery.Sent | None) -> Any:
    assert sent is not None
    # si_signo, si_code, si_errno, si_pid, si_uid, si_status, si_band
    uid = os.getuid() if sent.code != delivery.SI_KERNEL else 0
    return _signal.struct_siginfo((sent.number, sent.code, 0, sent.pid, uid, 0, 0))


class _Os:
    """The calls of `os` that send signals."""

    __slots__ = ()

    def kill(self, pid: int, signal: int, /) -> None:
        """A signal for a process of this host; pid 0 is its own group, -1 everybody, as for the system call."""
        pid, number = operator.index(pid), operator.index(signal)
        sys.audit("os.kill", pid, number)
        core.K.tick()
        own = core.K.process
        if pid == -1:  # everybody but init and oneself
            _send_to([each for each in processes() if each is not own], number)
        elif pid > 0:
            _send_to([each for each in processes() if each.pid == pid], number)
        else:
            _send_to([each for each in processes() if each.pid == (-pid or own.pid)], number)

    def killpg(self, pgid: int, signal: int, /) -> None:
        """Send a signal to a process group: each program is a group of its own."""
        pgid, number = operator.index(pgid), operator.index(signal)
        sys.audit("os.killpg", pgid, number)
        core.K.tick()
        if pgid < 0:
            raise error(errno.EINVAL)
        _send_to([each for each in processes() if each.pid == (pgid or core.K.process.pid)], number)

    def abort(self) -> None:
        """End the process by SIGABRT, whatever its handler."""
        process = core.K.process
        process.kill_signal = SIGABRT
        process.die(-SIGABRT)


def processes() -> list[Process]:
    """The processes of this host that run, the calling one included."""
    own = core.K.process
    others = [each for each in own.stack.processes if each is not own]
    return [each for each in (own, *others) if each.status is None]


def _send_to(targets: list[Process], number: int) -> None:
    if not 0 <= number < NSIG:
        raise error(errno.EINVAL)
    if not targets:
        raise error(errno.ESRCH)
    pid = core.K.process.pid
    if number:
        for process in targets:
            delivery.send(process, number, sender_pid=pid)
        settle()


def _leave_at_once(status: int) -> None:
    """`os._exit`: the end of the simulated process, without any clean-up."""
    core.K.process.die(operator.index(status) & 0xFF)


_leave_at_once.__name__ = _leave_at_once.__qualname__ = "_exit"


def install() -> None:
    """Replace the calls in `_signal`, in `signal` if it is imported already, and in `os`.

    What modules set while the image imports them is where every process of the world begins.
    """
    import posix

    core.K.process.handlers = delivery.at_start
    calls = _Signals()
    for call in public_calls(calls).values():  # where programs find them: those are no builtins, as pydoc sees it
        call.__func__.__module__ = "signal"
    replace_calls(calls, _signal)
    later = sys.modules.get("signal")
    if later is not None:
        wrapped = ("signal", "getsignal", "pthread_sigmask", "sigpending", "sigwait")  # functions of signal.py itself
        for name in dir(calls):
            if not name.startswith("_") and name not in wrapped:
                setattr(later, name, getattr(calls, name))
    replace_calls(_Os(), os, posix)
    os._exit = posix._exit = _leave_at_once  # type: ignore[assignment]
