"""Captures: both file formats, the link layers, and reassembly as TCP does it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.captures import (
    ACK,
    CLIENT,
    SERVER,
    cooked,
    cooked2,
    ethernet,
    exchange,
    pcap,
    pcapng,
    tcp,
)
from wavetank.check import Conversation
from wavetank.errors import UsageError

SAID = ((True, b"hello\r\n"), (False, b"250 ok\r\n"), (True, b"qu"), (True, b"it\r\n"))
TURNS = [((b"hello\r\n",), "..."), ((b"qu", b"it\r\n"), None)]


def turns(conversation: Conversation) -> list[tuple[tuple[bytes, ...], str | None]]:
    return [(turn.messages, str(turn.answer) if turn.answer else None) for turn in conversation.turns]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Conversation]:
    def read(data: bytes, **options: object) -> Conversation:
        file = tmp_path / "file"
        file.write_bytes(data)
        return Conversation.read(file, **options)  # type: ignore[arg-type]

    return read


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("make", [pcap, pcapng])
def test_both_formats_in_both_byte_orders(read: Callable[..., Conversation], make: object, order: str) -> None:
    assert turns(read(make(exchange(*SAID), order=order))) == TURNS  # type: ignore[operator]


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (1, ethernet),
        (1, lambda packet: ethernet(packet, vlan=True)),
        (113, cooked),
        (276, cooked2),
        (0, lambda packet: b"\2\0\0\0" + packet),
        (108, lambda packet: b"\0\0\0\2" + packet),
        (228, lambda packet: packet),
    ],
)
def test_link_layers(read: Callable[..., Conversation], link: int, frame: Callable[[bytes], bytes]) -> None:
    assert turns(read(pcap([frame(packet) for packet in exchange(*SAID)], link))) == TURNS


def test_ipv6(read: Callable[..., Conversation]) -> None:
    packets = exchange(*SAID, client=("::1", 40000), server=("::1", 8000))
    assert turns(read(pcap([ethernet(packet) for packet in packets], 1))) == TURNS


def test_the_client_side_hears_the_server(read: Callable[..., Conversation]) -> None:
    assert turns(read(pcap(exchange(*SAID)), side="client")) == [((), "..."), ((b"250 ok\r\n",), "...")]


def test_repeated_overlapping_and_early_segments_count_once(read: Callable[..., Conversation]) -> None:
    packets = exchange()[:-1]
    for offset, data in ((0, b"abc"), (6, b"gh"), (0, b"abc"), (2, b"cdef"), (3, b"def"), (8, b"i")):
        packets.append(tcp(CLIENT, SERVER, 1001 + offset, data))
    assert read(pcap(packets)).data == b"abcdefghi"


def test_sequence_numbers_wrap(read: Callable[..., Conversation]) -> None:
    assert turns(read(pcap(exchange(*SAID, start=2**32 - 4)))) == TURNS


def test_a_capture_may_begin_in_the_middle(read: Callable[..., Conversation]) -> None:
    packets = [tcp(SERVER, CLIENT, 70, b"220 hello\r\n"), tcp(CLIENT, SERVER, 5, b"quit\r\n")]
    assert turns(read(pcap(packets))) == [((), "..."), ((b"quit\r\n",), None)]


def test_several_connections_are_listed_and_one_is_chosen(read: Callable[..., Conversation]) -> None:
    packets = exchange(*SAID) + exchange((True, b"other"), client=("127.0.0.1", 40001)) + exchange((True, b"third"))
    with pytest.raises(UsageError) as caught:
        read(pcap(packets))
    text = str(caught.value)
    assert "holds 3 connections: choose one" in text
    assert "2: 127.0.0.1:40001 -> 127.0.0.1:8000, 5 bytes there, 0 back" in text
    assert "--connection" in text
    assert read(pcap(packets), connection=2).data == b"other"
    assert read(pcap(packets), connection=3).data == b"third"
    with pytest.raises(UsageError, match="has no connection 4"):
        read(pcap(packets), connection=4)


def test_what_else_is_on_the_wire_is_passed_over(read: Callable[..., Conversation]) -> None:
    udp = bytearray(tcp(CLIENT, SERVER, 1, b"not TCP"))
    udp[9] = 17
    arp = b"\2" * 12 + b"\x08\x06" + b"\0" * 28
    frames = [arp, ethernet(bytes(udp)), *map(ethernet, exchange(*SAID)), b"short"]
    assert turns(read(pcap(frames, 1))) == TURNS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pcap(exchange(*SAID))[:-3], "is cut short or damaged"),
        (pcapng(exchange(*SAID))[:-3], "is cut short or damaged"),
        (pcap(exchange(*SAID))[:20], "is cut short within its header"),
        (pcap(exchange(*SAID), link=147), "link type 147"),
        (pcap(exchange(*SAID), kept=54), "are cut: "),
        (pcap([]), "no TCP connection in which anything was said"),
        (pcap([*exchange(), tcp(CLIENT, SERVER, 1200, b"later")]), "are missing"),
        (pcap([tcp(CLIENT, SERVER, 1, b"", ACK)]), "no TCP connection in which anything was said"),
        (b"\xd4\xc3\xb2\xa1" + b"\xff" * 64, "is cut short or damaged"),
    ],
)
def test_captures_that_cannot_be_used(read: Callable[..., Conversation], data: bytes, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(data)
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)
