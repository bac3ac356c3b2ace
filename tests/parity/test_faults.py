"""What a program sees when a fault strikes, against real Linux where Linux can be made to do the same.

Each body does the same calls on both. What strikes is, in the simulator, a fault; on Linux it is a peer or a limit that
has the same effect: a close without lingering, a close, a socket that nobody reads, a port that nobody has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.twins import as_on_linux


def reset_with_data_before() -> Any:
    import socket
    import struct

    from tests.support.twins import Log, events

    log = Log()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.settimeout(5)
        served, _ = server.accept()
        served.sendall(b"before")
        if "core" in globals():
            from wavetank.faults import Reset

            harness.World.current.fabric.inject(Reset())  # type: ignore[name-defined]  # noqa: F821
        else:
            served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            served.close()
        log.append(events(client))
        log.note("read", client.recv, 100)
        log.note("error", client.recv, 100)
        log.note("end", client.recv, 100)
        log.note("write", client.send, b"x")
        served.close()
    return log


def reset_for_a_writer() -> Any:
    import socket
    import struct

    from tests.support.twins import Log, events

    log = Log()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.settimeout(5)
        served, _ = server.accept()
        if "core" in globals():
            from wavetank.faults import Reset

            harness.World.current.fabric.inject(Reset())  # type: ignore[name-defined]  # noqa: F821
        else:
            served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            served.close()
        log.append(events(client))
        log.note("first", client.send, b"x")
        log.note("second", client.send, b"x")
        log.note("read", client.recv, 100)
        log.append(events(client))
        log.note("peer", client.getpeername)
        served.close()
    return log


def end_of_stream() -> Any:
    import socket
    import time

    from tests.support.twins import Log, events

    log = Log()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.settimeout(5)
        served, _ = server.accept()
        served.sendall(b"before")
        if "core" in globals():
            from wavetank.faults import Eof

            harness.World.current.fabric.inject(Eof())  # type: ignore[name-defined]  # noqa: F821
        else:
            served.close()
        log.append(events(client))
        log.note("read", client.recv, 100)
        log.note("end", client.recv, 100)
        log.note("first", client.send, b"x")
        time.sleep(0.05)
        log.append(events(client))
        log.note("second", client.send, b"x")
        log.note("after", client.recv, 100)
        served.close()
    return log


def half_closed() -> Any:
    import socket
    import time

    from tests.support.twins import Log, events

    log = Log()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        served.settimeout(5)
        client.settimeout(5)
        client.sendall(b"request")
        if "core" in globals():
            from wavetank.faults import Eof

            harness.World.current.fabric.inject(Eof(target="connecting -> accepting"))  # type: ignore[name-defined]  # noqa: F821
        else:
            client.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        log.append(events(served))
        log.note("read", served.recv, 100)
        log.note("end", served.recv, 100)
        log.note("answer", served.send, b"answer")
        log.note("arrives", client.recv, 100)
        served.close()
        log.note("close", client.recv, 100)
    return log


def nobody_reads() -> Any:
    import contextlib
    import select
    import socket

    from tests.support.twins import Log, events

    log = Log()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        if "core" in globals():
            from wavetank.faults import Stall

            harness.World.current.fabric.inject(Stall(target="accepting"))  # type: ignore[name-defined]  # noqa: F821
        client.setblocking(False)
        poll = select.poll()
        poll.register(client, select.POLLOUT)
        while poll.poll(300):
            with contextlib.suppress(BlockingIOError):
                client.send(b"x" * 65536)
        log.note("write", client.send, b"x")
        log.append(events(client))
        served.close()
    return log


def nobody_listens() -> Any:
    import socket

    from tests.support.twins import Log, events

    log = Log()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        address = server.getsockname()
        if "core" in globals():
            from wavetank.faults import Refuse

            harness.World.current.fabric.inject(Refuse())  # type: ignore[name-defined]  # noqa: F821
        else:
            server.close()
        log.note("connect", client.connect, address)
        log.append(events(client))
        log.note("write", client.send, b"x")
        log.note("read", client.recv, 1)
    return log


def few_descriptors() -> Any:
    import resource
    import socket

    from tests.support.twins import Log

    log = Log()
    limit = 64
    if "core" in globals():
        core.K.process.stack.descriptor_limit = limit  # type: ignore[name-defined]  # noqa: F821
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kept = []
    try:
        while len(kept) < 100:
            kept.append(socket.socket())
    except OSError as error:
        log.append((type(error).__name__, error.errno, error.strerror))
    log.note("pair", socket.socketpair)
    kept.pop().close()
    log.append(type(socket.socket()).__name__)
    return log


BODIES = [
    reset_with_data_before,
    reset_for_a_writer,
    end_of_stream,
    half_closed,
    nobody_reads,
    nobody_listens,
    few_descriptors,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_a_fault_looks_as_on_linux(body: Callable[[], Any]) -> None:
    assert as_on_linux(body)
