"""asyncio protocols for tests: they collect what happens to them.

Owns what is remembered. Must never check anything: these are what tests look at.
"""

from __future__ import annotations

import asyncio
from typing import Any

from wavetank.doubles.aio.signal import Signal


class AccumulatingProtocol(asyncio.Protocol):
    """Collects what it receives, and says when it is connected and disconnected.

    `await connected` gives the transport, `await disconnected` the argument of `connection_lost`; both at once when it
    has happened, and without a loop there are `connected.done()` and `.result()`. `made`, `closed`: 0, then 1. `data`:
    all bytes received; `chunks`: the pieces. `eof`: whether the other side sends no more. `paused`: whether writing is.
    `closed_reason`: the argument of `connection_lost`. `calls`: the callbacks in order. With `stay_open`, the end of
    the other side's stream leaves it open for writing.
    """

    def __init__(self, *, stay_open: bool = False) -> None:
        self.connected: Signal[Any] = Signal("connected")
        self.disconnected: Signal[BaseException | None] = Signal("disconnected")
        self.transport: Any = None
        self.made = self.closed = 0
        self.closed_reason: BaseException | None = None
        self.eof = self.paused = False
        self.chunks: list[bytes] = []
        self.calls: list[str] = []
        self._stay_open = stay_open

    @property
    def data(self) -> bytes:
        """All bytes received."""
        return b"".join(self.chunks)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note it; `connected` happens."""
        self.calls.append("connection_made")
        self.transport = transport
        self.made = 1
        self.connected.happen(transport)

    def data_received(self, data: bytes) -> None:
        """Keep the piece."""
        self.calls.append("data_received")
        self.chunks.append(data)

    def eof_received(self) -> bool:
        """Note it; returns `stay_open`."""
        self.calls.append("eof_received")
        self.eof = True
        return self._stay_open

    def pause_writing(self) -> None:
        """Note it."""
        self.calls.append("pause_writing")
        self.paused = True

    def resume_writing(self) -> None:
        """Note it."""
        self.calls.append("resume_writing")
        self.paused = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note it and the reason; `disconnected` happens."""
        self.calls.append("connection_lost")
        self.closed = 1
        self.closed_reason = exc
        self.disconnected.happen(exc)


class AccumulatingDatagramProtocol(asyncio.DatagramProtocol):
    """Collects datagrams.

    `received`: (data, address) of each. `errors`: the arguments of `error_received`. The rest is as for
    `AccumulatingProtocol`: `connected`, `disconnected`, `made`, `closed`, `closed_reason`, `paused`, `calls`.
    """

    def __init__(self) -> None:
        self.connected: Signal[Any] = Signal("connected")
        self.disconnected: Signal[BaseException | None] = Signal("disconnected")
        self.transport: Any = None
        self.made = self.closed = 0
        self.closed_reason: BaseException | None = None
        self.paused = False
        self.received: list[tuple[bytes, Any]] = []
        self.errors: list[BaseException] = []
        self.calls: list[str] = []

    @property
    def data(self) -> bytes:
        """All datagrams, joined."""
        return b"".join(data for data, _ in self.received)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note it; `connected` happens."""
        self.calls.append("connection_made")
        self.transport = transport
        self.made = 1
        self.connected.happen(transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Keep it."""
        self.calls.append("datagram_received")
        self.received.append((data, addr))

    def error_received(self, exc: BaseException) -> None:
        """Keep it."""
        self.calls.append("error_received")
        self.errors.append(exc)

    def pause_writing(self) -> None:
        """Note it."""
        self.calls.append("pause_writing")
        self.paused = True

    def resume_writing(self) -> None:
        """Note it."""
        self.calls.append("resume_writing")
        self.paused = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note it; `disconnected` happens."""
        self.calls.append("connection_lost")
        self.closed = 1
        self.closed_reason = exc
        self.disconnected.happen(exc)


class AccumulatingSubprocessProtocol(asyncio.SubprocessProtocol):
    """Collects what a process says.

    `data`: bytes by descriptor of the child; `out`, `err`: those of 1 and 2. `closed_fds`: (descriptor, reason) of each
    pipe that was lost, in order. `await exited` gives the return code. `connected`, `disconnected`, `made`, `closed`,
    `closed_reason`, `paused`, `calls` are as for `AccumulatingProtocol`.
    """

    def __init__(self) -> None:
        self.connected: Signal[Any] = Signal("connected")
        self.exited: Signal[int | None] = Signal("exited")
        self.disconnected: Signal[BaseException | None] = Signal("disconnected")
        self.transport: Any = None
        self.made = self.closed = 0
        self.closed_reason: BaseException | None = None
        self.paused = False
        self.data: dict[int, bytes] = {}
        self.closed_fds: list[tuple[int, BaseException | None]] = []
        self.calls: list[str] = []

    @property
    def out(self) -> bytes:
        """What came from descriptor 1."""
        return self.data.get(1, b"")

    @property
    def err(self) -> bytes:
        """What came from descriptor 2."""
        return self.data.get(2, b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note it; `connected` happens."""
        self.calls.append("connection_made")
        self.transport = transport
        self.made = 1
        self.connected.happen(transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Add to `data[fd]`."""
        self.calls.append("pipe_data_received")
        self.data[fd] = self.data.get(fd, b"") + data

    def pipe_connection_lost(self, fd: int, exc: BaseException | None) -> None:
        """Note it."""
        self.calls.append("pipe_connection_lost")
        self.closed_fds.append((fd, exc))

    def process_exited(self) -> None:
        """Note it; `exited` happens."""
        self.calls.append("process_exited")
        self.exited.happen(None if self.transport is None else self.transport.get_returncode())

    def pause_writing(self) -> None:
        """Note it: the standard input is full."""
        self.calls.append("pause_writing")
        self.paused = True

    def resume_writing(self) -> None:
        """Note it."""
        self.calls.append("resume_writing")
        self.paused = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note it; `disconnected` happens."""
        self.calls.append("connection_lost")
        self.closed = 1
        self.closed_reason = exc
        self.disconnected.happen(exc)
