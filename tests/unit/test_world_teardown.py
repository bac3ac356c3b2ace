"""Worlds one after another in one interpreter: what one leaves behind, and what its suspended threads may still do."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# In an interpreter of its own: the simulated kernel cannot be taken out of one again.
HEAD = """
import sys
sys.path[:0] = [{src!r}]
from wavetank.kernel import core, shims
out = sys.stdout
shims.install()
import gc, warnings, weakref
warnings.simplefilter("error")
from wavetank.plan import Plan
from wavetank.world import runtime, teardown
from wavetank.world.job import Job, Target

target = Target(label="x")
runtime.prepare(target)
outside = core.K

def run(scenario):
    universe, director = runtime.build(Job(target=target, plan=Plan(seed=1, epoch_s=0), cwd="/"), scenario)
    result = runtime.conclude(universe, director, universe.kernel.run(), Job(target=target, plan=Plan(), cwd="/"))
    teardown.end(universe, outside)
    assert core.K is outside
    return result, weakref.ref(universe)

def say(*words):
    out.write(" ".join(map(str, words)) + "\\n")
    out.flush()
"""


def said(text: str) -> list[str]:
    code = HEAD.format(src=str(ROOT / "src")) + text
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_world_that_is_over_is_collected() -> None:
    lines = said(
        """
import asyncio

async def forever():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 80)
    asyncio.create_task(asyncio.sleep(1000), name="idle")
    await server.serve_forever()

def scenario(world):
    world.host("a").run(forever)
    world.sleep(1)

results, universes = zip(*(run(scenario) for _ in range(3)))
gc.collect()
say([result.failure for result in results])
# The last one's main thread is what `threading` shows until another world begins.
say([universe() is None for universe in universes[:-1]])
"""
    )
    assert lines == ["[None, None, None]", "[True, True]"]


def test_waiting_threads_end_with_their_finally_blocks_and_may_not_wait_again() -> None:
    lines = said(
        """
import socket, threading, time
seen = []

def program():
    ours, theirs = socket.socketpair()
    def wait(name):
        try:
            ours.recv(1)
        finally:
            seen.append(name)
            time.sleep(1)
            seen.append("slept")
    threading.Thread(target=wait, args=("thread",), daemon=True).start()
    try:
        wait("main")
    except Exception:
        seen.append("an exception")

def scenario(world):
    world.host("a").run(program)
    world.sleep(1)

result, universe = run(scenario)
say(result.failure, sorted(seen))
"""
    )
    assert lines == ["None ['main', 'thread']"]


def test_a_thread_that_will_not_end_is_left_alone() -> None:
    lines = said(
        """
import time

def stubborn():
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass

def busy():
    try:
        time.sleep(1000)
    finally:
        while True:
            time.monotonic()

def scenario(world):
    world.host("a").run(stubborn)
    world.host("b").run(busy)
    world.sleep(10)

for _ in range(2):
    result, universe = run(scenario)
    say(result.failure, len(teardown._abandoned))
"""
    )
    assert lines == ["None 2", "None 4"]


def test_the_rehearsal_takes_no_number_of_a_task() -> None:
    lines = said(
        """
import asyncio
names = []

async def program():
    names.append(asyncio.current_task().get_name())

run(lambda world: world.host("a").run(program).result())
say(names)
"""
    )
    assert lines == ["['Task-1']"]
