"""Addresses of the proxy: what a user writes for the two ends, resolved, bound, and said again in errors.

Owns the text of addresses and what can be wrong with one. Must never carry bytes. Each thing that is wrong becomes one
line that says which end it was.

Where the behaviour comes from: getaddrinfo(3), bind(2), unix(7) (a name is at most 107 bytes and a zero), and
inet_csk_listen_stop in Linux's net/ipv4/inet_connection_sock.c: a socket that was bound to a port by its number keeps
that port when it stops listening, one that was bound to port 0 loses it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from wavetank.errors import EnvironmentProblem, UsageError, did_you_mean

#: Address kinds, and the type of their sockets.
KINDS: Final = {
    "tcp": socket.SOCK_STREAM,
    "udp": socket.SOCK_DGRAM,
    "unix": socket.SOCK_STREAM,
    "unix-dgram": socket.SOCK_DGRAM,
    "unix-seqpacket": socket.SOCK_SEQPACKET,
}
#: sun_path holds 108 bytes, the last one is zero (unix(7)).
MAX_PATH_BYTES: Final = 107
LOOPBACK: Final = "127.0.0.1"
#: As many connections may wait to be accepted; Linux bounds it by net.core.somaxconn (4096 since 5.4).
BACKLOG: Final = 4096
_FORMS: Final = "HOST:PORT, udp:HOST:PORT, unix:PATH, unix-dgram:PATH or unix-seqpacket:PATH"

#: What socket calls take: (host, port), with more for IPv6; or a path.
SockAddress: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Address:
    """One address: its kind (a key of `KINDS`), and host and port, or path."""

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{self.kind}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'' if self.kind == 'tcp' else f'{self.kind}:'}{host}:{self.port}"

    @property
    def type(self) -> socket.SocketKind:
        """The type of its sockets."""
        return KINDS[self.kind]

    @property
    def plain(self) -> tuple[str, int] | str:
        """What `socket.connect` takes: (host, port), or the path."""
        return self.path or (self.host, self.port)


def parse(value: object, what: str) -> Address:
    """The address in `value`; `what` names the option in errors.

    `value`: text (`127.0.0.1:6379`, `[::1]:80`, `6379`, `udp:127.0.0.1:53`, `unix:/run/x.sock`, `/run/x.sock`), a port,
    a pair (host, port), a path, or anything with a `port` (and perhaps a `host`), such as a server of this package
    (where `transport` is "udp", it is a UDP port); a server that has none, but a UNIX `socket`.
    Raises `UsageError` when it is none of these.
    """
    if isinstance(value, Address):
        return value
    if isinstance(value, bool) or value is None:
        raise UsageError(f"{what}: {value!r} is not an address; it is written {_FORMS}")
    if isinstance(value, int):
        return Address("tcp", LOOPBACK, _port(value, what))
    if isinstance(value, tuple):
        if len(value) < 2 or not isinstance(value[0], str) or not isinstance(value[1], int):
            raise UsageError(f"{what}: {value!r} is not a pair of host and port")
        return Address("tcp", value[0] or LOOPBACK, _port(value[1], what))
    if isinstance(value, str):
        return _parse_text(value.strip(), what)
    if isinstance(value, os.PathLike):
        return _unix("unix", os.fsdecode(value), what)
    try:
        port = getattr(value, "port", None)
    except UsageError:
        path = getattr(value, "socket", None)
        if not isinstance(path, str):
            raise
        return _unix("unix", path, what)
    if isinstance(port, int) and not isinstance(port, bool):
        host = getattr(value, "host", None)
        kind = "udp" if getattr(value, "transport", "") == "udp" else "tcp"
        return Address(kind, host if isinstance(host, str) and host else LOOPBACK, _port(port, what))
    raise UsageError(f"{what}: {value!r} is not an address; it is written {_FORMS}")


def _parse_text(text: str, what: str) -> Address:
    if text.startswith(("/", "./", "../", "@")):
        return _unix("unix", text, what)
    kind, found, rest = text.partition(":")
    if found and kind in KINDS:
        rest = rest.removeprefix("//") if rest.startswith("//") else rest
        if kind.startswith("unix"):
            return _unix(kind, rest, what)
        text = rest
    else:
        if found and (rest.startswith("//") or (kind.startswith("unix-") and rest)):
            hint = did_you_mean(kind, KINDS)
            raise UsageError(f"{what}: {text!r} begins with the unknown kind {kind!r}.{hint} It is written {_FORMS}")
        kind = "tcp"
    host, found, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{what}: {text!r} is not an address; a host of IPv6 is written in brackets: [::1]:80")
    if not port.isascii() or not port.isdigit() or len(port) > 5 or not (found or text.isdigit()):
        raise UsageError(f"{what}: {text!r} is not an address; it is written {_FORMS}")
    return Address(kind, host or LOOPBACK, _port(int(port), what))


def _port(port: int, what: str) -> int:
    if isinstance(port, bool) or not 0 <= port <= 65535:
        raise UsageError(f"{what}: {port} is not a port; a port is 0 to 65535")
    return port


def _unix(kind: str, path: str, what: str) -> Address:
    if not path:
        raise UsageError(f"{what}: {kind}: needs a path")
    if path.startswith("@"):
        path = "\0" + path[1:]
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise UsageError(f"{what}: the path {path!r} is longer than the {MAX_PATH_BYTES} bytes a UNIX socket can have")
    return Address(kind, path=path)


def upstream(value: object) -> Address:
    """The address of the server behind the proxy. Raises `UsageError`, also for port 0."""
    found = parse(value, "upstream")
    if not found.path and not found.port:
        raise UsageError(f"upstream: {found} has no port that something could listen on")
    return found


def listening(value: object, behind: Address) -> Address:
    """The address to listen on; None is a free port of 127.0.0.1. Its sockets must carry what those `behind` carry.

    Raises `UsageError`.
    """
    if value is None:
        if behind.type is socket.SOCK_STREAM:
            return Address("tcp", LOOPBACK)
        if behind.kind == "udp":
            return Address("udp", LOOPBACK)
        raise UsageError(f"listen: say where; for {behind} it is {behind.kind}:PATH")
    found = parse(value, "listen")
    if found.kind == "tcp" and behind.kind == "udp" and not (isinstance(value, str) and value.startswith("tcp:")):
        found = Address("udp", found.host, found.port)
    if found.type is not behind.type:
        raise UsageError(f"listen: {found} cannot carry what {behind} carries; listen on {behind.kind}:... too")
    return found


@dataclass(frozen=True, slots=True)
class Resolved:
    """One way to reach an address: family, and what `connect` takes."""

    family: socket.AddressFamily
    sockaddr: SockAddress


def is_literal(address: Address) -> bool:
    """Whether no name server is needed."""
    try:
        return bool(address.path) or bool(ipaddress.ip_address(address.host))
    except ValueError:
        return False


def resolve(address: Address, what: str) -> list[Resolved]:
    """The ways to reach `address`, in the order of getaddrinfo(3). Raises `EnvironmentProblem` when there is none."""
    if address.path:
        return [Resolved(socket.AF_UNIX, address.path)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=address.type)
    except (OSError, UnicodeError) as problem:
        why = getattr(problem, "strerror", None) or str(problem)
        raise EnvironmentProblem(f"{what}: the host {address.host!r} does not resolve: {why}") from None
    return [Resolved(family, sockaddr) for family, _, _, _, sockaddr in found]


def bind(address: Address) -> socket.socket:
    """A socket bound to `address`, not blocking; it does not listen yet, and keeps its port whatever it does later.

    Raises `EnvironmentProblem`: in use, not permitted, no such address; a stale UNIX socket is replaced.
    """
    where = resolve(address, "listen")[0]
    if address.path:
        _remove_stale(address)
    bound = socket.socket(where.family, address.type)
    try:
        bound.setblocking(False)
        if where.family != socket.AF_UNIX and address.type is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not address.path and not address.port:
            _bind_to_free_port(bound, where, address.type)
        else:
            bound.bind(where.sockaddr)
    except OSError as problem:
        bound.close()
        raise EnvironmentProblem(f"listen: cannot listen on {address}: {_in_words(problem, address)}") from None
    return bound


def _bind_to_free_port(bound: socket.socket, where: Resolved, kind: socket.SocketKind) -> None:
    """Bind by number to a port that the kernel chose (see the module's text): another socket holds it meanwhile."""
    with socket.socket(where.family, kind) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(where.sockaddr)
        bound.bind(holder.getsockname())
    if kind is socket.SOCK_DGRAM:
        # With it, another UDP socket could take the same port away (socket(7)).
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def _in_words(problem: OSError, address: Address) -> str:
    if problem.errno == errno.EADDRINUSE:
        return "the path is in use" if address.path else f"port {address.port} is in use"
    if problem.errno == errno.EACCES and address.port and address.port < 1024:
        return f"permission denied (ports below 1024 are for root); try {1024 + address.port}"
    if problem.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return problem.strerror or str(problem)


def _remove_stale(address: Address) -> None:
    """Remove a socket file that nobody listens on."""
    path = address.path
    if path.startswith("\0"):
        return
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, address.type) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return


def name_of(bound: socket.socket, address: Address) -> Address:
    """`address` with the port that the socket really has."""
    if address.path:
        return address
    return Address(address.kind, address.host, bound.getsockname()[1])
