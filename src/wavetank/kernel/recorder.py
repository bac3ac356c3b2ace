"""Writing the trace while a world runs: packed records, their digest, and the bytes each connection carried.

Owns the fixed buffers into which events are packed and the numbers given to threads, tasks and objects. It decides
nothing and allocates nothing that depends on whether the trace is kept. The layout is `wavetank.trace.schema`; what
the digest covers is said in `wavetank.trace.digest`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final
from zlib import crc32

from wavetank.kernel.choices import private_map
from wavetank.trace.digest import TraceDigest, opaque_size
from wavetank.trace.schema import HEADER, Kind, file_header

_SIZE: Final = 1 << 16
_HEADER_SIZE: Final = HEADER.size
_LAST: Final = _SIZE - _HEADER_SIZE
_pack_into: Final = HEADER.pack_into
# The real calls: this module is imported before anything is replaced.
_write: Final = os.write
_writev: Final = os.writev
#: A payload that is longer is left out of a trace file.
PAYLOAD_KEPT: Final = 1 << 16
_DEFINE_THREAD: Final = int(Kind.DEFINE_THREAD)
_DEFINE_TASK: Final = int(Kind.DEFINE_TASK)
_DEFINE_OBJECT: Final = int(Kind.DEFINE_OBJECT)
_SWITCH: Final = int(Kind.THREAD_SWITCH)


class Payload:
    """What one direction of one connection carried: its size and checksum so far."""

    __slots__ = ("checksum", "key", "opaque", "size_bytes", "writes")

    def __init__(self, key: str, opaque: bool) -> None:
        self.key = key
        self.opaque = opaque
        self.size_bytes = 0
        self.checksum = 0
        self.writes = 0

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """These bytes were accepted for sending."""
        self.writes += 1
        self.size_bytes += len(data)
        self.checksum = crc32(data, self.checksum)


class Recorder:
    """The trace of one world. `keep` is the real descriptor of a file for all of it, or None for the digest alone."""

    def __init__(self, keep: int | None = None, opaque: frozenset[str] = frozenset()) -> None:
        self.digest = TraceDigest()
        self.keep = keep
        self.opaque = opaque
        self.actor = 0
        self.events = 0
        self.objects = 0
        self.payloads: dict[str, Payload] = {}
        self._opaque_objects: set[int] = set()
        #: Set by `frameworks`: the name of the asyncio or Trio task that runs now, or None.
        self.current_task: Callable[[], str | None] = _no_task
        self._tasks: dict[str, int] = {}
        self._task_count = 0
        self._buffer = private_map(_SIZE)
        self._offset = 0
        self._record = bytearray(_HEADER_SIZE)
        self._parts: list[bytes | bytearray | memoryview] = [self._record, b""]
        head = file_header()
        if keep is not None:
            _write(keep, head)

    # ---- names

    def _define(self, now: int, kind: int, number: int, name: str) -> None:
        self.event(now, kind, number, len(name), name.encode("utf-8", "surrogatepass"))
        self.digest.name(name)

    def define_thread(self, number: int, name: str) -> None:
        """Thread `number` is called `name` from now on."""
        self._define(0, _DEFINE_THREAD, number, name)

    def define_object(self, name: str) -> int:
        """A new number for a socket, listener or other object called `name`."""
        self.objects += 1
        self._define(0, _DEFINE_OBJECT, self.objects, name)
        return self.objects

    def _task(self, name: str) -> int:
        number = self._tasks.get(name)
        if number is None:
            if len(self._tasks) >= 1 << 14:  # names are unbounded; numbers stay unique
                self._tasks.clear()
            self._task_count += 1
            number = self._tasks[name] = self._task_count
            self.event(0, _DEFINE_TASK, number, len(name), name.encode("utf-8", "surrogatepass"), task=0)
            self.digest.name(name)
        return number

    def payload(self, key: str, thing: int) -> Payload:
        """The account of what goes one way over one connection; `thing` is the number of the socket that sends it."""
        if key in self.opaque:
            self._opaque_objects.add(thing)
        found = self.payloads.get(key)
        if found is None:
            found = self.payloads[key] = Payload(key, key in self.opaque)
        return found

    # ---- events

    def switch(self, now: int, number: int) -> None:
        """Another thread runs now."""
        self.actor = number
        self.event(now, _SWITCH, number, 0, task=0)

    def event(
        self, now: int, kind: int, thing: int, value: int, payload: bytes | memoryview = b"", task: int = -1
    ) -> None:
        """One thing that happened. `thing` is an object's number, `value` depends on the kind."""
        if task < 0:
            name = self.current_task()
            task = 0 if name is None else (self._tasks.get(name) or self._task(name))
        if self._opaque_objects and thing in self._opaque_objects:
            value = opaque_size(value)
        offset = self._offset
        _pack_into(self._buffer, offset, now, kind, 0, self.actor, task, thing, value, 0)
        self._offset = offset = offset + _HEADER_SIZE
        if offset > _LAST:
            self.flush()
        self.events += 1
        if self.keep is not None:
            self._keep(self.keep, now, kind, task, thing, value, payload)

    def _keep(
        self, file: int, now: int, kind: int, task: int, thing: int, value: int, payload: bytes | memoryview
    ) -> None:
        # Written at once and in place: a trace that is kept must leave the heap exactly as one that is not, down to the
        # collector's count of objects, or the program's own objects would lie elsewhere.
        size = len(payload)
        if size > PAYLOAD_KEPT:
            payload, size = b"", 0
        _pack_into(self._record, 0, now, kind, 0, self.actor, task, thing, value, size)
        parts = self._parts
        parts[1] = payload
        _writev(file, parts)
        parts[1] = b""

    def flush(self) -> None:
        """Hash what is buffered."""
        with memoryview(self._buffer) as view:
            self.digest.update(view[: self._offset])
        self._offset = 0

    def finish(self) -> str:
        """The digest of the whole run."""
        self.flush()
        for key in sorted(self.payloads):
            payload = self.payloads[key]
            if payload.opaque:
                self.digest.opaque(key)
            else:
                self.digest.payload(key, payload.size_bytes, payload.checksum)
        return self.digest.hexdigest()


def _no_task() -> str | None:
    return None
