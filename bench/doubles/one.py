"""One cell of one contender: `one.py CONTENDER CELL`. Prints one JSON line: microseconds of CPU for each write.

Two Twisted protocols (or two of asyncio) talk to each other. What is compared is the cost of carrying what they write,
for each `write` and for each piece that arrives: `iosim` and `StringTransport` as Twisted's own tests use them, and
`connect`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.test.iosim import FakeTransport
from twisted.test.iosim import connect as iosim_connect

from wavetank.doubles.tx import connect

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


def iosim(question: bytes, answers: int) -> None:
    """Twisted's pump."""
    one, other = Asking(question, answers), Answering(question, answers)
    pump = iosim_connect(other, FakeTransport(other, True), one, FakeTransport(one, False))
    one.transport.write(question)
    while pump.pump():
        pass
    assert one.left == 0


def string_transport(question: bytes, answers: int) -> None:
    """Two StringTransports, carried over by hand."""
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


def joined(asking: Any, answering: Any, chunks: str | None) -> Callable[[bytes, int], None]:
    """`connect`, with this policy."""

    def run(question: bytes, answers: int) -> None:
        one, other = asking(question, answers), answering(question, answers)
        connection = connect(one, other, chunks=chunks)
        one.transport.write(question)
        connection.flush(rounds=10**9)
        assert one.left == 0

    return run


CONTENDERS: dict[str, Callable[[bytes, int], None]] = {
    "iosim": iosim,
    "StringTransport": string_transport,
    "connect, Twisted": joined(Asking, Answering, None),
    "connect, asyncio": joined(AioAsking, AioAnswering, None),
    "connect, Twisted, collapse": joined(Asking, Answering, "collapse"),
    "connect, Twisted, random": joined(Asking, Answering, "random:1"),
}
#: The cells: bytes of a chunk, and writes of each answer.
CELLS = {"64 bytes, one write an answer": (64, 1), "1 KiB, one write an answer": (1024, 1),
         "1 KiB, ten writes an answer": (1024, 10), "16 KiB, ten writes an answer": (16_384, 10)}  # fmt: skip


def main(contender: str, cell: str) -> None:
    """Measure and print."""
    size, answers = CELLS[cell]
    best = float("inf")
    for _ in range(REPEATS):
        begun = time.process_time()
        CONTENDERS[contender](b"x" * size, answers)
        best = min(best, time.process_time() - begun)
    pieces = PIECES[0] / REPEATS
    print("RESULT " + json.dumps({"us_each": best / EXCHANGES / (1 + answers) * 1e6, "us_piece": best / pieces * 1e6}))


if __name__ == "__main__":
    main(*sys.argv[1:])
