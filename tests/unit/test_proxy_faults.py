"""Each fault of the proxy on streams: what is asked is what is observed, on new connections and on live ones."""

import hashlib
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lines import connected, echo, ending_of_a_connection, exactly, serving, silent, to_the_end
from wavetank import faults
from wavetank.errors import PlanError, UsageError
from wavetank.faults import (
    Bandwidth,
    Drop,
    Eof,
    Latency,
    Loss,
    Partition,
    Refuse,
    Reset,
    Segments,
    SlowReader,
    Stall,
)
from wavetank.plan import Plan, write_plan
from wavetank.proxy import FaultProxy

UP = "client -> server"
DOWN = "server -> client"


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with serving(echo) as server, FaultProxy(server.port) as running:
        yield running


def asked(client: socket.socket, data: bytes = b"ping") -> bytes:
    client.sendall(data)
    return exactly(client, len(data))


def seconds_for(client: socket.socket, data: bytes = b"ping") -> float:
    start = time.monotonic()
    assert asked(client, data) == data
    return time.monotonic() - start


# ---- time


def test_latency_is_never_early_and_can_be_one_way(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        asked(client)
        proxy.inject(Latency(0.05, target=UP))
        assert seconds_for(client) >= 0.05
        proxy.inject(Latency(0.05, target=DOWN))
        assert seconds_for(client) >= 0.1
        proxy.clear()
        assert asked(client) == b"ping"


def test_latency_keeps_the_order_and_every_byte(proxy: FaultProxy) -> None:
    blob = random.Random(3).randbytes(4 << 20)
    proxy.inject(Latency(0.01, 0.02))
    with connected(proxy.port) as client:
        writer = threading.Thread(target=lambda: (client.sendall(blob), client.shutdown(socket.SHUT_WR)))
        writer.start()
        data, end = to_the_end(client)
        writer.join()
    assert (hashlib.sha256(data).digest(), end) == (hashlib.sha256(blob).digest(), "EOF")


def test_what_is_delayed_comes_at_once_when_the_line_is_healed(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        proxy.inject(Latency(3600.0))
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        assert silent(client)
        proxy.clear()
        assert to_the_end(client) == (b"late", "EOF")


def test_bandwidth_bounds_the_line_and_the_first_bytes_go_at_once(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        proxy.inject(Bandwidth(100_000, target=UP))
        start = time.monotonic()
        assert asked(client, b"x" * 20_000) == b"x" * 20_000
        assert time.monotonic() - start > 0.15
        first = proxy.events.of("data", direction=UP)[0]
        assert first.size < 1000


def test_two_connections_share_the_bandwidth_of_the_line(proxy: FaultProxy) -> None:
    proxy.inject(Bandwidth(100_000, target=UP))
    with connected(proxy.port) as one, connected(proxy.port) as other:
        start = time.monotonic()
        for client in (one, other):
            client.sendall(b"x" * 10_000)
        for client in (one, other):
            assert len(exactly(client, 10_000)) == 10_000
        assert time.monotonic() - start > 0.15


def test_loss_costs_time_and_no_bytes(proxy: FaultProxy) -> None:
    blob = random.Random(4).randbytes(100_000)
    proxy.inject(Loss(0.2))
    with connected(proxy.port) as client:
        assert asked(client, blob) == blob
        assert seconds_for(client, b"x" * 20) >= 0


# ---- pieces


def test_segments_cut_down_to_single_bytes(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        proxy.inject(Segments(1, target=DOWN))
        assert asked(client, b"0123456789") == b"0123456789"
        sizes = [event.size for event in proxy.events.of("data", direction=DOWN)]
        assert sizes == [1] * 10


def test_pieces_follow_from_the_seed() -> None:
    def sizes(seed: int) -> list[int]:
        with serving(echo) as server, FaultProxy(server.port, seed=seed) as proxy, connected(proxy.port) as client:
            proxy.inject(Segments(9, target=UP))
            assert asked(client, b"x" * 200) == b"x" * 200
            return [event.size for event in proxy.events.of("data", direction=UP)]

    first = sizes(1)
    assert max(first) <= 9
    assert first == sizes(1)
    assert first != sizes(2)


def test_a_slow_reader_closes_the_window(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        proxy.inject(SlowReader(1000, target="server"))
        client.setblocking(False)
        while select.select([], [client], [], 0.5)[1]:
            client.send(b"b" * (1 << 16))
        assert proxy.events.delivered(UP) < 100_000


# ---- ends


@pytest.mark.parametrize("size", [1, 10_000, 300_000])
def test_a_reset_after_so_many_bytes_comes_after_exactly_these(proxy: FaultProxy, size: int) -> None:
    proxy.inject(Reset(size, target=DOWN))
    with connected(proxy.port) as client:
        client.sendall(b"x" * (size + 5000))
        data, end = to_the_end(client)
    assert (len(data), end) == (size, "RST")


def test_a_reset_after_so_many_bytes_counts_on_a_live_connection(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        assert asked(client, b"x" * 100) == b"x" * 100
        proxy.inject(Reset(150, target=UP))
        client.sendall(b"y" * 100)
        data, end = to_the_end(client)
    assert (len(data), end) == (50, "RST") or end == "RST"
    event = proxy.events.wait("reset", direction=UP)
    assert (event.offset, event.text) == (150, "reset after 150 bytes")


def test_a_reset_now_strikes_both_ends_of_live_connections() -> None:
    with serving(to_the_end) as server, FaultProxy(server.port) as proxy:
        with connected(proxy.port) as client:
            client.sendall(b"x")
            proxy.events.wait("data")
            proxy.inject(Reset())
            assert to_the_end(client) == (b"", "RST")
        _, end = server.result()  # type: ignore[misc]
        assert end == "RST"


def test_a_reset_now_waits_for_the_next_connection_when_there_is_none(proxy: FaultProxy) -> None:
    proxy.inject(Reset())
    assert ending_of_a_connection(proxy.port) == "RST"
    with connected(proxy.port) as client:
        assert asked(client) == b"ping"


def test_an_end_after_so_many_bytes_is_orderly_and_exact() -> None:
    def say_much(peer: socket.socket) -> int:
        peer.sendall(b"z" * 50_000)
        return len(to_the_end(peer)[0])

    with serving(say_much) as server, FaultProxy(server.port) as proxy:
        proxy.inject(Eof(10_000, target=DOWN))
        with connected(proxy.port) as client:
            data, end = to_the_end(client)
            assert (len(data), end) == (10_000, "EOF")
            client.sendall(b"the other way is open")
        assert server.result() == 21


def test_an_end_of_both_directions_ends_both(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        assert asked(client) == b"ping"
        proxy.inject(Eof())
        assert to_the_end(client) == (b"", "EOF")
        proxy.events.wait("close", connection=1)


# ---- silence


@pytest.mark.parametrize(
    "fault",
    [
        Stall(),
        Stall(target="server"),
        Partition("client", "server"),
        Partition("client", "*", one_way=True),
        Partition("*", "server"),
        Latency(3600),
    ],
    ids=str,
)
def test_what_was_held_back_arrives_and_the_connection_lives(proxy: FaultProxy, fault: faults.AnyFault) -> None:
    with connected(proxy.port) as client:
        assert asked(client) == b"ping"
        proxy.inject(fault)
        client.sendall(b"held")
        assert silent(client)
        proxy.clear()
        assert exactly(client, 4) == b"held"
        assert asked(client) == b"ping"


def test_what_was_dropped_never_arrives_and_the_connection_lives(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        assert asked(client) == b"ping"
        proxy.inject(Drop(target=UP))
        client.sendall(b"gone")
        event = proxy.events.wait("dropped")
        assert (event.direction, event.offset, event.size) == (UP, 4, 4)
        proxy.clear()
        assert asked(client, b"pong") == b"pong"


@pytest.mark.parametrize("fault", [Drop(), Partition("client", "server")], ids=str)
def test_nobody_is_told_of_an_end_while_the_line_is_down(fault: faults.AnyFault) -> None:
    with serving(to_the_end) as server, FaultProxy(server.port) as proxy:
        with connected(proxy.port) as client:
            client.sendall(b"x")
            proxy.events.wait("data")
            proxy.inject(fault)
        time.sleep(0.05)
        assert not server.results
        proxy.clear()
        assert server.result() == (b"x", "EOF")


def test_what_a_new_connection_sends_is_dropped_as_well(proxy: FaultProxy) -> None:
    proxy.inject(Drop())
    with connected(proxy.port) as client, connected(proxy.port) as ended, connected(proxy.port) as broken:
        client.sendall(b"gone")
        assert proxy.events.wait("dropped").size == 4
        assert not proxy.events.of("connect")
        ended.shutdown(socket.SHUT_WR)
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broken.close()
        proxy.events.wait("close", connection=3)
        proxy.clear()
        assert asked(client, b"pong") == b"pong"
        assert to_the_end(ended) == (b"", "EOF")


def test_a_reset_is_told_first_of_the_direction_that_came_to_its_place(proxy: FaultProxy) -> None:
    proxy.inject(Reset(after_bytes=3, target=UP))
    with connected(proxy.port) as client:
        client.sendall(b"12345")
        event = proxy.events.wait("reset")
    assert (event.direction, event.offset) == (UP, 3)


def test_a_connection_opened_while_the_line_is_down_goes_on_when_it_is_healed(proxy: FaultProxy) -> None:
    proxy.inject(Partition("client", "server"))
    with connected(proxy.port) as client:
        client.sendall(b"early")
        assert silent(client)
        assert not proxy.events.of("connect")
        proxy.clear()
        assert exactly(client, 5) == b"early"


def test_refused_connections_are_really_refused_and_open_ones_go_on(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        proxy.inject(Refuse())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), 30)
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", proxy.port))
        assert asked(client) == b"ping"
        proxy.clear()
        with connected(proxy.port) as another:
            assert asked(another) == b"ping"


def test_refused_on_a_unix_socket(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "server"))
    listener.listen()
    with serving(echo, listener), FaultProxy(tmp_path / "server", listen=tmp_path / "proxy") as proxy:
        proxy.inject(Refuse())
        with pytest.raises(ConnectionRefusedError), connected(proxy.address):
            pass
        proxy.clear()
        with connected(proxy.address) as client:
            assert asked(client) == b"ping"


# ---- targets, times, plans


def test_a_fault_can_aim_at_one_connection(proxy: FaultProxy) -> None:
    proxy.inject(Reset(3, target=f"{UP}:{proxy.port} #2"))
    endings = []
    for _ in range(3):
        with connected(proxy.port) as client:
            client.sendall(b"12345")
            endings.append(exactly(client, 5) if len(endings) != 1 else to_the_end(client)[1])
    assert endings == [b"12345", "RST", b"12345"]


def test_refuse_can_aim_at_one_connection(proxy: FaultProxy) -> None:
    proxy.inject(Refuse(target="* #1"))
    assert ending_of_a_connection(proxy.port) == "RST"
    with connected(proxy.port) as client:
        assert asked(client) == b"ping"


def test_a_fault_begins_and_ends_at_its_time(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        proxy.inject(Stall(at_s=0.01, duration_s=0.2))
        proxy.events.wait("fault")
        client.sendall(b"held")
        assert exactly(client, 4) == b"held"
        kinds = [event.kind for event in proxy.events.of("fault", "healed", "data")]
    assert kinds[:3] == ["fault", "healed", "data"]


@pytest.mark.parametrize("event", ["accept #2", "connect #2"])
def test_a_drop_at_an_event_concerns_its_connection_alone(proxy: FaultProxy, event: str) -> None:
    proxy.inject(Drop(when=event))
    with connected(proxy.port) as one, connected(proxy.port) as two, connected(proxy.port) as three:
        proxy.events.wait("connect", connection=3)
        two.sendall(b"gone")
        assert (asked(one), asked(three)) == (b"ping", b"ping")
        assert silent(two)


def test_a_reset_at_an_event_concerns_its_connection_alone(proxy: FaultProxy) -> None:
    proxy.inject(Reset(when="accept #2"))
    with connected(proxy.port) as one:
        assert ending_of_a_connection(proxy.port) == "RST"
        with connected(proxy.port) as three:
            assert (asked(one), asked(three)) == (b"ping", b"ping")


def test_another_fault_at_an_event_concerns_all_of_its_target(proxy: FaultProxy) -> None:
    proxy.inject(Latency(0.02, when="accept #2", target=UP))
    with connected(proxy.port) as one:
        assert asked(one) == b"ping"
        assert not proxy.events.of("fault")
        with connected(proxy.port) as two:
            proxy.events.wait("fault")
            assert seconds_for(one) >= 0.02
            assert seconds_for(two) >= 0.02


def test_one_fault_can_be_healed_alone(proxy: FaultProxy) -> None:
    stall = proxy.inject(Stall())
    proxy.inject(Segments(1))
    proxy.clear(stall)
    assert [fault.name for _, fault, _ in proxy.faults] == ["segments"]
    with connected(proxy.port) as client:
        assert asked(client) == b"ping"


def test_a_plan_file_is_that_of_the_simulator(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(Plan(seed=7, faults=(Reset(2, target="app -> db #1"),), choices={"cut a -> b:1 #1 / 0": 1}), path)
    with serving(echo) as server, FaultProxy(server.port, plan=path, names=("app", "db")) as proxy:
        assert proxy.seed == 7
        with connected(proxy.port) as client:
            client.sendall(b"four")
            assert to_the_end(client)[1] == "RST"
        assert proxy.events.of("note")[0].text == "1 choices of the plan are the simulator's"


def test_what_only_the_simulator_can_do_is_named_with_its_live_equivalent(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(Plan(faults=(faults.ClockSkew(5.0), Latency(0.1), faults.Crash(), faults.Pause(duration_s=1))), path)
    with pytest.raises(PlanError) as caught:
        FaultProxy(1, plan=path)
    assert str(caught.value) == (
        f"{path}: clock-skew is for the simulator only; on a real line: run the program under faketime; "
        "crash is for the simulator only; on a real line: partition and then reset, or stop and start the server "
        "(wavetank.servers); pause is for the simulator only; on a real line: stall, or SIGSTOP to the server"
    )


@pytest.mark.parametrize("word", sorted(faults.WORDS))
def test_every_word_is_carried_out_or_named(word: str) -> None:
    values = {
        "latency": Latency(0.1), "bandwidth": Bandwidth(1), "segments": Segments(1), "slow-reader": SlowReader(1),
        "loss": Loss(0.1), "partition": Partition("client", "server"), "buffers": faults.Buffers(1, 1),
        "scheduling": faults.Scheduling(0.1), "name-failure": faults.NameFailure("slow"),
        "clock-skew": faults.ClockSkew(1.0), "clock-jump": faults.ClockJump(1.0), "duplicate": faults.Duplicate(0.1),
        "reorder": faults.Reorder(0.1), "truncate": faults.Truncate(1), "descriptors": faults.Descriptors(1),
    }  # fmt: skip
    fault = values.get(word) or faults.WORDS[word]()
    for upstream in ("127.0.0.1:1", "udp:127.0.0.1:1"):
        with FaultProxy(upstream) as proxy:
            said = ""
            try:
                proxy.inject(fault)
            except PlanError as error:
                said = str(error)
            carried_out = [each for _, each, _ in proxy.faults] == [fault]
            assert carried_out is not said.startswith(word)
            assert "\n" not in said


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (faults.Duplicate(0.1), "duplicate does nothing to a stream (127.0.0.1:1): "),
        (Loss(0.1, of="datagrams"), "loss of datagrams does nothing to a stream (127.0.0.1:1): use loss of all"),
        (Latency(1, target="app"), "the target names 'app', and the ends of this proxy are 'client' and 'server'"),
        (Latency(1, target=f"{UP}:9"), "the target names port 9, and the server's is 1 (upstream) or "),
        (Stall(when="full #1"), "the event 'full #1' is for the simulator only"),
    ],
    ids=str,
)
def test_a_fault_that_makes_no_sense_here_is_one_clear_line(fault: faults.AnyFault, line: str) -> None:
    with FaultProxy(1) as proxy, pytest.raises(PlanError) as caught:
        proxy.inject(fault)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_fault_is_refused(proxy: FaultProxy) -> None:
    with pytest.raises(UsageError, match="'latency' is not a fault"):
        proxy.inject("latency")  # type: ignore[arg-type]
