"""Worlds as a scenario sees them: hosts, programs, time, crashes, invariants, and what is said when it goes wrong."""

import linecache
import os
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.worlds import Worlds, functions_of, stdout_of
from wavetank.errors import ProgramKilled, UsageError
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


# ---- programs that the scenarios run


def count(steps: int) -> int:
    for step in range(steps):
        print("step", step)
        time.sleep(1)
    print("end")
    return steps * 2


def boom() -> None:
    time.sleep(0.5)
    raise ValueError("boo")


def wait_for_ever() -> None:
    import select

    select.poll().poll()


async def two() -> int:
    import asyncio

    await asyncio.sleep(0.25)
    return 2


# ---- time and results


def results(world: World) -> None:
    first = world.host("a").run(count, 3)
    second = world.host("b").run(count, 5)
    assert not first.done()
    assert first.result() == 6
    assert world.now == pytest.approx(3, abs=0.001)
    assert second.result(timeout=10) == 10
    assert (first.name, first.stdout.splitlines()[-1], first.stderr) == ("count", "end", "")
    assert world.host("c").run(two, name="pair").result() == 2


def test_programs_run_side_by_side_and_return(worlds: Worlds) -> None:
    assert stdout_of(passed(worlds.run("results")), "b/count").count("step") == 5


def test_equal_runs_have_equal_digests_and_other_seeds_other_ones(worlds: Worlds) -> None:
    assert len({worlds.run("draws", seed=seed).digest for seed in (1, 1, 2)}) == 2


def draws(world: World) -> None:
    import random

    world.sleep(world.random.random())
    world.host("a").run(lambda: time.sleep(random.random())).result()


def too_slow(world: World) -> None:
    world.host("a").run(count, 5).result(timeout=3)


def test_a_timeout_of_result_is_a_timeout_error(worlds: Worlds) -> None:
    failure = worlds.run("too_slow").failure
    assert failure is not None
    assert failure.error == "TimeoutError: a/count has not ended within 3 virtual seconds"
    assert (failure.kind, failure.host) == ("exception", "director")
    assert failure.time_ns == pytest.approx(3e9, abs=1e6)


# ---- exceptions


def fetched(world: World) -> None:
    with pytest.raises(ValueError, match="boo"):
        world.host("a").run(boom).result()
    assert isinstance(world.host("b").run(boom).exception(), ValueError)


def test_an_exception_that_the_scenario_asked_for_is_no_failure(worlds: Worlds) -> None:
    result = passed(worlds.run("fetched"))
    assert "ValueError: boo" in result.outputs[0].stderr


def nobody_asks(world: World) -> None:
    world.host("a").run(boom)
    world.sleep(3)


def lets_through(world: World) -> None:
    world.host("a").run(boom).result()


@pytest.mark.parametrize("function", ["nobody_asks", "lets_through"])
def test_an_exception_out_of_a_main_is_a_failure_at_the_programs_own_line(worlds: Worlds, function: str) -> None:
    result = worlds.run(function)
    failure = result.failure
    assert failure is not None
    line = boom.__code__.co_firstlineno + 2
    assert (failure.kind, failure.error, failure.host) == ("exception", "ValueError: boo", "a")
    assert failure.where == f"test_world.py:{line} in boom"
    assert "wavetank" not in failure.traceback
    assert failure.time_ns == pytest.approx(5e8, abs=1e6)
    assert result.status == 1


def fails_in_a_task_group(world: World) -> None:
    async def refuse() -> None:
        raise ValueError("boo")

    async def main() -> None:
        import asyncio

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
            group.create_task(refuse())

    world.host("a").run(main).result()


def test_of_a_group_of_exceptions_the_first_is_the_failure(worlds: Worlds) -> None:
    failure = worlds.run("fails_in_a_task_group").failure
    assert failure is not None
    assert failure.error == "ValueError: boo"
    assert failure.where.endswith(" in refuse")
    assert "in ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)" in failure.summary
    assert "TaskGroup (1 sub-exception)" in failure.traceback


def test_an_oracle_can_be_switched_off(worlds: Worlds) -> None:
    passed(worlds.run("nobody_asks", oracles_off=("exception",)))


def wrong_use(world: World) -> None:
    host = world.host("a")
    for call in (
        lambda: world.host("a"),
        lambda: world.host("-"),
        lambda: world.host("b", addresses=[host.addresses[0]]),
        lambda: world.link("a", "nobody"),
        lambda: world.sleep(-1),
        lambda: host.run(count, 1, runner="asynico"),
        lambda: host.run(3),  # type: ignore[arg-type]
        lambda: host.pause(0),
        lambda: world.every(0, bool),
        lambda: world.inject("latency"),  # type: ignore[arg-type]
        lambda: host.run(lambda: world.sleep(1)).result(),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        print(str(caught.value).splitlines()[0])


def test_wrong_use_is_named(worlds: Worlds) -> None:
    assert stdout_of(passed(worlds.run("wrong_use")), "director").splitlines() == [
        "there is already a host named 'a'",
        "'-' cannot be the name of a host",
        "10.0.0.1 already belongs to the host 'a'",
        "no host is called 'nobody'",
        "sleep: seconds must be 0 to 1e9, not -1",
        "unknown runner 'asynico'. Did you mean 'asyncio'?",
        "a program's main must be callable, not int",
        "pause: seconds must be more than 0, not 0",
        "every: seconds must be more than 0 and at most 1e9 seconds, not 0",
        "'latency' is not a fault of wavetank.faults",
        "only the scenario may let the world sleep, not a program on a host",
    ]


# ---- crash, restart, pause, signals


def crashed(world: World) -> None:
    host = world.host("a")
    job = host.run(count, 3)
    world.sleep(1.5)
    host.crash()
    assert job.done()
    with pytest.raises(ProgramKilled):
        job.result()
    with pytest.raises(UsageError, match="a is down"):
        host.run(count, 1)
    world.sleep(2)
    host.restart()
    assert not job.done()
    assert job.result() == 6
    assert world.now == pytest.approx(6.5, abs=0.001)


def test_a_crashed_host_runs_nothing_until_it_is_restarted(worlds: Worlds) -> None:
    result = passed(worlds.run("crashed"))
    assert [(output.status, output.stdout.count("step")) for output in result.outputs] == [(-9, 2), (0, 3)]


def paused(world: World) -> None:
    host = world.host("a")
    job = host.run(count, 3)
    world.sleep(1.5)
    host.pause(10)
    job.result()
    assert world.now == pytest.approx(12.5, abs=0.01)


def test_a_paused_host_stands_still(worlds: Worlds) -> None:
    passed(worlds.run("paused"))


def killed(world: World) -> None:
    job = world.host("a").run(count, 100)
    world.sleep(0.5)
    job.kill()
    assert isinstance(job.exception(), ProgramKilled)
    assert world.now == pytest.approx(0.5, abs=0.001)


def test_a_killed_program_ends_at_once(worlds: Worlds) -> None:
    assert passed(worlds.run("killed")).outputs[0].status == -9


# ---- each process has its own


def separate(world: World) -> None:
    def program(word: str) -> None:
        import atexit

        os.environ["WORD"] = word
        sys.argv.append(word)
        atexit.register(print, "bye", word)
        time.sleep(1)
        assert os.environ["WORD"] == word
        assert sys.argv[1:] == [word]
        print(word, os.environ.get("GIVEN"))

    jobs = [world.host(name).run(program, name, name="p") for name in ("a", "b")]
    for job in jobs:
        job.result()
    assert "WORD" not in os.environ


def test_output_environment_arguments_and_exit_callbacks_are_each_processes_own(worlds: Worlds) -> None:
    result = passed(worlds.run("separate", environment={"GIVEN": "gift"}))
    assert [stdout_of(result, f"{name}/p") for name in "ab"] == [f"{name} gift\nbye {name}\n" for name in "ab"]


# ---- invariants


def must_always(world: World) -> None:
    seen: list[float] = []
    world.host("a").run(count, 5)
    world.always(lambda: seen.append(world.now) or len(seen) < 5)  # type: ignore[func-returns-value]
    world.sleep(10)


def must_every(world: World) -> None:
    world.every(0.1, lambda: world.now < 2.05)
    world.sleep(5)


def must_eventually(world: World) -> None:
    world.eventually(lambda: False, within=10)


def must_at_end(world: World) -> None:
    world.at_end(lambda: world.now > 1)


@pytest.mark.parametrize(
    ("function", "words", "seconds"),
    [
        ("must_always", "always", 4),
        ("must_every", "every", 2.1),
        ("must_eventually", "eventually, within 10 s", 10),
        ("must_at_end", "at the end", 0),
    ],
)
def test_a_broken_invariant_names_the_line_of_its_check(
    worlds: Worlds, function: str, words: str, seconds: float
) -> None:
    failure = worlds.run(function).failure
    assert failure is not None
    first = globals()[function].__code__.co_firstlineno
    assert failure.kind == "exception"
    assert failure.error.startswith(f"AssertionError: {words}: the check at test_world.py:")
    assert failure.where in [f"test_world.py:{first + step} in <lambda>" for step in (1, 2, 3)]
    assert failure.time_ns == pytest.approx(seconds * 1e9, abs=1e6)


def kept(world: World) -> None:
    job = world.host("a").run(count, 3)
    world.always(lambda: world.now < 100)
    world.every(0.5, lambda: None)
    world.eventually(job.done, within=10)
    world.at_end(lambda: job.done())


def test_the_world_lasts_until_what_must_hold_eventually_does(worlds: Worlds) -> None:
    assert passed(worlds.run("kept")).virtual_ns == pytest.approx(3e9, rel=0.1)


# ---- hangs and spins


def hangs(world: World) -> None:
    world.host("idle").run(wait_for_ever, name="server")
    world.every(1, lambda: True)
    world.host("a").run(wait_for_ever).result()


def test_a_world_in_which_nothing_can_happen_hangs_and_says_who_waits_for_what(worlds: Worlds) -> None:
    failure = worlds.run("hangs").failure
    assert failure is not None
    assert (failure.kind, failure.host) == ("hang", "a")
    line = wait_for_ever.__code__.co_firstlineno + 3
    text = linecache.getline(__file__, line).strip()
    assert failure.error == (
        f"nothing can happen any more; "
        f"a/wait_for_ever/MainThread waits: poll() on nothing (test_world.py:{line}: {text}); "
        f"idle/server/MainThread waits: poll() on nothing (test_world.py:{line}: {text})"
    )
    assert failure.where == f"test_world.py:{wait_for_ever.__code__.co_firstlineno + 3} in wait_for_ever"
    assert "director/director/scenario: waiting for a/wait_for_ever to end" in failure.traceback
    assert "idle/server/MainThread" in failure.traceback


def endless(world: World) -> None:
    world.host("a").run(count, 100_000).result()


def test_the_limit_on_virtual_time_is_a_hang(worlds: Worlds) -> None:
    result = worlds.run("endless", virtual_limit_ns=20_000_000_000)
    assert result.failure is not None
    assert result.failure.error.startswith("not finished after 20 virtual seconds; a/count/MainThread waits")
    assert result.virtual_ns == 20_000_000_000


def awaits(world: World) -> None:
    async def inner() -> None:
        import asyncio

        await asyncio.get_running_loop().create_future()

    async def outer() -> None:
        await inner()

    world.host("a").run(outer).result()


def test_a_hang_shows_what_tasks_await(worlds: Worlds) -> None:
    failure = worlds.run("awaits").failure
    assert failure is not None
    assert "a/outer/MainThread Task-1: awaits" in failure.traceback
    assert failure.where.endswith("in inner")


# ---- scenarios of other shapes


def alone() -> None:
    print("alone")
    time.sleep(1)


async def alone_too() -> None:
    print(await two())


class Group:
    @staticmethod
    def member(world: World) -> None:
        world.sleep(1)


@pytest.mark.parametrize(("function", "output"), [("alone", "alone\n"), ("alone_too", "2\n"), ("Group.member", None)])
def test_a_function_without_a_world_is_the_only_program_of_one_host(
    worlds: Worlds, function: str, output: str | None
) -> None:
    result = passed(worlds.run(function))
    assert [each.stdout for each in result.outputs] == ([] if output is None else [output])


def test_a_function_that_is_not_there_is_named(worlds: Worlds) -> None:
    with pytest.raises(AssertionError, match=r"UsageError: alonee: there is no 'alonee'\. Did you mean 'alone'\?"):
        worlds.run("alonee")
