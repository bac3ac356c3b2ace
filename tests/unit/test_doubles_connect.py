"""Two asyncio protocols joined by `connect`: chunks, watermarks, half close, the ends; with and without a loop."""

import asyncio
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.doubles.aio import connect
from wavetank.errors import UsageError, WavetankError
from wavetank.faults import Loss, Segments


class Recorder(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self, *, stay_open: bool = False, echo: bool = False) -> None:
        self.chunks: list[bytes] = []
        self.events: list[Any] = []
        self.stay_open, self.echo = stay_open, echo

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        if self.echo:
            self.transport.write(data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.stay_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(exc)

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (None, [b"hello", b"world"]),
        ("identity", [b"hello", b"world"]),
        ("collapse", [b"helloworld"]),
        ("one byte", [bytes([byte]) for byte in b"helloworld"]),
        ("one-byte", [bytes([byte]) for byte in b"helloworld"]),
        (4, [b"hell", b"owor", b"ld"]),
        ([1, 7], [b"h", b"ellowo", b"rld"]),
        ((1, 7), [b"h", b"ellowo", b"rld"]),
        (("collapse", "one byte"), [b"helloworld"]),
        (lambda first, total, offset: total - 1, [b"helloworl", b"d"]),
        (lambda first, total, offset: 10**9, [b"helloworld"]),
        (lambda first, total, offset: 0, [bytes([byte]) for byte in b"helloworld"]),
    ],
)
def test_chunk_policies(chunks: Any, expected: list[bytes]) -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, chunks=chunks)
    a.transport.write(b"hello")
    a.transport.write(b"world")
    assert b.chunks == []
    connection.flush()
    assert b.chunks == expected


def test_each_direction_may_have_its_own_policy() -> None:
    a, b = Recorder(), Recorder(echo=True)
    connection = connect(a, b, chunks=("collapse", "one byte"))
    a.transport.writelines([b"a", b"", b"bc"])
    connection.flush()
    assert (b.chunks, a.chunks) == ([b"abc"], [b"a", b"b", b"c"])


def test_a_seed_repeats_its_chunks() -> None:
    def run(chunks: Any) -> tuple[list[bytes], list[bytes]]:
        a, b = Recorder(), Recorder(echo=True)
        connection = connect(a, b, chunks=chunks)
        for size in range(1, 40):
            a.transport.write(bytes([size]) * size)
        connection.flush()
        assert a.data == b.data == b"".join(bytes([size]) * size for size in range(1, 40))
        return a.chunks, b.chunks

    assert run("random:7") == run("random:7") != run("random:8")
    assert run(random.Random(7)) == run(random.Random(7))


@given(st.data(), st.lists(st.binary(max_size=20), max_size=5))
def test_chunks_may_be_drawn_by_hypothesis(data: st.DataObject, writes: list[bytes]) -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, chunks=data)
    for each in writes:
        a.transport.write(each)
    connection.flush()
    assert b.data == b"".join(writes)
    assert b"" not in b.chunks


def test_no_piece_is_longer_than_asyncio_reads_at_once() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    a.transport.write(b"x" * 600_000)
    connection.flush()
    assert [len(chunk) for chunk in b.chunks] == [262_144, 262_144, 75_712]


@pytest.mark.parametrize("written", [bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"abcd").cast("I")])
def test_what_is_written_is_copied_whatever_kind_of_buffer_it_is(written: Any) -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    a.transport.write(written)
    if isinstance(written, bytearray):
        written[:] = b"----"
    connection.flush()
    assert b.chunks == [b"abcd"]


@pytest.mark.parametrize("nothing", ["", None, 0, []])
def test_what_is_not_bytes_is_refused_in_cpythons_words(nothing: Any) -> None:
    a = Recorder()
    connect(a, Recorder())
    with pytest.raises(TypeError, match="data argument must be a bytes-like object, not"):
        a.transport.write(nothing)


def test_empty_writes_arrive_as_nothing() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    a.transport.write(b"")
    a.transport.writelines([b""])
    a.transport.close()
    connection.flush()
    assert (b.chunks, b.events, a.events) == ([], ["made", "eof", None], ["made", None])


def test_a_buffered_protocol_is_filled() -> None:
    class Filled(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.room = bytearray(3)
            self.got: list[bytes] = []

        def get_buffer(self, sizehint: int) -> bytearray:
            assert sizehint == -1
            return self.room

        def buffer_updated(self, nbytes: int) -> None:
            self.got.append(bytes(self.room[:nbytes]))

    a, b = Recorder(), Filled()
    connection = connect(a, b)
    a.transport.write(b"hello")
    connection.flush()
    assert b.got == [b"hel", b"lo"]


# ---- back-pressure


def test_watermarks_pause_strictly_above_and_resume_at_or_below() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, watermarks=(2, 4), chunks="one byte")
    assert a.transport.get_write_buffer_limits() == (2, 4)
    b.transport.pause_reading()
    a.transport.write(b"1234")
    assert a.events == ["made"]
    a.transport.write(b"5")
    a.transport.write(b"6")
    assert a.events == ["made", "pause"]
    connection.flush()
    assert (a.transport.get_write_buffer_size(), b.data) == (6, b"")
    b.transport.resume_reading()
    connection.flush()
    assert (a.events, b.data) == (["made", "pause", "resume"], b"123456")


def test_a_high_mark_of_zero() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, watermarks=0)
    a.transport.write(b"1")
    assert a.events == ["made", "pause"]
    connection.flush()
    assert a.events == ["made", "pause", "resume"]


def test_the_limits_follow_each_other_as_in_asyncio() -> None:
    a = Recorder()
    connect(a, Recorder())
    assert a.transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    a.transport.set_write_buffer_limits(low=10)
    assert a.transport.get_write_buffer_limits() == (10, 40)
    a.transport.set_write_buffer_limits(40)
    assert a.transport.get_write_buffer_limits() == (10, 40)
    with pytest.raises(ValueError, match=r"^high \(1\) must be >= low \(2\) must be >= 0$"):
        a.transport.set_write_buffer_limits(high=1, low=2)


def test_reading_may_be_paused_inside_a_callback() -> None:
    class Once(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    a, b = Recorder(), Once()
    connection = connect(a, b)
    a.transport.write(b"1")
    a.transport.write(b"2")
    connection.flush()
    assert (b.chunks, b.transport.is_reading()) == ([b"1"], False)
    b.transport.resume_reading()
    connection.flush()
    assert b.chunks == [b"1", b"2"]


def test_pausing_in_connection_made_is_honoured() -> None:
    class Shy(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    a, b = Recorder(), Shy()
    connection = connect(a, b)
    a.transport.write(b"1")
    connection.flush()
    assert b.chunks == []


# ---- ends


def test_half_close_leaves_the_other_direction_open() -> None:
    a, b = Recorder(), Recorder(stay_open=True)
    connection = connect(a, b)
    assert a.transport.can_write_eof()
    a.transport.write(b"question")
    a.transport.write_eof()
    a.transport.write_eof()
    connection.flush()
    assert (b.data, b.events, b.transport.is_closing()) == (b"question", ["made", "eof"], False)
    with pytest.raises(RuntimeError, match=r"^Cannot call write\(\) after write_eof\(\)$"):
        a.transport.write(b"")
    b.transport.write(b"answer")
    b.transport.close()
    connection.flush()
    assert (a.data, a.events, b.events) == (b"answer", ["made", "eof", None], ["made", "eof", None])
    assert connection.closed


def test_close_sends_what_is_buffered_and_what_is_written_while_it_is() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    a.transport.write(b"1")
    a.transport.close()
    a.transport.close()
    assert a.transport.is_closing()
    a.transport.write(b"2")
    assert a.events == ["made"]
    connection.flush()
    assert (b.data, a.events, b.events) == (b"12", ["made", None], ["made", "eof", None])
    a.transport.write(b"3")
    connection.flush()
    assert (b.data, connection.dropped) == (b"12", (1, 0))


def test_a_reader_that_pauses_keeps_a_closing_writer_alive() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    b.transport.pause_reading()
    a.transport.write(b"1")
    a.transport.close()
    connection.flush()
    assert a.events == ["made"]
    b.transport.resume_reading()
    connection.flush()
    assert (a.events, b.data) == (["made", None], b"1")


def test_abort_loses_what_is_in_flight_in_both_directions() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    a.transport.write(b"lost")
    b.transport.write(b"lost, too")
    a.transport.abort()
    a.transport.abort()
    a.transport.close()
    a.transport.write(b"late")
    assert a.events == ["made"]
    connection.flush()
    assert (a.chunks, b.chunks, connection.dropped) == ([], [], (8, 9))
    assert a.events == ["made", None]
    assert [type(event) for event in b.events] == [str, ConnectionResetError]


def test_abort_may_look_like_an_orderly_end() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, abort="eof")
    a.transport.write(b"lost")
    a.transport.abort()
    connection.flush()
    assert (b.chunks, a.events, b.events) == ([], ["made", None], ["made", "eof", None])


def test_a_reset_is_not_noticed_by_who_neither_reads_nor_writes() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    b.transport.pause_reading()
    a.transport.abort()
    connection.flush()
    assert b.events == ["made"]
    b.transport.resume_reading()
    connection.flush()
    assert isinstance(b.events[1], ConnectionResetError)


def test_writing_to_one_who_is_gone_breaks_the_connection_at_the_second_try() -> None:
    a, b = Recorder(), Recorder(stay_open=True)
    connection = connect(a, b)
    a.transport.close()
    connection.flush()
    b.transport.write(b"1")
    connection.flush()
    assert b.events == ["made", "eof"]
    b.transport.write(b"2")
    connection.flush()
    assert isinstance(b.events[2], BrokenPipeError)


def test_the_network_may_break_the_connection() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    a.transport.write(b"1")
    connection.reset()
    connection.flush()
    assert [type(side.events[1]) for side in (a, b)] == [ConnectionResetError] * 2
    assert b.chunks == []


def test_what_a_callback_raises_ends_the_connection_and_comes_out() -> None:
    class Bad(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError("here")

    a, b = Recorder(), Bad()
    connection = connect(a, b)
    a.transport.write(b"1")
    with pytest.raises(ZeroDivisionError):
        connection.flush()
    connection.flush()
    assert isinstance(b.events[1], ZeroDivisionError)
    assert a.events == ["made", "eof", None]
    assert [type(error) for error in connection.errors] == [ZeroDivisionError]


def test_what_pause_writing_raises_does_not_end_the_connection() -> None:
    class Bad(Recorder):
        def pause_writing(self) -> None:
            raise ZeroDivisionError("here")

    a, b = Bad(), Recorder()
    connection = connect(a, b, watermarks=0)
    a.transport.write(b"1")
    with pytest.raises(ZeroDivisionError):
        connection.flush()
    assert (b.data, a.events) == (b"1", ["made", "resume"])


def test_a_protocol_is_let_go_after_the_loss() -> None:
    a = Recorder()
    connection = connect(a, Recorder())
    a.transport.abort()
    connection.flush()
    assert a.transport.get_protocol() is None


def test_a_protocol_may_be_replaced() -> None:
    a, b, other = Recorder(), Recorder(), Recorder()
    connection = connect(a, b)
    b.transport.set_protocol(other)
    assert b.transport.get_protocol() is other
    a.transport.write(b"1")
    connection.flush()
    assert (b.data, other.data) == (b"", b"1")


# ---- who makes the rounds


def test_inside_a_loop_rounds_come_by_themselves() -> None:
    async def main() -> tuple[list[Any], list[Any], bytes]:
        a, b = Recorder(), Recorder(echo=True)
        connect(a, b, chunks="one byte")
        a.transport.write(b"hello")
        assert a.chunks == b.chunks == []
        a.transport.write_eof()
        for _ in range(10):
            await asyncio.sleep(0)
        return a.events, b.events, a.data

    assert asyncio.run(main()) == (["made", "eof", None], ["made", "eof", None], b"hello")


def test_inside_a_loop_the_exception_handler_is_told() -> None:
    class Bad(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError("here")

    told: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        a, b = Recorder(), Bad()
        connect(a, b)
        a.transport.write(b"1")
        for _ in range(5):
            await asyncio.sleep(0)
        assert isinstance(b.events[1], ZeroDivisionError)

    asyncio.run(main())
    assert [context["message"] for context in told] == ["Fatal error: protocol.data_received() call failed."]


def test_streams_of_asyncio_work_on_the_transports() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        readers = [asyncio.StreamReader() for _ in range(2)]
        sides = [asyncio.StreamReaderProtocol(reader) for reader in readers]
        connection = connect(*sides, chunks="random:1")
        writers = [asyncio.StreamWriter(connection.a, sides[0], readers[0], loop)]
        writers.append(asyncio.StreamWriter(connection.b, sides[1], readers[1], loop))
        writers[0].write(b"x" * 300_000 + b"\n")
        line, _ = await asyncio.gather(readers[1].read(-1), close(writers[0]))
        writers[1].close()
        await writers[1].wait_closed()
        return line

    async def close(writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    assert asyncio.run(main()) == b"x" * 300_000 + b"\n"


def test_two_that_answer_each_other_for_ever_are_stopped() -> None:
    a, b = Recorder(echo=True), Recorder(echo=True)
    connection = connect(a, b)
    a.transport.write(b"1")
    with pytest.raises(WavetankError, match="still not quiet after 50 rounds"):
        connection.flush(rounds=50)


def test_a_round_inside_a_round_is_refused() -> None:
    class Impatient(Recorder):
        def data_received(self, data: bytes) -> None:
            connection.pump()

    a, b = Recorder(), Impatient()
    connection = connect(a, b)
    a.transport.write(b"1")
    with pytest.raises(UsageError, match="a round inside a round"):
        connection.pump()


# ---- what is given


def test_addresses_and_names() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, addresses=(("127.0.0.1", 1), ("127.0.0.1", 2)), names=("one", "two"))
    for transport, host, peer, name in ((connection.a, 1, 2, "one"), (connection.b, 2, 1, "two")):
        assert transport.get_extra_info("sockname") == ("127.0.0.1", host)
        assert transport.get_extra_info("peername") == ("127.0.0.1", peer)
        assert transport.get_extra_info("socket") is None
        assert transport.name == name
        assert name in repr(transport)


def test_the_log_is_ordered() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b)
    a.transport.write(b"1")
    a.transport.close()
    connection.flush()
    assert [(entry.end, entry.call) for entry in connection.log] == [
        ("server", "connection_made"),
        ("client", "connection_made"),
        ("client", "write"),
        ("client", "close"),
        ("server", "data_received"),
        ("client", "connection_lost"),
        ("server", "eof_received"),
        ("server", "close"),
        ("server", "connection_lost"),
    ]


def test_segments_cut_what_the_policy_gives() -> None:
    a, b = Recorder(), Recorder(echo=True)
    connection = connect(a, b, faults=[Segments(3, target="client -> server")], seed=1)
    a.transport.write(b"0123456789" * 5)
    connection.flush()
    assert b.data == a.data == b"0123456789" * 5
    assert {len(chunk) for chunk in b.chunks} == {1, 2, 3}
    assert [len(chunk) for chunk in a.chunks] == [len(chunk) for chunk in b.chunks]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chunks": "colapse"}, "Did you mean 'collapse'"),
        ({"chunks": 0}, "a piece is 1 byte or more, not 0"),
        ({"chunks": [0]}, "a cut is an offset of 1 or more, not 0"),
        ({"chunks": 1.5}, "1.5 says nothing about chunks"),
        ({"watermarks": (5, 2)}, r"high \(2\) must be >= low \(5\)"),
        ({"watermarks": "64k"}, "'64k' is none"),
        ({"clock": 3}, "clock is 3"),
        ({"abort": "rst"}, "abort is 'rst'"),
        ({"names": ("x", "x")}, "names is"),
        ({"faults": ["segments"]}, "'segments' is no fault"),
        ({"faults": [Loss(0.5)]}, "Loss means nothing for two protocols joined in memory"),
        ({"faults": [Segments(3, target="db")]}, "aims at nothing"),
        ({"dialects": ("asynci", None)}, "Did you mean 'asyncio'"),
    ],
)
def test_arguments_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        connect(Recorder(), Recorder(), **given)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (Recorder, "Recorder is a class, not a protocol"),
        (object(), "is no protocol: it has no data_received, get_buffer or dataReceived"),
        (type("Factory", (), {"buildProtocol": lambda self, address: None})(), "is a factory"),
        (type("Half", (), {"data_received": lambda self, data: None})(), "Half has no connection_made and no"),
        (type("Both", (Recorder,), {"dataReceived": lambda self, data: None})(), "callbacks of both dialects"),
    ],
)
def test_what_is_no_protocol_is_refused(protocol: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        connect(Recorder(), protocol)


def test_a_protocol_has_one_transport() -> None:
    a = Recorder()
    with pytest.raises(UsageError, match="the same object"):
        connect(a, a)


def test_twisted_is_not_imported() -> None:
    code = "import sys, wavetank.doubles.aio; sys.exit(any(name.startswith('twisted') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
