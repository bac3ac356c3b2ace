"""A snapshot of all sockets of a world, as netstat(8) shows those of one machine.

Owns the rows and their text. It looks at sockets and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from wavetank.kernel.endpoint import AF_INET6, SOCK_STREAM, Endpoint

if TYPE_CHECKING:
    from wavetank.world.universe import Universe


class Connection(NamedTuple):
    """One socket. Sizes in bytes; addresses as `netstat --numeric` shows them, "*" for none."""

    host: str
    protocol: str
    receive_queue: int
    """Bytes that have arrived and that the program has not read."""
    send_queue: int
    """Bytes that the program has written and the peer has not acknowledged."""
    local: str
    foreign: str
    state: str
    process: str

    def __str__(self) -> str:
        return (
            f"{self.host:<12} {self.protocol:<5} {self.receive_queue:>7} {self.send_queue:>7} "
            f"{self.local:<24} {self.foreign:<24} {self.state:<12} {self.process}"
        )


def snapshot(universe: Universe) -> list[Connection]:
    """The sockets that processes have open, by host, process and descriptor; then what no process has any more."""
    found: list[Connection] = []
    for host in universe.hosts.values():
        seen: set[int] = set()
        for process in host.stack.processes:
            for fd in sorted(process.fds):
                file = process.fds[fd]
                if isinstance(file, Endpoint) and id(file) not in seen:
                    seen.add(id(file))
                    found.append(_row(host.name, f"{process.pid}/{process.name}", file))
        found += [_row(host.name, "-", each) for each in host.stack.connections.values() if id(each) not in seen]
    return found


def _row(host: str, process: str, endpoint: Endpoint) -> Connection:
    return Connection(
        host=host,
        protocol=_protocol(endpoint),
        receive_queue=_size(endpoint.readable_bytes),
        send_queue=_size(endpoint.unsent_bytes),
        local=_address(endpoint.local_address),
        foreign=_address(endpoint.peer_address),
        state=_state(endpoint),
        process=process,
    )


def _size(ask: Callable[[], int]) -> int:
    try:
        return ask()
    except OSError:  # a listener has no bytes (tcp(7), SIOCINQ)
        return 0


def _protocol(endpoint: Endpoint) -> str:
    if endpoint.kind.startswith("unix"):
        return "unix"
    name = "tcp" if endpoint.type == SOCK_STREAM else "udp"
    return f"{name}6" if endpoint.family == AF_INET6 else name


def _address(ask: Any) -> str:
    try:
        address = ask()
    except OSError:
        return "*"
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    if isinstance(address, bytes):
        return "@" + address.lstrip(b"\0").decode("utf-8", "replace")
    return str(address) or "*"


def _state(endpoint: Endpoint) -> str:
    state = getattr(endpoint, "state", None)
    name = getattr(state, "name", state)
    return str(name) if name is not None else ""
