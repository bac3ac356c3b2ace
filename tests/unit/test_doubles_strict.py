"""Joined protocols under the monitor of the contract: breaks are named, and what the doubles do breaks nothing."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import error

from tests.unit.test_doubles_connect import Recorder
from tests.unit.test_doubles_tx_connect import Chunks, Producer
from wavetank.doubles.aio import connect
from wavetank.errors import ContractViolation
from wavetank.faults import Buffers, Latency, Segments, Stall


def test_a_protocol_that_writes_after_the_end_is_caught_with_its_history() -> None:
    class Late(Recorder):
        def connection_lost(self, exc: Exception | None) -> None:
            self.transport.write(b"late")

    a, b = Recorder(), Late()
    connection = connect(a, b, strict=True)
    a.transport.write(b"1")
    a.transport.close()
    with pytest.raises(ContractViolation) as caught:
        connection.flush()
    assert caught.value.rule == "write-after-lost"
    assert "connection_lost" in str(caught.value)


def test_a_twisted_protocol_that_writes_after_the_loss_is_caught() -> None:
    a, b = Chunks(), Chunks()
    connection = connect(a, b, strict=True)
    a.transport.abortConnection()
    connection.flush()
    with pytest.raises(ContractViolation, match="nothing is written after connection_lost"):
        a.transport.write(b"late")
    assert a.closedReason is not None
    assert a.closedReason.check(error.ConnectionAborted)


def test_the_transports_of_a_strict_connection_are_watched() -> None:
    a, b = Recorder(), Recorder()
    connection = connect(a, b, strict=True)
    connection.a.close()
    with pytest.raises(ContractViolation):
        connection.a.write(b"late")
    connection.flush()
    assert b.events == ["made", "eof", None]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "big", "pause", "resume", "flush", "pump", "eof", "close", "abort"]),
        st.integers(0, 1),
    ),
    max_size=25,
)
FAULTS = st.lists(
    st.sampled_from([Segments(3), Latency(0.1), Buffers(30, 20), Stall(at_s=0.05, duration_s=0.1)]), max_size=2
)


class Careful:
    """Does what an operation says, as long as the contract allows it."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.ended = self.closed = False

    @property
    def gone(self) -> bool:
        events = getattr(self.protocol, "events", None)
        lost = (
            bool(self.protocol.closed)
            if events is None
            else None in events or any(isinstance(e, OSError) for e in events)
        )
        return self.closed or lost

    def do(self, operation: str) -> None:
        transport = self.protocol.transport
        twisted = isinstance(self.protocol, Chunks)
        if self.gone:
            return
        if operation in ("write", "big") and not self.ended:
            transport.write(b"12345" if operation == "write" else b"x" * 300)
        elif operation in ("pause", "resume"):
            getattr(transport, f"{operation}Producing" if twisted else f"{operation}_reading")()
        elif operation == "eof" and not self.ended:
            self.ended = True
            (transport.loseWriteConnection if twisted else transport.write_eof)()
        elif operation in ("close", "abort"):
            self.closed = True
            {"close": transport.loseConnection, "abort": transport.abortConnection}[
                operation
            ]() if twisted else getattr(transport, operation)()


@given(
    OPERATIONS, FAULTS, st.sampled_from([None, "one byte", "collapse", "random:1"]),
    st.tuples(st.booleans(), st.booleans()),
    st.booleans(), st.sampled_from([None, 0, 100, (2, 8)]),
)  # fmt: skip
def test_whatever_is_done_the_doubles_keep_the_contract(
    operations: Any, faults: Any, chunks: Any, twisted: tuple[bool, bool], stay_open: bool, watermarks: Any
) -> None:
    sides: list[Any] = [Chunks() if each else Recorder(stay_open=stay_open) for each in twisted]
    connection = connect(*sides, strict=True, chunks=chunks, faults=faults, watermarks=watermarks)
    careful = [Careful(side) for side in sides]
    for side in sides:
        if isinstance(side, Chunks):
            side.transport.registerProducer(Producer(), True)
    for operation, which in operations:
        if operation in ("flush", "pump"):
            getattr(connection, operation)()
        else:
            careful[which].do(operation)
    for side in sides:
        if isinstance(side, Chunks) and not side.closed:
            side.transport.unregisterProducer()
        if not Careful(side).gone:
            (side.transport.resumeProducing if isinstance(side, Chunks) else side.transport.resume_reading)()
    connection.flush()
    for each in careful:
        each.do("close")
    connection.flush()
    for each in careful:
        each.do("resume")
    connection.flush()
    assert connection.closed
    assert connection.errors == []
    assert [end.outward.size for end in connection.ends] == [0, 0]


def test_a_buffered_protocol_under_the_monitor() -> None:
    class Filled(asyncio.BufferedProtocol):
        room = bytearray(3)
        got = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.room

        def buffer_updated(self, nbytes: int) -> None:
            self.got += bytes(self.room[:nbytes])

    a, b = Recorder(), Filled()
    connection = connect(a, b, strict=True)
    a.transport.write(b"12345")
    a.transport.close()
    connection.flush()
    assert (b.got, connection.closed) == (b"12345", True)
