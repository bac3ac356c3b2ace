"""`SSHForward`: a port or socket forwarded over SSH, ready when the tunnel really carries; and servers for it.

Owns the faces, blocking and asyncio. What forwards is in `openssh`, `with_asyncssh` and `with_conch`.

The idea: "the forward listens" is not "the forward works". So a forward counts as ready when, besides listening, a
channel through the tunnel has brought back the banner of the SSH server's own port. The target itself is not touched
before the first connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self

from wavetank.errors import EnvironmentProblem, ServerDied, ServerNotReady, UsageError, did_you_mean
from wavetank.servers.process import ServerProcess
from wavetank.servers.ssh import loop, openssh, socks
from wavetank.servers.ssh.access import DIRECTIONS, Access, Target, check_target, new_keys, this_user
from wavetank.servers.steps import refuse_in_running_loop

#: Who can be client or server, and what has to be installed for it.
KINDS: Final = ("openssh", "asyncssh", "conch")
_EXTRAS: Final = {"asyncssh": "asyncssh", "conch": "conch"}


class SSHServer:
    """An SSH server for tests that lets in one key and forwards whatever is asked for.

    `kind` is `"openssh"` (an sshd as a process, with the options of `ServerProcess`), `"asyncssh"` or `"conch"` (both
    in this process). `host` is where it listens. `access` says how to reach it, `port` and `host` where.

    Raises `ProgramUnusable` where OpenSSH, `EnvironmentProblem` where the library is not installed.
    """

    def __init__(self, kind: str = "openssh", *, host: str = "127.0.0.1", **options: Any) -> None:
        _check_word("kind", kind, KINDS)
        if kind != "openssh" and options:
            raise UsageError(f"{', '.join(options)}: only an OpenSSH server is a process and takes such options")
        self.kind = kind
        self.keys = new_keys()
        #: The process, for OpenSSH.
        self.process: ServerProcess | None = None
        self._inside: Any = None
        self.host = host
        self.port = 0
        if kind == "openssh":
            self.process = openssh.sshd(self.keys, host=host, **options)
        else:
            self._inside = _library(kind).Server(self.keys)

    @property
    def access(self) -> Access:
        """How to reach it."""
        if not self.port:
            raise UsageError("the SSH server is not started", next="use it with `with`, or call start()")
        if self.process is not None:
            return openssh.access(self.process, self.keys)
        return Access(host=self.host, port=self.port, user=this_user(), keys=self.keys)

    def start(self) -> Self:
        """Start it. Errors are those of `ServerProcess.start`."""
        if self.process is not None:
            self.port = self.process.start().port
        else:
            self.port = loop.call(self._inside.open(self.host))
        return self

    def stop(self) -> None:
        """Stop it; harmless when it is stopped."""
        if self.port:
            self.port = 0
            if self.process is not None:
                self.process.stop()
            else:
                loop.call(self._inside.close())

    async def start_async(self) -> Self:
        """The same as `start`, without blocking the loop."""
        if self.process is not None:
            self.port = (await self.process.start_async()).port
        else:
            self.port = await asyncio.wrap_future(loop.submit(self._inside.open(self.host)))
        return self

    async def stop_async(self) -> None:
        """The same as `stop`, without blocking the loop."""
        if self.port:
            self.port = 0
            if self.process is not None:
                await self.process.stop_async()
            else:
                await asyncio.wrap_future(loop.submit(self._inside.close()))

    def __enter__(self) -> Self:
        return self.start() if not self.port else self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.start_async() if not self.port else self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_async()


class SSHForward:
    """One forward over SSH: `SSHForward(server, direction, target)`.

    What is given:

    - `server`: an `SSHServer`, or an `Access` to another one.
    - `direction`: `"local"` (listens here, the server connects to the target), `"remote"` (the server listens, this
      side connects), `"dynamic"` (listens here for SOCKS 5; no target).
    - `target`: (host, port), or the path of a UNIX socket; as seen from the side that connects to it.
    - `listen`: (host, port) or a path; by default a free port on 127.0.0.1.
    - `via`: servers to jump through, the first one first.
    - `client`: `"openssh"` (the ssh program), `"asyncssh"` or `"conch"` (in this process).
    - `timeout`: seconds until the tunnel carries.

    With `with` or `async with`, or by `start` and `stop`. Then `address` is where it listens, `connect()` a connection
    through it, `kill()` cuts the tunnel, `check()` raises when it has been lost.

    Raises `ServerDied` when the client ended (a forward that fails, a key that is refused: with its words),
    `ServerNotReady` when the time is over, `UsageError` for what makes no sense, `EnvironmentProblem` for a library
    that is missing. An orderly end and half close pass the tunnel, a reset becomes an end: SSH has no word for it
    (RFC 4254, section 5.3).
    """

    def __init__(
        self,
        server: SSHServer | Access,
        direction: str = "local",
        target: Target | None = None,
        *,
        listen: Target | None = None,
        via: SSHServer | Access | Sequence[SSHServer | Access] = (),
        client: str = "openssh",
        timeout: float = 30.0,
    ) -> None:
        _check_word("direction", direction, DIRECTIONS)
        _check_word("client", client, KINDS)
        if (target is None) != (direction == "dynamic"):
            raise UsageError(
                f"a {direction} forward {'has no target' if target else 'needs a target'}",
                next="SSHForward(server, 'local', ('127.0.0.1', 8000)), or SSHForward(server, 'dynamic')",
            )
        self.direction = direction
        self.client = client
        self.target = check_target(target, "target") if target is not None else None
        self.listen = check_target(listen, "listen") if listen is not None else None
        if direction == "dynamic" and isinstance(listen, str):
            raise UsageError("a dynamic forward listens on a port, not on a path")
        self.timeout = timeout
        self._servers = [*([via] if isinstance(via, SSHServer | Access) else via), server]
        self._address: Target | None = None
        self._openssh: openssh.Client | None = None
        self._inside: Any = None

    @property
    def address(self) -> Target:
        """Where it listens: (host, port), or a path."""
        if self._address is None:
            raise UsageError("the forward is not started", next="use it with `with`, or call start()")
        return self._address

    @property
    def host(self) -> str:
        """The host of `address`."""
        return self.address[0] if isinstance(self.address, tuple) else ""

    @property
    def port(self) -> int:
        """The port of `address`; `UsageError` when it is a path."""
        if isinstance(self.address, str):
            raise UsageError("the forward listens on a UNIX socket", next="use .path")
        return self.address[1]

    @property
    def path(self) -> str:
        """The path of `address`; `UsageError` when it is a port."""
        if not isinstance(self.address, str):
            raise UsageError("the forward listens on a port", next="use .host and .port")
        return self.address

    @property
    def process(self) -> ServerProcess | None:
        """The ssh process, for OpenSSH: its log, its report."""
        return self._openssh.server if self._openssh is not None else None

    def connect(self, target: tuple[str, int] | None = None, *, timeout: float | None = 30.0) -> socket.socket:
        """A blocking connection through the forward; a dynamic one is told the `target`, and may refuse."""
        if (target is None) == (self.direction == "dynamic"):
            raise UsageError("a dynamic forward is told where to connect, and only that: connect((host, port))")
        connection = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        try:
            connection.settimeout(timeout)
            connection.connect(self.address)
            if target is not None:
                socks.connect(connection, target)
        except BaseException:
            connection.close()
            raise
        return connection

    # Blocking.

    def start(self) -> Self:
        """Start it; returns when the tunnel carries."""
        refuse_in_running_loop("SSHForward.start()", "async with SSHForward(...), or await forward.start_async()")
        if self.client == "openssh":
            with self._started_openssh() as server:
                server.start()
        else:
            self._address = loop.call(self._open_inside())
        return self

    def stop(self) -> None:
        """End it; harmless when it is ended."""
        address, self._address = self._address, None
        if address is None:
            return
        if self._openssh is not None and self._openssh.server is not None:
            self._openssh.close()
            self._openssh.server.stop()
        elif self._inside is not None:
            loop.call(self._inside.close())
        _remove_socket(address if self.direction != "remote" else "")

    def kill(self) -> None:
        """Cut the tunnel: SIGKILL for ssh, a dropped connection for a client in this process."""
        if self._openssh is not None and self._openssh.server is not None:
            core = self._openssh.server._core
            core.sent_kill = core.death_told = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(core.pid, 9)
        elif self._inside is not None:
            loop.call(self._inside.kill())

    def check(self) -> None:
        """Raise `ServerDied` when the tunnel is lost."""
        if self._openssh is not None and self._openssh.server is not None:
            self._openssh.server.check()
        elif self._inside is not None and not self._inside.is_alive():
            raise ServerDied(f"the SSH connection of the {self.client} client is lost", where=f"forward {self.address}")

    def __enter__(self) -> Self:
        return self.start() if self._address is None else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # asyncio.

    async def start_async(self) -> Self:
        """The same as `start`, without blocking the loop."""
        if self.client == "openssh":
            with self._started_openssh() as server:
                await server.start_async()
        else:
            self._address = await asyncio.wrap_future(loop.submit(self._open_inside()))
        return self

    async def stop_async(self) -> None:
        """The same as `stop`, without blocking the loop."""
        await asyncio.to_thread(self.stop)

    async def __aenter__(self) -> Self:
        return await self.start_async() if self._address is None else self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop_async()

    # What forwards.

    def _hops(self) -> list[Access]:
        return [each.access if isinstance(each, SSHServer) else each for each in self._servers]

    @contextlib.contextmanager
    def _started_openssh(self) -> Iterator[ServerProcess]:
        """The ssh process, to be started in the block."""
        self._openssh = openssh.Client(self._hops(), self.direction, self.target, self.listen, self.timeout)
        try:
            yield self._openssh.prepare()
        except BaseException:
            self._openssh.close()
            raise
        self._address = self._openssh.address

    async def _open_inside(self) -> Target:
        self._inside = _library(self.client).Client(self._hops(), self.direction, self.target, self.listen)
        try:
            async with asyncio.timeout(self.timeout):
                found: Target = await self._inside.open()
                return found
        except TimeoutError:
            await self._inside.kill()
            raise ServerNotReady(f"the {self.client} client's tunnel did not carry after {self.timeout:g} s") from None
        except UsageError:
            raise
        except Exception as error:
            await self._inside.kill()
            raise ServerDied(
                f"the {self.client} client could not forward: {type(error).__name__}: {error}",
                where=", ".join(f"{hop.user}@{hop.host}:{hop.port}" for hop in self._hops()),
            ) from error


def _check_word(option: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise UsageError(f"{option}={word!r} is unknown.{did_you_mean(word, known)}", next=f"one of {', '.join(known)}")


def _library(kind: str) -> Any:
    """The module for an SSH library; `EnvironmentProblem` when it is not installed."""
    try:
        return import_module(f"wavetank.servers.ssh.with_{kind}")
    except ImportError as error:
        raise EnvironmentProblem(
            f"the SSH library for {kind!r} is not installed: {error}", next=f"pip install 'wavetank[{_EXTRAS[kind]}]'"
        ) from None


def _remove_socket(address: Target) -> None:
    """The file of a UNIX socket that was listened on; not every client removes it."""
    if isinstance(address, str) and address:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.lstat(address).st_mode):
                os.unlink(address)
