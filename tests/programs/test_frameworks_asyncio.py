"""asyncio's private side: what each thread and process has for itself, what goes unhandled, who waits for what."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.support.passing import failed, passed
from tests.support.worlds import Worlds, functions_of, run_script, stdout_of
from wavetank.world.world import World


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


# ---- each thread has its loop, each process its policy


async def own_loop(turns: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(turns):
        await asyncio.sleep(0.001)
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() in asyncio.all_tasks()
        assert len(asyncio.all_tasks()) == 1


def loops_in_threads() -> None:
    threads = [threading.Thread(target=lambda: asyncio.run(own_loop(50))) for _ in range(3)]
    for thread in threads:
        thread.start()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
    for thread in threads:
        thread.join()


def many_loops(world: World) -> None:
    jobs = [world.host(f"host{number}").run(own_loop, 50) for number in range(3)]
    jobs += [world.host("threads").run(loops_in_threads)]
    jobs += [world.host("plain").run(no_loop)]
    for job in jobs:
        job.result(10)


def no_loop() -> None:
    for _ in range(50):
        time.sleep(0.001)
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()


def test_every_thread_has_its_own_running_loop(worlds: Worlds) -> None:
    passed(worlds.run("many_loops"))


class Marked(asyncio.DefaultEventLoopPolicy):
    pass


def sets_a_policy() -> str:
    asyncio.set_event_loop_policy(Marked())
    time.sleep(2)
    return type(asyncio.get_event_loop_policy()).__name__


def uses_the_policy() -> str:
    time.sleep(1)
    return type(asyncio.get_event_loop_policy()).__name__


def policies(world: World) -> None:
    one, two = world.host("one").run(sets_a_policy), world.host("two").run(uses_the_policy)
    assert one.result(10) == "Marked"
    assert two.result(10) != "Marked"


def test_every_process_has_its_own_policy(worlds: Worlds) -> None:
    passed(worlds.run("policies"))


async def debugging() -> None:
    assert sys.get_coroutine_origin_tracking_depth() > 0
    await asyncio.sleep(1)
    assert sys.get_coroutine_origin_tracking_depth() > 0


async def not_debugging() -> None:
    await asyncio.sleep(0.5)
    assert sys.get_coroutine_origin_tracking_depth() == 0


def debug_mode(world: World) -> None:
    one = world.host("one").run(lambda: asyncio.run(debugging(), debug=True))
    two = world.host("two").run(not_debugging)
    one.result(10)
    two.result(10)


def test_debug_mode_is_one_loop_s_own(worlds: Worlds) -> None:
    passed(worlds.run("debug_mode"))


finalised: list[tuple[str, bool]] = []


async def numbers(name: str) -> AsyncIterator[int]:
    try:
        while True:
            yield 1
            await asyncio.sleep(0.01)
    finally:
        await asyncio.sleep(0)  # only the loop that started it can do this
        finalised.append((name, asyncio.get_running_loop() is loops[name]))


loops: dict[str, asyncio.AbstractEventLoop] = {}


async def drops_a_generator(name: str) -> None:
    loops[name] = asyncio.get_running_loop()
    generator = numbers(name)
    await anext(generator)
    await asyncio.sleep(0.1)
    del generator
    await asyncio.sleep(0.1)


def generators(world: World) -> None:
    jobs = [world.host(name).run(drops_a_generator, name) for name in ("one", "two", "three")]
    for job in jobs:
        job.result(10)
    assert finalised == [("one", True), ("two", True), ("three", True)]


def test_an_asynchronous_generator_is_finalised_by_its_own_loop(worlds: Worlds) -> None:
    passed(worlds.run("generators"))


# ---- the ways to a loop


class Loop(asyncio.SelectorEventLoop):
    pass


async def which_loop() -> str:
    await asyncio.sleep(1)
    return type(asyncio.get_running_loop()).__name__


def under_a_runner() -> str:
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(which_loop()) == "Loop"
        assert runner.run(asyncio.sleep(1, "again")) == "again"
        return runner.run(which_loop())


def by_hand() -> str:
    loop = Loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(which_loop())
    finally:
        loop.close()


def own_runners(world: World) -> None:
    host = world.host("host")
    assert host.run(under_a_runner).result(10) == "Loop"
    assert host.run(by_hand).result(10) == "Loop"
    assert host.run(which_loop, runner=lambda main: asyncio.Runner(loop_factory=Loop).run(main())).result(10) == "Loop"


def test_a_program_brings_its_own_loop(worlds: Worlds) -> None:
    passed(worlds.run("own_runners"))


async def threads_and_signals() -> list[str]:
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    seen.append(await asyncio.to_thread(lambda: threading.current_thread().name.partition("_")[0]))
    await loop.run_in_executor(None, time.sleep, 0.5)
    threading.Timer(0.25, loop.call_soon_threadsafe, [seen.append, "from a thread"]).start()
    await stopped.wait()
    return seen


def signals_and_threads(world: World) -> None:
    host = world.host("host")
    job = host.run(threads_and_signals)
    world.sleep(5)
    assert not job.done()
    job.send_signal(signal.SIGTERM)
    assert job.result(1) == ["asyncio", "from a thread"]


def test_executors_and_signal_handlers(worlds: Worlds) -> None:
    passed(worlds.run("signals_and_threads"))


async def interrupted() -> str:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        return "cancelled by SIGINT"
    return "slept"


def interrupts(world: World) -> None:
    job = world.host("host").run(interrupted)
    world.sleep(1)
    job.send_signal(signal.SIGINT)
    assert job.result(1) == "cancelled by SIGINT"


def test_sigint_cancels_the_main_task(worlds: Worlds) -> None:
    passed(worlds.run("interrupts"))


# ---- what nobody handled


async def fails() -> None:
    raise ValueError("nobody looks at this")


async def drops_a_failed_task() -> None:
    task = asyncio.create_task(fails())
    await asyncio.sleep(1)
    del task
    gc.collect()
    await asyncio.sleep(1)


def dropped_task(world: World) -> None:
    world.host("host").run(drops_a_failed_task).result(10)


def test_a_task_whose_exception_was_never_retrieved(worlds: Worlds) -> None:
    failure = failed(worlds.run("dropped_task"))
    assert (failure.kind, failure.error, failure.host) == ("unhandled", "ValueError: nobody looks at this", "host")
    assert failure.where.endswith("in fails")
    assert "Task exception was never retrieved" in failure.summary
    assert 0.9e9 < failure.time_ns < 1.1e9


async def callback_raises() -> None:
    asyncio.get_running_loop().call_later(0.5, lambda: 1 / 0)
    await asyncio.sleep(1)


def raising_callback(world: World) -> None:
    world.host("host").run(callback_raises).result(10)


def test_a_callback_that_raises(worlds: Worlds) -> None:
    failure = failed(worlds.run("raising_callback"))
    assert (failure.kind, failure.error) == ("unhandled", "ZeroDivisionError: division by zero")


async def handles_them_itself() -> list[str]:
    seen: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: seen.append(type(context["exception"]).__name__))
    loop.call_later(0.5, lambda: 1 / 0)
    await asyncio.sleep(1)
    return seen


def own_handler(world: World) -> None:
    assert world.host("host").run(handles_them_itself).result(10) == ["ZeroDivisionError"]


def test_a_program_with_a_handler_of_its_own_has_handled_it(worlds: Worlds) -> None:
    passed(worlds.run("own_handler"))


async def logs_and_fails() -> None:
    logging.basicConfig(format="%(name)s says %(message).20s")
    await callback_raises()


def test_asyncio_itself_still_logs_it(worlds: Worlds) -> None:
    result = worlds.run("logged")
    assert "asyncio says Exception in callbac" in "".join(output.stderr for output in result.outputs)


def logged(world: World) -> None:
    world.host("host").run(logs_and_fails).result(10)


# ---- who waits for what


async def waits_for_nothing() -> None:
    async def inner(number: int) -> None:
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(inner(number), name=f"worker-{number}")


def hanging(world: World) -> None:
    world.host("host").run(waits_for_nothing).result()


async def never_yields() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


class Awaitable:
    def __await__(self) -> Any:
        return waits_in_a_generator().__await__()


async def waits_in_a_generator() -> None:
    async for number in never_yields():
        assert number == 1


async def waits_indirectly() -> None:
    await Awaitable()


def hanging_in_a_generator(world: World) -> None:
    world.host("host").run(waits_indirectly).result()


def test_a_hang_inside_a_generator_shows_its_line(worlds: Worlds) -> None:
    failure = failed(worlds.run("hanging_in_a_generator"))
    shown = [line.rpartition(" in ")[2] for line in failure.traceback.splitlines() if line.startswith("  File")]
    assert shown[:3] == ["waits_indirectly", "waits_in_a_generator", "never_yields"]
    assert failure.where.endswith("in never_yields")


def test_a_hang_names_every_task_and_where_it_waits(worlds: Worlds) -> None:
    failure = failed(worlds.run("hanging"))
    assert failure.kind == "hang"
    lines = failure.traceback.splitlines()
    named = [line.split()[1].rstrip(":") for line in lines if "awaits" in line]
    assert named[1:] == [f"worker-{number}" for number in range(12)]
    third = next(index for index, line in enumerate(lines) if "worker-3:" in line)
    assert lines[third + 1].endswith("in inner")


# ---- the trace


async def two_tasks() -> None:
    async def prints(text: str) -> None:
        print(text)

    await asyncio.gather(prints("a"), asyncio.create_task(prints("b"), name="the second"))


def tasks_in_the_trace(world: World) -> None:
    world.host("host").run(two_tasks).result(10)


def other_tasks_in_the_trace(world: World) -> None:
    world.host("host").run(two_tasks_changed).result(10)


async def two_tasks_changed() -> None:
    async def prints(text: str) -> None:
        print(text)

    await asyncio.gather(prints("a"), asyncio.create_task(prints("b"), name="the third"))


def test_the_digest_knows_which_task_acted(worlds: Worlds) -> None:
    first = passed(worlds.run("tasks_in_the_trace"))
    assert passed(worlds.run("tasks_in_the_trace")).digest == first.digest
    assert passed(worlds.run("other_tasks_in_the_trace")).digest != first.digest


# ---- uvloop


UVLOOP_SCRIPT = """
import asyncio, uvloop
assert uvloop.loop.Loop
from uvloop.loop import Loop as FromLoop

async def main():
    loop = asyncio.get_running_loop()
    assert isinstance(loop, uvloop.Loop) and isinstance(loop, FromLoop)
    assert type(loop).__module__ == "uvloop"
    await asyncio.sleep(1)
    return loop.time()

uvloop.run(main())
uvloop.install()
asyncio.run(main())
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
print("ran", uvloop.__version__)
"""


def test_uvloop_is_asyncio_s_loop_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "uvloop").mkdir()
    (tmp_path / "uvloop" / "__init__.py").write_text("raise ImportError('this is the C code')")
    result = passed(run_script(tmp_path, UVLOOP_SCRIPT))
    try:
        version = metadata.version("uvloop")
    except metadata.PackageNotFoundError:
        version = "0"
    assert stdout_of(result, "main/script") == f"ran {version}\n"
    assert result.notes == ["uvloop was replaced by asyncio's own loop: its C code does not call the simulated kernel"]


def test_without_uvloop_its_import_fails_as_ever(tmp_path: Path) -> None:
    script = """
import sys
from importlib import import_module  # an import statement is carried out before the script begins
sys.path[:] = [path for path in sys.path if not path.endswith("-packages")]
try:
    import_module("uvloop")
except ImportError as error:
    print(type(error).__name__, error)
"""
    result = passed(run_script(tmp_path, script))
    assert stdout_of(result, "main/script") == "ModuleNotFoundError No module named 'uvloop'\n"
