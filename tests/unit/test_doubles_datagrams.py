"""Datagram protocols joined in memory, of both dialects, and what faults do to datagrams."""

import asyncio
from typing import Any

import pytest
from twisted.internet.task import Clock

from wavetank.doubles import aio, tx
from wavetank.errors import UsageError, WavetankError
from wavetank.faults import Drop, Duplicate, Latency, Loss, Reorder, Segments, Truncate


class Echo(aio.AccumulatingDatagramProtocol):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        super().datagram_received(data, addr)
        self.transport.sendto(data, addr)


def test_datagrams_keep_their_borders() -> None:
    a, b = aio.AccumulatingDatagramProtocol(), Echo()
    connection = aio.connect(a, b)
    a.transport.sendto(b"one")
    a.transport.sendto(b"")
    assert b.received == []
    connection.flush()
    assert a.received == [(b"one", ("192.168.1.1", 54321)), (b"", ("192.168.1.1", 54321))]
    assert a.transport.get_extra_info("peername") == ("192.168.1.1", 54321)
    with pytest.raises(ValueError, match="Invalid address"):
        a.transport.sendto(b"x", ("10.0.0.9", 1))
    with pytest.raises(TypeError):
        a.transport.sendto("text")


@pytest.mark.parametrize("first", ["asyncio", "twisted"])
def test_asyncio_with_twisted(first: str) -> None:
    one, other = aio.AccumulatingDatagramProtocol(), tx.AccumulatingDatagramProtocol()
    connection = aio.connect(one, other) if first == "asyncio" else tx.connect(other, one)
    assert other.made == 1
    one.transport.sendto(b"1")
    other.transport.write(b"2")
    other.transport.write(b"3", one.transport.get_extra_info("sockname"))
    connection.flush()
    assert ([data for data, _ in other.received], [data for data, _ in one.received]) == ([b"1"], [b"2", b"3"])
    with pytest.raises(TypeError, match="Data must be bytes"):
        other.transport.write("text")
    with pytest.raises(ValueError, match="joined to"):
        other.transport.write(b"x", ("10.0.0.9", 1))
    port = other.transport
    stopped = port.stopListening()
    assert (other.closed, stopped.called) == (0, False)
    connection.flush()
    assert (other.closed, stopped.called, port.stopListening().called) == (1, True, True)
    one.transport.sendto(b"nobody is there")
    connection.flush()
    assert [type(error) for error in one.errors] == [ConnectionRefusedError]
    one.transport.close()
    one.transport.sendto(b"late")
    connection.flush()
    assert (one.closed, connection.closed, connection.dropped) == (1, True, 1)


def sent(*faults: Any, count: int = 200, seed: int = 1) -> list[bytes]:
    a, b = aio.AccumulatingDatagramProtocol(), aio.AccumulatingDatagramProtocol()
    connection = aio.connect(a, b, faults=faults, seed=seed)
    for number in range(count):
        a.transport.sendto(b"%03d" % number)
    connection.flush()
    return [data for data, _ in b.received]


def test_faults_of_datagrams() -> None:
    everything = [b"%03d" % number for number in range(200)]
    assert sent() == everything
    lossy = sent(Loss(0.5))
    assert 50 < len(lossy) < 150
    assert lossy == sorted(lossy) == sent(Loss(0.5)) != sent(Loss(0.5), seed=2)
    assert sent(Duplicate(1.0)) == [each for each in everything for _ in range(2)]
    reordered = sent(Reorder(0.3))
    assert reordered != everything
    assert sorted(reordered) == everything
    assert sent(Truncate(2)) == [each[:2] for each in everything]
    assert sent(Drop()) == []
    assert sent(Loss(1.0, target="server -> client")) == everything


def test_latency_and_times_of_faults() -> None:
    a, b = aio.AccumulatingDatagramProtocol(), aio.AccumulatingDatagramProtocol()
    connection = aio.connect(a, b, faults=[Latency(0.5), Drop(at_s=1.0, duration_s=1.0)])
    a.transport.sendto(b"1")
    connection.advance(0.4)
    assert b.received == []
    connection.advance(0.7)
    a.transport.sendto(b"lost")
    connection.advance(1.0)
    a.transport.sendto(b"2")
    connection.flush()
    assert (b.data, connection.dropped) == (b"12", 1)


def test_errors_come_out_and_a_round_inside_a_round_is_refused() -> None:
    class Bad(aio.AccumulatingDatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            connection.pump()

    a, b = aio.AccumulatingDatagramProtocol(), Bad()
    connection = aio.connect(a, b)
    a.transport.sendto(b"1")
    with pytest.raises(UsageError, match="a round inside a round"):
        connection.flush()
    c, d = Echo(), Echo()
    connection = aio.connect(c, d)
    c.transport.sendto(b"1")
    with pytest.raises(WavetankError, match="do not end after 50 rounds"):
        connection.flush(rounds=50)


def test_loops_and_clocks_make_the_rounds() -> None:
    async def main() -> bytes:
        a, b = aio.AccumulatingDatagramProtocol(), Echo()
        aio.connect(a, b)
        a.transport.sendto(b"1")
        for _ in range(5):
            await asyncio.sleep(0)
        return a.data

    assert asyncio.run(main()) == b"1"
    clock, a, b = Clock(), aio.AccumulatingDatagramProtocol(), Echo()
    tx.connect(a, b, clock=clock, faults=Latency(1.0))
    a.transport.sendto(b"1")
    clock.pump([1.0, 0.5])
    assert (b.data, a.data) == (b"1", b"")
    clock.advance(0.5)
    assert a.data == b"1"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chunks": "one byte"}, "chunks and watermarks mean nothing for datagrams"),
        ({"watermarks": 3}, "chunks and watermarks mean nothing for datagrams"),
        ({"faults": Segments(3)}, "Segments means nothing for two datagram protocols"),
        ({"faults": Loss(0.5, target="db")}, "aims at nothing"),
    ],
)
def test_what_means_nothing_for_datagrams(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        aio.connect(aio.AccumulatingDatagramProtocol(), Echo(), **given)
    with pytest.raises(UsageError, match="cannot be joined"):
        aio.connect(aio.AccumulatingDatagramProtocol(), aio.AccumulatingProtocol())
