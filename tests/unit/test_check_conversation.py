"""Conversations: their forms, and what each becomes."""

from pathlib import Path

import pytest

from wavetank.check import Conversation
from wavetank.check.text_form import quoted
from wavetank.errors import UsageError


def turns(conversation: Conversation) -> list[tuple[tuple[bytes, ...], str | None]]:
    return [(turn.messages, str(turn.answer) if turn.answer else None) for turn in conversation.turns]


def test_bytes_are_one_message() -> None:
    assert turns(Conversation.of(b"hello\r\n")) == [((b"hello\r\n",), None)]


def test_a_list_of_bytes_is_messages_of_one_turn() -> None:
    assert turns(Conversation.of([b"a", bytearray(b"b")])) == [((b"a", b"b"), None)]


def test_lines_of_one_direction_are_one_message_until_a_blank_line() -> None:
    text = "# greeting\n< 220 ...\n> EHLO x\\r\\n\n\n> MAIL\\r\\n\n> RCPT\\r\\n\n< 250 ok\\r\\n\n"
    assert turns(Conversation.of(text)) == [
        ((), "220 ..."),
        ((b"EHLO x\r\n", b"MAIL\r\nRCPT\r\n"), "250 ok\\r\\n"),
    ]


def test_eol_ends_the_lines_that_follow() -> None:
    text = "eol: \\r\\n\n> GET / HTTP/1.1\n>\n< HTTP/1.1 200 ...\n"
    assert turns(Conversation.of(text)) == [((b"GET / HTTP/1.1\r\n\r\n",), "HTTP/1.1 200 ...\\r\\n")]


def test_escapes_stand_for_bytes() -> None:
    assert Conversation.of(r"> \x00\xff\t\0\\n\.").data == b"\x00\xff\t\0\\n."


def test_text_is_utf_8() -> None:
    assert Conversation.of("> grün").data == "grün".encode()


@pytest.mark.parametrize("data", [bytes(range(256)), b"...", b"....", b"\\x41", b" leading", b"> <"])
def test_what_is_quoted_is_parsed_again(data: bytes) -> None:
    assert Conversation.of(f"> {quoted(data)}").data == data
    answer = Conversation.of(f"> x\n< {quoted(data)}").turns[0].answer
    assert answer is not None
    assert answer.parts == (data,)


def test_text_of_a_conversation_is_the_conversation() -> None:
    given = Conversation.of([("<", None), (">", b"a\r\n"), (">", b"b"), ("<", b"c...d"), (">", b"e")])
    assert turns(Conversation.of(given.text())) == turns(given)


def test_the_client_gets_the_other_direction() -> None:
    given = Conversation.of([(">", b"question"), ("<", b"answer")], side="client")
    assert turns(given) == [((), "question"), ((b"answer",), None)]


@pytest.mark.parametrize(
    ("content", "form", "messages"),
    [
        (b"hello\nworld\n", None, (b"hello\nworld\n",)),
        (b"> hello\n", None, (b"hello",)),
        (b"> hello\n", "bytes", (b"> hello\n",)),
        (b"\x00\x01\x02", None, (b"\x00\x01\x02",)),
    ],
)
def test_a_file_shows_its_form(tmp_path: Path, content: bytes, form: str, messages: tuple[bytes, ...]) -> None:
    file = tmp_path / "conversation"
    file.write_bytes(content)
    assert Conversation.read(file, form=form).turns[0].messages == messages  # type: ignore[arg-type]
    assert Conversation.of(file).turns


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", "is empty"),
        ([], "is empty"),
        ("", "is empty"),
        ("no such thing", "neither a conversation nor a file"),
        (7, "cannot be int"),
        ([b"x", "y"], "message 2 of the conversation is str"),
        ("> ok\nnonsense", "begins with > or <, and this one with 'n'"),
        (r"> \q", r"\q is no escape"),
    ],
)
def test_what_is_no_conversation_is_refused(given: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Conversation.of(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "form", "words"),
    [
        ("c.bin", b"", None, "is empty"),
        ("c.bin", b" \n", None, "2 bytes of white space"),
        ("c.txt", b"> \xff", "text", "byte 2 is not UTF-8"),
        ("c.pcap", b"garbage", None, "begins neither as pcap nor as pcapng"),
        ("c.bin", b"\x00", "capture", "begins neither as pcap nor as pcapng"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, name: str, content: bytes, form: str, words: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        Conversation.read(file, form=form)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Conversation.read(tmp_path / "none")


def test_a_choice_of_connections_needs_a_capture(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_bytes(b"hello")
    with pytest.raises(UsageError, match="no connections to choose from"):
        Conversation.read(file, connection=1)
