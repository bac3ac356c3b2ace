"""A conversation: what a peer says to the protocol under test, and where it waits for an answer.

Owns the forms a conversation can have and the one it becomes. It must never run anything.

The idea: a conversation is a list of *turns*. In one turn the peer writes its messages without waiting, so the network
may cut and join them anywhere; then it waits for an answer, and nothing can be joined across that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from wavetank.check import text_form
from wavetank.check.capture import is_capture, segments
from wavetank.check.streams import Connection, connections
from wavetank.errors import UsageError

Form = Literal["bytes", "text", "capture"]
Side = Literal["server", "client"]
FORMS: Final = ("bytes", "text", "capture")
SIDES: Final = ("server", "client")

#: A conversation larger than this is a mistake, or a download: 64 MiB.
_LARGEST_BYTES: Final = 64 * 2**20
_CAPTURE_NAMES: Final = (".pcap", ".pcapng", ".cap")


@dataclass(frozen=True)
class Answer:
    """What the peer waits for: bytes, with None for anything in between; `(None,)` is any answer."""

    parts: tuple[bytes | None, ...] = (None,)

    @property
    def known(self) -> bool:
        """Whether anything is known of its text."""
        return any(part for part in self.parts)

    def fits(self, said: bytes) -> bool:
        """Whether `said` is this answer."""
        pattern = b"".join(b".*" if part is None else re.escape(part) for part in self.parts)
        return re.fullmatch(pattern, said, re.DOTALL) is not None

    def __str__(self) -> str:
        return "".join(text_form.ANYTHING if part is None else text_form.quoted(part) for part in self.parts)


@dataclass(frozen=True)
class Turn:
    """The messages that the peer writes without waiting, and the answer it waits for afterwards."""

    messages: tuple[bytes, ...]
    answer: Answer | None = None

    @property
    def data(self) -> bytes:
        """The messages in one piece."""
        return b"".join(self.messages)


@dataclass(frozen=True)
class Conversation:
    """What a peer says to the protocol, in turns.

    Made by `Conversation.of(...)` from bytes, from text, from messages, or by `Conversation.read(file)`.
    """

    turns: tuple[Turn, ...]
    #: What to call it in a report: the file, usually.
    name: str = "the conversation"

    def __post_init__(self) -> None:
        if not self.data and not any(turn.answer for turn in self.turns):
            raise UsageError(
                f"{self.name} is empty: there is nothing that the protocol would be sent",
                next='give it what a peer sends, byte for byte, or as lines "> hello\\r\\n"',
            )

    @property
    def data(self) -> bytes:
        """All that the peer says."""
        return b"".join(turn.data for turn in self.turns)

    def text(self) -> str:
        """The conversation in the text form."""
        lines: list[str] = []
        for turn in self.turns:
            for message in turn.messages:
                lines += [f"> {text_form.quoted(message)}", ""]
            if turn.answer is not None:
                lines += [f"< {turn.answer}", ""]
        return "\n".join(lines)

    @classmethod
    def of(cls, given: object, *, side: Side = "server") -> Conversation:
        """The conversation that `given` is.

        `given` is one of: a Conversation; bytes; text in the text form; a path of a file; messages, an iterable of
        bytes; or an iterable of pairs (">" or "<", bytes), where ("<", None) is any answer. With `side="client"` the
        two directions are exchanged.
        Raises `UsageError`: none of these, or empty.
        """
        match given:
            case Conversation():
                return given
            case bytes() | bytearray() | memoryview():
                return cls((Turn((bytes(given),)),) if given else ())
            case Path():
                return cls.read(given, side=side)
            case str():
                return cls._of_text(given, side)
        if not isinstance(given, Iterable):
            raise UsageError(f"a conversation cannot be {type(given).__name__}", why=_FORMS)
        return cls(tuple(_turns([_spoken(item, number) for number, item in enumerate(given, 1)], side)))

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        form: Form | None = None,
        side: Side = "server",
        connection: int | None = None,
    ) -> Conversation:
        """The conversation in a file: bytes, text form, pcap or pcapng; `form` says which, else the file shows it.

        `connection` counts from 1, for captures of several; `side` is the one that the protocol under test plays.
        Raises `UsageError`: no such file, empty, damaged, not of that form, several connections and none chosen.
        """
        name = os.fspath(path)
        data = _contents(name)
        if form is None:
            form = _form_of(data, name)
        if form == "capture":
            return cls(tuple(_turns(_captured(data, name, connection), side, exact=False)), name)
        if connection is not None:
            raise UsageError(f"{name} is no capture: there are no connections to choose from", next=_LEAVE_OUT)
        if form == "bytes":
            return cls((Turn((data,)),), name)
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{name} is not text: byte {error.start} is not UTF-8",
                next="--form bytes, if the file is what is sent; in the text form such a byte is \\xHH",
            ) from None
        return cls(tuple(_turns(text_form.parse(text, name), side)), name)

    @classmethod
    def _of_text(cls, text: str, side: Side) -> Conversation:
        if not text.strip():
            return cls(())
        if not text_form.looks_like(text):
            if "\n" not in text and len(text) < 4096 and os.path.exists(text):
                return cls.read(text, side=side)
            raise UsageError(
                f"this text is neither a conversation nor a file: {text[:40]!r}", why=_FORMS, next="bytes: b'...'"
            )
        return cls(tuple(_turns(text_form.parse(text, "the conversation"), side)))


_FORMS: Final = 'a conversation is bytes, text with lines "> ..." and "< ...", a pathlib.Path, or a list of messages'
_LEAVE_OUT: Final = "leave --connection out"


def _contents(name: str) -> bytes:
    try:
        if os.path.getsize(name) > _LARGEST_BYTES:
            raise UsageError(f"{name} is larger than {_LARGEST_BYTES // 2**20} MiB", next="keep its first messages")
        with open(name, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read the conversation {name}: {error.strerror}") from None
    if not data.strip():
        raise UsageError(
            f"the conversation {name} is empty: {len(data)} bytes{' of white space' if data else ''}",
            next='write into it what a peer sends, byte for byte, or as lines "> hello\\r\\n"; or record a pcap',
        )
    return data


def _form_of(data: bytes, name: str) -> Form:
    if is_capture(data) or name.endswith(_CAPTURE_NAMES):
        return "capture"
    try:
        return "text" if text_form.looks_like(data.decode()) else "bytes"
    except UnicodeDecodeError:
        return "bytes"


def _spoken(item: object, number: int) -> text_form.Spoken:
    match item:
        case bytes() | bytearray() | memoryview():
            return True, (bytes(item),)
        case (">" | "<" as sign, bytes() | bytearray() | memoryview() as data):
            return sign == ">", (bytes(data),)
        case ("<", None):
            return False, (None,)
    raise UsageError(
        f"message {number} of the conversation is {type(item).__name__}",
        why=_FORMS + '; a message is bytes, or a pair (">" or "<", bytes)',
    )


def _captured(data: bytes, name: str, chosen: int | None) -> list[text_form.Spoken]:
    """What was said in one connection of a capture."""
    found = connections(segments(data, name))
    connection = _chosen(found, name, chosen)
    connection.complete(name)
    return [(from_client, (piece,)) for from_client, piece in connection.said]


def _chosen(found: Sequence[Connection], name: str, chosen: int | None) -> Connection:
    if not found:
        raise UsageError(f"{name} holds no TCP connection in which anything was said")
    if chosen is None:
        if len(found) == 1:
            return found[0]
        raise UsageError(
            f"{name} holds {len(found)} connections: choose one",
            why="\n       ".join(f"{number}: {_line(each)}" for number, each in enumerate(found[:20], 1))
            + (f"\n       and {len(found) - 20} more" if len(found) > 20 else ""),
            next="--connection 1 on the command line; Conversation.read(file, connection=1) in Python",
        )
    if not 1 <= chosen <= len(found):
        raise UsageError(f"{name} has no connection {chosen}: it holds {len(found)}", next="--connection 1")
    return found[chosen - 1]


def _line(connection: Connection) -> str:
    return f"{connection}, {connection.bytes_from(True)} bytes there, {connection.bytes_from(False)} back"


def _turns(spoken: Sequence[text_form.Spoken], side: Side, *, exact: bool = True) -> list[Turn]:
    """Group what was said into turns, for a protocol that plays `side`; without `exact`, any answer will do.

    Recorded answers hold dates and numbers of their day, so those of a capture only say where the peer waits.
    """
    turns: list[Turn] = []
    messages: list[bytes] = []
    answer: list[bytes | None] = []
    for from_client, parts in spoken:
        if from_client is (side == "server"):
            if answer:
                turns.append(Turn(tuple(messages), Answer(tuple(answer))))
                messages, answer = [], []
            messages.append(b"".join(part for part in parts if part is not None))
        else:
            answer += parts if exact else () if answer else (None,)
    if messages or answer:
        turns.append(Turn(tuple(messages), Answer(tuple(answer)) if answer else None))
    return turns
