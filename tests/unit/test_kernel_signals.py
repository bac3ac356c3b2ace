"""Signals: dispositions, masks, who takes a signal, handlers and what they interrupt, timers, the wake-up descriptor.

What needs no simulation is compared with the real calls.
"""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

import pytest

from tests.unit.kernel_harness import real, simulated

FACES = ("time", "entropy", "signals", "identity")


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=FACES, **options)


# ---- the same as in reality


def test_checks_are_those_of_the_real_module() -> None:
    def body():
        import os
        import signal

        def noop(*_):
            pass

        calls = [
            (name, args)
            for name, several in {
                "signal": [
                    (0, noop), (65, noop), (-1, noop), (9, noop), (19, noop), (32, noop), (33, noop), (10, None),
                    (10, 5), (10, "x"), ("x", noop), (10, 2.0), (10, signal.SIG_IGN), (10, signal.SIG_DFL),
                    (64, noop), (10,),
                ],
                "getsignal": [(0,), (65,), (9,), (19,), (2,), (13,), (25,), (32,), (10,), ("x",), (signal.SIGTERM,)],
                "siginterrupt": [(0, 1), (65, 1), (9, 1), (10, True), (10, "x"), (32, 1)],
                "set_wakeup_fd": [(-1,), (987654,), ("x",)],
                "alarm": [("x",), (2**31,), (-(2**31) - 1,), (0,)],
                "setitimer": [(5, 1), (-1, 1), (0, -1), (0, 1, -1), (0, "x"), ("x", 1), (0, float("nan")), (0, 1e300)],
                "getitimer": [(5,), (-1,), ("x",), (0,), (1,)],
                "raise_signal": [(0,), (65,), (-1,), ("x",), (18,)],
                "pthread_kill": [("x", 1)],
                "pthread_sigmask": [
                    (9, [10]), (0, [0]), (0, [65]), (0, [-1]), (0, [1 << 70]), (0, ["x"]), (0, 5), ("x", []), (0, []),
                    (0, [10, 12]), (0, [9, 19]), (1, [10]), (2, [15]), (2, ()), (1, {signal.SIGTERM}),
                ],
                "sigpending": [()],
                "sigtimedwait": [([10], -1), ([10], "x"), ([65], 1), ([10], 0), ([10], 0.0)],
                "sigwait": [(5,), ([0],)],
                "strsignal": [(15,), (99,)],
                "valid_signals": [()],
            }.items()
            for args in several
        ]  # fmt: skip
        out = [((name, number), attempt(getattr(signal, name), *args)) for number, (name, args) in enumerate(calls)]
        out += [
            ((name, args[1:]), attempt(getattr(os, name), *args))
            for name, args in (
                ("kill", (999_999_999, 0)), ("kill", (999_999_999, 15)), ("kill", ("x", 0)),
                ("kill", (os.getpid(), 99)), ("kill", (os.getpid(), -1)), ("kill", (os.getpid(), 0)),
                ("killpg", (999_999_999, 0)), ("killpg", (-5, 0)),
                ("waitpid", (-1, 0)), ("wait", ()), ("waitpid", (4711, os.WNOHANG)), ("getpgid", (999_999_999,)),
                ("getsid", (999_999_999,)), ("setpgid", (0, -1)),
            )
        ]  # fmt: skip
        return [(call, outcome[:2] if outcome[1] == "TypeError" else outcome) for call, outcome in out]

    ours, theirs = run(body), real(body)
    assert [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other] == []


def test_the_wrappers_of_the_standard_library_stay() -> None:
    def body():
        import signal

        def handler(*_):
            pass

        first = signal.signal(signal.SIGTERM, handler)
        second = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return (
            repr(first), second is handler, repr(signal.getsignal(15)), repr(signal.getsignal(signal.SIGPIPE)),
            signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            sorted(map(repr, signal.pthread_sigmask(signal.SIG_BLOCK, [10]))),
            sorted(map(repr, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
            signal.signal.__name__, attempt(signal.default_int_handler)[1], signal.Signals(15).name,
        )  # fmt: skip

    assert run(body) == real(body)


def test_handlers_interrupt_what_the_main_thread_waits_for_and_it_goes_on() -> None:
    def body(delay):
        import os
        import signal
        import time

        seen = []
        signal.signal(signal.SIGALRM, lambda number, frame: seen.append((number, frame.f_code.co_name)))
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        start = time.monotonic()
        time.sleep(0.07)
        waited = time.monotonic() - start
        while len(seen) < 3:  # on a busy machine several of them come as one
            time.sleep(0.01)
        left = signal.setitimer(signal.ITIMER_REAL, 0)
        before = len(seen)
        os.kill(os.getpid(), signal.SIGALRM)
        return seen[0], waited >= 0.07, left[1], len(seen) - before, signal.getitimer(signal.ITIMER_REAL)

    assert run(body, 0) == real(body, 0) == ((14, "body"), True, 0.02, 1, (0.0, 0.0))


def test_what_a_handler_raises_leaves_the_call_that_it_interrupted() -> None:
    def body():
        import signal
        import time

        class Stop(Exception):
            pass

        def handler(number, frame):
            raise Stop(number)

        out = []
        for call in (lambda: time.sleep(5), signal.pause, lambda: signal.sigwaitinfo([signal.SIGUSR2])):
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            out.append(attempt(call))
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        out.append(attempt(time.sleep, 5))
        return out

    assert run(body) == real(body) == [("raises", "Stop", (14,))] * 3 + [("raises", "KeyboardInterrupt", ())]


def test_sigwait_lets_no_handler_run_before_it_returns() -> None:
    def body():
        import os
        import signal
        import time

        seen = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
        signal.signal(signal.SIGUSR1, lambda *_: seen.append("taken all the same"))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
        if "core" in globals():
            core.K.at(core.K.now + 200_000_000, lambda process: process.send_signal(signal.SIGPROF), core.K.process)
        else:
            import threading

            sender = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGPROF))
            sender.start()
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        number = signal.sigwait([signal.SIGPROF])
        waited = time.monotonic() - start
        return number, seen, waited >= 0.1

    assert run(body) == real(body) == (27, ["alarm"], True)


def test_an_interrupt_is_a_keyboard_interrupt_at_once() -> None:
    def body():
        import os
        import signal

        return (
            attempt(os.kill, os.getpid(), signal.SIGINT), attempt(signal.raise_signal, signal.SIGINT),
            attempt(os.killpg, 0, 0), attempt(os.kill, 0, 0),
        )  # fmt: skip

    interrupt = ("raises", "KeyboardInterrupt", ())
    assert run(body) == real(body) == (interrupt, interrupt, ("value", None), ("value", None))


def test_blocked_signals_are_held_and_taken_when_they_are_not_blocked_any_more() -> None:
    def body():
        import os
        import signal

        seen = []
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN, signal.SIGTERM):
            signal.signal(number, lambda number, frame: seen.append(number))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        blocked = [signal.SIGUSR2, signal.SIGUSR1, signal.SIGRTMIN, signal.SIGHUP, signal.SIGTERM]
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        for number in (*blocked, *blocked):
            os.kill(os.getpid(), number)
        held = sorted(signal.sigpending())
        taken = [signal.sigwait([signal.SIGRTMIN]), signal.sigtimedwait([signal.SIGRTMIN], 1).si_signo]
        empty = signal.sigtimedwait([signal.SIGRTMIN], 0)
        information = signal.sigwaitinfo([signal.SIGUSR1])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        without = sorted(signal.sigpending())
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before = list(seen)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return (
            held, taken, empty, (information.si_signo, information.si_code, information.si_pid == os.getpid()), without,
            before, seen, signal.sigpending(),
        )  # fmt: skip

    ours = run(body)
    assert ours == real(body)
    assert ours[6] == [12]


def test_several_signals_at_once_are_handled_lowest_number_first() -> None:
    def body():
        import os
        import signal

        seen = []
        numbers = [signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP]
        for number in numbers:
            signal.signal(number, lambda number, frame: seen.append(number))
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number in numbers:
            os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        return seen

    assert run(body) == real(body) == [1, 10, 12, 15]


def test_alarms_ring_once_and_say_what_was_left() -> None:
    def body():
        import signal
        import time

        seen = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append(time.monotonic()))
        first = signal.alarm(100)
        left = signal.setitimer(signal.ITIMER_REAL, 0.4)
        short = signal.alarm(5)
        again = signal.alarm(0)
        return first, 99.9 < left[0] <= 100, left[1], short, again, signal.alarm(0), seen

    assert run(body) == real(body) == (0, True, 0.0, 1, 5, 0, [])


# ---- processes


def start_other(name: str = "other") -> Any:
    """Another process on this host, which notes what it gets until it is told to stop; returns it and its notes."""
    import signal
    import time

    notes: list[Any] = []
    world = harness.World.current
    process = world.process("alpha", name, 200)

    def life() -> None:
        def handler(number, frame):
            notes.append((number, core.K.process.name, core.K.now))

        signal.signal(signal.SIGUSR1, handler)
        notes.append("ready")
        while True:
            time.sleep(3600)

    world.start(process, life)
    time.sleep(0.001)
    return process, notes


def run_with_other(body: Any) -> Any:
    """`run(body)`, where `start_other` exists."""
    import inspect
    import textwrap

    def wrapped(texts: list[str]) -> Any:
        names = globals()
        for text in texts:
            exec(text, names)
        return names["body"]()

    return run(wrapped, [textwrap.dedent(inspect.getsource(each)) for each in (start_other, body)])


def test_a_signal_to_another_process_of_the_host_runs_its_handler() -> None:
    def body():
        import os
        import signal
        import time

        process, notes = start_other()
        sent = core.K.now
        os.kill(200, signal.SIGUSR1)
        time.sleep(0.001)
        os.kill(200, 0)
        os.kill(-200, signal.SIGUSR1)
        time.sleep(0.001)
        return notes[0], [each[:2] for each in notes[1:]], notes[1][2] - sent < 100_000, process.status

    assert run_with_other(body) == ("ready", [(10, "other"), (10, "other")], True, None)


def test_default_actions_end_stop_and_ignore() -> None:
    def body():
        import os
        import signal
        import time

        process, notes = start_other()
        for number in (signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT):
            os.kill(200, number)
        alive = process.status
        os.kill(200, signal.SIGSTOP)
        os.kill(200, signal.SIGUSR1)
        time.sleep(1)
        stopped = len(notes)
        os.kill(200, signal.SIGCONT)
        time.sleep(1)
        gone_on = len(notes)
        os.kill(200, signal.SIGTERM)
        ended = process.status, process.kill_signal
        time.sleep(7200)
        return alive, stopped, gone_on, ended, attempt(os.kill, 200, 0), len(notes)

    gone = ("raises", "ProcessLookupError", (3, "No such process"))
    assert run_with_other(body) == (None, 1, 2, (-15, 15), gone, 2)


def test_a_kill_cannot_be_handled_or_blocked() -> None:
    def body():
        import os
        import signal

        process, _ = start_other()
        process.main_thread.signal_mask = frozenset(range(1, 65))
        os.kill(200, signal.SIGTERM)
        held = process.status
        os.kill(200, signal.SIGKILL)
        return held, process.status

    assert run_with_other(body) == (None, -9)


@pytest.mark.parametrize(
    ("call", "status"), [("_exit(3)", 3), ("_exit(259)", 3), ("abort()", -6), ("kill(os.getpid(), 15)", -15)]
)
def test_a_process_that_ends_itself_does_nothing_more(call: str, status: int) -> None:
    def body(call):
        import os
        import time

        notes = []
        world = harness.World.current
        process = world.process("beta", "other", 200)

        def life():
            try:
                eval("os." + call, {"os": os})
                notes.append("went on")
            finally:
                notes.append("cleaned up")

        world.start(process, life)
        time.sleep(1)
        return notes, process.status, os.getpid()

    assert run(body, call) == ([], status, 100)


def test_an_alarm_without_a_handler_ends_the_process_wherever_it_is() -> None:
    def body(waits):
        import signal
        import time

        notes = []
        world = harness.World.current
        process = world.process("beta", "other", 200)

        def life():
            signal.alarm(1)
            while True:
                if waits:
                    time.sleep(10)
                time.monotonic()
                notes.append(1)

        world.start(process, life)
        time.sleep(0.5)
        before = process.status
        time.sleep(1)
        count = len(notes)
        time.sleep(1)
        return before, process.status, len(notes) - count

    assert run(body, True) == run(body, False) == (None, -14, 0)


def test_a_process_stops_itself_and_is_continued() -> None:
    def body():
        import os
        import signal
        import time

        notes = []
        world = harness.World.current

        def life():
            notes.append(core.K.now)
            os.kill(os.getpid(), signal.SIGSTOP)
            notes.append(core.K.now)

        world.start(world.process("alpha", "other", 200), life)
        time.sleep(2)
        stopped = len(notes)
        os.kill(200, signal.SIGCONT)
        time.sleep(1)
        return stopped, round((notes[1] - notes[0]) / 1e9, 2)

    assert run(body) == (1, 2.0)


def test_handlers_belong_to_the_process_and_begin_with_what_imports_have_set() -> None:
    def before():
        import signal

        def imported(number, frame):
            pass

        signal.signal(signal.SIGUSR2, imported)

    def body():
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        notes = []
        world = harness.World.current

        def life():
            notes.append(int(signal.getsignal(signal.SIGTERM)))
            notes.append(signal.getsignal(signal.SIGUSR2).__name__)

        world.start(world.process("beta", "other", 200), life)
        time.sleep(1)
        return notes, signal.getsignal(signal.SIGUSR2).__name__

    assert run(body, before=before) == ([0, "imported"], "imported")


# ---- threads


def test_only_the_main_thread_sets_handlers_and_runs_them() -> None:
    def body():
        import os
        import signal
        import time

        kernel, notes = core.K, []
        signal.signal(signal.SIGUSR1, lambda number, frame: notes.append(core.K.running.name))

        def life():
            notes.append(attempt(signal.signal, signal.SIGTERM, signal.SIG_IGN))
            notes.append(attempt(signal.set_wakeup_fd, -1))
            notes.append(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            notes.append("sent")

        kernel.start(kernel.new_thread(kernel.process, "worker"), life)
        time.sleep(1)
        return notes

    refusal = "only works in main thread of the main interpreter"
    assert run(body) == [
        ("raises", "ValueError", (f"signal {refusal}",)),
        ("raises", "ValueError", (f"set_wakeup_fd {refusal}",)),
        True,
        "sent",
        "main",
    ]


def test_a_thread_takes_what_the_main_thread_blocks_and_inherits_its_mask() -> None:
    def body():
        import os
        import signal
        import time

        kernel, notes = core.K, []
        signal.signal(signal.SIGUSR1, lambda number, frame: notes.append("handled"))

        def life():
            notes.append(sorted(signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])))
            while True:
                time.sleep(100)

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
        worker = kernel.new_thread(kernel.process, "worker")
        kernel.start(worker, life)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)  # the worker takes it; the handler runs here, at the next step
        time.monotonic()
        notes.append(sorted(signal.sigpending()))
        signal.pthread_kill(worker.ident, signal.SIGUSR2)  # the worker blocks this one
        notes.append((sorted(signal.sigpending()), [sent.number for sent in kernel.process.signals.held]))
        notes.append(attempt(signal.pthread_kill, 12345, 0)[1:])
        notes.append(attempt(signal.pthread_kill, worker.ident, 99)[1:])
        return notes

    assert run(body) == [
        [10, 12], "handled", [], ([], [12]), ("ProcessLookupError", (3, "No such process")),
        ("OSError", (22, "Invalid argument")),
    ]  # fmt: skip


def test_a_thread_that_waits_for_a_signal_gets_it() -> None:
    def body():
        import os
        import signal
        import time

        kernel, notes = core.K, []
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])

        def life():
            notes.append(signal.sigwait([signal.SIGTERM, signal.SIGHUP]))
            notes.append(signal.sigtimedwait([signal.SIGTERM], 0.5))
            notes.append(core.K.now)

        kernel.start(kernel.new_thread(kernel.process, "worker"), life)
        time.sleep(0.1)
        start = core.K.now
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
        return notes[:2], round((notes[2] - start) / 1e9, 2), signal.sigpending()

    assert run(body) == ([15, None], 0.5, set())


# ---- the wake-up descriptor


def test_numbers_of_handled_signals_are_written_to_the_wakeup_descriptor() -> None:
    def body():
        import os
        import signal
        import time

        from wavetank.kernel.pipe import Pipe

        pipe = Pipe()
        process = core.K.process
        process.install(pipe.reader)
        fd = process.install(pipe.writer)
        out = [attempt(signal.set_wakeup_fd, fd)]
        pipe.writer.nonblocking = pipe.reader.nonblocking = True
        out += [signal.set_wakeup_fd(fd) == -1, signal.set_wakeup_fd(fd, warn_on_full_buffer=False) == fd]
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        time.sleep(1)
        out.append(pipe.reader.read(100))
        out.append(str(fd) in out[0][2][0])
        out[0] = out[0][2][0].replace(str(fd), "FD")
        return out

    text = "the fd FD must be in non-blocking mode"
    assert run(body) == [text, True, True, bytes([10, 10, 14]), True]


def test_a_full_wakeup_descriptor_is_reported_unless_that_is_not_wanted() -> None:
    def body():
        import io
        import os
        import signal
        import sys

        from wavetank.kernel.pipe import Pipe

        pipe = Pipe()
        pipe.writer.nonblocking = pipe.reader.nonblocking = True
        process = core.K.process
        process.install(pipe.reader)
        fd = process.install(pipe.writer)
        while attempt(pipe.writer.write, bytes(4096))[0] == "value":
            pass
        signal.signal(signal.SIGUSR1, lambda *_: None)
        out = []
        for warn in (True, False):
            signal.set_wakeup_fd(fd, warn_on_full_buffer=warn)
            sys.stderr = io.StringIO()
            os.kill(os.getpid(), signal.SIGUSR1)
            text, sys.stderr = sys.stderr.getvalue(), sys.__stderr__
            out.append(text.splitlines())
        process.close(fd)
        sys.stderr = io.StringIO()
        os.kill(os.getpid(), signal.SIGUSR1)
        text, sys.stderr = sys.stderr.getvalue(), sys.__stderr__
        return *out, text.splitlines()[-1]

    first = "Exception ignored when trying to write to the signal wakeup fd:"
    full = "BlockingIOError: [Errno 11] Resource temporarily unavailable"
    assert run(body) == ([first, full], [], "OSError: [Errno 9] Bad file descriptor")


def test_timers_of_processor_time_are_refused_by_name() -> None:
    def body():
        import signal

        outcome = attempt(signal.setitimer, signal.ITIMER_PROF, 1)
        return outcome[1], "signal.setitimer(ITIMER_PROF)" in str(outcome[2]), signal.getitimer(signal.ITIMER_PROF)

    assert run(body) == ("NotSimulatedOSError", True, (0.0, 0.0))
