"""Where a server is to listen: handed over, discovered, asked for, or chosen - never just guessed.

Owns the decision about ports and socket paths, and the lock that keeps two runs from choosing one port. Must never
connect anywhere.

The idea, in order of preference: the run binds and passes the socket (`{fd}`, LISTEN_FDS); the server binds port 0 and
its port is read from the kernel's table (`port=0`, or no `{port}` in the command at all); a port is chosen *outside*
the range from which the kernel takes ephemeral ports, under a lock that every other run sees; when the server says that
it is in use, another is tried. The lock is an abstract UNIX socket named after the port: it lives in the same network
namespace as the port itself, and goes away with its holder, however that ends.

Source: ip(7) (ip_local_port_range), unix(7) (abstract names, 108 bytes of sun_path), sd_listen_fds(3).
"""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wavetank.errors import EnvironmentProblem, PortTaken, UsageError
from wavetank.servers import processes
from wavetank.servers.sockdiag import Listener, Table

#: Ports that are chosen from, as far as they are not ephemeral here. Below are well-known services.
_LOWEST: Final = 20_000
_HIGHEST: Final = 65_535
#: So many are drawn before the search is given up.
_DRAWS: Final = 10_000
#: sun_path has 108 bytes, one of them for the zero at its end (unix(7)).
SOCKET_PATH_BYTES: Final = 107


@dataclass
class Address:
    """Where the server is expected. `port` 0 means: wherever it listens. A UNIX socket has a `path` instead."""

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    #: The listening socket that the server gets, when it is handed over.
    handed_over: socket.socket | None = None
    chosen: bool = False
    #: A UDP port.
    datagrams: bool = False
    _held: list[socket.socket] = field(default_factory=list, repr=False)

    @property
    def known(self) -> bool:
        """Whether it is known before the server has started."""
        return bool(self.port or self.path)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        host = f"udp:{host}" if self.datagrams else host
        return f"{host}:{self.port}" if self.port else f"{host}, any port"

    def among(self, table: Table) -> list[Listener]:
        """The sockets of the kind that is expected here: listeners, or bound ones for UDP."""
        return table.unix() if self.path else table.udp() if self.datagrams else table.tcp()

    def matches(self, listener: Listener) -> bool:
        """Whether a client that connects here would reach this listener."""
        if self.path:
            return listener.family == socket.AF_UNIX and listener.address == self.path
        return listener.serves(self.host, self.port or listener.port)

    def release(self) -> None:
        """Give up lock, holding socket and handed-over socket."""
        for each in (*self._held, *filter(None, (self.handed_over,))):
            each.close()
        self._held.clear()
        self.handed_over = None

    def hold(self) -> None:
        """Keep the port for a restart: bound, not listening, with SO_REUSEADDR so that the server can bind it.

        Not for UDP, where a second socket at the port would get its datagrams (socket(7), SO_REUSEADDR).
        """
        if not self.port or self.handed_over is not None or self.datagrams:
            return
        holder = socket.socket(family(self.host), socket.SOCK_STREAM)
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((self.host, self.port))
        except OSError:
            holder.close()  # connections in TIME_WAIT of a server without SO_REUSEADDR: nobody else gets it either
            return
        self._held.append(holder)

    def let_go(self) -> bool:
        """Give up what `hold` keeps, when the server cannot bind beside it; the lock stays. True if anything was."""
        holders = [each for each in self._held if each.family != socket.AF_UNIX]
        for each in holders:
            each.close()
            self._held.remove(each)
        return bool(holders)


def family(host: str) -> socket.AddressFamily:
    """The address family of a numeric address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def check_host(host: str) -> str:
    """The numeric address of `host` (a literal, or localhost). Raises `UsageError`."""
    if host == "localhost":
        return "127.0.0.1"
    for each in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(each, host)
        except OSError:
            continue
        return host
    raise UsageError(f"host {host!r} is not a numeric address", next="give one of this machine, as in 127.0.0.1 or ::1")


def check_port(port: object) -> None:
    """Raises `UsageError` when this is no port."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _HIGHEST:
        raise UsageError(f"port {port!r} is not a port", next="give a number from 1 to 65535, or 0 to discover it")


def handed_over(host: str, port: int, *, datagrams: bool = False) -> Address:
    """A listening (or bound UDP) socket of ours, for the server to inherit. Raises `PortTaken`."""
    listening = socket.socket(family(host), socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
    try:
        if not datagrams:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        if not datagrams:
            listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno != errno.EADDRINUSE:
            raise UsageError(
                f"cannot listen on {host}, port {port}: {error.strerror}", next="give another host="
            ) from None
        with Table() as table:
            refuse_busy(Address(host, port, datagrams=datagrams), table)
        raise PortTaken(f"port {port} on {host} is in use", next="give another port, or none") from None
    return Address(host, listening.getsockname()[1], handed_over=listening, datagrams=datagrams)


def choose(host: str, *, datagrams: bool = False) -> Address:
    """A free port outside the ephemeral range, locked against other runs; free for TCP and UDP alike."""
    for port in _candidates():
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0wavetank-port-{port}")
            with socket.socket(family(host), socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
            with socket.socket(family(host), socket.SOCK_DGRAM) as probe:
                probe.bind((host, port))
        except OSError as error:
            lock.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise UsageError(f"{host} is not an address of this machine", next="host='127.0.0.1'") from None
            continue
        return Address(host, port, chosen=True, datagrams=datagrams, _held=[lock])
    raise EnvironmentProblem("no port outside the ephemeral range is free", where=host)


def _candidates() -> Iterator[int]:
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        low, high = 32_768, 60_999  # the default of Linux (ip(7))
    # A range of its own, so that a test that seeds `random` does not draw the same ports as the next one.
    draw = random.SystemRandom()
    for _ in range(_DRAWS):
        port = draw.randrange(_LOWEST, _HIGHEST + 1)
        if not low <= port <= high:
            yield port


def unix_socket(path: str) -> Address:
    """A UNIX socket path, free to be bound: a stale file is removed. Raises `UsageError`, `PortTaken`."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise UsageError(
            f"the socket path has {length} bytes, and the most is {SOCKET_PATH_BYTES}", where=path,
            next="give a shorter folder: TMPDIR, or socket=...",
        )  # fmt: skip
    if os.path.exists(path):
        with Table() as table:
            refuse_busy(Address(path=path), table)
        os.unlink(path)  # nobody listens on it: a stale file
    return Address(path=path)


def refuse_busy(address: Address, table: Table) -> None:
    """Raise `PortTaken` when somebody listens at the address already, saying who."""
    for listener in address.among(table):
        if listener.address == address.path if address.path else listener.conflicts(address.host, address.port):
            raise taken(address, listener)


def taken(address: Address, listener: Listener) -> PortTaken:
    """The error that names who has the address."""
    who = [processes.describe(pid) for pid in processes.holders(listener.inode)]
    owner = " and ".join(who) or f"a process of user {listener.uid} that this user may not look into"
    what = f"socket {address.path}" if address.path else f"{'UDP ' if address.datagrams else ''}port {address.port}"
    return PortTaken(
        f"{what} already belongs to {owner}", where=f"it listens on {listener}",
        next="end that process, or give another port (or none: {port} then chooses a free one)",
    )  # fmt: skip


class BindFailed(Exception):
    """The address was taken; another one may be tried."""

    def __init__(self, error: PortTaken) -> None:
        super().__init__(str(error))
        self.error = error
