"""One cell of one contender: `one.py CONTENDER CELL`. Prints one JSON line: microseconds of CPU for each write.

Two Twisted protocols (or two of asyncio) talk to each other. What is compared is the cost of carrying what they write,
for each `write` and for each piece that arrives: `iosim` and `StringTransport` as Twisted's own tests use them, and
`connect`. Neither of the two cuts anything, so there is a `StringTransport` whose input is cut by hand, too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.compat import iterbytes
from twisted.test.iosim import FakeTransport
from twisted.test.iosim import connect as iosim_connect

from wavetank.doubles.tx import connect
from wavetank.doubles.wire.chunks import random

#: Exchanges of one measurement, and measurements of which the fastest counts.
EXCHANGES, REPEATS = 10_000, 3
#: How many pieces have arrived.
PIECES = [0]


class Asking(Protocol):
    """Asks again as soon as all of an answer is there."""

    def __init__(self, question: bytes, answers: int) -> None:
        self.question, self.size = question, len(question) * answers
        self.left, self.got = EXCHANGES, 0

    def dataReceived(self, data: bytes) -> None:
        """Count, and answer."""
        PIECES[0] += 1
        self.got += len(data)
        if self.got >= self.size:
            self.got = 0
            self.left -= 1
            if self.left:
                self.transport.write(self.question)


class Answering(Protocol):
    """Answers each question with so many writes of the same."""

    def __init__(self, question: bytes, answers: int) -> None:
        self.question, self.size, self.answers, self.got = question, len(question), answers, 0

    def dataReceived(self, data: bytes) -> None:
        """Count, and answer."""
        PIECES[0] += 1
        self.got += len(data)
        if self.got >= self.size:
            self.got = 0
            for _ in range(self.answers):
                self.transport.write(self.question)


class AioAsking(asyncio.Protocol):
    """The same for asyncio."""

    __init__ = Asking.__init__

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    data_received = Asking.dataReceived


class AioAnswering(asyncio.Protocol):
    """The same for asyncio."""

    __init__ = Answering.__init__

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    data_received = Answering.dataReceived


def iosim(question: bytes, answers: int, chunks: str) -> None:
    """Twisted's pump, which joins what was written, whatever `chunks` asks for."""
    one, other = Asking(question, answers), Answering(question, answers)
    pump = iosim_connect(other, FakeTransport(other, True), one, FakeTransport(one, False))
    one.transport.write(question)
    while pump.pump():
        pass
    assert one.left == 0


def whole(data: bytes) -> Iterable[bytes]:
    """In one piece."""
    return (data,)


def by_chance(data: bytes) -> Iterable[bytes]:
    """In pieces drawn as `connect` draws them, by a call for each."""
    at, total = 0, len(data)
    while at < total:
        size = DRAWN(total - at, total - at, at)
        yield data[at : at + size]
        at += size


DRAWN = random("1")
#: What a test with StringTransport does by hand, where `connect` is told `chunks=`.
BY_HAND: dict[str, Callable[[bytes], Iterable[bytes]]] = {"one byte": iterbytes, "random:1": by_chance}


def string_transport(question: bytes, answers: int, chunks: str) -> None:
    """Two StringTransports, carried over by hand, which joins what was written."""
    one, other = Asking(question, answers), Answering(question, answers)
    here, there = StringTransport(), StringTransport()
    one.makeConnection(here)
    other.makeConnection(there)
    one.transport.write(question)
    while data := here.value():
        here.clear()
        other.dataReceived(data)
        data = there.value()
        there.clear()
        one.dataReceived(data)
    assert one.left == 0


def cut_by_hand(question: bytes, answers: int, chunks: str) -> None:
    """The same, and each is given what the other wrote in pieces."""
    one, other = Asking(question, answers), Answering(question, answers)
    here, there = StringTransport(), StringTransport()
    one.makeConnection(here)
    other.makeConnection(there)
    one.transport.write(question)
    cut = BY_HAND.get(chunks, whole)
    while data := here.value():
        here.clear()
        for piece in cut(data):
            other.dataReceived(piece)
        data = there.value()
        there.clear()
        for piece in cut(data):
            one.dataReceived(piece)
    assert one.left == 0


def joined(asking: Any, answering: Any) -> Callable[[bytes, int, str], None]:
    """`connect`, with this policy."""

    def run(question: bytes, answers: int, chunks: str) -> None:
        one, other = asking(question, answers), answering(question, answers)
        connection = connect(one, other, chunks=chunks)
        one.transport.write(question)
        connection.flush(rounds=10**9)
        assert one.left == 0

    return run


CONTENDERS: dict[str, Callable[[bytes, int, str], None]] = {
    "iosim": iosim,
    "StringTransport": string_transport,
    "StringTransport, cut by hand": cut_by_hand,
    "connect, Twisted": joined(Asking, Answering),
    "connect, asyncio": joined(AioAsking, AioAnswering),
}
#: The cells: bytes of a chunk, writes of each answer, and what arrives of them.
CELLS = {
    "64 bytes, one write an answer": (64, 1, "identity"),
    "1 KiB, one write an answer": (1024, 1, "identity"),
    "1 KiB, ten writes an answer": (1024, 10, "identity"),
    "1 KiB, ten writes an answer, joined": (1024, 10, "collapse"),
    "16 KiB, ten writes an answer, joined": (16_384, 10, "collapse"),
    "64 bytes, one byte at a time": (64, 1, "one byte"),
    "1 KiB, cut by chance": (1024, 1, "random:1"),
}


def main(contender: str, cell: str) -> None:
    """Measure and print."""
    size, answers, chunks = CELLS[cell]
    best = float("inf")
    for _ in range(REPEATS):
        begun = time.process_time()
        CONTENDERS[contender](b"x" * size, answers, chunks)
        best = min(best, time.process_time() - begun)
    pieces = PIECES[0] / REPEATS
    print("RESULT " + json.dumps({"us_each": best / EXCHANGES / (1 + answers) * 1e6, "us_piece": best / pieces * 1e6}))


if __name__ == "__main__":
    main(*sys.argv[1:])
