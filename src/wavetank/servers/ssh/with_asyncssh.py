"""AsyncSSH in this process: a server that forwards everything, and a client.

Owns all that knows AsyncSSH, which is optional (`pip install wavetank[asyncssh]`). Everything here runs in the thread
of `loop`.

Source: AsyncSSH's documentation, "Port Forwarding", and its `SSHServer` callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import asyncssh

from wavetank.servers.ssh.access import Access, Keys, Target


class _Forwarding(asyncssh.SSHServer):
    """Lets its one user in, and forwards whatever is asked for."""

    def begin_auth(self, username: str) -> bool:
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return True

    def unix_connection_requested(self, dest_path: str) -> bool:
        return True

    def unix_server_requested(self, listen_path: str) -> bool:
        return True


class Server:
    """An SSH server in this process."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._acceptor: Any = None

    async def open(self, host: str) -> int:
        """Listen on a free port; returns it."""
        self._acceptor = await asyncssh.create_server(
            _Forwarding, host, 0, server_host_keys=[str(self.keys.host)],
            authorized_client_keys=str(self.keys.client.with_suffix(".pub")),
        )  # fmt: skip
        port: int = self._acceptor.get_port()
        return port

    async def close(self) -> None:
        """Stop listening, end the connections."""
        self._acceptor.close()
        await self._acceptor.wait_closed()


class Client:
    """One connection (through the hops before the last) with one forward."""

    def __init__(self, hops: Sequence[Access], direction: str, target: Target | None, listen: Target | None) -> None:
        self.hops = hops
        self.direction = direction
        self.target = target
        self.listen = listen
        self.connections: list[Any] = []
        self._listener: Any = None

    async def open(self) -> Target:
        """Connect, forward, and see that a channel carries; returns where the forward listens."""
        tunnel = None
        for hop in self.hops:
            tunnel = await asyncssh.connect(
                hop.host, hop.port, username=hop.user, client_keys=[str(hop.keys.client)], config=None, agent_path=None,
                known_hosts=([asyncssh.import_public_key(hop.keys.public("host"))], [], []), tunnel=tunnel or (),
            )  # fmt: skip
            self.connections.append(tunnel)
        assert tunnel is not None
        reader, writer = await tunnel.open_connection(self.hops[-1].host, self.hops[-1].port)
        await reader.readuntil(b"SSH-")
        writer.close()
        return await self._forward(tunnel)

    async def _forward(self, connection: Any) -> Target:
        host, port = self.listen if isinstance(self.listen, tuple) else ("127.0.0.1", 0)
        match self.direction, self.listen, self.target:
            case "dynamic", _, _:
                self._listener = await connection.forward_socks(host, port)
            case "local", str(path), str(target):
                self._listener = await connection.forward_local_path(path, target)
            case "local", str(path), (to_host, to_port):
                self._listener = await connection.forward_local_path_to_port(path, to_host, to_port)
            case "local", _, str(target):
                self._listener = await connection.forward_local_port_to_path(host, port, target)
            case "local", _, (to_host, to_port):
                self._listener = await connection.forward_local_port(host, port, to_host, to_port)
            case "remote", str(path), str(target):
                self._listener = await connection.forward_remote_path(path, target)
            case "remote", str(path), (to_host, to_port):
                self._listener = await connection.forward_remote_path_to_port(path, to_host, to_port)
            case "remote", _, str(target):
                self._listener = await connection.forward_remote_port_to_path(host, port, target)
            case _, _, (to_host, to_port):
                self._listener = await connection.forward_remote_port(host, port, to_host, to_port)
        return self.listen if isinstance(self.listen, str) else (host, self._listener.get_port())

    async def close(self) -> None:
        """Stop forwarding, say goodbye."""
        self._listener.close()
        await self._listener.wait_closed()
        for connection in self.connections[::-1]:
            connection.close()
            with contextlib.suppress(asyncio.TimeoutError, OSError, asyncssh.Error):
                await asyncio.wait_for(connection.wait_closed(), 5)

    async def kill(self) -> None:
        """Cut the connection, without a word to the other side."""
        for connection in self.connections[::-1]:
            connection.abort()

    def is_alive(self) -> bool:
        """Whether the connection stands."""
        return not self.connections[-1].is_closed()
