"""What the digest sees: one byte, one microsecond, one swapped wake-up, one other task; and what it does not see."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.worlds import Worlds, functions_of

MUTANTS = (
    "another_byte",
    "a_microsecond_later",
    "another_wake_up_first",
    "another_task",
    "another_thread",
    "another_port",
)


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


def digest(worlds: Worlds, name: str, **options: Any) -> str:
    result = worlds.run(name, **options)
    assert result.failure is None, result.failure
    return result.digest


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_has_another_digest(worlds: Worlds, name: str) -> None:
    assert digest(worlds, name) != digest(worlds, "as_it_is")


def test_the_same_again_has_the_same_digest(worlds: Worlds) -> None:
    assert digest(worlds, "as_it_is") == digest(worlds, "as_it_is") == digest(worlds, "the_same_in_other_words")


def test_environment_and_folder_do_not_matter(worlds: Worlds) -> None:
    other = digest(worlds, "as_it_is", environment={"A": "b" * 2000}, cwd="/tmp")
    assert other == digest(worlds, "as_it_is")


# ---- in the simulated world


async def echo(port: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(handle, "0.0.0.0", port) as server:
        await server.serve_forever()


async def talk(word: bytes, order: tuple[int, int], names: tuple[str, str], port: int) -> None:
    async def one(name: str, gate: asyncio.Event, mine: bytes) -> None:
        await gate.wait()
        reader, writer = await asyncio.open_connection("10.0.0.1", port)
        writer.write(mine)
        assert await reader.readexactly(len(mine)) == mine
        writer.close()

    gates = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(one(name, gate, word), name=name) for name, gate in zip(names, gates, strict=True)]
    await asyncio.sleep(0.001)
    for number in order:
        gates[number].set()
    await asyncio.gather(*tasks)


def threads(first: int, pause_s: float) -> None:
    events = threading.Event(), threading.Event()
    workers = [threading.Thread(target=lambda event=event: (event.wait(), time.sleep(pause_s))) for event in events]
    for worker in workers:
        worker.start()
    events[first].set()
    events[1 - first].set()
    for worker in workers:
        worker.join()


def story(
    world: Any,
    word: bytes = b"word",
    pause_s: float = 0.001,
    order: tuple[int, int] = (0, 1),
    names: tuple[str, str] = ("a", "b"),
    first: int = 0,
    port: int = 80,
) -> None:
    server, client = world.host("server"), world.host("client")
    server.run(echo, port)
    world.sleep(0.1)
    client.run(talk, word, order, names, port).result()
    client.run(threads, first, pause_s).result()


def as_it_is(world: Any) -> None:
    story(world)


def the_same_in_other_words(world: Any) -> None:
    story(world, bytes([119, 111]) + b"rd", 1 / 1000)


def another_byte(world: Any) -> None:
    story(world, b"wore")


def a_microsecond_later(world: Any) -> None:
    story(world, pause_s=0.001001)


def another_wake_up_first(world: Any) -> None:
    story(world, order=(1, 0))


def another_task(world: Any) -> None:
    story(world, names=("b", "a"))


def another_thread(world: Any) -> None:
    story(world, first=1)


def another_port(world: Any) -> None:
    story(world, port=81)
