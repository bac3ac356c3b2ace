"""Awaitables that a program has marked may be cancelled at any of their suspensions; calm worlds cancel nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.worlds import Worlds, functions_of, stdout_of
from wavetank.campaign.wording import in_words
from wavetank.faults import Scheduling
from wavetank.plan import Plan
from wavetank.world.cancelling import TURNS, decode
from wavetank.world.job import RunResult
from wavetank.world.world import World


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


def passed(result: RunResult) -> RunResult:
    assert result.failure is None, f"{result.failure}\n{result.outputs}"
    return result


async def three_naps() -> str:
    for number in range(3):
        print("nap", number, flush=True)
        await asyncio.sleep(0.01)
    return "rested"


def naps(world: World) -> None:
    async def main() -> None:
        for _ in range(2):
            try:
                print(await world.cancellable(three_naps()))
            except asyncio.CancelledError:
                print("cancelled")
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        async with asyncio.timeout(1):
            await asyncio.sleep(0.01)

    world.host("main").run(main).result()


def said(worlds: Worlds, scenario: str, choices: dict[str, int], name: str = "main/main") -> list[str]:
    result = passed(worlds.run(scenario, plan=Plan(choices=choices), want_choices=True))
    assert result.choices == {key: value for key, value in choices.items() if value}
    return stdout_of(result, name).splitlines()


WHOLE = ["nap 0", "nap 1", "nap 2", "rested"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, WHOLE),
        (1, ["nap 0", "cancelled"]),
        (2, ["nap 0", "cancelled"]),
        (11, ["nap 0", "nap 1", "cancelled"]),
        (18, ["nap 0", "nap 1", "nap 2", "cancelled"]),
        (21, WHOLE),  # there is no 4th suspension
    ],
)
def test_a_choice_cancels_at_its_suspension(worlds: Worlds, value: int, expected: list[str]) -> None:
    assert said(worlds, "naps", {"cancel main/main / 1": value}) == [*expected, *WHOLE]
    assert said(worlds, "naps", {"cancel main/main / 2": value}) == [*WHOLE, *expected]


def waits(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        loop.call_later(0.5, future.set_result, "come")
        try:
            print(await world.cancellable(future))
        except asyncio.CancelledError:
            print("cancelled", future.cancelled(), round(world.now, 3))

    world.host("main").run(main).result()


def test_at_once_or_in_the_turn_in_which_the_answer_comes(worlds: Worlds) -> None:
    assert said(worlds, "waits", {}) == ["come"]
    assert said(worlds, "waits", {"cancel main/main / 1": 1}) == ["cancelled True 0.0"]
    assert said(worlds, "waits", {"cancel main/main / 1": 2}) == ["cancelled False 0.5"]


def under_trio(world: World) -> None:
    import trio

    async def naps() -> str:
        for number in range(3):
            print("nap", number, flush=True)
            await trio.sleep(0.01)
        return "rested"

    async def main() -> None:
        for _ in range(2):
            print(await world.cancellable(naps()))

    world.host("main").run(main, runner="trio").result()


def test_trio_ends_without_a_result(worlds: Worlds) -> None:
    assert said(worlds, "under_trio", {"cancel main/main / 2": 11}) == [*WHOLE, "nap 0", "nap 1", "None"]


def with_twisted(world: World) -> None:
    def main(reactor: Any) -> Any:
        from twisted.internet import defer, task

        @defer.inlineCallbacks
        def work() -> Any:
            for _ in range(2):
                try:
                    yield world.cancellable(task.deferLater(reactor, 0.5))
                    print("rested")
                except defer.CancelledError:
                    print("cancelled", round(world.now, 1))

        return work()

    world.host("main").run(main, runner="twisted").result()


def test_a_deferred_is_cancelled(worlds: Worlds) -> None:
    assert said(worlds, "with_twisted", {}) == ["rested", "rested"]
    assert said(worlds, "with_twisted", {"cancel main/main / 2": 5}) == ["rested", "cancelled 0.5"]


def test_only_where_scheduling_is_disturbed(worlds: Worlds) -> None:
    for seed in range(20):
        calm = passed(worlds.run("naps", seed=seed))
        assert stdout_of(calm, "main/main").splitlines() == WHOLE * 2
    runs = [passed(worlds.run("naps", seed=seed, faults=[Scheduling(0.01)], want_choices=True)) for seed in range(60)]
    cancelled = [result for result in runs if "cancelled" in stdout_of(result, "main/main")]
    assert 5 < len(cancelled) < 50
    again = worlds.run("naps", plan=Plan(choices=cancelled[0].choices))  # and without the fault
    assert stdout_of(again, "main/main") == stdout_of(cancelled[0], "main/main")


def test_a_cancellation_in_words() -> None:
    assert (
        in_words("cancel main/main / 3", 11)
        == "the 3rd cancellable wait of main/main is cancelled at its 2nd suspension"
    )
    assert in_words("cancel main/main / 3", 2).endswith("at its 1st suspension when what it waits for has come")
    assert decode(0) == (0, False)
    assert decode(2 * len(TURNS)) == (12, True)
