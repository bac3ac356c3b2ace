"""A stand-in for `wavetank.world.runtime` in the tests of the image: no kernel, only what a test asks for.

The target's `function` names what a run does; `module` is imported when it names one.
"""

import ctypes
import importlib
import os
import sys
import time
from typing import Any

from wavetank.errors import NothingToRun
from wavetank.trace.schema import file_header
from wavetank.world import mailbox
from wavetank.world.job import FailureRecord, HostScript, Job, Output, RunResult, Target


def prepare(target: Target) -> None:
    """Import the target's module; a file is left alone."""
    if target.module and not target.module.startswith("/"):
        importlib.import_module(target.module)


def execute(job: Job) -> RunResult:
    """Do what the target's function says."""
    assert mailbox.current is not None
    os.write(198, file_header())  # wavetank.campaign.image.TRACE_FD
    mailbox.current.publish(1_000)
    return DOINGS[job.target.function](job)


def _result(text: str, **more: Any) -> RunResult:
    return RunResult(digest="d" * 32, events=1, virtual_ns=1_000, outputs=[Output("main", text, "", 0)], **more)


def _echo(job: Job) -> RunResult:
    return _result(f"{job.plan.seed} {job.cwd} {job.environment.get('TEST_WORD')} {len(job.environment)}")


def _addresses(job: Job) -> RunResult:
    """Where new objects of many sizes come to lie: two runs that start alike give the same answer."""
    kept: list[Any] = []
    for _ in range(40):
        kept += [object(), [None] * 3, (1, len(kept)), {"a": len(kept)}, set(), bytearray(70)]
        kept += [bytes(len(kept) % 500 + 1), HostScript("h", "p"), lambda: None, 1e9 + len(kept), 10**20 + len(kept)]
    return _result(" ".join(f"{id(each):x}" for each in kept))


def _choices(job: Job) -> RunResult:
    choices = mailbox.choices_of(job)
    stream = choices.stream("cut", "a -> b")
    drawn = [stream.draw(1 << 15, 1000) for _ in range(20)]
    return _result(" ".join(map(str, drawn)), choices=choices.not_calm())


def _spin(job: Job) -> RunResult:
    while True:
        pass


def _slow(job: Job) -> RunResult:
    assert mailbox.current is not None
    now = 0
    while True:
        now += 1_000_000
        mailbox.current.publish(now)
        time.sleep(0.001)


def _crash(job: Job) -> RunResult:
    ctypes.string_at(0)
    raise AssertionError("still alive")


def _leave(job: Job) -> RunResult:
    os._exit(7)


def _break(job: Job) -> RunResult:
    raise RuntimeError("a defect")


def _refuse(job: Job) -> RunResult:
    raise NothingToRun("nothing here", where="x.py", next="write something")


def _shout(job: Job) -> RunResult:
    os.write(1, b"x" * 300_000 + b"end\n")
    return _result("")


def _files(job: Job) -> RunResult:
    tmp = job.environment["TMPDIR"]
    found = os.listdir(tmp)
    with open(f"{tmp}/left", "w") as file:
        file.write("behind")
    return _result(f"{tmp} {found} {sorted(os.listdir('.'))}")


def _fail(job: Job) -> RunResult:
    """Seeds that are 3 modulo 5 fail."""
    if job.plan.seed % 5 != 3:
        return _result("fine")
    record = FailureRecord(
        kind="exception", error="AssertionError: wrong", host="main", time_ns=5, where="/x/y.py:3", traceback=""
    )
    time.sleep(0.05 if job.plan.seed == 3 else 0)
    return _result("bad", failure=record, status=1)


def _hard(job: Job) -> RunResult:
    """Seeds that are 3 modulo 5 fail, and need three choices for it, seed 8 one, seed 13 two; others of two kinds."""
    seed, choices = job.plan.seed, job.plan.choices
    needed = {f"duplicate a -> b / {number}": 1 for number in range({8: 1, 13: 2}.get(seed, 3))}
    if seed % 5 != 3 or not needed.keys() <= (needed if choices is None else choices).keys():
        return _result("fine")
    where = "/x/y.py:9" if seed == 18 else "/x/y.py:3"
    record = FailureRecord(kind="hang", error=f"{seed} waits", host="main", time_ns=5, where=where, traceback="")
    return _result("bad", failure=record, status=1, choices=needed)


def _loaded(job: Job) -> RunResult:
    return _result(" ".join(sorted(sys.modules)))


DOINGS = {
    "addresses": _addresses, "break_": _break, "choices": _choices, "crash": _crash, "echo": _echo, "fail": _fail,
    "files": _files, "hard": _hard, "leave": _leave, "loaded": _loaded, "refuse": _refuse, "shout": _shout,
    "slow": _slow, "spin": _spin,
}  # fmt: skip
