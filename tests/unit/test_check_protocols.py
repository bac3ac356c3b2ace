"""Each property, broken on purpose by a small protocol; and protocols that keep them all."""

import asyncio
from typing import Any

import pytest

from wavetank.check import CheckFailed, check_protocol, play

LINES = b"hello\r\nto the world\r\nquit\r\n"


class Line(asyncio.Protocol):
    """A server of lines, done right."""

    def __init__(self) -> None:
        self.buffer = b""
        self.seen: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n" in self.buffer and not self.transport.is_closing():
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            self.line(line)

    def line(self, line: bytes) -> None:
        self.seen.append(line)
        if line == b"quit":
            self.transport.close()
        else:
            self.transport.write(b"<" + line + b">\r\n")


class Split(Line):
    """Takes each piece for whole lines."""

    def data_received(self, data: bytes) -> None:
        for line in data.splitlines():
            self.line(line)


class Joined(Line):
    """Takes only the first line of a piece."""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if b"\r\n" in self.buffer:
            line, _, _ = self.buffer.partition(b"\r\n")
            self.buffer = b""
            self.line(line)


class OneOffset(Line):
    """Loses what ends with a CR, unless the LF comes all by itself."""

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"d\r"):
            data = data[:-1]
        super().data_received(data)


class ThreePieces(Line):
    """Goes wrong with two pieces of one byte behind each other in the middle of a line."""

    short = 0

    def data_received(self, data: bytes) -> None:
        self.short = self.short + 1 if len(data) == 1 else 0
        super().data_received(b"?" + data if self.short == 2 else data)


class SilentlySplit(Split):
    """Shows it in what it has seen only."""

    def line(self, line: bytes) -> None:
        self.seen.append(line)


class Raises(Line):
    def data_received(self, data: bytes) -> None:
        if data == b"\n":
            raise ValueError("a line feed alone")
        super().data_received(data)


class RaisesOnGarbage(Line):
    def line(self, line: bytes) -> None:
        super().line(line.decode().encode())


class RaisesAtEof(Line):
    def eof_received(self) -> None:
        assert not self.buffer, "the peer went away in the middle of a line"


class RaisesWhenLost(Line):
    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            raise error


class RaisesWhenAborted(Line):
    def connection_lost(self, error: Exception | None) -> None:
        if not self.transport.get_write_buffer_size() and not self.seen:
            raise RuntimeError("nothing was said")


class TaskRaises(Line):
    def line(self, line: bytes) -> None:
        super().line(line)
        self.task = asyncio.get_running_loop().create_task(self.later())

    async def later(self) -> None:
        await asyncio.sleep(0.1)
        raise RuntimeError("nobody awaits this")


class TimerRaises(Line):
    def connection_lost(self, error: Exception | None) -> None:
        asyncio.get_running_loop().call_later(1.0, self.late)

    def late(self) -> None:
        raise RuntimeError("too late")


class NeverEnds(Line):
    def eof_received(self) -> bool:
        return True


class SpinsAtEof(Line):
    def eof_received(self) -> None:
        while self.buffer:
            pass


class SpinsInTheLoop(Line):
    def eof_received(self) -> bool:
        self.again()
        return True

    def again(self) -> None:
        asyncio.get_running_loop().call_soon(self.again)


class WritesWhenLost(Line):
    def connection_lost(self, error: Exception | None) -> None:
        self.transport.write(b"bye\r\n")


class WritesLater(Line):
    def connection_lost(self, error: Exception | None) -> None:
        asyncio.get_running_loop().call_later(5.0, self.transport.write, b"ping\r\n")


class WritesBehindClose(Line):
    def line(self, line: bytes) -> None:
        super().line(line)
        if line == b"quit":
            self.transport.write(b"bye\r\n")


class LosesWhatIsPaused(Line):
    """Drops answers while the peer does not read."""

    paused = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def line(self, line: bytes) -> None:
        if not self.paused or line == b"quit":
            super().line(line)


class TwoLines(Line):
    """Answers with two writes for each line: the second is lost when the first one paused it."""

    paused = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def line(self, line: bytes) -> None:
        super().line(line)
        if not self.paused and line != b"quit":
            self.transport.write(b"more\r\n")


class AnswersLate(Line):
    """Keeps its side open at the end of the stream, and forgets what it owes."""

    def __init__(self) -> None:
        super().__init__()
        self.owed: list[asyncio.TimerHandle] = []

    def line(self, line: bytes) -> None:
        self.owed.append(asyncio.get_running_loop().call_later(0.5, super().line, line))

    def eof_received(self) -> bool:
        self.forget()
        asyncio.get_running_loop().call_soon(self.transport.close)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.forget()

    def forget(self) -> None:
        for handle in self.owed:
            handle.cancel()


class BadPair(Line):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.write_eof()
        transport.write(b"220 hello\r\n")


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        (Split, "cut"),
        (Joined, "cut"),
        (OneOffset, "cut"),
        (ThreePieces, "cut"),
        (Raises, "exception"),
        (RaisesOnGarbage, "exception"),
        (RaisesAtEof, "exception"),
        (RaisesWhenLost, "exception"),
        (RaisesWhenAborted, "exception"),
        (TaskRaises, "unhandled"),
        (TimerRaises, "unhandled"),
        (NeverEnds, "hang"),
        (SpinsAtEof, "spin"),
        (SpinsInTheLoop, "spin"),
        (WritesWhenLost, "contract"),
        (WritesLater, "contract"),
        (WritesBehindClose, "contract"),
        (TwoLines, "pause"),
        (AnswersLate, "answer"),
        (BadPair, "contract"),
    ],
)
def test_a_property_that_does_not_hold_is_found(protocol: type[Line], kind: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_protocol(protocol, LINES)
    assert caught.value.kind == kind, str(caught.value)


def test_what_is_observed_counts() -> None:
    check_protocol(SilentlySplit, b"hello\r\nworld\r\n")
    for observe in ("seen", lambda protocol: protocol.seen):
        with pytest.raises(CheckFailed, match="depends on how its input is cut"):
            check_protocol(SilentlySplit, b"hello\r\nworld\r\n", observe=observe)


@pytest.mark.parametrize("conversation", [LINES, LINES.splitlines(keepends=True), "> hello\\r\\n\n< <hello>\\r\\n"])
def test_a_protocol_that_keeps_all_passes(conversation: Any) -> None:
    check_protocol(Line, conversation, observe="seen")


def test_the_smallest_cut_is_shown() -> None:
    with pytest.raises(CheckFailed) as caught:
        check_protocol(OneOffset, LINES)
    assert caught.value.where == "21 bytes in pieces of 20 and 1"


# ---- memory


class Flood(asyncio.Protocol):
    """Answers each byte with ten, whether the peer reads or not."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data * 10)


class Polite(Flood):
    """Stops reading while the peer does."""

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Hoards(asyncio.Protocol):
    """Queues a costly object for each byte, and handles one a second."""

    def __init__(self) -> None:
        self.queue: list[Any] = []

    def data_received(self, data: bytes) -> None:
        self.queue += [{"byte": byte, "more": [byte] * 20} for byte in data]


@pytest.mark.parametrize("protocol", [Flood, Hoards])
def test_what_is_held_has_a_bound(protocol: type[asyncio.Protocol]) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_protocol(protocol, [b"x" * 1000] * 80)
    assert caught.value.kind == "buffer", str(caught.value)


def test_a_protocol_that_stops_reading_passes() -> None:
    check_protocol(Polite, [b"x" * 1000] * 80, seconds=0.5, examples=0)


# ---- programs, streams, time


async def streams() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await asyncio.sleep(1.0)
                writer.write(line)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    await server.serve_forever()


async def client() -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", 80)
    try:
        writer.write(b"who are you?\n")
        return await reader.readline()
    finally:
        writer.close()


def test_a_program_that_listens() -> None:
    check_protocol(streams, [b"one\n", b"two\n"], seconds=2)
    assert play(streams, [b"one\n", b"two\n"]).output == b"one\ntwo\n"


async def patient() -> asyncio.Protocol:
    """Answers each four bytes after a while, and whatever is left after the end of the stream, too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                four = await reader.readexactly(4)
                await asyncio.sleep(1.0)
                writer.write(four)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)


def test_who_is_busy_does_not_hang() -> None:
    outcome = play(patient, [b"x" * 4000], end="eof")
    assert (outcome.problems, len(outcome.output)) == ([], 4000)


def test_a_program_that_connects() -> None:
    check_protocol(client, [("<", b"who are you?\n"), (">", b"a teapot\n")])
    outcome = play(client, [[], [b"a tea", b"pot\n"]])
    assert outcome.observed == "the program returned b'a teapot\\n'"


def test_a_check_inside_a_running_loop() -> None:
    async def test() -> None:
        check_protocol(Line, b"hello\r\n", seconds=1)
        await asyncio.sleep(0)

    asyncio.run(test())


def test_clocks_and_chance_stand_still() -> None:
    import random
    import time

    class Clocks(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(f"{time.time()} {random.random()} {random.Random().random()}".encode())

    before, real = time.time(), time.time
    check_protocol(Clocks, b"hello", seconds=2)
    assert time.time is real
    assert 0 <= time.time() - before < 3600
    assert play(Clocks, [b"x"]).output == play(Clocks, [b"x"]).output
