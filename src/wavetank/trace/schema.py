"""What a trace record is (schema 1): its kinds, its packed layout, and its text.

Owns the numbers and the layout, which a trace file and the digest depend on: a kind keeps its number for ever. The
kernel's recorder packs records with `HEADER`; everybody else reads them as `Record`.

The idea: a record is a fixed header of 36 bytes, then payload. Names never stand in it: a DEFINE record gives a
number to the name of a thread, a task or an object before its first use, and later records carry the number. So a
record costs one `struct` call, and an hour of idling costs megabytes, not the hundreds that Python objects would.
"""

from __future__ import annotations

import enum
import errno
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from wavetank.errors import TraceError

#: The schema this version writes and reads.
SCHEMA: Final = 1

#: time_ns, kind, flags, actor (thread number), task number, object number, value, payload length.
HEADER: Final = struct.Struct("<qHHIIIqI")
#: What a trace file begins with: magic, schema. The first byte is no text, as in PNG (RFC 2083 section 12.11).
FILE_HEADER: Final = struct.Struct("<8sI")
MAGIC: Final = b"\x89WTTRACE"


class Kind(enum.IntEnum):
    """What happened. The comment says what the object number and the value are; negative values are errnos."""

    DEFINE_THREAD = 1
    """Thread `object` is called payload ("host/process/thread"), value: length of the name. Time is 0."""
    DEFINE_TASK = 2
    """Task `object` (asyncio, Trio) is called payload, value: length of the name. Time is 0."""
    DEFINE_OBJECT = 3
    """Object `object` (socket, listener, pipe, lock, host) is called payload, value: length of the name."""
    PROCESS_START = 4
    """Process `object` (pid) began, payload: its name."""
    PROCESS_EXIT = 5
    """Process `object` (pid) ended, value: exit status, or minus the number of the signal."""
    HOST_CRASH = 6
    """Host `object` lost power."""
    HOST_RESTART = 7
    """Host `object` runs again."""
    HOST_PAUSE = 8
    """Host `object` stands still, value: for so many ns."""
    THREAD_SWITCH = 9
    """Thread `object` runs from now on."""
    SOCKET = 10
    """Object `object` was made, value: its descriptor."""
    BIND = 11
    """Object got a local address, payload: the address; value: 0 or -errno."""
    LISTEN = 12
    """Object listens, value: backlog or -errno."""
    CONNECT = 13
    """Object begins to connect, payload: the address; value: 0 or -errno."""
    CONNECTED = 14
    """The handshake of object is over, value: 0 or -errno."""
    ACCEPT = 15
    """Object was accepted, value: 0 or -errno."""
    SEND = 16
    """The program wrote to object, value: bytes accepted or -errno; payload: these bytes."""
    RECEIVE = 17
    """The program read from object, value: bytes (0: end of stream) or -errno; payload: these bytes."""
    SHUTDOWN = 18
    """The program shut object down, value: SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2, or -errno."""
    CLOSE = 19
    """The last descriptor of object was closed."""
    SEGMENT_SENT = 20
    """Object put a TCP segment on the link, value: bytes."""
    SEGMENT_DELIVERED = 21
    """A TCP segment reached object, value: bytes."""
    SEGMENT_DROPPED = 22
    """A TCP segment from or to object was lost, value: bytes."""
    DATAGRAM_SENT = 23
    """Object put a datagram on the link, value: bytes."""
    DATAGRAM_DELIVERED = 24
    """A datagram reached object, value: bytes."""
    DATAGRAM_DROPPED = 25
    """A datagram from or to object was lost, value: bytes."""
    LOOKUP = 26
    """A name was looked up, payload: the name; value: number of addresses or the negative EAI_ code."""
    SLEEP = 27
    """The thread sleeps, value: for so many ns."""
    WAIT = 28
    """The thread waits for object or for descriptors, value: at most so many ns, -1 for ever."""
    READY = 29
    """The wait is over, value: number of descriptors that are ready."""
    LOCK = 30
    """The thread got lock `object`, value: ns it waited."""
    SIGNAL = 31
    """Signal value was sent to process `object` (pid)."""
    FAULT = 32
    """A fault begins (value 1) or is healed (value 0), payload: the fault as one line."""
    CHOICE = 33
    """A choice that is not calm was made, value: the choice; payload: its key."""
    NOTE = 34
    """Something a reader should know, payload: text."""
    OUTPUT = 35
    """The process wrote to its stdout (object 1) or stderr (object 2), value: bytes; payload: these bytes."""
    RESET = 36
    """Object sent (value 1) or received (value 0) a TCP reset."""
    FAILURE = 37
    """The run failed, payload: the error as one line."""


DEFINITIONS: Final = frozenset({Kind.DEFINE_THREAD, Kind.DEFINE_TASK, Kind.DEFINE_OBJECT})

_BYTES: Final = frozenset({
    Kind.SEND, Kind.RECEIVE, Kind.SEGMENT_SENT, Kind.SEGMENT_DELIVERED, Kind.SEGMENT_DROPPED, Kind.DATAGRAM_SENT,
    Kind.DATAGRAM_DELIVERED, Kind.DATAGRAM_DROPPED, Kind.OUTPUT,
})  # fmt: skip
_DURATION: Final = frozenset({Kind.HOST_PAUSE, Kind.SLEEP, Kind.WAIT, Kind.LOCK})
_TEXT: Final = frozenset({
    Kind.PROCESS_START, Kind.BIND, Kind.CONNECT, Kind.LOOKUP, Kind.FAULT, Kind.CHOICE, Kind.NOTE, Kind.FAILURE,
})  # fmt: skip
_PID: Final = frozenset({Kind.PROCESS_START, Kind.PROCESS_EXIT, Kind.SIGNAL})
_NOT_ERRNO: Final = frozenset({Kind.PROCESS_EXIT, Kind.LOOKUP, *_DURATION})
#: Kinds whose value is a fixed word, and kinds whose value says nothing to a reader.
_WORDS: Final = {
    Kind.SHUTDOWN: {0: "reading", 1: "writing", 2: "both ways"},
    Kind.FAULT: {0: "ends", 1: "begins"},
    Kind.RESET: {0: "received", 1: "sent"},
}
_LABELS: Final = {
    Kind.SOCKET: "fd", Kind.LISTEN: "backlog", Kind.PROCESS_EXIT: "status", Kind.SIGNAL: "number",
    Kind.READY: "ready", Kind.CHOICE: "value", Kind.LOOKUP: "answer",
}  # fmt: skip
#: What nobody does: it happens while whoever the actor is waits, or runs something else.
_HAPPENS: Final = {
    Kind.SEGMENT_DELIVERED: "network", Kind.SEGMENT_DROPPED: "network", Kind.DATAGRAM_DELIVERED: "network",
    Kind.DATAGRAM_DROPPED: "network", Kind.FAULT: "network", Kind.HOST_PAUSE: "world", Kind.HOST_CRASH: "world",
    Kind.HOST_RESTART: "world",
}  # fmt: skip
_STREAMS: Final = {1: "stdout", 2: "stderr"}

_NO_PAYLOAD: Final = b""


class Record(msgspec.Struct, frozen=True):
    """One event, with its names. `value` depends on the kind (see `Kind`); names that do not apply are empty."""

    time_ns: int
    kind: Kind
    actor: str = ""
    task: str = ""
    object: str = ""
    value: int = 0
    payload: bytes = b""
    flags: int = 0

    def __str__(self) -> str:
        who = _HAPPENS.get(self.kind) or f"{self.actor} {self.task}".strip()
        parts = (f"{self.time_ns / 1e9:>10.6f} s", who, self.verb, self.object)
        return "  ".join(part for part in (*parts, self.detail) if part)

    @property
    def verb(self) -> str:
        """The kind in words, "segment sent"."""
        return self.kind.name.lower().replace("_", " ")

    @property
    def detail(self) -> str:
        """The value and the payload's text, as far as they say something to a reader."""
        kind = self.kind
        text = self.payload.decode("utf-8", "backslashreplace") if kind in _TEXT or kind in DEFINITIONS else ""
        return "  ".join(part for part in (text, self._value_text()) if part)

    def _value_text(self) -> str:
        kind, value = self.kind, self.value
        if value < 0 and kind not in _NOT_ERRNO:
            return errno.errorcode.get(-value, f"errno {-value}")
        if kind in _BYTES:
            return f"{value} B"
        if kind in _DURATION:
            return "for ever" if value < 0 else f"{value / 1e9:.9g} s"
        if kind in _WORDS:
            return _WORDS[kind].get(value, str(value))
        return f"{_LABELS[kind]} {value}" if kind in _LABELS else ""


class Packed(NamedTuple):
    """One record as it is packed: numbers instead of names."""

    time_ns: int
    kind: int
    flags: int
    actor: int
    task: int
    object: int
    value: int
    payload: bytes


def pack(
    time_ns: int,
    kind: int,
    *,
    flags: int = 0,
    actor: int = 0,
    task: int = 0,
    object: int = 0,
    value: int = 0,
    payload: bytes = b"",
) -> bytes:
    """Return one record, packed. The recorder packs in place; this is for everything that is not hot."""
    return HEADER.pack(time_ns, kind, flags, actor, task, object, value, len(payload)) + payload


def file_header() -> bytes:
    """Return what a trace file begins with; packed records follow."""
    return FILE_HEADER.pack(MAGIC, SCHEMA)


def unpack(data: bytes | memoryview) -> Iterator[Packed]:
    """Yield the packed records in `data`. Raises `TraceError` when the last one is cut short."""
    view = memoryview(data)
    offset, end, count = 0, len(view), 0
    while offset < end:
        start = offset + HEADER.size
        if start > end:
            raise _cut_short(count)
        *numbers, size = HEADER.unpack_from(view, offset)
        offset = start + size
        if offset > end:
            raise _cut_short(count)
        payload = bytes(view[start:offset]) if size else _NO_PAYLOAD
        yield Packed._make((*numbers, payload))
        count += 1


def _cut_short(count: int) -> TraceError:
    return TraceError(f"the trace is cut short after {count:,} whole records")


def iterate(data: bytes | memoryview) -> Iterator[Record]:
    """Yield the records in `data`, names resolved; DEFINE records are used up, not yielded.

    Raises `TraceError` for a record that is cut short, of an unknown kind, or that uses a number without a name.
    """
    names: dict[Kind, dict[int, str]] = {kind: {0: ""} for kind in DEFINITIONS}
    threads, tasks, objects = (names[kind] for kind in (Kind.DEFINE_THREAD, Kind.DEFINE_TASK, Kind.DEFINE_OBJECT))
    for index, packed in enumerate(unpack(data)):
        try:
            kind = Kind(packed.kind)
        except ValueError:
            raise TraceError(f"record {index:,} has the unknown kind {packed.kind}") from None
        if kind in DEFINITIONS:
            names[kind][packed.object] = packed.payload.decode("utf-8", "backslashreplace")
            continue
        try:
            thing = _thing(kind, packed.object, threads, objects)
            actor, task = threads[packed.actor], tasks[packed.task]
        except KeyError as missing:
            raise TraceError(f"record {index:,} ({kind.name}) uses the number {missing} before its name") from None
        yield Record(packed.time_ns, kind, actor, task, thing, packed.value, packed.payload, packed.flags)


def _thing(kind: Kind, number: int, threads: dict[int, str], objects: dict[int, str]) -> str:
    """The name of what the object number of this kind means."""
    if kind is Kind.THREAD_SWITCH:
        return threads[number]
    if kind in _PID:
        return f"pid {number}"
    return _STREAMS[number] if kind is Kind.OUTPUT and number in _STREAMS else objects[number]
