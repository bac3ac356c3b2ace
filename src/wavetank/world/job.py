"""What one run is asked to do, and what it answers: the data that crosses between the searching floor and a world.

Owns the job and result records and their encoding (msgpack). Knows nothing of how either side works: the parent
fills a `Job`, the child that runs it answers with a `RunResult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from wavetank.plan import Plan


class HostScript(msgspec.Struct, frozen=True):
    """One script on one host (`--host NAME=SCRIPT`, or the only host of a plain script target)."""

    host: str
    path: str
    argv: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """What to run: scripts as `__main__` on hosts, or one scenario function.

    `label` is what the user typed. For a function, `module` is a module name or the absolute path of a file, and
    `function` the qualified name inside it; then `scripts` is empty.
    """

    label: str
    scripts: tuple[HostScript, ...] = ()
    module: str = ""
    function: str = ""
    sys_path: tuple[str, ...] = ()


class Job(msgspec.Struct, frozen=True):
    """One run: target, plan and limits. Times in nanoseconds of virtual time, or seconds of real time."""

    target: Target
    plan: Plan
    cwd: str
    environment: Mapping[str, str] = {}
    virtual_limit_ns: int = 3_600_000_000_000
    real_limit_s: float = 60.0
    oracles_off: tuple[str, ...] = ()
    oracles_on: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    trace_path: str = ""
    want_choices: bool = False
    debugger: bool = False


class Output(msgspec.Struct):
    """What one simulated process wrote and how it ended (`status` None: still running when the world ended)."""

    name: str
    stdout: str
    stderr: str
    status: int | None


class FailureRecord(msgspec.Struct):
    """One failed run in words and places. `kind` is one of the oracle names of `wavetank.world.oracles`.

    `sort`: what of its kind it is, where its kind and place do not say that: the rule that was broken, what has leaked.
    """

    kind: str
    error: str
    host: str
    time_ns: int
    where: str
    traceback: str
    summary: str = ""
    sort: str = ""


class Payload(msgspec.Struct):
    """One direction of one connection: its key, bytes carried, and the hash of them."""

    key: str
    size_bytes: int
    digest: str


class RunResult(msgspec.Struct):
    """How a run ended. `digest` identifies it (see `wavetank.trace.digest`)."""

    digest: str
    events: int
    virtual_ns: int
    failure: FailureRecord | None = None
    status: int = 0
    outputs: list[Output] = []
    notes: list[str] = []
    choices: dict[str, int] = {}
    explanations: dict[str, tuple[int, int]] = {}  # two numbers beside some of the choices; see campaign.wording
    payloads: list[Payload] = []
    last_events: list[str] = []
    hosts: list[str] = []
    weaker: bool = False


# Made once, in the image: preparing them takes longer than a fork.
_ENCODER: Final = msgspec.msgpack.Encoder()
_JOBS: Final = msgspec.msgpack.Decoder(Job)
_RESULTS: Final = msgspec.msgpack.Decoder(RunResult)


def encode(value: Job | RunResult) -> bytes:
    """The record as msgpack bytes."""
    return _ENCODER.encode(value)


def decode_job(data: bytes) -> Job:
    """The job in `data`; raises `msgspec.ValidationError` when it is not one."""
    return _JOBS.decode(data)


def decode_result(data: bytes) -> RunResult:
    """The result in `data`; raises `msgspec.ValidationError` when it is not one."""
    return _RESULTS.decode(data)
