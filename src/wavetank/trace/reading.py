"""Reading trace files: with errors that say what is wrong, as records, as text, and as JSON lines.

Owns nothing of the layout (`schema` does). Never used while a world runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from wavetank.errors import TraceError
from wavetank.trace.schema import FILE_HEADER, MAGIC, SCHEMA, Record, iterate

#: A trace file is read into memory whole; at 36 bytes a record this is 29 million events.
MAX_TRACE_BYTES: Final = 1 << 30


def read_bytes(path: str | os.PathLike[str]) -> memoryview:
    """Return the packed records of a trace file. Raises `TraceError`: missing, not a trace, too new, too large."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(MAX_TRACE_BYTES + 1)
    except FileNotFoundError:
        raise TraceError("no such trace file", where=name) from None
    except OSError as problem:
        raise TraceError(f"cannot read the trace file: {problem.strerror}", where=name) from None
    if len(data) > MAX_TRACE_BYTES:
        raise TraceError("the trace file is too large", where=name, why=f"the limit is {MAX_TRACE_BYTES:,} bytes")
    if not data:
        raise TraceError("the trace file is empty", where=name)
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise TraceError("this is not a trace file", where=name, why="a trace begins with the bytes 89 57 54 54 52")
    if len(data) < FILE_HEADER.size:
        raise TraceError("the trace file is cut short in its header", where=name)
    _, schema = FILE_HEADER.unpack_from(data)
    if schema != SCHEMA:
        raise TraceError(
            f"the trace has schema {schema}, and this Wavetank knows schema {SCHEMA}",
            where=name,
            why="it was written by another version of Wavetank",
            next="make it again: wavetank replay --trace FILE",
        )
    return memoryview(data)[FILE_HEADER.size :]


def read_trace(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yield the records of a trace file. Raises `TraceError` (see `read_bytes`), also at a record that is cut short."""
    data = read_bytes(path)
    try:
        yield from iterate(data)
    except TraceError as error:
        why = error.why or "the run that wrote it was killed, or the file was changed"
        raise TraceError(error.what, where=os.fspath(path), why=why, next=error.next) from None


def as_json(record: Record) -> dict[str, Any]:
    """Return the record as JSON data: the kind by its name, payload in hexadecimal, what is empty left out."""
    data: dict[str, Any] = {"time_ns": record.time_ns, "kind": record.kind.name.lower()}
    for name in ("actor", "task", "object"):
        if getattr(record, name):
            data[name] = getattr(record, name)
    data["value"] = record.value
    if record.flags:
        data["flags"] = record.flags
    if record.payload:
        data["payload"] = record.payload.hex()
    return data


def json_lines(records: Iterable[Record]) -> Iterator[str]:
    """Yield one line of JSON for each record, without line breaks."""
    encode = msgspec.json.Encoder().encode
    for record in records:
        yield encode(as_json(record)).decode()
