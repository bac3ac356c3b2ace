"""Fault words on joined protocols: those that mean something, at their bytes and times; the others are refused."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_doubles_connect import Recorder
from wavetank import faults
from wavetank.doubles.aio import connect
from wavetank.errors import UsageError
from wavetank.faults import (
    Bandwidth,
    Buffers,
    Drop,
    Eof,
    Latency,
    Reset,
    Segments,
    SlowReader,
    Stall,
)


class Timed(Recorder):
    """Notes when each piece came."""

    clock: Any = None

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.times: list[tuple[float, int]] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.times.append((round(self.clock.now, 6), len(data)))


def joined(*given: Any, **options: Any) -> tuple[Any, Any, Any]:
    a, b = Timed(), Timed(stay_open=True)
    connection = connect(a, b, faults=given, **options)
    a.clock = b.clock = connection
    return a, b, connection


# ---- by bytes


@pytest.mark.parametrize(
    "target", ["*", "client -> server", "connecting -> accepting", "a -> b", "connecting", "client | server"]
)
def test_a_reset_after_so_many_bytes(target: str) -> None:
    a, b, connection = joined(Reset(3, target=target))
    a.transport.write(b"12")
    connection.flush()
    a.transport.write(b"345")
    connection.flush()
    assert b.chunks == [b"12", b"3"]
    assert [type(side.events[-1]) for side in (a, b)] == [ConnectionResetError] * 2
    assert connection.dropped == (2, 0)


def test_a_reset_in_the_other_direction_does_not_count_these_bytes() -> None:
    a, b, connection = joined(Reset(3, target="server -> client"))
    a.transport.write(b"12345")
    connection.flush()
    assert b.data == b"12345"
    b.transport.write(b"12345")
    connection.flush()
    assert a.data == b"123"


def test_a_reset_at_once_and_one_at_a_time() -> None:
    a, b, connection = joined(Reset())
    connection.flush()
    assert [type(side.events[-1]) for side in (a, b)] == [ConnectionResetError] * 2
    a, b, connection = joined(Reset(at_s=2.0))
    connection.advance(1.9)
    assert b.events == ["made"]
    connection.advance(0.2)
    assert isinstance(b.events[-1], ConnectionResetError)


def test_an_end_in_one_direction_is_a_half_close_by_nobody() -> None:
    a, b, connection = joined(Eof(2, target="client -> server"))
    a.transport.write(b"123")
    connection.flush()
    assert (b.data, b.events) == (b"12", ["made", "eof"])
    for _ in range(3):
        a.transport.write(b"lost")
        connection.flush()
    b.transport.write(b"answer")
    connection.flush()
    assert (a.data, a.events, b.data) == (b"answer", ["made"], b"12")
    b.transport.close()
    connection.flush()
    assert (a.events, connection.closed) == (["made", "eof", None], True)


def test_an_end_in_both_directions_is_a_proxy_that_has_closed() -> None:
    a, b, connection = joined(Eof(2))
    a.stay_open = True
    a.transport.write(b"12")
    connection.flush()
    assert (b.data, a.events, b.events) == (b"12", ["made", "eof"], ["made", "eof"])
    a.transport.write(b"3")
    connection.flush()
    a.transport.write(b"4")
    connection.flush()
    assert isinstance(a.events[-1], BrokenPipeError)
    assert b.data == b"12"


# ---- by time


def test_latency_and_jitter_keep_the_order() -> None:
    a, b, connection = joined(Latency(0.5, 0.2), seed=3)
    for number in range(5):
        a.transport.write(b"%d" % number)
    a.transport.close()
    assert not b.times
    connection.flush()
    assert b.data == b"01234"
    times = [time for time, _ in b.times]
    assert times == sorted(times)
    assert 0.5 <= times[0] <= times[-1] <= 0.7
    assert b.events == ["made", "eof"]
    assert 0.5 <= connection.now <= 1.4


def test_latency_leaves_the_senders_buffer_empty() -> None:
    a, b, connection = joined(Latency(1.0), watermarks=0)
    a.transport.write(b"x" * 100)
    connection.pump()
    assert (a.transport.get_write_buffer_size(), connection.in_flight, a.events) == (
        0,
        (100, 0),
        ["made", "pause", "resume"],
    )
    connection.advance(1.0)
    assert b.times == [(1.0, 100)]


def test_a_bandwidth_carries_no_more() -> None:
    _, b, connection = joined(Bandwidth(100, target="client -> server"))
    connection.a.write(b"x" * 50)
    connection.flush()
    assert b.times == [(0.0, 10), (0.1, 10), (0.2, 10), (0.3, 10), (0.4, 10)]


def test_a_slow_reader_makes_the_writer_wait() -> None:
    a, b, connection = joined(SlowReader(10, target="server"), watermarks=(0, 2))
    a.transport.write(b"12345")
    connection.advance(0.25)
    assert (b.times, a.events) == ([(0.0, 1), (0.1, 1), (0.2, 1)], ["made", "pause"])
    connection.flush()
    assert (b.data, b.times[-1][0]) == (b"12345", 0.4)


def test_small_buffers_take_so_much_of_a_reader_that_pauses() -> None:
    a, b, connection = joined(Buffers(3, 2, target="client -> server"))
    b.transport.pause_reading()
    a.transport.write(b"0123456789")
    connection.flush()
    assert (a.transport.get_write_buffer_size(), connection.in_flight) == (5, (10, 0))
    b.transport.resume_reading()
    connection.flush()
    assert (b.data, max(len(chunk) for chunk in b.chunks)) == (b"0123456789", 2)


def test_a_stalled_reader_gets_all_when_it_is_healed_and_the_end_too() -> None:
    a, b, connection = joined(Stall(target="server", at_s=1.0, duration_s=2.0), watermarks=0)
    connection.advance(1.0)
    a.transport.write(b"1")
    a.transport.close()
    connection.advance(1.5)
    assert (a.events, b.events, a.transport.get_write_buffer_size()) == (["made", "pause"], ["made"], 1)
    connection.advance(1.0)
    assert (b.times, b.events, a.events[-1]) == ([(3.0, 1)], ["made", "eof"], None)


def test_dropped_packets_leave_the_writer_in_the_dark() -> None:
    a, b, connection = joined(Drop(duration_s=5.0))
    a.transport.write(b"x" * 70_000)
    connection.pump()
    assert (a.transport.get_write_buffer_size(), a.events) == (70_000 - 65_536, ["made", "pause", "resume"])
    a.transport.abort()
    connection.advance(4.0)
    assert (a.events[-1], b.events, b.data) == (None, ["made"], b"")
    connection.advance(2.0)
    assert isinstance(b.events[-1], ConnectionResetError)


def test_a_connection_that_is_cut_for_ever_is_quiet() -> None:
    a, b, connection = joined(Drop())
    a.transport.write(b"1")
    a.transport.close()
    connection.flush()
    assert (a.events, b.events, connection.closed) == (["made", None], ["made"], False)


def test_segments_end_when_they_are_healed() -> None:
    a, b, connection = joined(Segments(1, duration_s=1.0))
    a.transport.write(b"12")
    connection.pump()
    assert b.chunks == [b"1", b"2"]
    connection.advance(1.0)
    a.transport.write(b"34")
    connection.pump()
    assert b.chunks == [b"1", b"2", b"34"]


def test_faults_may_begin_while_data_is_on_its_way() -> None:
    a, b, connection = joined()
    a.transport.write(b"12")
    b.transport.pause_reading()
    connection.inject(Latency(1.0), Reset(1))
    b.transport.resume_reading()
    connection.flush()
    assert (b.times, [type(side.events[-1]) for side in (a, b)]) == ([(1.0, 1)], [ConnectionResetError] * 2)


def test_the_log_says_when_a_fault_begins_and_is_healed() -> None:
    _, _, connection = joined(Stall(at_s=1.0, duration_s=2.0))
    connection.flush()
    assert [(entry.time_s, entry.call) for entry in connection.log if entry.end == "network"] == [
        (1.0, "1.00 s: stalled reader for 2 s"),
        (3.0, "healed: stalled reader"),
    ]


def test_a_loop_s_time_is_used_inside_a_loop() -> None:
    async def main() -> tuple[bytes, float]:
        a, b, connection = joined(Latency(0.02, target="client -> server"))
        a.transport.write(b"1")
        while not b.data:
            await asyncio.sleep(0.001)
        return b.data, connection.now

    data, now = asyncio.run(main())
    assert data == b"1"
    assert now >= 0.02


@given(
    writes=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    given=st.lists(
        st.sampled_from([Segments(3), Latency(0.1, 0.3), Bandwidth(100), SlowReader(70), Buffers(3, 2),
                         Stall(duration_s=2.0), Drop(at_s=0.1, duration_s=3.0)]), max_size=4,
    ),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_faults_that_heal_lose_nothing(writes: list[bytes], given: list[Any], seed: int) -> None:
    a, b, connection = joined(*given, seed=seed, chunks=f"random:{seed}")
    for each in writes:
        a.transport.write(each)
    a.transport.close()
    connection.flush()
    assert b.data == b"".join(writes)
    assert (b.events, a.events[-1]) == (["made", "eof"], None)
    assert connection.in_flight == (0, 0)


# ---- refused


@pytest.mark.parametrize(
    "fault",
    [
        faults.Loss(0.5), faults.Partition("a", "b"), faults.Refuse(), faults.NameFailure("slow"),
        faults.ClockJump(1.0), faults.Pause(), faults.Crash(1.0), faults.Duplicate(0.5), faults.Reorder(0.5),
        faults.Truncate(1), faults.Descriptors(3), faults.Scheduling(0.5),
    ],
    ids=lambda fault: fault.name,
)  # fmt: skip
def test_words_that_mean_nothing_here_are_refused_by_name(fault: Any) -> None:
    with pytest.raises(UsageError, match=f"^faults: {type(fault).__name__} means nothing for two protocols"):
        joined(fault)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Stall(target="db"), "aims at nothing"),
        (Stall(target="client -> server:80"), "aims at nothing"),
        (Stall(target="client -> server #2"), "aims at nothing"),
        (Reset(when="send #3"), "begins at an event"),
        ("reset", "'reset' is no fault"),
        (Reset, "is no fault"),
    ],
)
def test_faults_that_make_no_sense(fault: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        joined(fault)
    with pytest.raises(UsageError, match=message):
        joined()[2].inject(fault)


def test_one_fault_needs_no_list() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, faults=Reset(1, when="connect"))
    a.transport.write(b"12")
    connection.flush()
    assert b.data == b"1"
