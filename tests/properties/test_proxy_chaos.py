"""Whatever faults that keep TCP's promises come and go, every byte arrives, in order, both ways, and both ends end."""

import hashlib
import random
import socket
import threading
from collections.abc import Callable

import pytest

from tests.support.lines import connected, serving, to_the_end
from wavetank.faults import AnyFault, Bandwidth, Latency, Loss, Partition, Segments, SlowReader, Stall
from wavetank.proxy import FaultProxy

SIZES = (0, 1, 1000, 100_000, 2_000_000)


def both_ways(peer: socket.socket, blob: bytes) -> tuple[str, int, str]:
    """Write `blob` and end, and read to the end meanwhile; returns what came, as digest, size and ending."""
    writer = threading.Thread(target=lambda: (peer.sendall(blob), peer.shutdown(socket.SHUT_WR)))
    writer.start()
    data, end = to_the_end(peer)
    writer.join()
    return hashlib.sha256(data).hexdigest(), len(data), end


def any_fault(drawn: random.Random) -> AnyFault:
    target = drawn.choice(["*", "client -> server", "server -> client", "* #1"])
    makers: list[Callable[[], AnyFault]] = [
        lambda: Latency(drawn.random() / 50, drawn.random() / 50, target=target),
        lambda: Bandwidth(drawn.choice([10**6, 10**8]), target=target),
        lambda: Segments(drawn.choice([1000, 30_000]), target=target),
        lambda: Loss(0.01, target=target),
        lambda: Stall(target=target),
        lambda: SlowReader(10**7, target=target),
        lambda: Partition("client", "server", one_way=drawn.random() < 0.5),
    ]
    return drawn.choice(makers)()


def run(seed: int) -> None:
    drawn = random.Random(seed)
    up, down = (drawn.randbytes(drawn.choice(SIZES)) for _ in range(2))
    over = threading.Event()

    def chaos() -> None:
        while not over.wait(drawn.random() / 100):
            for _ in range(drawn.randint(1, 3)):
                proxy.inject(any_fault(drawn))
            over.wait(drawn.random() / 50)
            proxy.clear()

    splice = drawn.random() < 0.7
    with (
        serving(lambda peer: both_ways(peer, down)) as server,
        FaultProxy(server.port, seed=seed, splice=splice) as proxy,
    ):
        thread = threading.Thread(target=chaos)
        thread.start()
        with connected(proxy.port) as client:
            got = both_ways(client, up)
        there = server.result()
        over.set()
        thread.join()
        proxy.events.wait("close", connection=1)
    assert got == (hashlib.sha256(down).hexdigest(), len(down), "EOF")
    assert there == (hashlib.sha256(up).hexdigest(), len(up), "EOF")


@pytest.mark.parametrize("seed", range(12))
def test_every_byte_arrives(seed: int) -> None:
    run(seed)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_byte_arrives_a_thousand_times() -> None:
    for seed in range(100, 1100):
        run(seed)
