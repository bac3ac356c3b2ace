"""What the `mild` faults promise: one request and its reply, handshake included, come at most one second later."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.worlds import Worlds, functions_of
from wavetank.campaign.plans import plan_for
from wavetank.faults import parse_families

MILD = parse_families("mild")
SIZES = (1, 500, 20_000, 200_000)
LIMIT_S = 1.0


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


@settings(max_examples=60)
@example(seed=0, request=200_000, reply=200_000)
@given(seed=st.integers(0, 10**6), request=st.sampled_from(SIZES), reply=st.sampled_from(SIZES))
def test_an_exchange_is_at_most_a_second_late(worlds: Worlds, seed: int, request: int, reply: int) -> None:
    name = f"exchange_{SIZES.index(request)}_{SIZES.index(reply)}"
    late = seconds(worlds, name, plan=plan_for(seed, MILD, 0))
    assert late - seconds(worlds, name) <= LIMIT_S


def seconds(worlds: Worlds, name: str, **options: Any) -> float:
    result = worlds.run(name, **options)
    assert result.failure is None, result.failure
    return float(result.outputs[-1].stdout)


# ---- in the simulated world


def serve(request: int, reply: int) -> None:
    with socket.create_server(("", 80)) as server:
        served, _ = server.accept()
        with served:
            while request:
                request -= len(served.recv(65536))
            served.sendall(bytes(reply))
            served.recv(1)


def ask(request: int, reply: int) -> float:
    start = time.monotonic()
    with socket.create_connection(("10.0.0.1", 80)) as sock:
        sock.sendall(bytes(request))
        while reply:
            reply -= len(sock.recv(65536))
        return time.monotonic() - start


def _exchange(world: Any, request: int, reply: int) -> None:
    world.host("server").run(serve, request, reply)
    world.sleep(0.01)
    print(world.host("client").run(ask, request, reply).result())


def _scenario(request: int, reply: int) -> Any:
    return lambda world: _exchange(world, request, reply)


for _first, _request in enumerate(SIZES):
    for _second, _reply in enumerate(SIZES):
        globals()[f"exchange_{_first}_{_second}"] = _scenario(_request, _reply)
