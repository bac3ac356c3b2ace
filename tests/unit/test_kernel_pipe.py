"""Pipes, event counters and timers, each compared with those of the Linux that the test runs on."""

import pytest

from tests.support.twins import FACES, LINUX, as_on_linux
from tests.unit.kernel_harness import simulated


@pytest.mark.parametrize("size", [1, 100, 1000, 4095, 4096, 4097, 5000, 10000, 65536, 65537, 100000])
def test_a_pipe_is_full_and_writable_again_page_by_page(size: int) -> None:
    def body(size):
        import os

        from tests.support.twins import events

        reader, writer = os.pipe2(os.O_NONBLOCK)
        taken = []
        try:
            while True:
                taken.append(os.write(writer, b"x" * size))
        except BlockingIOError:
            pass
        read = 0
        while not events(writer):
            read += len(os.read(reader, 7))
        return sum(taken), len(taken), taken[-1], read

    as_on_linux(body, size)


def test_calls_on_both_ends() -> None:
    def body():
        import os

        from tests.support.twins import Log, events

        log = Log()
        reader, writer = os.pipe2(os.O_NONBLOCK)
        log.note("poll", lambda: (events(reader), events(writer)))
        log.note("read", os.read, reader, 1)
        log.note("read nothing", os.read, reader, 0)
        log.note("write nothing", os.write, writer, b"")
        log.note("read the writer", os.read, writer, 1)
        log.note("write the reader", os.write, reader, b"x")
        log.note("negative", os.read, reader, -1)
        log.note("not bytes", os.write, writer, "text")
        log.note("not a number", os.read, "3", 1)
        log.note("write", os.write, writer, b"hello")
        log.note("poll", lambda: (events(reader), events(writer)))
        log.note("readv", os.readv, reader, [bytearray(2), bytearray(9)])
        log.note("writev", os.writev, writer, [b"one", b"", bytearray(b"two")])
        log.note("read", os.read, reader, 4)
        log.note("read", os.read, reader, 4)
        return log

    as_on_linux(body)


def test_the_end_of_either_side() -> None:
    def body():
        import os

        from tests.support.twins import Log, events

        log = Log()
        reader, writer = os.pipe2(os.O_NONBLOCK)
        again = os.dup(writer)
        os.write(writer, b"left")
        os.close(writer)
        log.note("one writer left", events, reader)
        os.close(again)
        log.note("poll", events, reader)
        log.note("read", os.read, reader, 9)
        log.note("poll", events, reader)
        log.note("end", os.read, reader, 9)
        log.note("end again", os.read, reader, 9)
        reader, writer = os.pipe2(os.O_NONBLOCK)
        os.close(reader)
        log.note("poll", events, writer)
        log.note("write", os.write, writer, b"x")
        log.note("write nothing", os.write, writer, b"")
        log.note("closed twice", os.close, reader)
        return log

    as_on_linux(body)


def test_an_empty_and_a_full_pipe_make_threads_wait() -> None:
    def body():
        import os

        from tests.support.twins import Log, in_threads

        log = Log()
        reader, writer = os.pipe()
        log.note("reader first", in_threads, lambda: os.read(reader, 9), lambda: os.write(writer, b"late"))
        big = bytes(range(256)) * 1024

        def read_all():
            parts = []
            while sum(map(len, parts)) < len(big):
                parts.append(os.read(reader, 10_000))
            return b"".join(parts) == big

        log.note("a large write", in_threads, lambda: os.write(writer, big), read_all)
        log.note("the end wakes", in_threads, lambda: os.read(reader, 9), lambda: os.close(writer))
        reader, writer = os.pipe()

        def fill():
            try:
                os.write(writer, bytes(65536))
                return os.write(writer, b"more")
            except BrokenPipeError:
                return "broken"

        def give_up():
            os.read(reader, 1)
            os.close(reader)

        log.note("the reader leaves", in_threads, fill, give_up)
        return log

    as_on_linux(body)


def test_small_writes_of_several_threads_are_never_mixed() -> None:
    def body():
        import os

        from tests.support.twins import in_threads

        reader, writer = os.pipe()
        pieces = [bytes([65 + number]) * 3000 for number in range(4)]
        seen = []

        def read_all():
            data = b""
            while len(data) < 4 * 3000 * 10:
                data += os.read(reader, 1234)
            seen.extend({data[start : start + 3000] for start in range(0, len(data), 3000)})

        def write(piece):
            return lambda: [os.write(writer, piece) for _ in range(10)]

        in_threads(read_all, *[write(piece) for piece in pieces])
        return sorted(seen) == pieces

    assert as_on_linux(body)


def test_flags_and_sizes() -> None:
    def body():
        import fcntl
        import os
        import termios

        from tests.support.twins import Log

        log = Log()
        reader, writer = os.pipe()
        log.note("GETFL", lambda: [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (reader, writer)])
        log.note("SETFL", fcntl.fcntl, reader, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND)
        log.note("GETFL", fcntl.fcntl, reader, fcntl.F_GETFL)
        log.note("get_blocking", lambda: (os.get_blocking(reader), os.get_blocking(writer)))
        log.note("GETFD", fcntl.fcntl, reader, fcntl.F_GETFD)
        log.note("SETFD", fcntl.fcntl, reader, fcntl.F_SETFD, 0)
        log.note("inheritable", os.get_inheritable, reader)
        log.note("bytes", fcntl.fcntl, reader, fcntl.F_GETFL, b"\0\0\0\0")
        log.note("unknown", fcntl.fcntl, reader, 9999)
        log.note("size", fcntl.fcntl, reader, 1032)
        log.note("set size", lambda: [fcntl.fcntl(writer, 1031, size) for size in (5000, 0, 1, 65536, 100000)])
        os.write(writer, b"x" * 9000)
        log.note("too small", fcntl.fcntl, writer, 1031, 4096)
        log.note("FIONREAD", lambda: [fcntl.ioctl(fd, termios.FIONREAD, b"0000") for fd in (reader, writer)])
        log.note("TIOCOUTQ", fcntl.ioctl, writer, termios.TIOCOUTQ, b"0000")
        answer = bytearray(4)
        log.note("into a buffer", lambda: (fcntl.ioctl(reader, termios.FIONREAD, answer), bytes(answer)))
        log.note("not into it", lambda: fcntl.ioctl(reader, termios.FIONREAD, bytearray(4), False))
        log.note("FIONBIO", lambda: (fcntl.ioctl(writer, termios.FIONBIO, b"\1\0\0\0"), os.get_blocking(writer)))
        log.note("pipe2", lambda: [os.get_inheritable(fd) for fd in os.pipe2(0)])
        log.note("pipe2", os.pipe2, 1)
        return log

    as_on_linux(body)


def test_event_counters() -> None:
    def body():
        import os
        import struct

        from tests.support.twins import Log, events, in_threads

        log = Log()
        counter = os.eventfd(3, os.EFD_NONBLOCK)
        log.note("poll", events, counter)
        log.note("short", os.read, counter, 7)
        log.note("read", os.read, counter, 100)
        log.note("empty", os.read, counter, 8)
        log.note("short write", os.write, counter, b"abcd")
        log.note("too much", os.write, counter, b"\xff" * 8)
        log.note("write", os.write, counter, struct.pack("Q", 2**64 - 2))
        log.note("poll", events, counter)
        log.note("full", os.eventfd_write, counter, 1)
        log.note("read", os.eventfd_read, counter)
        log.note("seek", os.lseek, counter, 5, 0)
        tokens = os.eventfd(2, os.EFD_SEMAPHORE | os.EFD_NONBLOCK)
        log.note("one by one", lambda: [os.eventfd_read(tokens), os.eventfd_read(tokens)])
        log.note("none left", os.eventfd_read, tokens)
        log.note("flags", os.eventfd, 0, 0x10)
        log.note("negative", lambda: type(os.eventfd(0, 0)).__name__)
        waiting = os.eventfd(0)
        log.note("waits", in_threads, lambda: os.eventfd_read(waiting), lambda: os.eventfd_write(waiting, 5))
        log.note("inherited", lambda: (os.get_inheritable(waiting), os.get_inheritable(os.eventfd(0, 0))))
        return log

    as_on_linux(body)


@pytest.mark.skipif(LINUX < (6, 10), reason="older kernels take a longer write (eventfd_write checked `count < 8`)")
def test_an_event_counter_takes_exactly_eight_bytes() -> None:
    def body():
        import os

        from tests.support.twins import Log

        log = Log()
        log.note("sixteen", os.write, os.eventfd(0), bytes(16))
        return log

    as_on_linux(body)


def test_timers_expire_in_virtual_time() -> None:
    def body():
        import os
        import struct
        import time

        from tests.support.twins import events

        if not hasattr(os, "timerfd_create"):
            return None
        timer = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK)
        seen = [os.timerfd_gettime(timer), events(timer)]
        os.timerfd_settime(timer, initial=10.0, interval=5.0)
        seen.append(round(os.timerfd_settime(timer, initial=10.0, interval=5.0)[0], 3))
        time.sleep(21.0)
        seen.append((events(timer), struct.unpack("Q", os.read(timer, 8))[0]))
        try:
            os.read(timer, 8)
        except BlockingIOError:
            seen.append("read")
        os.set_blocking(timer, True)
        started = time.monotonic()
        os.read(timer, 8)
        seen.append(round(time.monotonic() - started, 3))
        os.timerfd_settime_ns(timer, flags=os.TFD_TIMER_ABSTIME, initial=time.monotonic_ns() + 10**9)
        seen.append(round(os.timerfd_gettime(timer)[0], 3))
        os.timerfd_settime(timer)
        seen.append(os.timerfd_gettime(timer))
        return seen

    seen = simulated(body, faces=FACES)
    assert seen in (None, [(0.0, 0.0), 0, 10.0, (1, 3), "read", 4.0, 1.0, (0.0, 0.0)])


def test_sigpipe_ends_a_program_that_does_not_ignore_it() -> None:
    def body():
        import os

        process = core.K.process  # noqa: F821  # the harness gives it to the body
        process.handlers[13] = lambda number, frame: seen.append(number)
        seen: list[int] = []
        reader, writer = os.pipe()
        os.close(reader)
        try:
            os.write(writer, b"x")
        except BrokenPipeError:
            os.get_blocking(writer)
            os.dup(writer)  # a system call, at whose start signals are delivered
            return seen
        return None

    assert simulated(body, faces=FACES) == [13]


def test_what_is_not_simulated_says_so() -> None:
    def body():
        import os

        try:
            os.pipe2(0o40000)
        except OSError as error:
            return type(error).__name__, str(error).partition("\n")[0]

    assert simulated(body, faces=FACES) == ("NotSimulatedOSError", "os.pipe2 is not simulated")
