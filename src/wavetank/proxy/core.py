"""The proxy in its event loop: the listener, the connections, and what they share.

Owns the listening socket and its connections. Everything here runs in one asyncio loop; the two faces of the proxy, the
one that blocks and the one that is awaited, are in `fault_proxy`.

A refusal is a real one: a listener that is shut down for reading (shutdown(2)) keeps its port and answers SYN with RST,
and listens again when told to (inet_shutdown in Linux's net/ipv4/af_inet.c).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from wavetank.faults import AnyFault
from wavetank.proxy import address as addresses
from wavetank.proxy.address import BACKLOG, Address, Resolved
from wavetank.proxy.connection import Connection
from wavetank.proxy.datagrams import Datagrams
from wavetank.proxy.events import EventLog
from wavetank.proxy.line import Force, Line
from wavetank.proxy.pump import CALM_BYTES, PIPE_BYTES, Pump
from wavetank.proxy.timers import Timers, now_ns

#: So many connections are accepted in one turn.
_ACCEPTS: Final = 64
#: Without descriptors to accept with, look again after this; or as soon as a connection ends.
_NO_DESCRIPTORS_NS: Final = 100_000_000
#: Pipes that nobody uses are kept for the next bulk transfer, as many as this.
_PIPES_KEPT: Final = 16
#: linux/fcntl.h
_F_SETPIPE_SZ: Final = 1031


class Pipe:
    """A pipe for splice. `held`: bytes in it."""

    __slots__ = ("held", "reading", "writing")

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        # Beyond the user's share (pipe(7), pipe-user-pages-soft) it stays at 64 KiB, and works.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.writing, _F_SETPIPE_SZ, PIPE_BYTES)

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reading)
        os.close(self.writing)


class Core:
    """One running proxy, in the loop that made it. `start` and `stop` are for that loop, as everything else."""

    def __init__(
        self,
        upstream: Address,
        listen: Address,
        *,
        names: tuple[str, str],
        seed: int,
        trace: str | Path | None,
        splice: bool,
    ) -> None:
        self.upstream = upstream
        self.listen = listen
        self.log = EventLog(names, trace)
        self.line = Line(names, upstream, listen, seed=seed, log=self.log)
        self.packets = upstream.kind == "unix-seqpacket"
        self.splices = splice and hasattr(os, "splice")
        self.buffer = bytearray(CALM_BYTES)
        self.view = memoryview(self.buffer)
        self.ways: list[Resolved] = []
        self.connections: dict[int, Connection] = {}
        self.accepted = 0
        self.loop: asyncio.AbstractEventLoop
        self.timers: Timers
        self._listener: socket.socket | None = None
        self._datagrams: Datagrams | None = None
        self._accepting = False
        self._refusing = False
        self._pipes: list[Pipe] = []
        self._watch: select.epoll | None = None
        self._watched: dict[int, Pump] = {}

    async def start(self) -> None:
        """Resolve, bind and listen. Raises `EnvironmentProblem`, and leaves nothing behind then."""
        self.loop = asyncio.get_running_loop()
        try:
            if addresses.is_literal(self.upstream):
                self.ways = addresses.resolve(self.upstream, "upstream")
            else:  # the name server may take its time
                self.ways = await self.loop.run_in_executor(None, addresses.resolve, self.upstream, "upstream")
            listener = addresses.bind(self.listen)
        except BaseException:
            self.log.close()
            raise
        self._listener = listener
        self.listen = addresses.name_of(listener, self.listen)
        self.timers = Timers(self.loop)
        self.log.begin()
        self.line.open(self.timers, self.listen.port)
        self.line.changed = self._changed
        self.line.strike = self._strike
        if self.upstream.type is socket.SOCK_DGRAM:
            self._datagrams = Datagrams(self, listener)
        else:
            listener.listen(BACKLOG)
            self._watch = select.epoll()
            self.loop.add_reader(self._watch.fileno(), self._on_watch)
            self._accept_more(True)
        self.log.add("listen", text=str(self.listen))

    async def stop(self) -> None:
        """Close everything: connections get an orderly end."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._accept_more(False, listener)
        self.line.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for connection in [*self.connections.values()]:
            connection.close()
        if self._watch is not None:
            self.loop.remove_reader(self._watch.fileno())
            self._watch.close()
        self.timers.close()
        listener.close()
        if self.listen.path and not self.listen.path.startswith("\0"):
            with contextlib.suppress(OSError):
                os.unlink(self.listen.path)
        for pipe in self._pipes:
            pipe.close()
        self._pipes.clear()
        self.log.close()

    # ---- faults

    def inject(self, fault: AnyFault) -> int:
        """See `Line.inject`."""
        return self.line.inject(fault)

    def clear(self, number: int | None = None) -> int:
        """See `Line.clear`."""
        return self.line.clear(number)

    def _changed(self) -> None:
        self._refuse(self.line.refuses_all())
        if self._datagrams is not None:
            self._datagrams.reshape()
        for connection in [*self.connections.values()]:
            connection.reshape()

    def _strike(self, force: Force) -> bool:
        hit = [each for each in self.connections.values() if each.pumps and self.line.aims_at(force, each.ends)]
        for connection in hit:
            connection.strike(force, None)
        return bool(hit)

    def _refuse(self, wanted: bool) -> None:
        listener = self._listener
        if wanted is self._refusing or listener is None:
            return
        if self._datagrams is not None:
            self._refusing = wanted
            self._datagrams.refuse(wanted)
            return
        if wanted:
            # Whoever connected before the fault began goes on.
            self._on_acceptable()
            self._accept_more(False)
        self._refusing = wanted
        if self.listen.path:
            self._refuse_unix(wanted, listener)
        elif wanted:
            # Two sockets that both have it may share a port on which none listens (socket(7)): so it stays ours.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            listener.shutdown(socket.SHUT_RD)
        else:
            # Connections that were accepted here still have the port: without the option it would be in use.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.listen(BACKLOG)
            self._accept_more(True)

    def _refuse_unix(self, wanted: bool, listener: socket.socket) -> None:
        """A UNIX socket that was shut down never listens again: a new one takes its name."""
        if wanted:
            listener.shutdown(socket.SHUT_RDWR)
            return
        path = self.listen.path
        fresh = socket.socket(socket.AF_UNIX, self.listen.type)
        fresh.setblocking(False)
        listener.close()
        if not path.startswith("\0"):
            with contextlib.suppress(OSError):
                os.unlink(path)
        fresh.bind(path)
        fresh.listen(BACKLOG)
        self._listener = fresh
        self._accept_more(True)

    # ---- accepting

    def _accept_more(self, wanted: bool, listener: socket.socket | None = None) -> None:
        listener = listener or self._listener
        if listener is None or wanted is self._accepting:
            return
        self._accepting = wanted
        if wanted:
            self.loop.add_reader(listener.fileno(), self._on_acceptable)
        else:
            self.loop.remove_reader(listener.fileno())

    def _on_acceptable(self) -> None:
        for _ in range(_ACCEPTS):
            listener = self._listener
            if listener is None or not self._accepting:
                return
            try:
                client, name = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as problem:
                if problem.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self.log.add("note", text=f"cannot accept: {problem.strerror}; raise the limit with ulimit -n")
                self._accept_more(False)
                self.timers.at(now_ns() + _NO_DESCRIPTORS_NS, self._accept_again)
                return
            client.setblocking(False)
            self._accepted(client, name)

    def _accept_again(self) -> None:
        if not self._refusing:
            self._accept_more(True)

    def _accepted(self, client: socket.socket, name: addresses.SockAddress) -> None:
        self.accepted = number = self.accepted + 1
        port = name[1] if isinstance(name, tuple) else 0
        connection = Connection(self, number, client, self.line.ends(number, port))
        self.connections[number] = connection
        self.log.add("accept", number, text=f"{name[0]}:{port}" if port else "")
        self.line.happened(connection.ends)
        if self.line.refuses(connection.ends) and (self._refusing or not self.line.refuses_all()):
            self.log.add("refused", number, text="connections are refused")
            connection.reset_both("", (client,))
            return
        connection.begin()

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.pop(connection.number, None)
        for each in (connection.client, connection.server):
            if each is not None:
                self._watched.pop(each.fileno(), None)

    # ---- resets of sockets that are not being read

    def watch(self, pumps: Iterable[Pump]) -> None:
        """Tell each pump when its source has an error, although nobody reads it."""
        assert self._watch is not None, "datagrams are not watched"
        for pump in pumps:
            number = pump.source.fileno()
            self._watched[number] = pump
            # Errors are always reported (epoll_ctl(2)), here once each.
            self._watch.register(number, select.EPOLLERR | select.EPOLLET)

    def _on_watch(self) -> None:
        assert self._watch is not None
        for number, flags in self._watch.poll(0):
            pump = self._watched.get(number)
            if pump is not None and flags & select.EPOLLERR:
                pump.noticed_error()

    # ---- pipes

    def take_pipe(self) -> Pipe | None:
        """A pipe of its own for a bulk transfer; None when there are no descriptors for one."""
        if self._pipes:
            return self._pipes.pop()
        try:
            return Pipe()
        except OSError:
            return None

    def give_pipe(self, pipe: Pipe) -> None:
        """Back; it is empty."""
        if len(self._pipes) < _PIPES_KEPT:
            self._pipes.append(pipe)
        else:
            pipe.close()

    @staticmethod
    def drop_pipe(pipe: Pipe) -> None:
        """Close one that still holds bytes nobody wants."""
        pipe.close()
