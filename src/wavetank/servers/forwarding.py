"""One shot through a forwarded port: start the program, connect, send, collect until the peer has gone, quit.

Owns `ForwardingProcess` and `ForwardingPort` in asyncio's dialect; the Twisted ones are in `wavetank.servers.tx`. Must
never deliver more or less than once, wait without a deadline, or take a stranger's listener for the forwarded port.

The model is what Twisted's Conch tests do with `ssh -L` and `ssh -R`. Whose listener may be accepted is wider than for
`ServerProcess`: with `-R` it is the SSH *server* that listens. So it may belong to the program that was started, to
this very process, or to a server that this process has running; it may not have been there before the start.

Source: the test helpers of twisted.conch.test.test_conch, and what they leave open (no deadline, no word about a
program that exits, a pass when an impostor has the port).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Generator, Sequence
from typing import Any, Final

from wavetank.errors import PortTaken, ServerDied, ServerNotReady
from wavetank.servers import address, process, processes, stopping
from wavetank.servers.address import Address
from wavetank.servers.process import ServerProcess
from wavetank.servers.sockdiag import Listener, Table
from wavetank.servers.steps import carry_out_async

#: The byte that a terminal turns into SIGINT; programs that read their input themselves take it for "quit".
CTRL_C: Final = b"\x03"
_LOOK_S: Final = 0.002
_DRAIN_S: Final = 1.0


class ForwardingPort(asyncio.Protocol):
    """Connects to the forwarded port, sends `data`, and tells `process` all that came back when the peer has gone."""

    def __init__(self, process: ForwardingProcess, data: bytes) -> None:
        self.process = process
        self.data = data
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self.data)

    def data_received(self, data: bytes) -> None:
        """Collect."""
        self.buffer += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Report."""
        self.process.forwarding_port_disconnected(self.buffer)


class ForwardingProcess:
    """Runs `command`, a program that opens `port` here or lets its server do so, and sends `data` through that port.

    `await ForwardingProcess(command, port, data)` gives the bytes that came back until the peer had gone; awaiting it
    again gives the same. `{port}` and `{host}` in the command stand for the arguments. `timeout` is for all of it, in
    seconds; `grace`: seconds that the program gets to quit after a Ctrl-C byte to its input, which is then closed; at 0
    it is one turn of the loop. Then it is killed. Further options are those of `ServerProcess`.

    Raises `PortTaken` when somebody listened on the port already, or another process than the program, this one and its
    servers does so later; `ServerDied` when the program ended before the answer was complete; `ServerNotReady` when the
    time is over, with what was received. Nothing is left running.
    """

    def __init__(
        self,
        command: Sequence[str] | str,
        port: int,
        data: bytes,
        *,
        host: str = "127.0.0.1",
        timeout: float = 30.0,
        grace: float = 0.0,
        **options: Any,
    ) -> None:
        self.data = data
        self.buffer: bytes | None = None
        self.address = Address(address.check_host(host), port)
        self.grace = grace
        self.timeout = timeout
        words = command if isinstance(command, str) else [os.fspath(word) for word in command]
        self._server = ServerProcess(
            _filled(words, self.address), ready=[], stdin="pipe", timeout=timeout, exit_codes=range(-64, 256), **options
        )
        self._port: ForwardingPort | None = None
        self._disconnected: asyncio.Future[bytes] | None = None
        self._result: asyncio.Future[bytes] | None = None

    @property
    def pid(self) -> int:
        """The program's process id. `UsageError` before it is started."""
        return self._server.pid

    def __await__(self) -> Generator[Any, None, bytes]:
        return self.run().__await__()

    async def run(self) -> bytes:
        """The whole procedure; exactly once, whoever awaits it how often."""
        if self._result is None:
            self._result = asyncio.ensure_future(self._run_once())
        return await self._result

    def forwarding_port_disconnected(self, buffer: bytes) -> None:
        """The peer has gone: keep what came; the program is asked to quit next."""
        self.buffer = buffer
        if self._disconnected is not None and not self._disconnected.done():
            self._disconnected.set_result(buffer)

    async def _run_once(self) -> bytes:
        deadline = time.monotonic() + self.timeout
        self._disconnected = asyncio.get_running_loop().create_future()
        with Table() as table:
            address.refuse_busy(self.address, table)
            await self._server.start_async()
            transport: asyncio.BaseTransport | None = None
            try:
                await self._until_listening(table, deadline)
                transport = await self._connect(deadline)
                await self._until_disconnected(self._disconnected, deadline)
            finally:
                if transport is not None:
                    transport.close()
                await self._quit()
        assert self.buffer is not None
        return self.buffer

    async def _until_listening(self, table: Table, deadline: float) -> None:
        while True:
            for each in table.tcp():
                if each.serves(self.address.host, self.address.port):
                    refuse_stranger(each, self.address, self._server.processes())
                    return
            self._check(deadline, f"does not listen on {self.address}")
            await asyncio.sleep(_LOOK_S)

    async def _connect(self, deadline: float) -> asyncio.BaseTransport:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):
                transport, self._port = await loop.create_connection(
                    lambda: ForwardingPort(self, self.data), self.address.host, self.address.port
                )
                return transport
            self._check(deadline, f"does not accept connections on {self.address}")
            await asyncio.sleep(_LOOK_S)

    async def _until_disconnected(self, disconnected: asyncio.Future[bytes], deadline: float) -> None:
        ended = asyncio.ensure_future(self._server.wait_async(max(0.0, deadline - time.monotonic())))
        both: list[asyncio.Future[Any]] = [disconnected, ended]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not disconnected.done() and not self._server.running:
                # What it had relayed may still be on its way to us; a reset or an end follows at once.
                await asyncio.wait([disconnected], timeout=max(0.0, min(_DRAIN_S, deadline - time.monotonic())))
            if not disconnected.done():
                self._check(deadline, f"the peer has not closed; received so far: {self._received()}")
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    def _received(self) -> str:
        got = self._port.buffer if self._port is not None else b""
        return f"{len(got)} bytes: {got[:80]!r}"

    def _check(self, deadline: float, false: str) -> None:
        """Raise when the program has ended, or the time is over."""
        core = self._server._core
        if not self._server.running:
            raise ServerDied(f"{self._server.name} {core.ended()}: {false}", where=core.facts())
        if time.monotonic() >= deadline:
            raise ServerNotReady(
                f"{self._server.name}, after {self.timeout:g} s: {false}",
                where=core.facts(f"true: pid {self._server.pid} is running", f"false: {false}"),
                next="it has been ended; give it more time with timeout=, or correct the command or the port",
            )

    async def _quit(self) -> None:
        """Ctrl-C byte, close the pipe, a turn of the loop (or `grace`), SIGKILL for whatever is left."""
        core = self._server._core
        if core.stdin >= 0:
            with contextlib.suppress(OSError):
                os.set_blocking(core.stdin, False)
                os.write(core.stdin, CTRL_C)
            core.close_stdin()
        await asyncio.sleep(0)
        if self.grace:
            await self._server.wait_async(self.grace)
        core.death_told = True
        if core.launched is not None:
            await carry_out_async(self._server._stopped(how=stopping.kill))


def _filled(words: Sequence[str] | str, wanted: Address) -> Any:
    """The command with `{port}` and `{host}` replaced: the port is not the program's own business alone."""
    values = {"{port}": str(wanted.port), "{host}": wanted.host}

    def fill(word: str) -> str:
        for name, value in values.items():
            word = word.replace(name, value)
        return word

    return fill(words) if isinstance(words, str) else [fill(word) for word in words]


def refuse_stranger(listener: Listener, wanted: Address, tree: Sequence[int]) -> None:
    """Raise `PortTaken` unless the listener belongs to the `tree`, to this process, or to a server of this process."""
    holders = processes.holders(listener.inode)
    ours = {os.getpid(), *tree}
    if ours.intersection(holders) or (not holders and listener.uid == os.geteuid()):
        return  # without a holder: it is being closed, or is one of our own that does not let itself be looked into
    if any({*holders} & {*server.processes()} for server in process.LIVE):
        return
    taken = address.taken(wanted, listener)
    raise PortTaken(
        f"another process listens on the forwarded port: {taken.what}", where=taken.where,
        why="it came after the start, and belongs neither to the program nor to this test", next=taken.next,
    )  # fmt: skip
