"""The fault words: text, JSON, validity, targets and families."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank import faults
from wavetank.errors import PlanError, UsageError
from wavetank.faults import (
    FAMILIES,
    MILD,
    WORDS,
    AnyFault,
    Bandwidth,
    Buffers,
    ClockJump,
    ClockSkew,
    Crash,
    Descriptors,
    Drop,
    Duplicate,
    End,
    Eof,
    Event,
    Fault,
    Latency,
    Loss,
    NameFailure,
    Partition,
    Party,
    Pause,
    Refuse,
    Reorder,
    Reset,
    Scheduling,
    Segments,
    SlowReader,
    Stall,
    Target,
    Truncate,
    parse_event,
    parse_families,
    parse_target,
)

LINES: list[tuple[AnyFault, str, dict[str, Any]]] = [
    (
        Partition("client1", "server", at_s=3.2, duration_s=2),
        "3.20 s: partition client1 | server for 2 s",
        {"fault": "partition", "a": "client1", "b": "server", "at_s": 3.2, "duration_s": 2.0},
    ),
    (
        Partition("a", "*", True, at_s=1.23456),
        "1.23456 s: partition a -> *",
        {"fault": "partition", "a": "a", "b": "*", "one_way": True, "at_s": 1.23456},
    ),
    (
        Latency(0.05, 0.01, target="client->server:8000  #2"),
        "0.00 s: latency 50 ms, jitter 10 ms on client -> server:8000 #2",
        {"fault": "latency", "delay_s": 0.05, "jitter_s": 0.01, "target": "client -> server:8000 #2"},
    ),
    (
        Latency(1, duration_s=0.5),
        "0.00 s: latency 1 s for 0.5 s",
        {"fault": "latency", "delay_s": 1.0, "duration_s": 0.5},
    ),
    (Latency(0), "0.00 s: latency 0 s", {"fault": "latency", "delay_s": 0.0}),
    (Bandwidth(1000), "0.00 s: bandwidth 1000 bytes/s", {"fault": "bandwidth", "bytes_per_s": 1000}),
    (Segments(1), "0.00 s: segments of at most 1 byte", {"fault": "segments", "max_bytes": 1}),
    (
        Buffers(4096, 2048, target="server"),
        "0.00 s: buffers of 4096 bytes to send, 2048 bytes to receive on server",
        {"fault": "buffers", "send_bytes": 4096, "receive_bytes": 2048, "target": "server"},
    ),
    (
        SlowReader(9, target="accepting"),
        "0.00 s: slow reader, 9 bytes/s on accepting",
        {"fault": "slow-reader", "bytes_per_s": 9, "target": "accepting"},
    ),
    (Loss(0.05), "0.00 s: loss of 5 %", {"fault": "loss", "rate": 0.05}),
    (
        Loss(0.05, "datagrams"),
        "0.00 s: loss of 5 % of datagrams",
        {"fault": "loss", "rate": 0.05, "of": "datagrams"},
    ),
    (
        Reset(17, target="client -> server #2"),
        "0.00 s: reset after 17 bytes on client -> server #2",
        {"fault": "reset", "after_bytes": 17, "target": "client -> server #2"},
    ),
    (Reset(at_s=2), "2.00 s: reset", {"fault": "reset", "at_s": 2.0}),
    (Reset(when="full"), "at full #1: reset", {"fault": "reset", "when": "full #1"}),
    (
        Eof(1, target="connecting", at_s=0.5, when="accept#3"),
        "0.50 s after accept #3: end of stream after 1 byte on connecting",
        {"fault": "eof", "after_bytes": 1, "target": "connecting", "at_s": 0.5, "when": "accept #3"},
    ),
    (
        Stall(target="server", duration_s=3),
        "0.00 s: stalled reader on server for 3 s",
        {"fault": "stall", "target": "server", "duration_s": 3.0},
    ),
    (Drop(duration_s=1), "0.00 s: packets vanish for 1 s", {"fault": "drop", "duration_s": 1.0}),
    (Refuse(), "0.00 s: connections are refused", {"fault": "refuse"}),
    (
        NameFailure("try again"),
        "0.00 s: looking up names fails for now",
        {"fault": "name-failure", "kind": "try-again"},
    ),
    (
        NameFailure("slow", 2, target="a -> b"),
        "0.00 s: looking up names is slow, 2 s on a -> b",
        {"fault": "name-failure", "kind": "slow", "delay_s": 2.0, "target": "a -> b"},
    ),
    (
        ClockSkew(-0.05, 20, target="db"),
        "0.00 s: clock 50 ms behind, drifting by 20 ppm on db",
        {"fault": "clock-skew", "offset_s": -0.05, "drift_ppm": 20.0, "target": "db"},
    ),
    (ClockSkew(), "0.00 s: clock 0 s ahead", {"fault": "clock-skew"}),
    (
        ClockJump(-3600, at_s=1),
        "1.00 s: clock jumps 3600 s back",
        {"fault": "clock-jump", "offset_s": -3600.0, "at_s": 1.0},
    ),
    (
        Pause(target="db", duration_s=9),
        "0.00 s: pause on db for 9 s",
        {"fault": "pause", "target": "db", "duration_s": 9.0},
    ),
    (
        Crash(5, target="db", at_s=1),
        "1.00 s: crash, restart after 5 s on db",
        {"fault": "crash", "restart_after_s": 5.0, "target": "db", "at_s": 1.0},
    ),
    (Crash(signal="SIGTERM"), "0.00 s: stopped by SIGTERM", {"fault": "crash", "signal": "SIGTERM"}),
    (Duplicate(0.5), "0.00 s: 50 % of datagrams arrive twice", {"fault": "duplicate", "rate": 0.5}),
    (Reorder(0.5), "0.00 s: 50 % of datagrams are overtaken", {"fault": "reorder", "rate": 0.5}),
    (Truncate(0), "0.00 s: datagrams cut to 0 bytes", {"fault": "truncate", "max_bytes": 0}),
    (Descriptors(20), "0.00 s: at most 20 open files of a process", {"fault": "descriptors", "limit": 20}),
    (
        Descriptors(0, "backlog", target="db"),
        "0.00 s: at most 0 connections that wait to be accepted on db",
        {"fault": "descriptors", "limit": 0, "of": "backlog", "target": "db"},
    ),
    (Scheduling(0.1), "0.00 s: scheduling, out of turn 10 % of the time", {"fault": "scheduling", "rate": 0.1}),
]
ONE_OF_EACH = [fault for fault, _, _ in LINES]


@pytest.mark.parametrize(("fault", "line", "data"), LINES, ids=[line for _, line, _ in LINES])
def test_a_fault_is_one_line_and_one_object(fault: AnyFault, line: str, data: dict[str, Any]) -> None:
    assert str(fault) == line
    assert faults.to_json(fault) == data
    assert faults.from_json(data) == fault


def test_every_word_is_shown_here_and_belongs_to_a_family() -> None:
    assert {type(fault) for fault in ONE_OF_EACH} == set(WORDS.values())
    assert {kind for family in FAMILIES.values() for kind in family.faults} == set(WORDS.values())
    assert all(fault.name in WORDS and type(fault) is WORDS[fault.name] for fault in ONE_OF_EACH)


@pytest.mark.parametrize("fault", ONE_OF_EACH, ids=lambda fault: fault.name)
def test_a_fault_is_frozen_equal_by_value_and_hashable(fault: AnyFault) -> None:
    again = faults.from_json(faults.to_json(fault))
    assert again == fault
    assert again is not fault
    assert hash(again) == hash(fault)
    with pytest.raises(AttributeError):
        fault.at_s = 1.0  # type: ignore[misc]
    assert eval(repr(fault)) == fault
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fault), type=AnyFault) == fault


def test_a_whole_number_and_its_float_are_the_same_fault() -> None:
    assert Latency(1) == Latency(1.0)
    assert faults.to_json(Latency(1))["delay_s"] == 1.0
    assert type(faults.to_json(Latency(1))["delay_s"]) is float
    assert type(faults.to_json(Bandwidth(1e6))["bytes_per_s"]) is int  # type: ignore[arg-type]


def test_times_in_nanoseconds() -> None:
    assert Loss(0.1, at_s=0.1, duration_s=0.2).start_ns == 100_000_000
    assert Loss(0.1, at_s=0.1, duration_s=0.2).end_ns == 300_000_000
    assert Loss(0.1).end_ns is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Latency(-1), "latency: delay_s must be 0 or more and at most 1e+09, not -1"),
        (lambda: Latency(0, math.nan), "latency: jitter_s must be 0 or more and at most 1e+09, not nan"),
        (lambda: Latency(math.inf), "latency: delay_s must be 0 or more and at most 1e+09, not inf"),
        (lambda: Latency("1"), "latency: delay_s must be a number, not '1'"),  # type: ignore[arg-type]
        (lambda: Latency(True), "latency: delay_s must be a number, not True"),
        (lambda: Latency(1, at_s=-0.5), "latency: at_s must be 0 or more and at most 1e+09, not -0.5"),
        (lambda: Latency(1, duration_s=0), "latency: duration_s must be more than 0 and at most 1e+09, not 0"),
        (lambda: Latency(1, target=8), "latency: target must be text, not 8"),  # type: ignore[arg-type]
        (lambda: Loss(1.01), "loss: rate must be 0 or more and at most 1, not 1.01"),
        (lambda: Loss(-0.01), "loss: rate must be 0 or more and at most 1, not -0.01"),
        (lambda: Loss(0.1, "bytes"), "loss: unknown of 'bytes'."),
        (lambda: Reset(-1), "reset: after_bytes must be 0 to 1,000,000,000,000 bytes, not -1"),
        (lambda: Eof(1.5), "eof: after_bytes must be a whole number of bytes, not 1.5"),  # type: ignore[arg-type]
        (lambda: Reset(when="acept #1"), "unknown event 'acept'. Did you mean 'accept'?"),
        (lambda: Reset(when="accept #0"), "'accept #0' is not an event"),
        (lambda: Reset(when="3rd accept"), "'3rd accept' is not an event"),
        (lambda: Reset(when=3), "reset: when must be the text of an event, not 3"),  # type: ignore[arg-type]
        (lambda: NameFailure("broken"), "name-failure: unknown kind 'broken'."),
        (lambda: NameFailure("slwo"), "name-failure: unknown kind 'slwo'. Did you mean 'slow'?"),
        (lambda: NameFailure(3), "name-failure: kind must be text, not 3"),  # type: ignore[arg-type]
        (lambda: NameFailure("not-found", 1), "name-failure: delay_s is for the kind 'slow', not for 'not-found'"),
        (
            lambda: NameFailure("slow", target="a | b"),
            "name-failure: the target must be '*', one host, or 'HOST -> NAME', not 'a | b'",
        ),
        (lambda: ClockSkew(math.nan), "clock-skew: offset_s must be from -1e+09 to 1e+09, not nan"),
        (lambda: ClockSkew(0, 1e6), "clock-skew: drift_ppm must be from -100000 to 100000, not 1000000.0"),
        (lambda: ClockJump("1"), "clock-jump: offset_s must be a number, not '1'"),  # type: ignore[arg-type]
        (lambda: ClockJump(1, target="a -> b"), "clock-jump: the target must be '*' or one host, not 'a -> b'"),
        (lambda: Pause(target="db:80"), "pause: the target must be '*' or one host, not 'db:80'"),
        (lambda: Crash(0), "crash: restart_after_s must be more than 0 and at most 1e+09, not 0"),
        (lambda: Crash(signal="TERM"), "crash: unknown signal 'TERM'"),
        (lambda: Crash(duration_s=1), "crash: takes no duration_s"),
        (lambda: Descriptors(-1), "descriptors: limit must be 0 to 1,000,000,000,000, not -1"),
        (lambda: Descriptors(1.5), "descriptors: limit must be a whole number, not 1.5"),  # type: ignore[arg-type]
        (lambda: Descriptors(1, "sockets"), "descriptors: unknown of 'sockets'."),
        (lambda: Duplicate(2), "duplicate: rate must be 0 or more and at most 1, not 2"),
        (lambda: Scheduling(2), "scheduling: rate must be 0 or more and at most 1, not 2"),
        (lambda: Scheduling(1, target="a -> b"), "scheduling: the target must be '*' or one host, not 'a -> b'"),
        (lambda: Segments(0), "segments: max_bytes must be 1 to 1,000,000,000,000 bytes, not 0"),
        (lambda: Bandwidth(0.5), "bandwidth: bytes_per_s must be a whole number of bytes, not 0.5"),  # type: ignore[arg-type]
        (lambda: SlowReader(-5), "slow-reader: bytes_per_s must be 1 to 1,000,000,000,000 bytes, not -5"),
        (lambda: Buffers(1, 10**13), "buffers: receive_bytes must be 1 to 1,000,000,000,000 bytes, not 10000000000000"),
        (lambda: Partition("a", "a"), "partition: a and b are both 'a'"),
        (lambda: Partition("a", "b:80"), "partition: b must be the name of a host, not 'b:80'"),
        (lambda: Partition("connecting", "b"), "partition: a must be the name of a host, not 'connecting'"),
        (lambda: Partition("a", 3), "partition: b must be the name of a host, not 3"),  # type: ignore[arg-type]
        (lambda: Partition("a", "b", 1), "partition: one_way must be true or false, not 1"),  # type: ignore[arg-type]
        (lambda: Partition("a", "b", target="a"), "partition: takes no target"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(make: Any, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        make()
    assert caught.value.what == message


def test_a_number_of_any_length_is_refused_in_words() -> None:
    with pytest.raises(PlanError, match="delay_s must be 0 or more"):
        Latency(10**400)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"fault": "latncy"}, "unknown fault 'latncy'. Did you mean 'latency'?"),
        ({"fault": "earthquake"}, "unknown fault 'earthquake'."),
        ({"fault": 3}, "unknown fault 3."),
        ({}, 'a fault without the key "fault"'),
        ([], "a fault must be an object, not []"),
        ({"fault": "latency"}, "latency: the field 'delay_s' is missing"),
        ({"fault": "latency", "delay": 1}, "latency: unknown field 'delay'. Did you mean 'delay_s'?"),
        ({"fault": "latency", "delay_s": "1"}, "latency: delay_s: expected `float`, got `str`"),
        ({"fault": "latency", "delay_s": True}, "latency: delay_s: expected `float`, got `bool`"),
        ({"fault": "latency", "delay_s": None}, "latency: delay_s: expected `float`, got `null`"),
        ({"fault": "segments", "max_bytes": 1.5}, "segments: max_bytes: expected `int`, got `float`"),
        ({"fault": "loss", "rate": 7}, "loss: rate must be 0 or more and at most 1, not 7.0"),
        ({"fault": "loss", "rate": 1, "target": "a b"}, "'a b' is not a host in the target 'a b'"),
    ],
)
def test_json_that_is_no_fault_is_told_what_is_wrong(data: object, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        faults.from_json(data, "plan.json, faults[2]")
    assert caught.value.what == message
    assert caught.value.where == "plan.json, faults[2]"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("*", Target()),
        ("client", Target(End("client"))),
        ("server:8000", Target(End("server", 8000))),
        ("client -> server", Target(End("client"), End("server"))),
        ("client->server:8000", Target(End("client"), End("server", 8000))),
        ("server:8000 -> client", Target(End("server", 8000), End("client"))),
        ("client -> server:8000 #2", Target(End("client"), End("server", 8000), False, 2)),
        ("client | server", Target(End("client"), End("server"), True)),
        (" client|server #1 ", Target(End("client"), End("server"), True, 1)),
        ("* -> 10.0.0.2:80", Target(End(), End("10.0.0.2", 80))),
        ("a -> [fd00::2]:80", Target(End("a"), End("[fd00::2]", 80))),
        ("connecting", Target(End("connecting"))),
        ("connecting -> accepting:8000", Target(End("connecting"), End("accepting", 8000))),
        ("*:6379", Target(End("*", 6379))),
        ("* #3", Target(ordinal=3)),
    ],
)
def test_a_target_is_parsed_and_its_text_parses_again(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the target '' names nothing"),
        ("#2", "the target '#2' names nothing"),
        ("a b", "'a b' is not a host in the target 'a b'"),
        ("a ->", "'' is not a host in the target 'a ->'"),
        ("-> b", "'' is not a host in the target '-> b'"),
        ("a -> b -> c", "'b -> c' is not a host in the target 'a -> b -> c'"),
        ("a -> b:0", "0 is not a port in the target 'a -> b:0'"),
        ("a -> b:65536", "65536 is not a port in the target 'a -> b:65536'"),
        ("a -> b:http", "'b:http' is not a host in the target 'a -> b:http'"),
        ("a -> b #0", "'#0' is not a connection number in the target 'a -> b #0'"),
        ("a -> b #x", "'#x' is not a connection number in the target 'a -> b #x'"),
        ("a -> b #²", "'#²' is not a connection number in the target 'a -> b #²'"),
        ("x" * 256, f"'{'x' * 256}' is not a host in the target '{'x' * 256}'"),
    ],
)
def test_bad_text_is_no_target(text: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_target(text)
    assert caught.value.what == message


def test_an_event_is_parsed_and_its_text_parses_again() -> None:
    for text, event in {
        "full": Event("full"),
        "accept #3": Event("accept", 3),
        " send  #12 ": Event("send", 12),
    }.items():
        assert parse_event(text) == event
        assert parse_event(str(event)) == event
    assert Reset(when="accept#2").event == Event("accept", 2)
    assert Reset().event is None


CLIENT = Party("client", 40001, "connecting")
SERVER = Party("server", 8000, "accepting")


@pytest.mark.parametrize(
    ("text", "request_", "reply"),
    [
        ("*", True, True),
        ("client", True, True),
        ("server:8000", True, True),
        ("server:9", False, False),
        ("other", False, False),
        ("client -> server", True, False),
        ("client -> server:8000", True, False),
        ("client -> server:9", False, False),
        ("server -> client", False, True),
        ("client | server", True, True),
        ("server | client", True, True),
        ("connecting", True, False),
        ("accepting", False, True),
        ("connecting -> *:8000", True, False),
        ("client -> server #1", True, False),
        ("client -> server #2", False, False),
    ],
)
def test_what_a_target_matches(text: str, request_: bool, reply: bool) -> None:
    target = parse_target(text)
    assert target.matches(CLIENT, SERVER, 1) is request_
    assert target.matches(SERVER, CLIENT, 1) is reply


@pytest.mark.parametrize(
    ("text", "server_reads", "client_reads"),
    [
        ("*", True, True),
        ("client", False, True),
        ("accepting", True, False),
        ("client -> server", True, False),
        ("client | server", True, True),
        ("server #2", False, False),
    ],
)
def test_which_reader_a_target_matches(text: str, server_reads: bool, client_reads: bool) -> None:
    target = parse_target(text)
    assert target.matches_reader(SERVER, CLIENT, 1) is server_reads
    assert target.matches_reader(CLIENT, SERVER, 1) is client_reads


names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}[a-z0-9]", fullmatch=True) | st.sampled_from(
    ["*", "connecting", "accepting"]
)
ends = st.builds(End, names, st.integers(0, 65535))


@given(ends, ends | st.none(), st.booleans(), st.integers(0, 10**9 - 1))
def test_every_target_comes_back_from_its_text(first: End, second: End | None, both_ways: bool, ordinal: int) -> None:
    target = Target(first, second, both_ways and second is not None, ordinal)
    assert parse_target(str(target)) == target


@given(st.text(max_size=30))
def test_any_text_is_a_target_or_a_plan_error(text: str) -> None:
    try:
        target = parse_target(text)
    except PlanError:
        return
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("none", ()),
        ("mild", ("timing", "segments", "buffers", "slow-reader", "loss")),
        ("all", tuple(FAMILIES)),
        ("mild,partition", ("timing", "segments", "buffers", "slow-reader", "loss", "partition")),
        ("loss, segments,loss", ("segments", "loss")),
    ],
)
def test_families_are_chosen_by_name(text: str, families: tuple[str, ...]) -> None:
    assert parse_families(text) == families


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slow", "unknown fault family 'slow'. Did you mean 'slow-reader'?"),
        ("partitions", "unknown fault family 'partitions'. Did you mean 'partition'?"),
        ("mild,earthquake", "unknown fault family 'earthquake'."),
        ("", "an empty fault family"),
        ("mild,", "an empty fault family"),
        ("none,loss", "the fault family none does not go with others"),
    ],
)
def test_an_unknown_family_suggests_the_nearest(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_families(text)
    assert caught.value.what == message
    assert caught.value.exit_status == 2


def test_only_families_that_keep_what_tcp_promises_are_mild() -> None:
    assert MILD == ("timing", "segments", "buffers", "slow-reader", "loss")
    assert FAMILIES["partition"].least_hosts == 2
    assert all(family.text and not family.text.endswith(".") for family in FAMILIES.values())


def test_the_base_of_all_faults_is_no_word() -> None:
    assert Fault not in WORDS.values()
