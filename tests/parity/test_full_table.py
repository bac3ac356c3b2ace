"""A process that can have no more descriptors: what accept, socketpair and pipe leave behind; files do not open."""

from typing import Any

from tests.unit.kernel_harness import real, simulated
from wavetank.kernel.shims import FACES


def accepts_without_room() -> Any:
    import os
    import resource
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    empty = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"still there")
    spare = [socket.socket()]
    number = spare[0].fileno() + 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (number % 1_000_000, hard))  # simulated descriptors start there
    seen = [attempt(listener.accept), attempt(empty.accept), attempt(os.dup, client.fileno())]  # type: ignore[name-defined]  # noqa: F821
    for opens in (open, os.open):
        try:
            opens(os.devnull, *([os.O_RDONLY] if opens is os.open else []))
        except OSError as problem:
            seen.append((problem.errno, problem.filename))
    spare.pop().close()
    seen += [attempt(socket.socketpair), attempt(os.pipe)]  # type: ignore[name-defined]  # noqa: F821
    accepted, _ = listener.accept()
    seen.append(accepted.recv(100))
    for each in (listener, empty, client, accepted):
        each.close()
    return [each[:2] if isinstance(each, tuple) else each for each in seen]


def test_a_full_table_loses_no_connection() -> None:
    found = simulated(accepts_without_room, faces=FACES)
    assert found == real(accepts_without_room)
    assert found[-1] == b"still there"
    assert (24, "/dev/null") in found
