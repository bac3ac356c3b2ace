"""The proxy and datagrams: borders, clients, and each fault of them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wavetank.faults import Bandwidth, Drop, Duplicate, Latency, Loss, Partition, Refuse, Reorder, Stall, Truncate
from wavetank.proxy import FaultProxy, datagrams

UP = "client -> server"
DOWN = "server -> client"
#: What seed 0 draws.
LOST_OF_40 = 20


@contextmanager
def echoing(server: socket.socket) -> Iterator[socket.socket]:
    """Sends each datagram back until an empty one comes."""

    def talk() -> None:
        while True:
            data, name = server.recvfrom(1 << 16)
            if not data:
                return
            server.sendto(data, name)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield server
    finally:
        with socket.socket(server.family, socket.SOCK_DGRAM) as last:
            last.sendto(b"", server.getsockname())
        thread.join()
        server.close()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    with echoing(server), FaultProxy(f"udp:127.0.0.1:{server.getsockname()[1]}") as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect(("127.0.0.1", proxy.port))
        made.settimeout(30)
        yield made


def asked(client: socket.socket, data: bytes) -> bytes:
    client.send(data)
    return client.recv(1 << 16)


def test_borders_are_kept(client: socket.socket) -> None:
    client.send(b"one")
    client.send(b"")
    client.send(b"three")
    assert client.recv(100) == b"one"


def test_every_client_gets_its_own_answers(proxy: FaultProxy, client: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.connect(("127.0.0.1", proxy.port))
        other.settimeout(30)
        client.send(b"first")
        other.send(b"second")
        assert (client.recv(100), other.recv(100)) == (b"first", b"second")
    assert [event.connection for event in proxy.events.of("accept")] == [1, 2]


def test_the_longest_datagram_passes(client: socket.socket) -> None:
    longest = b"x" * 65_507
    assert asked(client, longest) == longest


def test_lost_ones_are_gone_and_named(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.inject(Loss(1.0, target=UP))
    client.send(b"gone")
    assert proxy.events.wait("lost").text == "loss"
    proxy.clear()
    assert asked(client, b"here") == b"here"


def test_which_ones_are_lost_follows_from_the_seed(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.inject(Loss(0.5, target=UP))
    for number in range(40):
        client.send(bytes([number]))
    while len(proxy.events.of("lost", "datagram", direction=UP)) < 40:
        time.sleep(0.001)
    assert [event.kind for event in proxy.events.of("lost", "datagram", direction=UP)].count("lost") == LOST_OF_40


@pytest.mark.parametrize("fault", [Drop(), Partition("client", "server")], ids=str)
def test_a_line_that_is_down_loses_them(proxy: FaultProxy, client: socket.socket, fault: Drop | Partition) -> None:
    proxy.inject(fault)
    client.send(b"gone")
    proxy.events.wait("lost")
    proxy.clear()
    assert asked(client, b"here") == b"here"


def test_a_stalled_reader_gets_them_later(proxy: FaultProxy, client: socket.socket) -> None:
    assert asked(client, b"x") == b"x"
    proxy.inject(Stall())
    client.send(b"kept")
    proxy.clear()
    assert client.recv(100) == b"kept"


def test_a_stalled_reader_has_only_so_much_room(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.inject(Stall(target="server"))
    while not (lost := proxy.events.of("lost")):
        client.send(b"x" * 60_000)
    assert lost[0].text == "no room"


def test_duplicates(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.inject(Duplicate(1.0, target=DOWN))
    client.send(b"twice")
    assert [client.recv(100), client.recv(100)] == [b"twice", b"twice"]


def test_reordered_ones_are_overtaken(proxy: FaultProxy, client: socket.socket) -> None:
    assert asked(client, b"0") == b"0"
    proxy.inject(Reorder(1.0, target=DOWN))
    client.send(b"1")
    proxy.events.wait("reordered")
    proxy.clear()
    client.send(b"2")
    assert [client.recv(100), client.recv(100)] == [b"2", b"1"]


def test_neighbours_change_places_where_all_are_to_be_overtaken(proxy: FaultProxy, client: socket.socket) -> None:
    assert asked(client, b"0") == b"0"
    proxy.inject(Reorder(1.0, target=UP))
    for number in b"1234":
        client.send(bytes([number]))
    assert [client.recv(100) for _ in range(4)] == [b"2", b"1", b"4", b"3"]


def test_as_many_are_overtaken_as_were_asked_for() -> None:
    rates = (0.0, 0.1, 0.25, 0.5)
    drawn = [datagrams._rate_of_the_others(rate) for rate in rates]
    assert [one / (1 + one) for one in drawn] == pytest.approx(rates)
    assert datagrams._rate_of_the_others(0.9) == datagrams._rate_of_the_others(1.0) == 1.0


def test_one_that_nothing_overtakes_arrives_all_the_same(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.inject(Reorder(1.0, target=DOWN))
    assert asked(client, b"alone") == b"alone"


def test_truncated_ones(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.inject(Truncate(3, target=DOWN))
    assert asked(client, b"12345") == b"123"
    assert asked(client, b"12") == b"12"


def test_latency_and_bandwidth_delay_them(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.inject(Latency(0.02, 0.01))
    assert asked(client, b"late") == b"late"
    up, down = proxy.events.of("datagram", direction=UP)[0], proxy.events.of("datagram", direction=DOWN)[0]
    accepted = proxy.events.of("accept")[0]
    assert up.time_s - accepted.time_s >= 0.02
    assert down.time_s - up.time_s >= 0.02
    proxy.clear()
    proxy.inject(Bandwidth(10_000, target=UP))
    for _ in range(3):
        client.send(b"x" * 500)
    for _ in range(3):
        client.recv(1000)
    times = [event.time_s for event in proxy.events.of("datagram", direction=UP)[1:]]
    assert times[2] - times[0] >= 0.09


def test_refused_ones_draw_the_error_of_a_closed_port(proxy: FaultProxy, client: socket.socket) -> None:
    assert asked(client, b"x") == b"x"
    proxy.inject(Refuse())
    client.send(b"to nobody")
    with pytest.raises(ConnectionRefusedError):
        client.recv(100)
    proxy.clear()
    assert asked(client, b"back") == b"back"


def test_a_client_that_is_silent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "IDLE_NS", 0)
    monkeypatch.setattr(datagrams, "_SWEEP_NS", 1_000_000)
    with FaultProxy("udp:127.0.0.1:9") as proxy, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in (1, 2):
            client.sendto(b"x", ("127.0.0.1", proxy.port))
            assert proxy.events.wait("close", connection=number)


def test_an_upstream_that_refuses_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    with FaultProxy(f"udp:127.0.0.1:{port}") as proxy, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", proxy.port))
        assert proxy.events.wait("refused").text == "Connection refused"


@pytest.mark.parametrize("host", ["::1", "0.0.0.0"])
def test_refusing_on_other_addresses(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM)
    near = "::1" if ":" in host else "127.0.0.1"
    server.bind((near, 0))
    text = f"[{host}]" if ":" in host else host
    upstream = f"udp:{f'[{near}]' if ':' in near else near}:{server.getsockname()[1]}"
    with (
        echoing(server),
        FaultProxy(upstream, listen=f"udp:{text}:0") as proxy,
        socket.socket(family, socket.SOCK_DGRAM) as client,
    ):
        client.connect((near, proxy.port))
        client.settimeout(30)
        assert asked(client, b"x") == b"x"
        proxy.inject(Refuse())
        client.send(b"to nobody")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
        proxy.clear()
        assert asked(client, b"back") == b"back"


def test_unix_datagrams(tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(tmp_path / "server"))
    with (
        echoing(server),
        FaultProxy(f"unix-dgram:{tmp_path}/server", listen=f"unix-dgram:{tmp_path}/proxy") as proxy,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        client.bind("")
        client.settimeout(30)
        client.connect(str(proxy.address))
        assert asked(client, b"local") == b"local"
        proxy.inject(Refuse())
        with pytest.raises(ConnectionRefusedError):
            client.send(b"to nobody")
        proxy.clear()
        client.connect(str(proxy.address))
        assert asked(client, b"back") == b"back"
