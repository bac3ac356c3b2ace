"""Twisted protocols joined by `connect`: reasons, half close, the rules of producers (row 1.10), clocks; and asyncio's.

Row 1.6: what Twisted's own iosim does not do - cuts, back-pressure, reasons of aborts - is here.
"""

import asyncio
from typing import Any

import pytest
from twisted.internet import error, interfaces, protocol
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.python import log as twisted_log
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.test_doubles_connect import Recorder
from wavetank.doubles.tx import AccumulatingProtocol, NonStreamingProducer, connect
from wavetank.errors import UsageError


class Chunks(AccumulatingProtocol):
    """Keeps each piece."""

    def __init__(self, *, echo: bool = False) -> None:
        self.chunks: list[bytes] = []
        self.echo = echo

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.chunks.append(data)
        if self.echo:
            self.transport.write(data)


@implementer(interfaces.IHalfCloseableProtocol)
class HalfCloseable(Chunks):
    """Notes half closes."""

    def connectionMade(self) -> None:
        self.events: list[str] = []

    def readConnectionLost(self) -> None:
        self.events.append("read")

    def writeConnectionLost(self) -> None:
        self.events.append("write")


class Producer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


def reason(one: Any) -> type[BaseException] | None:
    return None if one.closedReason is None else one.closedReason.type


def test_1_6_chunks_are_cut_as_asked() -> None:
    a, b = Chunks(), Chunks(echo=True)
    connection = connect(a, b, chunks=("one byte", "collapse"))
    assert (a.made, b.made) == (1, 1)
    a.transport.write(b"abc")
    a.transport.writeSequence([b"d", b"e"])
    assert b.data == b""
    connection.flush()
    assert (b.chunks, a.chunks) == ([b"a", b"b", b"c", b"d", b"e"], [b"abcde"])


def test_interfaces_and_addresses() -> None:
    a, b = Chunks(), Chunks()
    connection = connect(a, b)
    for interface in (interfaces.ITCPTransport, interfaces.IConsumer, interfaces.IPushProducer):
        assert verifyObject(interface, a.transport)
    assert (connection.a, connection.b) == (a.transport, b.transport)
    assert a.transport.getHost() == b.transport.getPeer() == IPv4Address("TCP", "10.0.0.1", 12345)
    assert b.transport.getHost() == a.transport.getPeer() == IPv4Address("TCP", "192.168.1.1", 54321)
    a.transport.setTcpNoDelay(True)
    a.transport.setTcpKeepAlive(1)
    assert (a.transport.getTcpNoDelay(), a.transport.getTcpKeepAlive(), b.transport.getTcpNoDelay()) == (
        True,
        True,
        False,
    )
    assert "client open write=0" in repr(a.transport)


@pytest.mark.parametrize("data", ["text", bytearray(b"x"), None])
def test_write_takes_bytes_only(data: Any) -> None:
    a = Chunks()
    connect(a, Chunks())
    with pytest.raises(TypeError, match=r"^Data must be bytes$"):
        a.transport.write(data)
    with pytest.raises(TypeError, match=r"^Data must be bytes$"):
        a.transport.writeSequence([b"x", data])


def test_1_10_a_read_is_at_most_64_kib() -> None:
    a, b = Chunks(), Chunks()
    connection = connect(a, b)
    a.transport.write(b"x" * 140_000)
    connection.flush()
    assert [len(chunk) for chunk in b.chunks] == [65536, 65536, 8928]


# ---- ends


def test_1_6_losing_sends_what_waits_and_tells_each_side_once_that_all_is_done() -> None:
    a, b = Chunks(), Chunks()
    connection = connect(a, b)
    a.transport.write(b"1")
    a.transport.loseConnection()
    a.transport.loseConnection()
    assert a.transport.disconnecting
    a.transport.write(b"2")
    assert a.closed == 0
    connection.flush()
    assert (b.data, reason(a), reason(b)) == (b"12", error.ConnectionDone, error.ConnectionDone)
    assert (a.transport.connected, a.transport.disconnected, connection.closed) == (0, 1, True)
    a.transport.write(b"dropped")
    connection.flush()
    assert connection.dropped == (7, 0)


def test_1_6_aborting_has_the_real_reasons_and_loses_what_is_in_flight() -> None:
    a, b = Chunks(), Chunks()
    connection = connect(a, b)
    a.transport.write(b"lost")
    b.transport.write(b"lost")
    a.transport.abortConnection()
    a.transport.abortConnection()
    a.transport.loseConnection()
    assert a.closed == 0
    connection.flush()
    assert (reason(a), reason(b)) == (error.ConnectionAborted, error.ConnectionLost)
    assert (a.data, b.data) == (b"", b"")


def test_an_error_of_the_protocol_is_its_reason() -> None:
    class Bad(Chunks):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    a, b = Chunks(), Bad()
    connection = connect(a, b)
    a.transport.write(b"1")
    with pytest.raises(ZeroDivisionError):
        connection.flush()
    connection.flush()
    assert (reason(b), reason(a)) == (ZeroDivisionError, error.ConnectionDone)


def test_half_close_is_told_to_those_who_want_it() -> None:
    a, b = HalfCloseable(), HalfCloseable()
    connection = connect(a, b)
    a.transport.write(b"question")
    a.transport.loseWriteConnection()
    a.transport.write(b", still sent")
    connection.flush()
    assert (a.events, b.events, b.data) == (["write"], ["read"], b"question, still sent")
    a.transport.write(b"dropped")
    b.transport.write(b"answer")
    connection.flush()
    assert (a.data, b.data, a.closed, b.closed) == (b"answer", b"question, still sent", 0, 0)
    b.transport.loseConnection()
    connection.flush()
    assert (a.events, b.closed, a.closed) == (["write", "read"], 1, 0)
    a.transport.loseConnection()
    connection.flush()
    assert (reason(a), reason(b)) == (error.ConnectionDone, error.ConnectionDone)


def test_half_close_loses_the_connection_of_the_others_and_what_they_have_not_sent() -> None:
    a, b = HalfCloseable(), Chunks(echo=True)
    connection = connect(a, b)
    a.transport.write(b"question")
    a.transport.loseWriteConnection()
    connection.flush()
    assert (reason(b), b.data, a.data, connection.dropped) == (error.ConnectionDone, b"question", b"", (0, 8))
    assert a.events == ["write", "read"]


# ---- 1.10 producers


def test_1_10_a_streaming_producer_is_paused_at_each_write_over_the_limit_and_resumed_when_nothing_waits() -> None:
    a, b, producer = Chunks(), Chunks(), Producer()
    connection = connect(a, b)
    b.transport.pauseProducing()
    a.transport.registerProducer(producer, True)
    a.transport.write(b"x" * 65536)
    assert producer.calls == []
    a.transport.write(b"x")
    a.transport.write(b"x")
    connection.flush()
    assert producer.calls == ["pause", "pause"]
    b.transport.resumeProducing()
    connection.flush()
    assert (producer.calls, len(b.data)) == (["pause", "pause", "resume"], 65538)


def test_1_10_a_pull_producer_is_resumed_at_registration_and_whenever_nothing_waits() -> None:
    a, b = Chunks(), Chunks()
    connection = connect(a, b)
    a.transport.registerProducer(NonStreamingProducer(a.transport), False)
    assert connection.in_flight == (1, 0)
    connection.flush()
    assert b.chunks == [b"%d" % digit for digit in range(10)]
    assert a.transport.producer is None


def test_1_10_a_second_producer_is_refused() -> None:
    a = Chunks()
    connect(a, Chunks())
    a.transport.registerProducer(Producer(), True)
    with pytest.raises(RuntimeError, match="was never unregistered"):
        a.transport.registerProducer(Producer(), True)


@pytest.mark.parametrize("streaming", [True, False])
def test_1_10_losing_waits_for_the_producer(streaming: bool) -> None:
    a, b, producer = Chunks(), Chunks(), Producer()
    connection = connect(a, b)
    a.transport.registerProducer(producer, streaming)
    a.transport.loseConnection()
    connection.flush()
    assert (a.closed, b.closed) == (0, 0)
    a.transport.write(b"last")
    a.transport.unregisterProducer()
    connection.flush()
    assert (b.data, reason(a), reason(b)) == (b"last", error.ConnectionDone, error.ConnectionDone)
    assert "stop" not in producer.calls


def test_1_10_the_loss_stops_the_producer_and_one_that_comes_after_it() -> None:
    a, b, producer, late = Chunks(), Chunks(), Producer(), Producer()
    connection = connect(a, b)
    a.transport.registerProducer(producer, True)
    b.transport.abortConnection()
    connection.flush()
    assert (producer.calls, a.transport.producer, reason(a)) == (["stop"], None, error.ConnectionLost)
    a.transport.registerProducer(late, False)
    assert (late.calls, a.transport.producer) == (["stop"], None)


def test_1_10_resuming_while_disconnecting_does_nothing() -> None:
    a, b = Chunks(), Chunks()
    connection = connect(a, b)
    b.transport.pauseProducing()
    a.transport.write(b"1")
    a.transport.loseConnection()
    b.transport.write(b"never read")
    a.transport.resumeProducing()
    connection.flush()
    assert a.data == b""


def test_a_protocol_may_be_replaced_by_assignment() -> None:
    a, b, other = Chunks(), Chunks(), Chunks()
    connection = connect(a, b)
    b.transport.protocol = other
    a.transport.write(b"1")
    connection.flush()
    assert (b.data, other.data) == (b"", b"1")


# ---- clocks, loops, dialects


def test_a_clock_makes_the_rounds() -> None:
    clock, a, b = Clock(), Chunks(), Chunks(echo=True)
    connect(a, b, clock=clock)
    a.transport.write(b"1")
    assert a.data == b""
    clock.pump([0, 0, 0])
    assert a.data == b"1"
    assert clock.getDelayedCalls() == []


def test_with_a_clock_errors_go_to_the_log() -> None:
    class Bad(Chunks):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    clock, a, b = Clock(), Chunks(), Bad()
    connect(a, b, clock=clock)
    a.transport.write(b"1")
    seen: list[Any] = []
    twisted_log.addObserver(seen.append)
    try:
        clock.pump([0, 0, 0])
    finally:
        twisted_log.removeObserver(seen.append)
    assert [event["failure"].type for event in seen if event["isError"]] == [ZeroDivisionError]
    assert (reason(b), reason(a)) == (ZeroDivisionError, error.ConnectionDone)


@pytest.mark.parametrize("twisted_first", [True, False])
def test_asyncio_with_twisted(twisted_first: bool) -> None:
    one, other = Chunks(), Recorder(echo=True)
    connection = connect(one, other) if twisted_first else connect(other, one)
    one.transport.write(b"hello")
    connection.flush()
    assert (other.data, one.data) == (b"hello", b"hello")
    one.transport.abortConnection()
    connection.flush()
    assert reason(one) is error.ConnectionAborted
    assert isinstance(other.events[-1], ConnectionResetError)


def test_asyncio_aborts_twisted() -> None:
    one, other = Chunks(), Recorder()
    connection = connect(one, other)
    other.transport.abort()
    connection.flush()
    assert (reason(one), other.events) == (error.ConnectionLost, ["made", None])


def test_asyncio_with_twisted_in_a_loop() -> None:
    async def main() -> tuple[bytes, bytes]:
        one, other = Chunks(), Recorder(echo=True)
        connect(one, other)
        one.transport.write(b"hello")
        for _ in range(5):
            await asyncio.sleep(0)
        return one.data, other.data

    assert asyncio.run(main()) == (b"hello", b"hello")


def test_a_twisted_factory_is_no_protocol() -> None:
    with pytest.raises(UsageError, match="is a factory, not a protocol"):
        connect(Chunks(), protocol.Factory.forProtocol(Chunks))
    with pytest.raises(UsageError, match="Half has no makeConnection and no connectionLost"):
        connect(Chunks(), type("Half", (), {"dataReceived": lambda self, data: None})())


def test_the_log_has_twisteds_words() -> None:
    a, b, producer = Chunks(), Chunks(), Producer()
    connection = connect(a, b)
    a.transport.registerProducer(producer, True)
    a.transport.write(b"x" * 65537)
    a.transport.unregisterProducer()
    a.transport.loseConnection()
    connection.flush()
    assert connection.log.calls("client") == [
        "makeConnection", "registerProducer", "write", "producer.pauseProducing", "unregisterProducer",
        "loseConnection", "connectionLost",
    ]  # fmt: skip
    assert connection.log.calls("server") == [
        "makeConnection", "dataReceived", "dataReceived", "readConnectionLost", "connectionLost",
    ]  # fmt: skip
