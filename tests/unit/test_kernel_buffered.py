"""Buffered files that several simulated threads use: who waits, who does not, and who is refused."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

import io
from typing import Any

import pytest

from tests.unit.kernel_harness import simulated
from wavetank.kernel import buffered


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=(), before=prelude, **options)


def prelude():
    import builtins
    import io

    from wavetank.kernel import buffered, core

    builtins.buffered = buffered

    class Slow(io.RawIOBase):
        """Reads the given parts, and writes, one second after it was asked."""

        name = "slow"

        def __init__(self, *parts):
            self.parts = [*parts]
            self.written = []
            self.calls = []

        def readable(self):
            return True

        writable = readable

        def readinto(self, buffer):
            core.K.park("slow", core.K.now + 10**9)
            self.calls.append(core.K.running.name)
            part = self.parts.pop(0) if self.parts else b""
            buffer[: len(part)] = part
            return len(part)

        def write(self, data):
            data = bytes(data)
            core.K.park("slow", core.K.now + 10**9)
            self.calls.append(core.K.running.name)
            self.written.append(data)
            return len(data)

    builtins.Slow = Slow

    def together(*bodies):
        """Run each body in a thread of its own; what each returned or raised, with the second in which it ended."""
        kernel = core.K
        outcomes = [None] * len(bodies)

        def ending(index, call):
            try:
                value = call()
            except Exception as error:
                value = repr(error)
            outcomes[index] = (value, round(kernel.now / 1e9))

        for index, call in enumerate(bodies):
            thread = kernel.new_thread(kernel.process, "abcdef"[index])
            kernel.start(thread, lambda index=index, call=call: ending(index, call))
        while None in outcomes:
            kernel.park("the others", kernel.now + 10**6)
        return outcomes

    builtins.together = together


def test_the_second_reader_waits_for_the_first() -> None:
    def body():
        file = buffered.BufferedReader(Slow(b"on", b"e\ntw", b"o\nthree\n"))
        return together(file.readline, file.readline, file.readline), file.raw.calls

    assert run(body) == ([(b"one\n", 2), (b"two\n", 3), (b"three\n", 3)], ["a", "a", "b"])


def test_what_is_in_the_buffer_needs_no_waiting() -> None:
    def body():
        file = buffered.BufferedReader(Slow(b"xxxxone\n", b"end"))
        file.read(4)
        # `a` asks for more than there is and is still at it when `b` finds its line in the buffer, as on Linux
        return together(lambda: file.peek(1), file.readline, lambda: file.read(3))

    assert run(body) == [(b"one\n", 1), (b"one\n", 1), (b"end", 2)]


@pytest.mark.parametrize(
    ("name", "args", "value"),
    [
        ("read", (3,), b"two"),
        ("read1", (3,), b"two"),
        ("readinto", (bytearray(3),), 3),
        ("readinto1", (bytearray(3),), 3),
        ("peek", (1,), b"two"),
        ("readlines", (), [b"two"]),
        ("__next__", (), b"two"),
        ("close", (), None),
    ],
)
def test_every_method_of_a_reader_takes_turns(name: str, args: Any, value: Any) -> None:
    def body(name, args):
        file = buffered.BufferedReader(Slow(b"one", b"", b"two"))
        return together(file.read, lambda: getattr(file, name)(*args))

    first, second = run(body, name, args)
    assert first == (b"one", 2)
    assert second[0] == value
    assert second[1] >= 2


def test_writers_take_turns_and_nothing_is_lost() -> None:
    def body():
        file = buffered.BufferedWriter(Slow(), 4)
        outcomes = together(lambda: file.write(b"aaaaaa"), lambda: file.write(b"bbbbbb"), file.flush, file.close)
        return outcomes, b"".join(file.raw.written), file.closed

    outcomes, written, closed = run(body)
    assert [value for value, _ in outcomes] == [6, 6, None, None]
    assert [second for _, second in outcomes] == sorted(second for _, second in outcomes)
    assert (written, closed) == (b"aaaaaabbbbbb", True)


def test_a_pair_reads_and_writes_at_once_but_not_twice() -> None:
    def body():
        raw = Slow(b"one", b"two")
        file = buffered.BufferedRWPair(raw, raw, 3)
        both = together(lambda: file.read(3), lambda: file.write(b"wwwwww"), lambda: file.read(3), file.flush)
        file.close()
        return both, b"".join(raw.written)

    outcomes, written = run(body)
    assert outcomes[0] == (b"one", 1)
    assert outcomes[1][0] == 6
    assert outcomes[1][1] < 4
    assert outcomes[2] == (b"two", 2)
    assert written == b"wwwwww"


def test_an_error_lets_the_next_one_in() -> None:
    def body():
        class Broken(Slow):
            def readinto(self, buffer):
                if super().readinto(buffer) == 1:
                    raise ConnectionResetError("gone")
                return 0

        file = buffered.BufferedReader(Broken(b"x"))
        return together(lambda: file.read(1), lambda: file.read(1))

    assert run(body) == [("ConnectionResetError('gone')", 1), (b"", 2)]


def test_other_runtime_errors_pass() -> None:
    def body():
        class Broken(Slow):
            def readinto(self, buffer):
                raise RuntimeError("mine")

        return attempt(buffered.BufferedReader(Broken()).read)

    assert run(body) == ("raises", "RuntimeError", ("mine",))


def test_a_thread_that_meets_itself_is_refused_as_on_linux() -> None:
    def body():
        class Nested(Slow):
            def write(self, data):
                return file.write(data)

        file = buffered.BufferedWriter(Nested(), 4)
        outcome = attempt(file.write, b"longer than four")
        file.detach()
        return outcome

    assert run(body) == ("raises", "RuntimeError", ("reentrant call inside <_io.BufferedWriter name='slow'>",))


def test_an_exception_while_waiting_leaves_no_trace() -> None:
    def body():
        file = buffered.BufferedReader(Slow(b"one", b"two"))
        kernel = core.K
        real_park = kernel.park

        def park(reason, deadline=1 << 62):
            if "another thread" in str(reason):
                raise KeyboardInterrupt(str(reason))
            return real_park(reason, deadline)

        def interrupted():
            kernel.park = park
            try:
                return file.read(3)
            except KeyboardInterrupt as error:
                kernel.park = real_park
                return str(error)

        Kernel = type(kernel)
        kernel.__class__ = type("Kernel", (Kernel,), {})
        return together(lambda: file.read(3), interrupted), file._waiting

    outcomes, waiting = run(body)
    assert outcomes == [(b"one", 1), ("waiting for another thread to leave <_io.BufferedReader name='slow'>", 0)]
    assert not waiting


@pytest.mark.parametrize("name", ["BufferedReader", "BufferedWriter", "BufferedRWPair"])
def test_the_classes_look_like_those_of_c(name: str) -> None:
    class Raw(io.RawIOBase):
        name = "x"

        def readable(self) -> bool:
            return True

        writable = readable

        def __repr__(self) -> str:
            return "raw"

    base, made = getattr(io, name), getattr(buffered, name)
    raws = (Raw(), Raw()) if name == "BufferedRWPair" else (Raw(),)
    with base(*raws) as real, made(*raws) as ours:
        assert isinstance(ours, base)
        assert (made.__name__, made.__module__, made.__doc__) == (base.__name__, base.__module__, base.__doc__)
        if name != "BufferedRWPair":
            assert repr(ours) == repr(real)
    taken = {each for each in vars(base) if each in buffered._FORMS}
    assert taken <= {*vars(made)}
    without_lock = {"closed", "fileno", "isatty", "mode", "name", "raw", "readable", "seekable", "writable"}
    assert {each for each in vars(base) if not each.startswith("_")} - taken <= without_lock


def test_the_buffer_fits_what_it_is_for() -> None:
    class Raw(io.RawIOBase):
        def readable(self) -> bool:
            return True

        writable = readable

    kinds = {
        (reading, writing): type(buffered.buffer_over(Raw(), reading=reading, writing=writing, size=16))
        for reading, writing in ((True, False), (False, True), (True, True))
    }
    assert kinds == {
        (True, False): buffered.BufferedReader,
        (False, True): buffered.BufferedWriter,
        (True, True): buffered.BufferedRWPair,
    }


def test_socket_makefile_uses_them_and_io_itself_is_left_alone() -> None:
    def body():
        import io

        buffered.install()
        import socket

        names = ("BufferedReader", "BufferedWriter", "BufferedRWPair", "TextIOWrapper")
        return [
            [getattr(module, name) is getattr(buffered, name, None) for name in names] for module in (socket.io, io)
        ]

    assert run(body) == [[True, True, True, False], [False] * 4]
