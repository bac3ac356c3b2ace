"""Faults in worlds: what programs see of each, that a run with it repeats, and that shrinking finds it.

What a connection looks like to each call when a fault has struck is compared with Linux in `tests/parity`.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.runs import WorldRuns
from tests.support.worlds import Worlds, functions_of, stdout_of
from wavetank.campaign.confirm import confirm
from wavetank.campaign.shrink import shrink
from wavetank.faults import (
    AnyFault,
    Buffers,
    ClockJump,
    ClockSkew,
    Crash,
    Descriptors,
    Drop,
    Duplicate,
    Eof,
    Latency,
    Loss,
    NameFailure,
    Partition,
    Pause,
    Refuse,
    Reorder,
    Reset,
    Segments,
    Stall,
    Truncate,
)
from wavetank.plan import Plan
from wavetank.world.job import RunResult
from wavetank.world.world import World


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


def passed(result: RunResult) -> RunResult:
    assert result.failure is None, f"{result.failure}\n{result.outputs}"
    return result


def said(worlds: Worlds, scenario: str, *faults: AnyFault, name: str = "client/ask") -> list[str]:
    """What the client printed, line by line."""
    return stdout_of(passed(worlds.run(scenario, faults=faults)), name).splitlines()


# ---- programs


def outcome(call: Callable[..., Any], *args: Any) -> Any:
    """What a call returned, or the name of its errno."""
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)


def serve() -> None:
    """Say what arrives, connection by connection."""
    with socket.create_server(("", 80)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                got, end = 0, ""
                while not end:
                    data = outcome(connection.recv, 65536)
                    got += len(data) if isinstance(data, bytes) else 0
                    end = "" if data and isinstance(data, bytes) else data or "end"
                print(got, end, flush=True)


def ask(connections: int = 3) -> None:
    """Three connections, each writes 100 bytes five times, and says how that went."""
    for _ in range(connections):
        try:
            sock = socket.create_connection(("10.0.0.1", 80))
        except OSError as error:
            print(errno.errorcode[error.errno or 0], flush=True)
            time.sleep(0.05)
            continue
        with sock:
            written = []
            for _ in range(5):
                written.append(outcome(sock.send, b"x" * 100))
                time.sleep(0.01)
            print(*written, flush=True)


def writes(world: World) -> None:
    world.host("server").run(serve)
    world.sleep(0.01)
    world.host("client").run(ask).result()
    world.sleep(10)


FINE = "100 100 100 100 100"


@pytest.mark.parametrize(
    ("fault", "client", "server"),
    [
        (Reset(150), ["100 100 ECONNRESET EPIPE EPIPE"] * 3, ["150 ECONNRESET"] * 3),
        (
            Reset(150, target="client -> server:80 #2"),
            [FINE, "100 100 ECONNRESET EPIPE EPIPE", FINE],
            ["500 end", "150 ECONNRESET", "500 end"],
        ),
        (
            Reset(150, target="accepting -> connecting"),  # which is silent
            [FINE] * 3,
            ["500 end"] * 3,
        ),
        (Reset(), ["100 ECONNRESET EPIPE EPIPE EPIPE", FINE, FINE], ["0 ECONNRESET", "500 end", "500 end"]),
        (
            Reset(duration_s=0.055),
            ["100 ECONNRESET EPIPE EPIPE EPIPE"] + [FINE] * 2,
            ["0 ECONNRESET"] + ["500 end"] * 2,
        ),
        (Reset(at_s=0.035), ["100 100 100 ECONNRESET EPIPE", FINE, FINE], ["300 ECONNRESET", "500 end", "500 end"]),
        (
            Reset(when="accept #2"),
            [FINE, "100 ECONNRESET EPIPE EPIPE EPIPE", FINE],
            ["500 end", "100 ECONNRESET", "500 end"],
        ),
        (
            Reset(when="connect #3"),
            [FINE, FINE, "100 ECONNRESET EPIPE EPIPE EPIPE"],
            ["500 end", "500 end", "0 ECONNRESET"],
        ),
        (
            Reset(when="send #7", target="client -> server"),
            [FINE, "100 100 ECONNRESET EPIPE EPIPE", FINE],
            ["500 end", "200 ECONNRESET", "500 end"],
        ),
        (
            Reset(when="send #7", at_s=0.025, target="client -> server"),
            [FINE, "100 100 100 100 ECONNRESET", FINE],
            ["500 end", "400 ECONNRESET", "500 end"],
        ),
        (Eof(150), ["100 100 100 EPIPE EPIPE"] * 3, ["150 end"] * 3),
        (Eof(150, target="connecting #1"), ["100 100 100 EPIPE EPIPE", FINE, FINE], ["150 end", "500 end", "500 end"]),
        (Eof(at_s=0.035), ["100 100 100 100 EPIPE", FINE, FINE], ["300 end", "500 end", "500 end"]),
        (Refuse(duration_s=0.1), ["ECONNREFUSED"] * 2 + [FINE], ["500 end"]),
        (Refuse(when="accept #1"), [FINE, "ECONNREFUSED", "ECONNREFUSED"], ["500 end"]),
        (Refuse(target="client -> server:81"), [FINE] * 3, ["500 end"] * 3),
        (Drop(at_s=0.02, duration_s=5), [FINE] * 3, ["500 end"] * 3),
        (Drop(target="client -> 10.0.0.1:80 #2"), [FINE, "ETIMEDOUT", FINE], ["500 end"] * 2),
        (Refuse(target="[fd00::2]", duration_s=0.04), ["ECONNREFUSED", FINE, FINE], ["500 end"] * 2),
        (Drop(target="client -> server:80 #2"), [FINE, "ETIMEDOUT", FINE], ["500 end"] * 2),
        (Drop(target="client | server", duration_s=1), [FINE] * 3, ["500 end"] * 3),
        (Partition("client", "server", at_s=0.02, duration_s=5), [FINE] * 3, ["500 end"] * 3),
        (Partition("client", "server", when="connect #2"), [FINE, "ETIMEDOUT", "ETIMEDOUT"], ["500 end"]),
        (Partition("client", "server", when="accept #2", duration_s=5), [FINE] * 3, ["500 end"] * 3),
        (Partition("client", "*", True, when="connect #2", duration_s=5), [FINE] * 3, ["500 end"] * 3),
        (Partition("client", "other", when="connect #1"), [FINE] * 3, ["500 end"] * 3),
        (Stall(target="server", at_s=0.02, duration_s=0.4), [FINE] * 3, ["500 end"] * 3),
        (Descriptors(4, target="client", duration_s=0.05), [FINE] * 3, ["500 end"] * 3),
        (Descriptors(3, target="client", duration_s=0.05), ["EMFILE", FINE, FINE], ["500 end"] * 2),
        (Descriptors(0, "ports", target="client", duration_s=0.05), ["EADDRNOTAVAIL", FINE, FINE], ["500 end"] * 2),
    ],
    ids=str,
)
def test_what_both_ends_of_a_connection_see(
    worlds: Worlds, fault: AnyFault, client: list[str], server: list[str]
) -> None:
    result = passed(worlds.run("writes", faults=[fault]))
    assert stdout_of(result, "client/ask").splitlines() == client
    assert stdout_of(result, "server/serve").splitlines() == server


def test_equal_plans_give_equal_runs(worlds: Worlds) -> None:
    for fault in (Reset(150), Eof(when="send #7"), Stall(at_s=0.02, duration_s=1), Drop(at_s=0.02, duration_s=1)):
        digests = {worlds.run("writes", faults=[fault]).digest for _ in range(2)}
        assert len(digests) == 1, fault


# ---- buffers that are full


def sip() -> None:
    with socket.create_server(("", 80)) as server:
        connection, _ = server.accept()
        with connection:
            print(outcome(connection.recv, 1))
            time.sleep(1000)


def pour() -> None:
    with socket.create_connection(("10.0.0.1", 80)) as sock:
        print(outcome(sock.sendall, bytes(30_000_000)), round(time.monotonic() % 1000, 1))


def pours(world: World) -> None:
    world.host("server").run(sip)
    world.sleep(0.01)
    world.host("client").run(pour).result()


def test_a_reset_when_every_buffer_is_full_meets_a_writer_that_waits(worlds: Worlds) -> None:
    small = Buffers(4096, 4096)
    assert said(worlds, "pours", small, Reset(when="full", at_s=2), name="client/pour") == ["ECONNRESET 2.0"]
    assert said(worlds, "pours", Reset(when="full", at_s=2), name="client/pour") == ["ECONNRESET 2.0"]
    assert said(
        worlds, "pours", small, Reset(when="full", target="server -> client"), Reset(at_s=7), name="client/pour"
    ) == ["ECONNRESET 7.0"]


def send_and_abort() -> None:
    with socket.create_connection(("10.0.0.1", 80)) as sock:
        sock.sendall(b"x" * 100)
        time.sleep(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def aborts(world: World) -> None:
    world.host("server").run(serve)
    world.sleep(0.01)
    world.host("client").run(send_and_abort).result()
    world.sleep(0.1)


def test_a_stalled_reader_is_told_of_a_reset(worlds: Worlds) -> None:
    result = passed(worlds.run("aborts", faults=[Stall(target="server")]))
    assert stdout_of(result, "server/serve").split() == ["100", "ECONNRESET"]


def drain() -> None:
    with socket.create_server(("", 80)) as server:
        while True:
            peer, _ = server.accept()
            with peer:
                while peer.recv(100_000):
                    pass


def fill() -> None:
    for _ in range(2):
        with socket.create_connection(("10.0.0.1", 80)) as sock:
            sock.settimeout(1)
            try:
                sock.sendall(bytes(20_000_000))
                print("sent")
            except TimeoutError:
                print("stalled")


def fills(world: World) -> None:
    world.host("server").run(drain)
    world.sleep(0.01)
    world.host("client").run(fill).result()


@pytest.mark.parametrize(
    "target", ["accepting", "server", "server:80", "connecting -> accepting", "server | client", "*"]
)
def test_a_stall_at_an_event_means_who_reads_as_it_does_without_one(worlds: Worlds, target: str) -> None:
    assert said(worlds, "fills", Stall(target=target, when="accept #1"), name="client/fill")[0] == "stalled"
    assert said(worlds, "fills", Stall(target=target), name="client/fill")[0] == "stalled"


@pytest.mark.parametrize("target", ["connecting", "client", "accepting -> connecting"])
def test_a_stall_of_who_only_writes_does_nothing(worlds: Worlds, target: str) -> None:
    assert said(worlds, "fills", Stall(target=target, when="accept #1"), name="client/fill") == ["sent", "sent"]
    assert said(worlds, "fills", Stall(target=target), name="client/fill") == ["sent", "sent"]


# ---- datagrams


def take() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("", 53))
        sock.settimeout(1)
        try:
            while True:
                print(sock.recv(100).decode(), end=" ")
        except TimeoutError:
            pass


def throw() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        for number in range(20):
            sock.sendto(f"{number:02}".encode(), ("10.0.0.1", 53))
            time.sleep(0.001)


def datagrams(world: World) -> None:
    taking = world.host("server").run(take)
    world.sleep(0.01)
    world.host("client").run(throw).result()
    taking.result()


ALL = [f"{number:02}" for number in range(20)]


def taken(worlds: Worlds, *faults: AnyFault) -> list[str]:
    return stdout_of(passed(worlds.run("datagrams", faults=faults)), "server/take").split()


def test_datagrams_get_lost_doubled_overtaken_and_cut(worlds: Worlds) -> None:
    assert taken(worlds) == ALL
    lost = taken(worlds, Loss(0.4))
    assert lost == [each for each in ALL if each in lost]
    assert 2 < len(lost) < 18
    assert taken(worlds, Loss(0.4, "datagrams")) == lost
    assert taken(worlds, Loss(0.4, "segments")) == ALL
    double = taken(worlds, Duplicate(0.4))
    assert sorted({*double}) == ALL
    assert double == sorted(double)
    assert 22 < len(double) < 38
    overtaken = taken(worlds, Reorder(0.4))
    assert sorted(overtaken) == ALL
    assert overtaken != ALL
    assert taken(worlds, Truncate(1)) == [each[0] for each in ALL]
    assert taken(worlds, Truncate(0)) == []


def test_a_datagram_fault_aims_at_ports(worlds: Worlds) -> None:
    assert taken(worlds, Drop(target="client -> server:53")) == []
    assert taken(worlds, Drop(target="client -> server:54")) == ALL
    assert taken(worlds, Drop(target="server:53 -> client")) == ALL


# ---- names


def look_up() -> None:
    for name in ("server", "client", "localhost", "10.0.0.1"):
        start = time.monotonic()
        try:
            found = socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
        except socket.gaierror as error:
            found = error.strerror
        print(f"{name} {found} {time.monotonic() - start:.1f}")


def lookups(world: World) -> None:
    world.host("server")
    world.host("client").run(look_up).result()


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (NameFailure("not-found"), "server Name or service not known 0.0"),
        (NameFailure("try-again"), "server Temporary failure in name resolution 0.0"),
        (NameFailure("slow", 2), "server 10.0.0.1 2.0"),
        (NameFailure("slow", target="client"), "server 10.0.0.1 5.0"),
        (NameFailure("try-again", target="client -> SERVER"), "server Temporary failure in name resolution 0.0"),
        (NameFailure("try-again", target="client -> other"), "server 10.0.0.1 0.0"),
        (NameFailure("try-again", target="server"), "server 10.0.0.1 0.0"),
    ],
    ids=str,
)
def test_lookups_fail_but_for_names_of_ones_own(worlds: Worlds, fault: AnyFault, line: str) -> None:
    own = ["client 10.0.0.2 0.0", "localhost 127.0.0.1 0.0", "10.0.0.1 10.0.0.1 0.0"]
    assert said(worlds, "lookups", fault, name="client/look_up") == [line, *own]


# ---- clocks


def tell() -> None:
    start, wall = time.monotonic(), time.time()
    for _ in range(6):
        time.sleep(1)
        print(f"{time.time() - wall:.3f} {time.monotonic() - start:.3f}")


def clocks(world: World) -> None:
    world.host("client").run(tell, name="ask").result()


@pytest.mark.parametrize(
    ("faults", "wall"),
    [
        ([ClockSkew(5, at_s=1.5, duration_s=2)], ["1.000", "7.000", "8.000", "4.000", "5.000", "6.000"]),
        ([ClockSkew(-60), ClockJump(-7, at_s=1.5)], ["1.000", "-5.000", "-4.000", "-3.000", "-2.000", "-1.000"]),
        ([ClockJump(10, at_s=1.5, duration_s=1)], ["1.000", "12.000", "3.000", "4.000", "5.000", "6.000"]),
        ([ClockSkew(0, 1000, at_s=1, duration_s=3)], ["1.000", "2.001", "3.002", "4.000", "5.000", "6.000"]),
        ([ClockSkew(5, target="server", at_s=2)], ["1.000", "2.000", "3.000", "4.000", "5.000", "6.000"]),
    ],
    ids=str,
)
def test_wall_clocks_are_wrong_and_right_again(worlds: Worlds, faults: list[AnyFault], wall: list[str]) -> None:
    lines = [line.split() for line in said(worlds, "clocks", *faults)]
    assert [line[0] for line in lines] == wall
    assert [line[1] for line in lines] == ["1.000", "2.000", "3.000", "4.000", "5.000", "6.000"]


# ---- power


def beat() -> None:
    start = time.monotonic()
    for _ in range(4):
        time.sleep(0.25)
        print(f"{time.monotonic() - start:.2f}", flush=True)


def beats(world: World) -> None:
    world.host("client").run(beat, name="ask").result()
    assert world.now < 10


ONE_LIFE = ["0.25", "0.50", "0.75", "1.00"]


def lives(result: RunResult) -> list[list[str]]:
    return [output.stdout.split() for output in result.outputs if output.name == "client/ask"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Pause(at_s=0.6, duration_s=3), [["0.25", "0.50", "3.60", "3.85"]]),
        (Pause(target="client", at_s=0.6, duration_s=3), [["0.25", "0.50", "3.60", "3.85"]]),
        (Pause(target="server", at_s=0.6, duration_s=3), [ONE_LIFE]),
        (Pause(duration_s=2), [["0.25", "0.50", "0.75", "1.00"]]),  # it starts when the host goes on
        (Pause(), [ONE_LIFE]),  # for ever: healed when nothing else can happen
        (Crash(1, at_s=0.6), [["0.25", "0.50"], ONE_LIFE]),
        (Crash(1), [ONE_LIFE]),
        (Crash(1, "SIGTERM", at_s=0.6), [["0.25", "0.50"], ONE_LIFE]),
        (Crash(1, "SIGINT", at_s=0.6), [["0.25", "0.50"], ONE_LIFE]),
    ],
    ids=str,
)
def test_a_host_stops_and_goes_on(worlds: Worlds, fault: AnyFault, expected: list[list[str]]) -> None:
    assert lives(passed(worlds.run("beats", faults=[fault]))) == expected


def test_who_waits_for_a_program_that_is_gone_for_good_is_told(worlds: Worlds) -> None:
    failure = worlds.run("beats", faults=[Crash(at_s=0.6)]).failure
    assert failure is not None
    assert "client/ask was killed by signal 9" in failure.error


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_while_a_process_begins_waits_for_its_program(worlds: Worlds, number: str) -> None:
    for tenth_us in range(2, 40, 2):
        result = passed(worlds.run("beats", faults=[Crash(1, number, at_s=tenth_us * 1e-7)]))
        assert lives(result)[-1] == ONE_LIFE


def stubborn() -> None:
    import signal

    signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
    beat()


def stubborn_beats(world: World) -> None:
    world.host("client").run(stubborn, name="ask").result()


def test_what_does_not_stop_is_killed_when_the_host_restarts(worlds: Worlds) -> None:
    result = passed(worlds.run("stubborn_beats", faults=[Crash(0.3, "SIGTERM", at_s=0.3)]))
    assert lives(result) == [["0.25", "not", "yet", "0.50"], ONE_LIFE]


def echo() -> None:
    with socket.create_server(("", 80)) as server:
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(ConnectionError):
                while data := connection.recv(100):
                    connection.sendall(data)


def talk() -> None:
    with socket.create_connection(("10.0.0.1", 80)) as sock:
        sock.settimeout(3)
        for _ in range(6):
            print(outcome(sock.send, b"x"), outcome(sock.recv, 9), flush=True)
            time.sleep(0.5)


def talks(world: World) -> None:
    world.host("server").run(echo)
    world.sleep(0.01)
    world.host("client").run(talk, name="ask").result()


def test_the_peer_of_a_host_that_restarts_is_reset(worlds: Worlds) -> None:
    lines = said(worlds, "talks", Crash(1, target="server", at_s=0.8))
    assert lines == ["1 b'x'"] * 2 + ["1 ECONNRESET", "EPIPE b''", "EPIPE b''", "EPIPE b''"]


def test_the_peer_of_a_paused_host_waits(worlds: Worlds) -> None:
    assert said(worlds, "talks", Pause(target="server", at_s=0.8, duration_s=2)) == ["1 b'x'"] * 6
    assert said(worlds, "talks", Pause(target="server", at_s=0.8, duration_s=4))[2] == "1 TimeoutError"


def test_an_end_between_a_request_and_its_reply(worlds: Worlds) -> None:
    half = said(worlds, "talks", Eof(target="connecting -> accepting", when="reply #2"))
    assert half == ["1 b'x'", "1 b'x'", "1 b''", "EPIPE b''", "EPIPE b''", "EPIPE b''"]
    lost = said(worlds, "talks", Reset(target="connecting -> accepting", when="reply #2"))
    assert lost == ["1 b'x'", "1 b'x'", "ECONNRESET b''", "EPIPE b''", "EPIPE b''", "EPIPE b''"]
    back = said(worlds, "talks", Reset(target="accepting -> connecting", when="reply #5"))  # the 6th request
    assert back == ["1 b'x'"] * 5 + ["1 ECONNRESET"]
    assert said(worlds, "talks", Reset(target="accepting -> connecting", when="reply #6")) == ["1 b'x'"] * 6


def test_a_crash_at_an_event(worlds: Worlds) -> None:
    lines = said(worlds, "talks", Crash(1, target="server", when="send #5"))
    assert lines[:2] == ["1 b'x'"] * 2
    assert lines[2] in ("1 ECONNRESET", "1 b'x'")
    assert lines[-1] == "EPIPE b''"


# ---- two phases: faults, then all healed, and progress demanded


def waits_for_ever(world: World) -> None:
    def wait() -> None:
        with socket.create_server(("", 80)) as server:
            server.accept()

    world.host("server").run(wait).result()


def test_a_hang_counts_only_after_all_is_healed(worlds: Worlds) -> None:
    lines = said(worlds, "talks", Stall(target="server", at_s=0.3))
    assert lines[0] == "1 b'x'"
    assert said(worlds, "writes", Drop(target="client -> server"), Refuse(target="nobody"))[0] == "ETIMEDOUT"
    failure = worlds.run("waits_for_ever", faults=[Drop()]).failure
    assert failure is not None
    assert failure.kind == "hang"
    assert failure.error.startswith("nothing can happen any more, although every fault was healed at 0.0000")


def naps(world: World) -> None:
    def nap() -> None:
        while not done:
            time.sleep(1)

    done: list[int] = []

    def connect() -> None:
        with socket.create_server(("", 80)) as server:
            server.accept()[0].close()
            done.append(1)

    def knock() -> None:
        time.sleep(1)
        socket.create_connection(("10.0.0.1", 80)).close()

    server = world.host("server")
    server.run(connect)
    waiting = server.run(nap)
    world.host("client").run(knock)
    waiting.result()


def naps_on(world: World) -> None:
    def nap() -> None:
        while True:
            time.sleep(1)

    world.host("server").run(nap).result()


def test_a_virtual_limit_under_faults_is_followed_by_as_much_time_without(worlds: Worlds) -> None:
    limit_ns = 20_000_000_000
    result = worlds.run("naps", faults=[Drop()], virtual_limit_ns=limit_ns)
    assert passed(result).virtual_ns > limit_ns
    failure = worlds.run("naps_on", faults=[Drop()], virtual_limit_ns=limit_ns).failure
    assert failure is not None
    assert failure.error.startswith("not finished after 40 virtual seconds, although every fault was healed at 20.0000")
    failure = worlds.run("naps_on", faults=[Drop(duration_s=2)], virtual_limit_ns=limit_ns).failure
    assert failure is not None
    assert failure.error.startswith("not finished after 20 virtual seconds;")


# ---- from the scenario


def steered(world: World) -> None:
    world.host("server").run(serve)
    client = world.host("client")
    world.sleep(0.01)
    world.inject(Refuse())
    client.run(ask, 1, name="refused").result()
    world.heal()
    world.inject(Reset(when="accept"))
    client.run(ask, 2, name="reset").result()
    world.inject(Crash(5, target="server"))
    later = world.host("other")
    later.run(ask, 1, name="dead").result()
    world.sleep(3)
    later.run(ask, 1, name="alive").result()


def test_a_scenario_injects_and_heals(worlds: Worlds) -> None:
    result = passed(worlds.run("steered"))
    assert stdout_of(result, "client/refused").split() == ["ECONNREFUSED"]
    assert stdout_of(result, "client/reset").splitlines() == ["100 ECONNRESET EPIPE EPIPE EPIPE", FINE]
    assert stdout_of(result, "other/dead").split() == ["EHOSTUNREACH"]
    assert stdout_of(result, "other/alive").splitlines() == [FINE]


def test_a_fault_at_a_host_that_there_is_not_is_noted(worlds: Worlds) -> None:
    result = passed(worlds.run("beats", faults=[Pause(target="cleint", duration_s=1)]))
    assert result.notes == [
        "0.00 s: pause on cleint for 1 s: no host is called 'cleint'. Did you mean 'client'? The hosts were client"
    ]


# ---- each repeats, and shrinking finds it among others


def everything_works(world: World) -> None:
    """Breaks under any of the faults."""
    server = world.host("server")
    server.run(echo)
    taking = server.run(take)
    world.sleep(0.01)
    client = world.host("client")
    client.run(throw).result()
    talking = client.run(converse)
    wall = client.run(tell)
    beating = server.run(beat)
    for program in (talking, wall, beating, taking):
        program.result()
    assert wall.stdout.split()[0::2] == wall.stdout.split()[1::2], "wrong time"
    assert beating.stdout.split() == ONE_LIFE, "late"
    assert taking.stdout.split() == ALL, "datagrams"


def converse() -> None:
    for _ in range(8):
        with socket.create_connection((socket.gethostbyname("server"), 80), timeout=5) as sock:
            sock.sendall(b"hello" * 10)
            got = b""
            while len(got) < 50:
                data = sock.recv(50)
                assert data, "too little"
                got += data
            time.sleep(0.05)
            extra = [socket.socket() for _ in range(3)]
            for each in extra:
                each.close()


EACH = [
    Reset(40),
    Reset(when="accept #3"),
    Eof(20),
    Stall(target="client", at_s=0.1, duration_s=20),
    Drop(at_s=0.1, duration_s=20),
    Refuse(at_s=0.1, duration_s=1),
    NameFailure("try-again", at_s=0.1, duration_s=0.2),
    ClockSkew(3, target="client", at_s=2.5),
    ClockJump(-3, target="client", at_s=2.5),
    Pause(target="server", at_s=0.4, duration_s=3),
    Crash(2, target="server", at_s=0.4),
    Duplicate(0.5),
    Reorder(0.5),
    Truncate(1),
    Loss(0.5, "datagrams"),
    Descriptors(5, target="client", at_s=0.2, duration_s=0.2),
    Descriptors(0, "ports", target="client", at_s=0.2, duration_s=0.2),
]
AROUND = (Latency(0.001, 0.002), Segments(20))


@pytest.mark.parametrize("fault", EACH, ids=str)
def test_each_fault_repeats_and_shrinks_to_itself(worlds: Worlds, fault: AnyFault) -> None:
    runs = WorldRuns(worlds, "everything_works")
    plan = Plan(seed=3, faults=(AROUND[0], fault, AROUND[1]))
    result = runs.run(plan)
    assert result.failure is not None
    verdict = confirm(runs, plan, result)
    assert not verdict.parted
    small = shrink(runs, verdict)
    assert [type(each) for each in small.plan.faults] == [type(fault)]  # this one, or a gentler one
    again = runs.run(small.plan)
    assert again.failure is not None
    assert again.digest == small.result.digest


def test_without_faults_everything_works(worlds: Worlds) -> None:
    passed(worlds.run("everything_works"))
    passed(worlds.run("everything_works", faults=AROUND))


# ---- faults of the scenario itself


def waits_as_told(world: World) -> None:
    def answer() -> None:
        listener = socket.create_server(("", 8000))
        while True:
            with listener.accept()[0] as connection:
                connection.sendall(connection.recv(100))

    def ask() -> float:
        began = time.monotonic()
        with socket.create_connection(("server", 8000)) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
        return time.monotonic() - began

    world.host("server").run(answer)
    world.sleep(0.1)
    world.inject(Latency(delay_s=2.0, target="server -> client", when="connect #1"))
    print(world.host("client").run(ask).result())


def test_the_bound_on_drawn_delays_is_not_for_what_a_scenario_injects(worlds: Worlds) -> None:
    result = passed(worlds.run("waits_as_told", plan=Plan(seed=0, epoch_s=0, delay_limit_s=1.0)))
    assert 4.0 < float(stdout_of(result, "director")) < 4.1


# ---- pairs of sockets that a thread makes for itself, where others have socketpair(2)


def wakes_itself(world: World) -> None:
    def program() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            mine = socket.create_connection(listener.getsockname())
            other, _ = listener.accept()
        print(outcome(mine.send, b"x"), outcome(other.recv, 10), outcome(mine.send, b"y"))

    world.host("client").run(program).result()


@pytest.mark.parametrize(("limit_s", "seen"), [(1.0, "1 b'x' 1"), (None, "1 b'x' ECONNRESET")])
def test_what_is_drawn_does_not_break_pairs_of_sockets_and_what_is_said_by_hand_does(
    worlds: Worlds, limit_s: float | None, seen: str
) -> None:
    plan = Plan(seed=0, epoch_s=0, faults=(Reset(when="send #1"),), delay_limit_s=limit_s)
    assert stdout_of(passed(worlds.run("wakes_itself", plan=plan)), "client/program").strip() == seen
