"""TCP on the simulated kernel against TCP on this host's loopback: the same calls, the same answers.

Each body is a small socket program; it runs on both and returns what it saw. Ports and descriptor numbers differ by
nature and are left out. What loopback cannot show (timers) is in `tests/unit/test_kernel_tcp.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.kernel_harness import attempt, real, simulated

FACES = ("time", "threads", "descriptors", "readiness", "socket", "names")


def refused() -> Any:
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    with socket.socket() as client:
        first = attempt(client.connect, address)
        return first, attempt(client.connect, address), attempt(client.recv, 1), attempt(client.send, b"x")


def refused_without_waiting() -> Any:
    import select
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    with socket.socket() as client:
        client.setblocking(False)
        seen = [client.connect_ex(address)]
        poll = select.poll()
        poll.register(client, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
        seen.append(sorted(mask for _, mask in poll.poll(1000)))
        seen.append(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        seen.append(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        return seen


def connect_without_waiting_twice() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.setblocking(False)
        return [client.connect_ex(server.getsockname()) for _ in range(3)]


def exchange_and_addresses() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, peer = server.accept()
        with served:
            client.sendall(b"hello")
            got = served.recv(100)
            served.sendall(got.upper())
            return (
                got,
                client.recv(3),
                client.recv(100),
                peer == client.getsockname(),
                client.getpeername() == server.getsockname() == served.getsockname(),
                served.getpeername() == peer,
            )


def half_close() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        with served:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            seen = [served.recv(100), served.recv(100), served.recv(100), served.send(b"answer")]
            return seen, attempt(client.send, b"more"), client.recv(100)


def close_with_unread_data_resets() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        client.sendall(b"never read")
        served.close()
        return [
            attempt(client.recv, 10),
            attempt(client.recv, 10),
            attempt(client.send, b"x"),
            attempt(client.send, b"x"),
        ]


def close_without_unread_data_is_the_end() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        served.sendall(b"bye")
        served.close()
        seen = [client.recv(10), client.recv(10), attempt(client.send, b"into the void")]
        return seen, attempt(client.recv, 10), attempt(client.send, b"x"), attempt(client.send, b"x")


def data_before_a_reset_stays_readable() -> Any:
    import socket
    import struct

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        served.sendall(b"last words")
        served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.close()
        return [attempt(client.recv, 4), attempt(client.recv, 100), attempt(client.recv, 1), attempt(client.recv, 1)]


def poll_masks() -> Any:
    import select
    import socket
    import struct

    every = select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP | 0x40 | 0x80 | 0x100 | 0x200

    def mask(sock: socket.socket) -> list[int]:
        poll = select.poll()
        poll.register(sock, every)
        return [events for _, events in poll.poll(50)]

    seen = []
    fresh = socket.socket()
    seen.append(("fresh", mask(fresh)))
    fresh.bind(("127.0.0.1", 0))
    seen.append(("bound", mask(fresh)))
    fresh.listen(5)
    seen.append(("listening", mask(fresh)))
    client = socket.create_connection(fresh.getsockname())
    seen.append(("waiting to be accepted", mask(fresh)))
    served, _ = fresh.accept()
    seen.append(("accepted", mask(served), mask(fresh)))
    client.send(b"x")
    seen.append(("data", mask(served)))
    client.shutdown(socket.SHUT_WR)
    seen.append(("data and end", mask(served), mask(client)))
    served.recv(10)
    seen.append(("end", mask(served)))
    served.shutdown(socket.SHUT_WR)
    seen.append(("both ended", mask(served), mask(client)))
    one = socket.create_connection(fresh.getsockname())
    two, _ = fresh.accept()
    two.shutdown(socket.SHUT_RD)
    seen.append(("own reading shut", mask(two), mask(one)))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
    seen.append(("reset", mask(two)))
    seen.append(("reset, error taken", attempt(two.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR), mask(two)))
    for sock in (fresh, client, served, two):
        sock.close()
    return seen


def full_buffers() -> Any:
    import select
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        client.setblocking(False)
        total = 0
        try:
            while True:
                total += client.send(b"x" * 65536)
        except BlockingIOError as problem:
            seen: list[Any] = [problem.errno]
        poll = select.poll()
        poll.register(client, select.POLLOUT)
        seen.append(poll.poll(0))
        got = 0
        while got < total:
            got += len(served.recv(1 << 20))
        seen.append(got == total)
        seen.append([events for _, events in poll.poll(1000)])
        served.close()
        return seen


def epoll_level_edge_oneshot() -> Any:
    import select
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        seen = []
        for flags in (0, select.EPOLLET, select.EPOLLONESHOT, select.EPOLLET | select.EPOLLONESHOT):
            poll = select.epoll()
            poll.register(served, select.EPOLLIN | flags)
            client.send(b"ab")
            seen.append([[events for _, events in poll.poll(0.01)] for _ in range(2)])
            served.recv(1)
            seen.append([events for _, events in poll.poll(0)])
            client.send(b"c")
            seen.append([events for _, events in poll.poll(0.01)])
            poll.modify(served, select.EPOLLIN | flags)
            seen.append([events for _, events in poll.poll(0.01)])
            served.recv(100)
            seen.append([events for _, events in poll.poll(0)])
            poll.close()
        served.close()
        return seen


def epoll_errors() -> Any:
    import select
    import socket

    with socket.socket() as sock, select.epoll() as poll:
        poll.register(sock, select.EPOLLIN)
        seen = [attempt(poll.register, sock), attempt(poll.modify, 10**7, 1), attempt(poll.unregister, 10**7)]
        poll.unregister(sock)
        seen += [attempt(poll.unregister, sock), attempt(poll.modify, sock, 1), attempt(poll.poll, 0, 0)]
        poll.register(sock)
        sock.close()
        seen += [poll.poll(0)]
    return seen, attempt(poll.poll), attempt(poll.fileno), poll.closed


def port_in_use() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        results = []
        for address in (("127.0.0.1", port), ("0.0.0.0", port), ("127.0.0.2", port)):
            for reuse in (0, 1):
                with socket.socket() as other:
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
                    results.append(attempt(other.bind, address))
        with socket.socket() as other:
            results.append(attempt(other.bind, ("192.0.2.1", 0)))
            other.bind(("127.0.0.1", 0))
            results.append(attempt(other.bind, ("127.0.0.1", 0)))
    return results


def reuse_port_listeners() -> Any:
    import socket

    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 0))
        two.bind(one.getsockname())
        one.listen()
        two.listen()
        three = socket.socket()
        seen = attempt(three.bind, one.getsockname())
        three.close()
        return seen


def restart_on_the_same_port() -> Any:
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    address = server.getsockname()
    client = socket.create_connection(address)
    served, _ = server.accept()
    served.close()
    client.recv(1)
    client.close()
    server.close()
    with socket.socket() as plain:
        first = attempt(plain.bind, address)
    with socket.socket() as reusing:
        reusing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return first, attempt(reusing.bind, address)


def options_as_made() -> Any:
    import socket

    names = [
        (socket.SOL_SOCKET, name)
        for name in (
            socket.SO_TYPE, socket.SO_ERROR, socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_KEEPALIVE,
            socket.SO_BROADCAST, socket.SO_SNDBUF, socket.SO_RCVBUF, socket.SO_DOMAIN, socket.SO_PROTOCOL,
            socket.SO_ACCEPTCONN, socket.SO_RCVLOWAT, socket.SO_OOBINLINE, socket.SO_DONTROUTE,
        )
    ] + [
        (socket.IPPROTO_TCP, name)
        for name in (
            socket.TCP_NODELAY, socket.TCP_CORK, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT,
            socket.TCP_SYNCNT, socket.TCP_USER_TIMEOUT, socket.TCP_MAXSEG, socket.TCP_LINGER2,
        )
    ]  # fmt: skip
    with socket.socket() as sock:
        return [attempt(sock.getsockopt, level, name) for level, name in names] + [
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8),
            attempt(sock.getsockopt, socket.SOL_SOCKET, 9999),
            attempt(sock.setsockopt, socket.SOL_SOCKET, 9999, 1),
            attempt(sock.getsockopt, socket.SOL_SOCKET, socket.SO_TYPE, 2000),
        ]


def options_set() -> Any:
    import socket

    with socket.socket() as sock:
        seen = []
        for level, name, value in (
            (socket.SOL_SOCKET, socket.SO_SNDBUF, 5000),
            (socket.SOL_SOCKET, socket.SO_RCVBUF, 7000),
            (socket.SOL_SOCKET, socket.SO_SNDBUF, 1),
            (socket.SOL_SOCKET, socket.SO_RCVBUF, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 5),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 3),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 0),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 11),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1234),
            (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 10),
        ):
            seen.append((attempt(sock.setsockopt, level, name, value), sock.getsockopt(level, name)))
        return seen


def peek_wait_all_and_into() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        with served:
            client.sendall(b"abcdefgh")
            buffer = bytearray(4)
            seen = [served.recv(4, socket.MSG_PEEK), served.recv(100, socket.MSG_PEEK), served.recv_into(buffer, 3)]
            seen += [bytes(buffer), served.recv(3, socket.MSG_WAITALL), attempt(served.recv, -1)]
            seen += [served.recvfrom(1), attempt(served.recv_into, buffer, 5), served.recvmsg(100)]
            seen += [attempt(served.recv, 1, socket.MSG_DONTWAIT)]
            client.sendmsg([b"one", b"two"])
            return seen, served.recv(100)


def timeouts() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.settimeout(0.01)
        server.settimeout(0.01)
        served, _ = server.accept()
        seen = [attempt(client.recv, 1), attempt(server.accept), client.gettimeout(), client.getblocking()]
        client.setblocking(False)
        seen += [
            attempt(client.recv, 1),
            client.gettimeout(),
            attempt(client.settimeout, -1),
            attempt(client.settimeout, "x"),
        ]
        served.close()
        return seen


def wrong_arguments() -> Any:
    import socket

    with socket.socket() as sock:
        return [
            attempt(sock.bind, "127.0.0.1"),
            attempt(sock.bind, ("127.0.0.1",)),
            attempt(sock.bind, ("127.0.0.1", 70000)),
            attempt(sock.bind, ("127.0.0.1", "x")),
            attempt(sock.connect, ("127.0.0.1", -1)),
            attempt(sock.send, "text"),
            attempt(sock.listen, "x"),
            attempt(sock.getpeername),
            attempt(sock.shutdown, socket.SHUT_RDWR),
            attempt(sock.recv, 10),
            attempt(sock.accept),
            attempt(sock.send, b"x"),
            attempt(socket.socket, 9999),
            attempt(socket.socket, socket.AF_INET, 77),
        ]


def after_close() -> Any:
    import socket

    sock = socket.socket()
    sock.close()
    return [
        sock.fileno(),
        attempt(sock.recv, 1),
        attempt(sock.send, b"x"),
        attempt(sock.getsockname),
        attempt(sock.close),
        attempt(sock.settimeout, 1),
        sock.detach(),
    ]


def duplicates_share_the_connection() -> Any:
    import os
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        again = served.dup()
        served.close()
        client.send(b"still there")
        seen = [again.recv(100)]
        number = again.detach()
        third = socket.socket(fileno=number)
        seen += [(third.family, third.type, third.proto)]
        os.close(number)
        seen += [attempt(third.recv, 1), client.recv(1)]
        third.detach()
        return seen


def files_of_sockets() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        with served, client.makefile("wb") as out, served.makefile("rb") as into:
            out.write(b"one\ntwo\nthree")
            out.flush()
            seen = [into.readline(), into.readline()]
            client.shutdown(socket.SHUT_WR)
            return seen, into.read()


def version_six() -> Any:
    import socket

    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        seen = []
        for host in ("::1", "127.0.0.1"):
            with socket.create_connection((host, port)) as client:
                served, peer = server.accept()
                seen.append((peer[0], peer[2:], served.getsockname()[0], client.getpeername()[0]))
                served.close()
        return seen


def listen_backlog() -> Any:
    import socket
    import time

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        time.sleep(0.05)
        seen = [attempt(client.getpeername)[0] for client in clients]
        for client in clients:
            client.close()
        return seen


def listener_closed_with_connections_waiting() -> Any:
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    server.close()
    seen = [attempt(client.recv, 1), attempt(client.recv, 1)]
    client.close()
    return seen


def shut_reading() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        served.shutdown(socket.SHUT_RD)
        seen = [
            served.recv(10),
            client.send(b"late"),
            served.recv(10),
            served.recv(10),
            served.send(b"back"),
            client.recv(9),
        ]
        served.close()
        return seen


def zero_bytes() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        with served:
            seen = [client.send(b""), client.sendall(b""), attempt(served.recv, 0, socket.MSG_DONTWAIT)]
            client.send(b"x")
            return seen, served.recv(0), served.recv(1)


def select_sets() -> Any:
    import select
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        waiting = select.select([server, client], [client], [], 1)
        served, _ = server.accept()
        served.send(b"x")
        ready = select.select([client, server], [], [client], 0.01)
        client.recv(1)
        served.close()
        return (
            [sock is server for sock in waiting[0]], len(waiting[1]), [len(found) for found in ready],
            attempt(select.select, [-1], [], []), attempt(select.select, [], [], [], -1),
            attempt(select.select, ["x"], [], []), select.select([], [], [], 0),
        )  # fmt: skip


BODIES: list[Callable[[], Any]] = [
    refused,
    refused_without_waiting,
    connect_without_waiting_twice,
    exchange_and_addresses,
    half_close,
    close_with_unread_data_resets,
    close_without_unread_data_is_the_end,
    data_before_a_reset_stays_readable,
    poll_masks,
    full_buffers,
    epoll_level_edge_oneshot,
    epoll_errors,
    port_in_use,
    reuse_port_listeners,
    restart_on_the_same_port,
    options_as_made,
    options_set,
    peek_wait_all_and_into,
    timeouts,
    wrong_arguments,
    after_close,
    duplicates_share_the_connection,
    files_of_sockets,
    version_six,
    listen_backlog,
    listener_closed_with_connections_waiting,
    shut_reading,
    zero_bytes,
    select_sets,
]


@pytest.mark.parametrize("program", BODIES, ids=lambda program: program.__name__)
def test_same_as_linux(program: Callable[[], Any]) -> None:
    assert simulated(program, faces=FACES) == real(program)
