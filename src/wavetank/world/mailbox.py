"""The shared memory through which the parent hands a run to a forked child, and the child its answer to the parent.

Owns the layout of that memory: a fixed number of *slots*, one for each run under way, with a place for the job, the
environment, the listed choices and the result. It never starts or stops anything.

The idea: memory that is mapped before the fork, at the same size for every campaign, costs a child no allocation. What
differs between two runs of the same plan - the length of an environment variable, a table of choices instead of a seed
- must not shift the addresses of the program's own objects, because the order of sets follows these addresses. So the
job proper is small and of the same shape each time; the environment is looked up here, entry by entry, when asked for;
listed choices are laid out by the parent as the table in which the kernel looks them up.

The memory is a memfd: sparse, so that a slot costs only the pages that were used.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from wavetank import errors
from wavetank.errors import InternalError, UsageError, WavetankError
from wavetank.kernel.choices import TABLE_BYTES, Choices, fill_table
from wavetank.world.job import Job, RunResult, Target, decode_job, decode_result, encode

#: At most so many runs at a time in one image. The size of the memory never depends on how many are used.
SLOTS: Final = 32
_PAGE: Final = 4096
_MIB: Final = 1 << 20

#: The memory in front of the slots belongs to the image's order (`wavetank.campaign.order`).
SLOTS_AT: Final = _MIB

_PATHS_AT: Final = _PAGE  # two paths, each with its NUL
_PATHS_BYTES: Final = 3 * _PAGE  # PATH_MAX is 4096, Linux include/uapi/linux/limits.h
_JOB_AT: Final = 4 * _PAGE
_JOB_BYTES: Final = 256 * 1024 - _JOB_AT
_ENVIRONMENT_AT: Final = 256 * 1024
# Linux takes 2 MiB of arguments and environment together by default (execve(2), "Limits on size of arguments").
_ENVIRONMENT_BYTES: Final = 2 * _MIB - 256 * 1024
_CHOICES_AT: Final = 2 * _MIB
_RESULT_AT: Final = _CHOICES_AT + TABLE_BYTES
#: A result holds outputs, the last events and the choices made: some 60 bytes each, thousands in a long run.
RESULT_BYTES: Final = 32 * _MIB
_SLOT_BYTES: Final = _RESULT_AT + RESULT_BYTES
#: The size of the whole memory.
MEMORY_BYTES: Final = SLOTS_AT + SLOTS * _SLOT_BYTES

# The head of a slot: virtual now (ns), where job and environment end in the memory, size of the result, state, and
# whether choices are listed. Ends, not sizes: a size up to 256 would be one of CPython's ready-made integers, and a
# longer environment would cost the child an object more.
_HEAD: Final = struct.Struct("=QIIIII")
_NOW: Final = struct.Struct("=Q")
_SIZES: Final = struct.Struct("=IIIII")

#: States of a slot: nothing yet; a result; the text of a defect of ours; an error of ours that is meant for the user.
EMPTY: Final = 0
RESULT: Final = 1
BROKEN: Final = 2
REFUSED: Final = 3


class Environment(Mapping[str, str]):
    """Environment variables, read from shared memory each time: holding them costs the program's heap nothing."""

    __slots__ = ("_end", "_memory", "_start")

    def __init__(self, memory: mmap.mmap, start: int, end: int) -> None:
        self._memory = memory
        self._start = start
        self._end = end

    def __getitem__(self, name: str) -> str:
        # The region starts with a NUL and each entry is NAME=VALUE NUL, so that a name is found as a whole.
        wanted = b"\0" + name.encode("utf-8", "surrogateescape") + b"="
        found = self._memory.find(wanted, self._start, self._end)
        if found < 0 or "=" in name or "\0" in name:
            raise KeyError(name)
        found += len(wanted)
        return self._memory[found : self._memory.find(b"\0", found, self._end)].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        at = self._start + 1
        while at < self._end:
            end = self._memory.find(b"\0", at, self._end)
            yield self._memory[at:end].partition(b"=")[0].decode("utf-8", "surrogateescape")
            at = end + 1

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Mailbox:
    """One slot. The parent calls `post`, `now_ns` and `answer`; the child the rest."""

    def __init__(self, memory: mmap.mmap, slot: int) -> None:
        assert 0 <= slot < SLOTS, f"slot {slot} of {SLOTS}"
        self._memory = memory
        self._base = SLOTS_AT + slot * _SLOT_BYTES

    # ---- the parent's side

    def post(self, job: Job, folder: str) -> None:
        """Lay out `job` for the next child of this slot, which gets `folder` as its own.

        Raises `UsageError` when something is too long.
        """
        small = msgspec.structs.replace(
            job,
            target=Target(label=""),
            environment={},
            trace_path="",
            plan=msgspec.structs.replace(job.plan, choices=None),
        )
        data = encode(small)
        paths = b"".join(os.fsencode(path) + b"\0" for path in (folder, job.trace_path))
        entries = [f"{name}={value}".encode("utf-8", "surrogateescape") for name, value in job.environment.items()]
        environment = b"\0" + b"".join(entry + b"\0" for entry in entries)
        for name, size, limit in (
            ("job", len(data), _JOB_BYTES),
            ("environment", len(environment), _ENVIRONMENT_BYTES),
            ("name of the run's folder", len(paths), _PATHS_BYTES),
        ):
            if size > limit:
                raise UsageError(f"the {name} is too long: {size:,} bytes", why=f"the limit is {limit:,} bytes")
        self._forget(_RESULT_AT, RESULT_BYTES)
        self._put(_PATHS_AT, paths)
        self._put(_JOB_AT, data)
        self._put(_ENVIRONMENT_AT, environment)
        self._forget(_CHOICES_AT, TABLE_BYTES)
        listed = 0
        if job.plan.choices is not None:
            self._list_choices(job.plan.choices)
            listed = 1
        ends = (self._base + _JOB_AT + len(data), self._base + _ENVIRONMENT_AT + len(environment))
        _HEAD.pack_into(self._memory, self._base, 0, *ends, 0, EMPTY, listed)

    def _list_choices(self, listed: dict[str, int]) -> None:
        with memoryview(self._memory) as whole:
            start = self._base + _CHOICES_AT
            with whole[start : start + TABLE_BYTES] as table:
                fill_table(table, listed)

    @property
    def now_ns(self) -> int:
        """The virtual time that the child published last."""
        return int(_NOW.unpack_from(self._memory, self._base)[0])

    @property
    def state(self) -> int:
        """EMPTY until the child has answered; then RESULT, BROKEN or REFUSED."""
        return int(_SIZES.unpack_from(self._memory, self._base + 8)[3])

    def answer(self) -> RunResult:
        """What the child answered.

        Raises `InternalError` when the run broke inside Wavetank, and the `WavetankError` that the child refused with.
        """
        _, _, size, state, _ = _SIZES.unpack_from(self._memory, self._base + 8)
        start = self._base + _RESULT_AT
        data = self._memory[start : start + size]
        if state == BROKEN:
            text = data.decode("utf-8", "replace").strip()
            last = text.rpartition("\n")[2]
            raise InternalError(f"a simulated run broke inside Wavetank: {last}", where=text)
        if state == REFUSED:
            kind, *parts = msgspec.msgpack.decode(data, type=list[str])
            raise getattr(errors, kind)(parts[0], where=parts[1], why=parts[2], next=parts[3])
        assert state == RESULT, f"no answer in this slot (state {state})"
        return decode_result(data)

    # ---- the child's side

    def folder(self) -> bytes:
        """The run's own folder. Not kept by the caller: its length differs from campaign to campaign."""
        start = self._base + _PATHS_AT
        return self._memory[start : self._memory.find(b"\0", start)]

    def trace_path(self) -> bytes:
        """Where the trace is wanted; empty when it is not. Not kept by the caller, either."""
        start = self._memory.find(b"\0", self._base + _PATHS_AT) + 1
        return self._memory[start : self._memory.find(b"\0", start)]

    def job(self, target: Target) -> Job:
        """The job, for the `target` that the image has prepared. The choices are not in it: see `choices`."""
        end = _SIZES.unpack_from(self._memory, self._base + 8)[0]
        small = decode_job(self._memory[self._base + _JOB_AT : end])
        return msgspec.structs.replace(small, target=target, environment=self.environment())

    def environment(self) -> Environment:
        """The environment of the run."""
        end = _SIZES.unpack_from(self._memory, self._base + 8)[1]
        return Environment(self._memory, self._base + _ENVIRONMENT_AT, end)

    def choices(self, seed: int) -> Choices:
        """The choices of this run: those that the parent has listed, else drawn from `seed`."""
        listed = _SIZES.unpack_from(self._memory, self._base + 8)[4]
        start = self._base + _CHOICES_AT
        table = memoryview(self._memory)[start : start + TABLE_BYTES]
        return Choices(seed, table=table, in_table=bool(listed))

    def publish(self, now_ns: int) -> None:
        """Let the parent see the virtual time."""
        _NOW.pack_into(self._memory, self._base, now_ns)

    def put_result(self, result: RunResult) -> None:
        """Answer. Choices that find no room are left out, with a note: such a run is repeated by its seed."""
        data = encode(result)
        if len(data) > RESULT_BYTES:
            note = f"{len(result.choices):,} choices and {len(result.outputs)} outputs are too much to report"
            data = encode(msgspec.structs.replace(result, choices={}, outputs=[], notes=[*result.notes, note]))
        self._answer(RESULT, data[:RESULT_BYTES])

    def put_refusal(self, error: WavetankError) -> None:
        """Answer that there is nothing to run, and why."""
        parts = (type(error).__name__, error.what, error.where, error.why, error.next)
        self._answer(REFUSED, msgspec.msgpack.encode([part[:_PAGE] for part in parts]))

    def put_error(self, text: str) -> None:
        """Answer that the run broke inside Wavetank."""
        self._answer(BROKEN, text.encode("utf-8", "replace")[:_MIB])

    def _answer(self, state: int, data: bytes) -> None:
        self._put(_RESULT_AT, data)
        job, environment, _, _, listed = _SIZES.unpack_from(self._memory, self._base + 8)
        _SIZES.pack_into(self._memory, self._base + 8, job, environment, len(data), state, listed)

    # ---- both

    def _put(self, at: int, data: bytes) -> None:
        start = self._base + at
        self._memory[start : start + len(data)] = data

    def _forget(self, at: int, size: int) -> None:
        # madvise(2), MADV_REMOVE: gives shared pages back; they read as zeros afterwards.
        self._memory.madvise(mmap.MADV_REMOVE, self._base + at, size)


#: The slot of the run that this process is a child for; None elsewhere. Set by the image before `execute`.
current: Mailbox | None = None


def choices_of(job: Job) -> Choices:
    """The choices of the run that this process carries out."""
    if current is None:
        return Choices(job.plan.seed, job.plan.choices)
    return current.choices(job.plan.seed)
