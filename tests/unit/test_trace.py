"""The trace: layout, text, digest and files."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.errors import TraceError
from wavetank.trace.digest import TraceDigest, cover_records, opaque_size
from wavetank.trace.reading import as_json, json_lines, read_bytes, read_trace
from wavetank.trace.schema import FILE_HEADER, HEADER, MAGIC, Kind, Record, file_header, iterate, pack, unpack

NAMES = (
    pack(0, Kind.DEFINE_THREAD, object=1, value=11, payload=b"client/main")
    + pack(0, Kind.DEFINE_TASK, object=1, value=6, payload=b"Task-2")
    + pack(0, Kind.DEFINE_OBJECT, object=1, value=27, payload=b"client:40001 -> server:8000")
)
SEND = pack(3_412_000, Kind.SEND, actor=1, task=1, object=1, value=3, payload=b"GET")


def one(kind: Kind, *, object: int = 0, value: int = 0, payload: bytes = b"", task: int = 0) -> Record:
    data = pack(3_412_000, kind, actor=1, task=task, object=object, value=value, payload=payload)
    (record,) = iterate(NAMES + data)
    return record


def test_numbers_of_kinds_never_change() -> None:
    assert " ".join(kind.name for kind in Kind) == (
        "DEFINE_THREAD DEFINE_TASK DEFINE_OBJECT PROCESS_START PROCESS_EXIT HOST_CRASH HOST_RESTART HOST_PAUSE "
        "THREAD_SWITCH SOCKET BIND LISTEN CONNECT CONNECTED ACCEPT SEND RECEIVE SHUTDOWN CLOSE SEGMENT_SENT "
        "SEGMENT_DELIVERED SEGMENT_DROPPED DATAGRAM_SENT DATAGRAM_DELIVERED DATAGRAM_DROPPED LOOKUP SLEEP WAIT READY "
        "LOCK SIGNAL FAULT CHOICE NOTE OUTPUT RESET FAILURE"
    )
    assert [int(kind) for kind in Kind] == list(range(1, 38))


def test_the_header_is_36_bytes_in_this_order() -> None:
    assert HEADER.size == 36
    assert SEND[:36] == bytes.fromhex(
        "2010340000000000 1000 0000 01000000 01000000 01000000 0300000000000000 03000000".replace(" ", "")
    )
    assert SEND[36:] == b"GET"


def test_a_record_is_read_with_its_names() -> None:
    (record,) = iterate(NAMES + SEND)
    assert record == Record(3_412_000, Kind.SEND, "client/main", "Task-2", "client:40001 -> server:8000", 3, b"GET")
    assert str(record) == "  0.003412 s  client/main Task-2  send  client:40001 -> server:8000  3 B"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (one(Kind.RECEIVE, object=1, value=-104), "receive  client:40001 -> server:8000  ECONNRESET"),
        (one(Kind.RECEIVE, object=1, value=-9999), "receive  client:40001 -> server:8000  errno 9999"),
        (one(Kind.THREAD_SWITCH, object=1), "thread switch  client/main"),
        (one(Kind.PROCESS_START, object=3, payload=b"main"), "process start  pid 3  main"),
        (one(Kind.PROCESS_EXIT, object=3, value=-9), "process exit  pid 3  status -9"),
        (one(Kind.SIGNAL, object=3, value=15), "signal  pid 3  number 15"),
        (one(Kind.WAIT, value=-1), "wait  for ever"),
        (one(Kind.SLEEP, value=1_500_000_000), "sleep  1.5 s"),
        (one(Kind.ACCEPT, object=1), "accept  client:40001 -> server:8000"),
        (one(Kind.ACCEPT, object=1, value=-11), "accept  client:40001 -> server:8000  EAGAIN"),
        (one(Kind.SHUTDOWN, object=1, value=1), "shutdown  client:40001 -> server:8000  writing"),
        (one(Kind.CLOSE, object=1), "close  client:40001 -> server:8000"),
        (one(Kind.RESET, object=1, value=1), "reset  client:40001 -> server:8000  sent"),
        (one(Kind.LOOKUP, value=-2, payload=b"db"), "lookup  db  answer -2"),
        (one(Kind.OUTPUT, object=2, value=4, payload=b"oops"), "output  stderr  4 B"),
        (one(Kind.CHOICE, value=3, payload=b"cut x / 1"), "choice  cut x / 1  value 3"),
        (one(Kind.NOTE, payload=b"\xff is no UTF-8"), "note  \\xff is no UTF-8"),
    ],
    ids=lambda value: value.verb if isinstance(value, Record) else "",
)
def test_each_kind_reads_as_a_line(record: Record, text: str) -> None:
    assert str(record) == f"  0.003412 s  client/main  {text}"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (one(Kind.FAULT, value=1, payload=b"0.00 s: loss of 5 %"), "network  fault  0.00 s: loss of 5 %  begins"),
        (one(Kind.SEGMENT_DROPPED, object=1, value=9), "network  segment dropped  client:40001 -> server:8000  9 B"),
        (
            one(Kind.DATAGRAM_DELIVERED, object=1, value=9),
            "network  datagram delivered  client:40001 -> server:8000  9 B",
        ),
        (one(Kind.HOST_PAUSE, value=10**9), "world  host pause  1 s"),
    ],
    ids=lambda value: value.verb if isinstance(value, Record) else "",
)
def test_what_no_thread_does_is_not_shown_as_its_deed(record: Record, text: str) -> None:
    assert str(record) == f"  0.003412 s  {text}"


@pytest.mark.parametrize("kind", [kind for kind in Kind if not kind.name.startswith("DEFINE")])
@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_every_kind_with_every_value_has_a_line_and_json(kind: Kind, value: int) -> None:
    record = one(kind, value=value)
    assert record.verb in str(record)
    assert json.loads(next(json_lines([record])))["value"] == value


records = st.lists(
    st.builds(
        pack,
        st.integers(0, 2**63 - 1),
        st.sampled_from([Kind.SEND, Kind.RECEIVE, Kind.NOTE]),
        flags=st.integers(0, 2**16 - 1),
        actor=st.just(1),
        task=st.integers(0, 1),
        object=st.integers(0, 1),
        value=st.integers(-(2**63), 2**63 - 1),
        payload=st.binary(max_size=40),
    )
)


@given(records)
def test_records_come_back_as_they_were_packed(packed: list[bytes]) -> None:
    again = [pack(r.time_ns, r.kind, flags=r.flags, actor=r.actor, task=r.task, object=r.object, value=r.value,
                  payload=r.payload) for r in unpack(b"".join(packed))]  # fmt: skip
    assert again == packed
    assert len([*iterate(NAMES + b"".join(packed))]) == len(packed)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_trace_or_a_trace_error(data: bytes) -> None:
    try:
        found = [*iterate(data)]
    except TraceError:
        return
    assert len(found) * HEADER.size <= len(data)


def test_every_cut_within_a_record_is_seen() -> None:
    for length in range(len(NAMES) + 1, len(NAMES + SEND)):
        with pytest.raises(TraceError, match="cut short after 3 whole records"):
            list(iterate((NAMES + SEND)[:length]))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (pack(0, 999), "record 0 has the unknown kind 999"),
        (NAMES + pack(0, Kind.SEND, actor=2), "record 3 (SEND) uses the number 2 before its name"),
        (pack(0, Kind.SEND, task=5), "record 0 (SEND) uses the number 5 before its name"),
        (pack(0, Kind.CLOSE, object=8), "record 0 (CLOSE) uses the number 8 before its name"),
    ],
)
def test_a_record_that_means_nothing_is_named(data: bytes, what: str) -> None:
    with pytest.raises(TraceError) as caught:
        list(iterate(data))
    assert caught.value.what == what


# ---- digest

ACT = pack(5_000, Kind.SEND, actor=1, task=1, object=1, value=3)
WAKE_1 = pack(6_000, Kind.THREAD_SWITCH, actor=1, object=1)
WAKE_2 = pack(6_000, Kind.THREAD_SWITCH, actor=2, object=2)


def digest_of(
    *parts: bytes, names: tuple[str, ...] = ("client/main",), payload: tuple[int, int] = (3, 77), key: str = "a -> b #1"
) -> str:
    digest = TraceDigest()
    for name in names:
        digest.name(name)
    for part in parts:
        digest.update(part)
    digest.payload(key, *payload)
    return digest.hexdigest()


BASE = digest_of(ACT, WAKE_1, WAKE_2)


@pytest.mark.parametrize(
    "mutant",
    [
        lambda: digest_of(pack(6_000, Kind.SEND, actor=1, task=1, object=1, value=3), WAKE_1, WAKE_2),
        lambda: digest_of(pack(5_000, Kind.RECEIVE, actor=1, task=1, object=1, value=3), WAKE_1, WAKE_2),
        lambda: digest_of(pack(5_000, Kind.SEND, actor=2, task=1, object=1, value=3), WAKE_1, WAKE_2),
        lambda: digest_of(pack(5_000, Kind.SEND, actor=1, task=2, object=1, value=3), WAKE_1, WAKE_2),
        lambda: digest_of(pack(5_000, Kind.SEND, actor=1, task=1, object=2, value=3), WAKE_1, WAKE_2),
        lambda: digest_of(pack(5_000, Kind.SEND, actor=1, task=1, object=1, value=2), WAKE_1, WAKE_2),
        lambda: digest_of(ACT, WAKE_2, WAKE_1),
        lambda: digest_of(ACT, WAKE_1),
        lambda: digest_of(ACT, WAKE_1, WAKE_2, names=("server/main",)),
        lambda: digest_of(ACT, WAKE_1, WAKE_2, names=("client", "/main")),
        lambda: digest_of(ACT, WAKE_1, WAKE_2, payload=(3, 78)),
        lambda: digest_of(ACT, WAKE_1, WAKE_2, payload=(4, 77)),
        lambda: digest_of(ACT, WAKE_1, WAKE_2, key="a -> b #2"),
    ],
    ids=["time", "kind", "thread", "task", "endpoint", "size", "order", "missing", "name", "names joined", "byte",
         "payload size", "connection"],
)  # fmt: skip
def test_one_difference_changes_the_digest(mutant: Callable[[], str]) -> None:
    assert mutant() != BASE


def test_the_digest_is_this_value() -> None:
    """Another value means that failure files of earlier versions no longer confirm: that needs a new schema."""
    assert BASE == "21c5688dec976a09d841a6192fe28492"


@given(st.lists(st.integers(0, 108), max_size=6))
def test_the_digest_does_not_depend_on_how_records_are_cut_into_buffers(cuts: list[int]) -> None:
    whole = ACT + WAKE_1 + WAKE_2
    edges = [0, *sorted(cuts), len(whole)]
    assert digest_of(*(whole[start:end] for start, end in pairwise(edges))) == BASE


def test_the_order_in_which_payloads_are_told_does_not_matter() -> None:
    one_way, other_way = TraceDigest(), TraceDigest()
    one_way.payload("a", 1, 2)
    one_way.payload("b", 3, 4)
    other_way.payload("b", 3, 4)
    other_way.payload("a", 1, 2)
    assert one_way.hexdigest() == other_way.hexdigest()


def test_the_payload_of_an_opaque_connection_is_left_out_but_not_its_key() -> None:
    def digest(size: int, key: str, *, opaque: bool) -> str:
        made = TraceDigest()
        if opaque:
            made.opaque(key)
        else:
            made.payload(key, size, size)
        return made.hexdigest()

    assert digest(1, "a", opaque=True) == digest(2, "a", opaque=True)
    assert digest(1, "a", opaque=True) != digest(1, "b", opaque=True)
    assert digest(1, "a", opaque=True) != digest(1, "a", opaque=False)


def test_a_digest_can_be_read_in_between() -> None:
    digest = TraceDigest()
    empty = digest.hexdigest()
    assert digest.hexdigest() == empty
    digest.update(ACT)
    assert digest.hexdigest() != empty


def test_a_kept_trace_gives_the_digest_of_the_run_that_made_it() -> None:
    lived = TraceDigest()
    for name, number, kind in (("client/main", 1, Kind.DEFINE_THREAD), ("Task-2", 1, Kind.DEFINE_TASK)):
        lived.update(pack(0, kind, object=number, value=len(name)))
        lived.name(name)
    lived.update(ACT)
    kept = (
        pack(0, Kind.DEFINE_THREAD, object=1, value=11, payload=b"client/main")
        + pack(0, Kind.DEFINE_TASK, object=1, value=6, payload=b"Task-2")
        + pack(5_000, Kind.SEND, actor=1, task=1, object=1, value=3, payload=b"GET")
    )
    read = TraceDigest()
    cover_records(read, kept)
    assert read.hexdigest() == lived.hexdigest()


def test_sizes_of_opaque_records_are_rounded_and_errnos_are_not() -> None:
    assert [opaque_size(size) for size in (-104, 0, 1, 64, 65, 70, 72, 128, 129, 1448)] == [
        -104, 0, 64, 64, 128, 128, 128, 128, 256, 2048,
    ]  # fmt: skip


# ---- files


def test_a_trace_goes_through_a_file_and_out_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "run.trace"
    path.write_bytes(file_header() + NAMES + SEND)
    assert [str(record) for record in read_trace(path)] == [str(record) for record in iterate(NAMES + SEND)]
    assert list(json_lines(read_trace(path))) == [
        '{"time_ns":3412000,"kind":"send","actor":"client/main","task":"Task-2",'
        '"object":"client:40001 -> server:8000","value":3,"payload":"474554"}'
    ]


def test_flags_stand_in_json_only_when_there_are_some() -> None:
    assert as_json(Record(0, Kind.NOTE)) == {"time_ns": 0, "kind": "note", "value": 0}
    assert as_json(Record(0, Kind.NOTE, flags=2))["flags"] == 2


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the trace file is empty"),
        (b"{}", "this is not a trace file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "this is not a trace file"),
        (file_header()[:7], "the trace file is cut short in its header"),
        (file_header()[:11], "the trace file is cut short in its header"),
        (FILE_HEADER.pack(MAGIC, 2), "the trace has schema 2, and this Wavetank knows schema 1"),
        (file_header() + NAMES + SEND[:-1], "the trace is cut short after 3 whole records"),
    ],
)
def test_a_file_that_is_no_whole_trace_is_told_what_is_wrong(data: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "run.trace"
    path.write_bytes(data)
    with pytest.raises(TraceError) as caught:
        list(read_trace(path))
    assert (caught.value.what, caught.value.where) == (what, str(path))


def test_the_whole_records_before_a_cut_are_still_read(tmp_path: Path) -> None:
    path = tmp_path / "run.trace"
    path.write_bytes(file_header() + NAMES + SEND + SEND[:5])
    reading = read_trace(path)
    assert next(reading).kind is Kind.SEND
    with pytest.raises(TraceError):
        next(reading)


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such trace file"):
        read_bytes(tmp_path / "nowhere")
    with pytest.raises(TraceError, match="cannot read the trace file"):
        read_bytes(tmp_path)
