"""Runs cases on a target, each in a process of its own with a limit: a loop that crashes or hangs costs one case.

Owns the processes and the verdicts. What a case is belongs to `case`, what is known of a target to `ledger`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import selectors
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Final

from wavetank.conformance import ledger
from wavetank.conformance.abort import SCENARIOS, complaints
from wavetank.conformance.case import Case
from wavetank.conformance.cases import CASES
from wavetank.conformance.pairs import PairHangs, run_protocols
from wavetank.conformance.targets import Target
from wavetank.conformance.wires import NotOffered
from wavetank.errors import UsageError, did_you_mean

#: A case that takes longer hangs; the longest takes about 4 s on a machine that is busy with other things.
LIMIT_S: Final = 30.0
OK, KNOWN, FAILS, NOT_OFFERED, CRASHED, HUNG = "ok", "known", "fails", "not offered", "crashed", "hung"


@dataclass
class Result:
    """How one case came out.

    `verdict`: ok, known (a deviation that the ledger has), fails, not offered, crashed, hung; `heard`: what each actor
    was told; `complaints`: what of it is not allowed, or, where the ledger has it, allowed and not usual; `note`: the
    ledger's entry, what is not offered, how it crashed;
    `seconds`: how long it took.
    """

    name: str
    verdict: str
    heard: dict[str, list[str]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    note: str = ""
    seconds: float = 0.0

    @property
    def is_new(self) -> bool:
        """Whether this is a failure that the ledger does not have."""
        return self.verdict in (FAILS, CRASHED, HUNG)


def carry_out(target: Target, case: Case) -> dict[str, Any]:
    """Run one case here, in this process: `heard`, or `missing` with what is not offered."""
    logging.disable()
    warnings.simplefilter("ignore")
    other = {"asyncio": "twisted", "twisted": "asyncio"}[target.dialect]
    if other in case.wants:
        return {"missing": f"only {other} has what it is about"}
    try:
        endpoint = target.endpoint() if target.endpoint is not None else None
        if endpoint is not None and case.wants & _OF_LOOPS:
            raise NotOffered("only plain streams, by an endpoint")
        if case.script.startswith("scenario play "):
            return {"heard": {"scenario": _play(target, case, endpoint)}}
        ground = import_module(_GROUNDS[target.dialect])
        return {"heard": ground.run_case(target.make(), case, endpoint)}
    except NotOffered as missing:
        return {"missing": str(missing)}


#: What an endpoint of somebody's own does not have; and a server's or a socket's own calls are the loop's affair.
_OF_LOOPS: Final = frozenset({"tls", "unix", "udp", "pipe", "process", "server", "connect"})
_GROUNDS: Final = {"asyncio": "wavetank.conformance.ground_aio", "twisted": "wavetank.conformance.ground_tx"}


def _play(target: Target, case: Case, own: Any) -> list[str]:
    _, _, name, endpoint = case.script.split()
    scenario = SCENARIOS[name]
    try:
        happening = run_protocols(target.make, scenario.server, scenario.client, own or endpoint, timeout_s=10.0)
    except PairHangs as hung:
        return [f"{hung.what}; {hung.where}"]
    return [text.replace(", ", "; ") for text in complaints(scenario, happening)] or ["kept"]


def judge(target: Target, case: Case, answer: Mapping[str, Any], *, ground: str = "real") -> Result:
    """The verdict on what a case answered."""
    if "missing" in answer:
        return Result(case.name, NOT_OFFERED, note=answer["missing"])
    if "crashed" in answer:
        return _known_or(target, Result(case.name, CRASHED, complaints=[answer["crashed"]]), ground)
    if "hung" in answer:
        return _known_or(target, Result(case.name, HUNG, complaints=[answer["hung"]]), ground)
    heard = answer["heard"]
    found = case.complaints(heard, target.dialect)
    if found:
        return _known_or(target, Result(case.name, FAILS, heard, found), ground)
    odd = _known_or(target, Result(case.name, OK, heard, case.oddities(heard)), ground)
    return odd if odd.verdict == KNOWN else Result(case.name, OK, heard)


def _known_or(target: Target, result: Result, ground: str) -> Result:
    entry = ledger.find(result.name, target.family, target.version, result.complaints, ground=ground)
    if entry is not None:
        result.verdict, result.note = KNOWN, entry.text()
    return result


def known_names(names: Iterable[str]) -> list[str]:
    """These names, each of which must be a case; UsageError for one that is none."""
    chosen = list(names)
    for name in chosen:
        if name not in CASES:
            raise UsageError(f"no case {name!r}.{did_you_mean(name, CASES)}", next="wavetank conform --list")
    return chosen


def run_case(target: Target, name: str, *, limit_s: float = LIMIT_S) -> Result:
    """Run one case in a process of its own."""
    (result,) = run_cases(target, [name], limit_s=limit_s)
    return result


def run_cases(
    target: Target, names: Iterable[str] | None = None, *, limit_s: float = LIMIT_S, at_once: int | None = None
) -> Iterator[Result]:
    """Run cases (all of them when none are named), each in a process of its own; the results in the order of names.

    `at_once`: how many at a time, None for one on each processor.
    """
    waiting = list(CASES if names is None else names)
    order, done = [*waiting], dict[str, Result]()
    running: dict[str, _Child] = {}
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < (at_once or os.cpu_count() or 1):
                name = waiting.pop(0)
                running[name] = _Child(partial(carry_out, target, CASES[name]), limit_s)
                selector.register(running[name].pipe, selectors.EVENT_READ, name)
            next_s = min(child.end_s for child in running.values()) - time.monotonic()
            for key, _ in selector.select(max(0.0, next_s)):
                running[key.data].read()
            for name, child in [*running.items()]:
                if child.is_over():
                    selector.unregister(child.pipe)
                    result = judge(target, CASES[name], child.answer())
                    result.seconds = round(time.monotonic() - child.began_s, 3)
                    done[name] = result
                    del running[name]
            while order and order[0] in done:
                yield done[order.pop(0)]


def isolated(doings: Iterable[Callable[[], dict[str, Any]]], limit_s: float) -> Iterator[dict[str, Any]]:
    """What each of these answers, one after another, each in a process of its own; `crashed` or `hung` otherwise."""
    for doing in doings:
        child = _Child(doing, limit_s)
        with selectors.DefaultSelector() as selector:
            selector.register(child.pipe, selectors.EVENT_READ)
            while not child.is_over():
                if selector.select(max(0.0, child.end_s - time.monotonic())):
                    child.read()
        yield child.answer()


class _Child:
    """One case in its own process; what it answers comes through a pipe, as JSON."""

    def __init__(self, doing: Callable[[], dict[str, Any]], limit_s: float) -> None:
        self.began_s = time.monotonic()
        self.end_s = self.began_s + limit_s
        self.limit_s = limit_s
        self._text = b""
        self._closed = False
        self.pipe, writing = os.pipe()
        with warnings.catch_warnings():
            # A fork of a process with threads (a test runner has some): the child leaves by _exit and takes no lock.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            _answer(doing, writing)
        os.close(writing)

    def read(self) -> None:
        """Something came through the pipe, or its end."""
        data = os.read(self.pipe, 65536)
        self._text += data
        self._closed = not data

    def is_over(self) -> bool:
        """Whether it has ended, or its time has."""
        return self._closed or time.monotonic() >= self.end_s

    def answer(self) -> dict[str, Any]:
        """End it, and say what it answered."""
        os.close(self.pipe)
        if not self._closed:
            _kill(self.pid)
            os.waitpid(self.pid, 0)
            return {"hung": f"not over after {self.limit_s:g} s"}
        _, status = os.waitpid(self.pid, 0)
        _kill(self.pid)
        if os.WIFSIGNALED(status):
            return {"crashed": f"the interpreter was ended by {signal.Signals(os.WTERMSIG(status)).name}"}
        try:
            answer: dict[str, Any] = json.loads(self._text)
        except ValueError:
            return {"crashed": f"the interpreter left with status {os.waitstatus_to_exitcode(status)}"}
        return answer


def _answer(doing: Callable[[], dict[str, Any]], writing: int) -> None:
    """In the child: carry out, answer, leave."""
    try:
        faulthandler.disable()  # a test runner's would tell of a crash that is ours to tell
        os.setsid()  # so that what the case started can be ended with it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        quiet = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        try:
            answer = doing()
        except Exception as error:
            answer = {"crashed": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as file:
            json.dump(answer, file)
    finally:
        os._exit(0)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of its group have ended
        os.killpg(pid, signal.SIGKILL)
