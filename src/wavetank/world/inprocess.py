"""The weaker mode: a run of a function that no other interpreter could import, such as one inside a test.

Owns the run in a fork of the calling process, where the function and everything that it refers to are at hand. The
fork becomes simulated (`exchange`), carries out the run and leaves; the calling process stays as it was.

Weaker, and the result says so, because the process has imported everything before the kernel was simulated: real locks
and sockets inside objects stay real, and addresses follow from all that happened before, so that a digest holds for
this process only. What the function leaves in lists, dictionaries and sets around it is brought back to the caller.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from wavetank.errors import InternalError
from wavetank.world import exchange, places
from wavetank.world.job import FailureRecord, Job, RunResult, decode_result, encode
from wavetank.world.places import Place

_SIZES: Final = struct.Struct("<II")
#: After the limit on real time the fork gets so long to answer by itself.
_GRACE_S: Final = 2.0
#: Containers whose content is brought back.
_KINDS: Final = (list, dict, set, bytearray)


def execute(job: Job, scenario: Callable[..., Any]) -> RunResult:
    """Carry out one run of `scenario` in a fork of this process. The target of `job` need not name it.

    Raises `InternalError` when the run breaks inside Wavetank. A run that does not end within the job's limit on real
    time is killed, and is a failure.
    """
    if not hasattr(os, "fork"):
        raise InternalError("a scenario inside a function needs os.fork")
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # 3.12 and later warn where other threads run: the fork uses none of their locks for long.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _child(job, scenario, writer)
    os.close(writer)
    try:
        data = _read(reader, pid, job.real_limit_s + _GRACE_S)
    finally:
        os.close(reader)
        _, status = os.waitpid(pid, 0)
    if len(data) < _SIZES.size:
        return _unanswered(job, scenario, status)
    result_size, left_size = _SIZES.unpack_from(data)
    answer = data[_SIZES.size : _SIZES.size + result_size]
    if answer[:1] == b"-":
        raise InternalError("a simulated run broke inside Wavetank", where=answer[1:].decode("utf-8", "replace"))
    _bring_back(scenario, data[_SIZES.size + result_size : _SIZES.size + result_size + left_size])
    return decode_result(answer[1:])


def _read(reader: int, pid: int, limit_s: float) -> bytes:
    """All that the fork writes; it is killed when that takes too long."""
    end = time.monotonic() + limit_s
    parts: list[bytes] = []
    while True:
        if not select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
        part = os.read(reader, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _unanswered(job: Job, scenario: Callable[..., Any], status: int) -> RunResult:
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    place = places.of_function(scenario) or Place("", 0, "")
    record = FailureRecord(
        kind="spin" if killed else "exception",
        error=f"not finished after {job.real_limit_s:g} s of real time"
        if killed
        else f"the run's process ended with {status}",
        host="",
        time_ns=0,
        where=str(place),
        traceback="",
    )
    return RunResult(digest="", events=0, virtual_ns=0, failure=record, status=1, weaker=True)


# ---- in the fork


def _child(job: Job, scenario: Callable[..., Any], writer: int) -> None:
    write, leave = os.write, os._exit  # before they are replaced
    try:
        answer, left = _answer(job, scenario)
        data = _SIZES.pack(len(answer), len(left)) + answer + left
        while data:
            data = data[write(writer, data) :]
    finally:
        leave(0)


def _answer(job: Job, scenario: Callable[..., Any]) -> tuple[bytes, bytes]:
    try:
        exchange.become_simulated()
        exchange.exchange_in_function(scenario)
        from wavetank import frameworks
        from wavetank.kernel import threads
        from wavetank.world import runtime

        frameworks.install()
        threads.remember_image()
        result = runtime.execute(job, scenario)
        return b"+" + encode(msgspec.structs.replace(result, weaker=True)), _left_in(scenario)
    except BaseException:
        return b"-" + traceback.format_exc().encode("utf-8", "replace"), b""


# ---- what a function changed around itself


def _containers(scenario: Callable[..., Any]) -> list[Any]:
    """The containers in the closures of a function and of those that it refers to, in an order that is the same."""
    found: list[Any] = []
    for each in exchange.functions_in(scenario):
        for cell in each.__closure__ or ():
            with suppress(ValueError):
                if type(cell.cell_contents) in _KINDS:
                    found.append(cell.cell_contents)
    return found


def _left_in(scenario: Callable[..., Any]) -> bytes:
    """The contents of these containers, pickled one by one; None for one that does not pickle."""
    contents: list[bytes | None] = []
    for container in _containers(scenario):
        try:
            contents.append(pickle.dumps(container))
        except Exception:
            contents.append(None)
    return pickle.dumps(contents)


def _bring_back(scenario: Callable[..., Any], data: bytes) -> None:
    """Make the caller's containers equal to those of the fork. `data` comes from our own fork."""
    if not data:
        return
    for container, content in zip(_containers(scenario), pickle.loads(data), strict=True):
        if content is None:
            continue
        with suppress(Exception):  # of a class that only the fork has
            value = pickle.loads(content)
            if isinstance(container, (list, bytearray)):
                container[:] = value
            elif isinstance(container, MutableMapping):
                container.clear()
                container.update(value)
            else:
                container.intersection_update(value)
                container.update(value)
