"""Programs of two hosts between which packets get lost, for real Linux and for the simulated kernel.

Owns the programs, and when the network is cut and healed. A client prints one line of JSON: what it was told, and how
many seconds that took; `real` runs it in two network namespaces, `simulated` here in a world with two hosts. Nothing is
imported that differs between the two.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import socket
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

PORT: Final = 8_080
#: Seconds after the client has begun at which the network is cut, and at which the client goes on.
CUT_S, GO_ON_S = 0.5, 1.5
#: Longer than any program.
FOR_EVER_S: Final = 600.0

TCP = socket.IPPROTO_TCP
Told = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One program: `client(peer)` says what it saw, `server(listener)` runs until the client is done.

    `cut_s`, `heal_s`: seconds after the client has begun; `cut_s` 0: before. `unknown`: nobody answers who has the
    server's address. `little_room`: the server's window closes soon. `settings`: of the client's host, by their names
    below net.ipv4.
    """

    name: str
    what: str
    client: Callable[[str], Told]
    server: Callable[[socket.socket], None]
    cut_s: float = -1.0
    heal_s: float = -1.0
    unknown: bool = False
    little_room: bool = False
    settings: dict[str, int] = field(default_factory=dict)


# ---- what programs do


def outcome(began: float, call: Callable[..., Any], *arguments: Any) -> Told:
    """Result or errno of a call, and how many seconds have passed since `began`."""
    try:
        result: Any = call(*arguments)
    except OSError as problem:
        result = errno.errorcode.get(problem.errno or 0, str(problem))
    return {"told": result.decode() if isinstance(result, bytes) else result, "seconds": time.monotonic() - began}


def connected(peer: str, *options: tuple[int, int, int]) -> socket.socket:
    made = socket.create_connection((peer, PORT))
    for level, name, value in options:
        made.setsockopt(level, name, value)
    return made


def wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def unacknowledged(sock: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])


def until(condition: Callable[[], bool], began: float, most_s: float = 120.0) -> Told:
    """Look every 5 ms: how many seconds after `began` it holds."""
    while not condition() and time.monotonic() - began < most_s:
        time.sleep(0.005)
    return {"told": condition(), "seconds": time.monotonic() - began}


def port_is_free(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


# ---- servers


def hold(listener: socket.socket) -> None:
    """Accept and do nothing."""
    served, _ = listener.accept()
    time.sleep(FOR_EVER_S)
    served.close()


def read_all(listener: socket.socket) -> None:
    """Accept and read."""
    served, _ = listener.accept()
    while served.recv(65_536):
        pass
    time.sleep(FOR_EVER_S)


def close_after_them(listener: socket.socket) -> None:
    """Accept, read to the end, close."""
    served, _ = listener.accept()
    while served.recv(65_536):
        pass
    served.close()
    time.sleep(FOR_EVER_S)


def read_late(listener: socket.socket) -> None:
    """Accept, let the window close, read everything at 3 s, when nobody hears that it has opened."""
    served, _ = listener.accept()
    began = time.monotonic()
    wait_until(began + 3.0)
    while served.recv(65_536):
        pass


# ---- clients


def connect(peer: str, *options: tuple[int, int, int]) -> Told:
    with socket.socket() as sock:
        for level, name, value in options:
            sock.setsockopt(level, name, value)
        return outcome(time.monotonic(), sock.connect, (peer, PORT))


def send_into_the_void(peer: str, *options: tuple[int, int, int]) -> Told:
    began = time.monotonic()
    with connected(peer, *options) as sock:
        wait_until(began + GO_ON_S)
        sock.send(b"x")
        return outcome(time.monotonic(), sock.recv, 1)


def wait_in_the_void(peer: str, *options: tuple[int, int, int]) -> Told:
    """Nothing has been sent: only keepalive can notice. Counted from the connection, the last that was heard."""
    began = time.monotonic()
    with connected(peer, *options) as sock:
        return outcome(began, sock.recv, 1)


def send_until_acknowledged(peer: str) -> Told:
    began = time.monotonic()
    with connected(peer) as sock:
        wait_until(began + GO_ON_S)
        sent_at = time.monotonic()
        sock.send(b"x")
        return until(lambda: not unacknowledged(sock), sent_at)


def fill(sock: socket.socket) -> None:
    """Send until nothing is taken any more, and all acknowledgements have come."""
    sock.setblocking(False)
    for _ in range(5):
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(b"f" * 4_096)
        time.sleep(0.02)


def fill_and_wait(peer: str) -> Told:
    """The window closes at once; it opens while the network is cut; a probe learns of it."""
    with connected(peer, (socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)) as sock:
        began = time.monotonic()
        fill(sock)
        return until(lambda: not unacknowledged(sock), began)


def closed_window_in_the_void(peer: str, *options: tuple[int, int, int]) -> Told:
    """The window closes; then nobody answers the probes."""
    with connected(peer, (socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384), *options) as sock:
        began = time.monotonic()
        fill(sock)
        sock.setblocking(True)
        return outcome(began, sock.recv, 1)


def close_and_watch_the_port(peer: str, *options: tuple[int, int, int]) -> Told:
    """Close; the port is free when the kernel has forgotten the connection."""
    began = time.monotonic()
    sock = connected(peer, *options)
    address = sock.getsockname()
    wait_until(began + GO_ON_S)
    closed_at = time.monotonic()
    sock.close()
    return until(lambda: port_is_free(address), closed_at)


def linger(peer: str, seconds: int) -> Told:
    """`close` waits for what is sent into the void."""
    began = time.monotonic()
    sock = connected(peer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    wait_until(began + GO_ON_S)
    sock.send(b"x")
    return outcome(time.monotonic(), sock.close)


_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (TCP, socket.TCP_KEEPIDLE, 2),
    (TCP, socket.TCP_KEEPINTVL, 1),
    (TCP, socket.TCP_KEEPCNT, 2),
)
_USER_TIMEOUT = (TCP, socket.TCP_USER_TIMEOUT, 3_000)


def _scenario(
    name: str,
    what: str,
    client: Callable[..., Told],
    server: Callable[[socket.socket], None],
    *options: Any,
    **when: Any,
) -> Scenario:
    return Scenario(name, what, lambda peer: client(peer, *options), server, **when)


_ALL: Final = (
    _scenario("syn", "`connect`, no answer, `TCP_SYNCNT` 1", connect, hold, (TCP, socket.TCP_SYNCNT, 1), cut_s=0.0),
    _scenario(
        "syn_user_timeout", "`connect`, no answer, `TCP_USER_TIMEOUT` 3 s", connect, hold, _USER_TIMEOUT, cut_s=0.0
    ),
    _scenario("no_neighbour", "`connect`, nobody on the link has the address", connect, hold, unknown=True),
    _scenario(
        "retransmission",
        "data into the void, `tcp_retries2` 3",
        send_into_the_void,
        hold,
        cut_s=CUT_S,
        settings={"tcp_retries2": 3},
    ),
    _scenario(
        "retransmission_5",
        "data into the void, `tcp_retries2` 5",
        send_into_the_void,
        hold,
        cut_s=CUT_S,
        settings={"tcp_retries2": 5},
    ),
    _scenario(
        "user_timeout",
        "data into the void, `TCP_USER_TIMEOUT` 3 s",
        send_into_the_void,
        hold,
        _USER_TIMEOUT,
        cut_s=CUT_S,
    ),
    _scenario(
        "backoff",
        "data into the void, healed 3 s later: acknowledged with which retransmission",
        send_until_acknowledged,
        read_all,
        cut_s=CUT_S,
        heal_s=GO_ON_S + 2.0,
    ),
    _scenario("keepalive", "silence, keepalive 2 s + 2 times 1 s", wait_in_the_void, hold, *_KEEPALIVE, cut_s=CUT_S),
    _scenario(
        "keepalive_user_timeout",
        "silence, the same with `TCP_USER_TIMEOUT` 3 s",
        wait_in_the_void,
        hold,
        *_KEEPALIVE,
        _USER_TIMEOUT,
        cut_s=CUT_S,
    ),
    _scenario(
        "keepalive_data",
        "data into the void, keepalive as well, `tcp_retries2` 5: retransmission decides",
        send_into_the_void,
        hold,
        *_KEEPALIVE,
        cut_s=CUT_S,
        settings={"tcp_retries2": 5},
    ),
    _scenario(
        "window_probe",
        "the window opens unheard at 3 s, healed at 4 s: a probe finds out",
        fill_and_wait,
        read_late,
        cut_s=2.0,
        heal_s=4.0,
        little_room=True,
    ),
    _scenario(
        "window_probe_void",
        "a closed window, nobody answers the probes, `tcp_retries2` 4",
        closed_window_in_the_void,
        hold,
        cut_s=0.8,
        settings={"tcp_retries2": 4},
        little_room=True,
    ),
    _scenario(
        "window_user_timeout",
        "a closed window, nobody answers, `TCP_USER_TIMEOUT` 3 s",
        closed_window_in_the_void,
        hold,
        _USER_TIMEOUT,
        cut_s=CUT_S,
        little_room=True,
    ),
    _scenario(
        "window_user_timeout_answered",
        "a closed window, the peer answers, `TCP_USER_TIMEOUT` 3 s",
        closed_window_in_the_void,
        hold,
        _USER_TIMEOUT,
        little_room=True,
    ),
    _scenario(
        "fin_wait_2",
        "closed, the peer does not close, `tcp_fin_timeout` 3 s",
        close_and_watch_the_port,
        hold,
        settings={"tcp_fin_timeout": 3},
    ),
    _scenario(
        "linger2",
        "closed, the peer does not close, `TCP_LINGER2` 2 s",
        close_and_watch_the_port,
        hold,
        (TCP, socket.TCP_LINGER2, 2),
    ),
    _scenario(
        "orphan",
        "closed into the void, `tcp_orphan_retries` 3",
        close_and_watch_the_port,
        hold,
        cut_s=CUT_S,
        settings={"tcp_orphan_retries": 3},
    ),
    _scenario(
        "time_wait",
        "closed by both, this side first: the port in TIME_WAIT",
        close_and_watch_the_port,
        close_after_them,
    ),
    _scenario("linger", "`close` with `SO_LINGER` 2 s, data into the void", linger, hold, 2, cut_s=CUT_S),
)
SCENARIOS: Final = {each.name: each for each in _ALL}


# ---- in a world


def _client(scenario: Scenario) -> None:
    print(json.dumps(scenario.client(socket.gethostbyname("server"))))


def listening(scenario: Scenario) -> socket.socket:
    """The server's listener."""
    made = socket.create_server(("", PORT))
    if scenario.little_room:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    return made


def _server(scenario: Scenario) -> None:
    with listening(scenario) as listener:
        scenario.server(listener)


def simulated(scenario: Scenario, world: Any) -> None:
    """The program in a world: the output of `client` is what it saw."""
    server, client = world.host("server"), world.host("client")
    stack = world._universe.fabric.nodes["client"].stack
    stack.profile = replace(stack.profile, **scenario.settings)
    if scenario.unknown:
        server.crash()
    else:
        server.run(_server, scenario)
    world.sleep(0.1)
    if scenario.cut_s == 0:
        world.partition("client", "server")
    began = world.now
    job = client.run(_client, scenario)
    if scenario.cut_s > 0:
        world.sleep(scenario.cut_s)
        world.partition("client", "server")
    if scenario.heal_s > 0:
        world.sleep(began + scenario.heal_s - world.now)
        world.heal()
    job.result()


for _name, _each in SCENARIOS.items():
    globals()[_name] = partial(simulated, _each)  # so that a world finds it by its name
