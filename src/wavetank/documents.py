"""JSON documents on disk: read with errors that say what is wrong and where, written whole or not at all.

Owns what plans and failure files share: size limits, strict JSON, atomic writing. Knows nothing of what a document
means. The standard library's `json` reads them, not msgspec: it knows the line and column of an error.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import reprlib
from pathlib import Path
from typing import Any, Final

from wavetank.errors import EnvironmentProblem, InternalError, UsageError

#: A document is at most this long: plans have kilobytes, failure files with their last events some hundred.
MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024

#: What may follow the place of an error when the file just ends there: nothing, "0.", "nul", "\\u00".
_HALF_A_WORD: Final = re.compile(r"[-+.\w\\]*\s*")


class _Unusual(ValueError):
    """Python's `json` would take it, JSON (RFC 8259) or good sense does not."""


def _object_without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Unusual(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return data


def _no_constant(word: str) -> Any:
    raise _Unusual(f"{word} is not JSON")


def read_text(path: str | os.PathLike[str], error: type[UsageError], kind: str) -> str:
    """Return the text of the file. `error` is raised, naming the `kind` of file, when it cannot be had."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        raise error(f"no such {kind}", where=name) from None
    except IsADirectoryError:
        raise error(f"this is a folder, not a {kind}", where=name) from None
    except OSError as problem:
        raise error(f"cannot read the {kind}: {problem.strerror}", where=name) from None
    if len(data) > MAX_DOCUMENT_BYTES:
        raise error(f"the {kind} is too large", where=name, why=f"the limit is {MAX_DOCUMENT_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"the {kind} is not text in UTF-8", where=f"{name}, byte {problem.start}") from None


def parse(text: str, error: type[UsageError], kind: str, where: str) -> Any:
    """Return the JSON value in `text`. `error` is raised, with line and column, when it is not JSON or cut short."""
    try:
        return json.loads(text, object_pairs_hook=_object_without_doubles, parse_constant=_no_constant)
    except json.JSONDecodeError as problem:
        place = f"{where}, line {problem.lineno}, column {problem.colno}"
        if not text.strip():
            raise error(f"the {kind} is empty", where=where) from None
        ends = problem.msg.startswith("Unterminated string") or _HALF_A_WORD.fullmatch(text, problem.pos)
        if ends and problem.msg != "Extra data" and text.lstrip()[0] in "{[":
            why = "the file ends in the middle of its JSON"
            raise error(f"the {kind} is cut short", where=place, why=why) from None
        raise error(f"the {kind} is not JSON: {problem.msg}", where=place) from None
    except _Unusual as problem:
        raise error(f"the {kind} is not valid: {problem}", where=where) from None
    except (RecursionError, ValueError) as problem:  # nested too deep; a number of more digits than Python converts
        raise error(f"the {kind} is not valid: {problem}", where=where) from None


def read_object(path: str | os.PathLike[str], error: type[UsageError], kind: str) -> dict[str, Any]:
    """Return the JSON object that the file holds, else raise `error` (see `read_text` and `parse`)."""
    value = parse(read_text(path, error, kind), error, kind, os.fspath(path))
    if not isinstance(value, dict):
        raise error(f"the {kind} is not a JSON object", where=os.fspath(path))
    return value


def check_schema(data: dict[str, Any], ours: int, error: type[UsageError], kind: str, where: str) -> None:
    """Raise `error` unless the key "schema" is a number from 1 to `ours`."""
    schema = data.get("schema")
    if schema is None:
        raise error(f'this is not a {kind}: it has no key "schema"', where=where)
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise error(
            f'this is not a {kind}: "schema" must be a number from 1 on, not {reprlib.repr(schema)}', where=where
        )
    if schema > ours:
        raise error(
            f"the {kind} has schema {schema}, and this Wavetank knows schemas up to {ours}",
            where=where,
            why="it was written by a newer Wavetank",
            next="upgrade: pip install --upgrade wavetank",
        )


def dump(value: Any) -> bytes:
    """Return `value` as readable JSON bytes. Text that is not valid Unicode (lone surrogates) is kept, escaped."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii")


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write the file whole, or leave what was there: a reader never sees half of it, even after a power cut.

    The folder is made when missing. Raises `EnvironmentProblem` when the place cannot be written.
    """
    target = Path(path)
    if len(data) > MAX_DOCUMENT_BYTES:
        limit = f"the limit is {MAX_DOCUMENT_BYTES:,} bytes (wavetank.documents.MAX_DOCUMENT_BYTES)"
        raise InternalError(f"{len(data):,} bytes are too many for one document", where=str(target), why=limit)
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        import tempfile  # here: it draws in modules that the simulated kernel must be in place for

        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a failure file is for colleagues, too
        os.replace(temporary, target)
    except OSError as problem:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        what = f"cannot write here: {problem.strerror or problem}"
        raise EnvironmentProblem(what, where=str(target), next="choose another folder with --dir DIR") from None
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    # fsync(2): the new name itself is only safe once the directory is synced. Some file systems refuse; no matter.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
