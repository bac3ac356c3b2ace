"""The text form of a conversation: lines that begin with `>` or `<`.

Owns the grammar, both ways. It must never read files, and knows nothing of protocols. The page for users is
docs/check/conversations.md.

The idea: what a person would write down on paper. `>` is what the peer writes to the protocol, `<` what the protocol
answers; lines next to each other in one direction are one message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wavetank.errors import UsageError

#: Stands in an answer for anything, nothing included.
ANYTHING: Final = "..."

_ESCAPES: Final = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", ".": b"."}
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|.|$)")
_DOTS: Final = re.compile(r"\.{3,}")
_END_OF_LINE: Final = re.compile(r"eol:[ \t]*(.*)")

#: A message: (from the peer, its parts). The parts of an answer are bytes, with None for anything in between.
Spoken = tuple[bool, tuple[bytes | None, ...]]


def looks_like(text: str) -> bool:
    """Whether the first line that says something is one of this form."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            return line[0] in "<>" or _END_OF_LINE.match(line) is not None
    return False


def parse(text: str, name: str) -> list[Spoken]:
    """The messages of a conversation in text form; `name` is for errors.

    Raises `UsageError`: a line that is none of the grammar, or an escape that there is not.
    """
    end = b""
    messages: list[Spoken] = []
    current: list[bytes | None] = []
    direction: bool | None = None
    for number, line in enumerate([*text.splitlines(), ""], 1):
        where = f"{name}, line {number}"
        said = line[0] == ">" if line[:1] in ("<", ">") else None
        if said != direction or said is None:
            if direction is not None and current:
                messages.append((direction, _joined(current)))
            current, direction = [], said
        if said is not None:
            current += [*_parts(line[2:] if line[1:2] == " " else line[1:], where, answer=not said), end]
        elif (found := _END_OF_LINE.fullmatch(line)) is not None:
            end = _bytes(found[1].strip(), where)
        elif line.strip() and not line.startswith("#"):
            raise UsageError(
                f"a line of a conversation begins with > or <, and this one with {line[0]!r}",
                where=where,
                why="> is what the protocol is sent, < what it answers; # begins a comment; eol: says how lines end",
                next="put > in front; or --form bytes, if the file is what is sent, byte for byte",
            )
    return messages


def quoted(data: bytes) -> str:
    """`data` as it stands behind `>`: readable, and the same bytes again when it is parsed."""
    return _DOTS.sub(lambda found: found[0].replace(".", "\\."), "".join(_shown(data)))


def _shown(data: bytes) -> Iterator[str]:
    names = {value[0]: f"\\{key}" for key, value in _ESCAPES.items() if key not in ".0"}
    for byte in data:
        yield names.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")


def _parts(line: str, where: str, *, answer: bool) -> list[bytes | None]:
    if not answer or ANYTHING not in line:
        return [_bytes(line, where)]
    parts: list[bytes | None] = []
    for text in line.split(ANYTHING):
        parts += [_bytes(text, where), None]
    return parts[:-1]


def _bytes(text: str, where: str) -> bytes:
    out = b""
    at = 0
    for found in _ESCAPE.finditer(text):
        word = found[1]
        if word[:1] == "x" and len(word) == 3:
            value = bytes([int(word[1:], 16)])
        elif word in _ESCAPES:
            value = _ESCAPES[word]
        else:
            known = "\\r \\n \\t \\0 \\xHH \\. and \\\\"
            raise UsageError(f"\\{word} is no escape", where=where, why=f"there are {known}", next="write \\\\ for \\")
        out += text[at : found.start()].encode() + value
        at = found.end()
    return out + text[at:].encode()


def _joined(parts: list[bytes | None]) -> tuple[bytes | None, ...]:
    """The parts with neighbours joined, and one None for several."""
    out: list[bytes | None] = []
    for part in parts:
        if part == b"":
            continue
        if out and part is None and out[-1] is None:
            continue
        if out and part is not None and out[-1] is not None:
            out[-1] += part
        else:
            out.append(part)
    return tuple(out)
