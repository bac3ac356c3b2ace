"""What the tests of servers share."""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavetank.servers import ServerProcess, places, processes

PROGRAM = Path(__file__).with_name("misbehave.py")


def misbehaving(*options: str, **more: Any) -> ServerProcess:
    """The misbehaving server with these options; the others are those of `ServerProcess`."""
    port = more.get("port")
    return ServerProcess([sys.executable, "-S", PROGRAM, str(port or "{port}"), *options], **more)


def ask(port: int, host: str = "127.0.0.1") -> bytes:
    """What it says to one client."""
    with socket.create_connection((host, port), timeout=30) as connection:
        try:
            connection.sendall(b"ping\n")
            return connection.makefile("rb").read()
        except ConnectionResetError:
            return b""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ours_left() -> list[str]:
    """Processes that carry this run's marker still."""
    marker = places.run().marker
    return [
        processes.describe(pid)
        for pid in processes.everyone()
        if processes.environment(pid).get("WAVETANK_SERVER", "").startswith(marker)
    ]


def wait_until(condition: Callable[[], Any]) -> None:
    """Until it holds; the limit is only there to end a broken test."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)
