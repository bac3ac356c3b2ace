"""What happened on the line: the event log of a proxy, and the same as a trace of the simulator's format.

Owns what an event is, how many are kept, how one waits for one, and how they become trace records. Must never
change what happens. The proxy's loop writes, any thread may read: appending to a deque and copying it are single steps
in CPython.

The proxy is the network between two ends, so its trace has the records that the simulated network writes: segments
sent, delivered and dropped, ends, resets, faults (docs/words/trace.md). Their objects are directions of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeAlias, overload

from wavetank.errors import EnvironmentProblem, UsageError, did_you_mean
from wavetank.proxy.address import BACKLOG
from wavetank.proxy.timers import now_ns
from wavetank.trace.schema import Kind, file_header, pack

#: So many events of transfers (data, datagrams) are kept, and so many of all others; the oldest go first.
MAX_TRANSFERS: Final = 100_000
MAX_OTHERS: Final = 100_000

NOWHERE, UP, DOWN = 0, 1, 2

#: Kinds of events, with the record each becomes in a trace, and its value (None: the size).
RECORDS: Final[dict[str, tuple[Kind, int | None]]] = {
    "listen": (Kind.LISTEN, BACKLOG),
    "accept": (Kind.ACCEPT, 0),
    "connect": (Kind.CONNECTED, 0),
    "refused": (Kind.CONNECTED, -errno.ECONNREFUSED),
    "data": (Kind.SEGMENT_DELIVERED, None),
    "dropped": (Kind.SEGMENT_DROPPED, None),
    "datagram": (Kind.DATAGRAM_DELIVERED, None),
    "lost": (Kind.DATAGRAM_DROPPED, None),
    "duplicated": (Kind.NOTE, 0),
    "reordered": (Kind.NOTE, 0),
    "truncated": (Kind.NOTE, 0),
    "eof": (Kind.SHUTDOWN, 1),
    "reset": (Kind.RESET, 1),
    "close": (Kind.CLOSE, 0),
    "fault": (Kind.FAULT, 1),
    "healed": (Kind.FAULT, 0),
    "note": (Kind.NOTE, 0),
}
KINDS: Final = tuple(RECORDS)
_TRANSFERS: Final = frozenset({"data", "datagram"})


class Event(NamedTuple):
    """One thing that happened.

    `time_s`: seconds since the proxy began. `kind`: one of `KINDS`. `connection`: its number, the first is 1; 0 for
    what concerns the proxy. `direction`: "client -> server", "server -> client" or "". `offset`: of the direction's
    stream, bytes that were delivered before. `size`: bytes. `text`: the fault as one line, an address, a reason.
    """

    time_s: float
    kind: str
    connection: int = 0
    direction: str = ""
    offset: int = 0
    size: int = 0
    text: str = ""

    def __str__(self) -> str:
        number = f"#{self.connection}" if self.connection else ""
        moved = f"{self.size} B at {self.offset}" if self.size else f"at {self.offset}" if self.offset else ""
        parts = (f"{self.time_s:>10.6f} s", number, self.kind, self.direction, moved, self.text)
        return "  ".join(part for part in parts if part)


#: An event as it is kept: ns since the start, then as in `Event`, the direction as a number.
_Raw: TypeAlias = tuple[int, int, str, int, int, int, int, str]


class EventLog(Sequence[Event]):
    """The events of one proxy so far, oldest first; a sequence that grows while the proxy runs.

    `forgotten` counts those that were too many to keep (`MAX_TRANSFERS`, `MAX_OTHERS`).
    """

    def __init__(self, names: tuple[str, str], trace: str | Path | None = None) -> None:
        client, server = names
        self._directions = ("", f"{client} -> {server}", f"{server} -> {client}")
        self._start_ns = now_ns()
        self._count = 0
        self._carried = [0, 0, 0]
        self._transfers: deque[_Raw] = deque(maxlen=MAX_TRANSFERS)
        self._others: deque[_Raw] = deque(maxlen=MAX_OTHERS)
        self._waiting: list[Callable[[], None]] = []
        self._trace = _TraceFile(trace, self._directions) if trace is not None else None
        self._listener: Callable[[Event], None] | None = None
        #: Waits until the loop has finished what it is at: who has received a byte finds the event of it.
        self.synchronise: Callable[[], None] = lambda: None

    # ---- writing: the loop of the proxy

    def begin(self) -> None:
        """Time counts from now."""
        self._start_ns = now_ns()

    def add(
        self, kind: str, connection: int = 0, direction: int = NOWHERE, offset: int = 0, size: int = 0, text: str = ""
    ) -> None:
        """Write one event, now."""
        self._count = count = self._count + 1
        raw = (now_ns() - self._start_ns, count, kind, connection, direction, offset, size, text)
        if kind in _TRANSFERS:
            self._transfers.append(raw)
            self._carried[direction] += size
        else:
            self._others.append(raw)
        if self._trace is not None:
            self._trace.write(raw)
        if self._listener is not None:
            self._listener(self._event(raw))
        if self._waiting:
            for wake in tuple(self._waiting):
                wake()

    def listen(self, listener: Callable[[Event], None] | None) -> None:
        """Call `listener` with each event from now on, in the loop of the proxy; None: no longer."""
        self._listener = listener

    def close(self) -> None:
        """Finish the trace file."""
        if self._trace is not None:
            self._trace.close()
            self._trace = None

    # ---- reading

    @property
    def now_s(self) -> float:
        """Seconds since the proxy began."""
        return (now_ns() - self._start_ns) / 1e9

    @property
    def forgotten(self) -> int:
        """How many events were too many to keep."""
        self.synchronise()
        return self._count - len(self._transfers) - len(self._others)

    @property
    def carried(self) -> tuple[int, int]:
        """Bytes delivered so far to the server and to the client, also those whose events are forgotten."""
        self.synchronise()
        return self._carried[UP], self._carried[DOWN]

    def _raw(self) -> list[_Raw]:
        self.synchronise()
        return [*heapq.merge(tuple(self._others), tuple(self._transfers), key=lambda raw: raw[1])]

    def _event(self, raw: _Raw) -> Event:
        time_ns, _, kind, connection, direction, offset, size, text = raw
        return Event(time_ns / 1e9, kind, connection, self._directions[direction], offset, size, text)

    def __len__(self) -> int:
        self.synchronise()
        return len(self._transfers) + len(self._others)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        """The event, or the list of events, at `index`."""
        found = self._raw()[index]
        return [self._event(raw) for raw in found] if isinstance(found, list) else self._event(found)

    def __iter__(self) -> Iterator[Event]:
        return map(self._event, self._raw())

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def __repr__(self) -> str:
        return f"<{len(self)} events>"

    def of(self, *kinds: str, connection: int | None = None, direction: str | None = None) -> list[Event]:
        """The events of these kinds (all, when none is named), of one connection, of one direction.

        Raises `UsageError` for a kind or direction that there is not.
        """
        self._check(kinds, direction)
        return [event for event in self if _fits(event, kinds, connection, direction)]

    def delivered(self, direction: str, connection: int | None = None) -> int:
        """How many bytes passed in this direction, of one connection or all, as far as the log reaches back."""
        events = self.of("data", "datagram", connection=connection, direction=direction)
        return sum(event.size for event in events)

    def wait(
        self, *kinds: str, connection: int | None = None, direction: str | None = None, timeout: float = 10.0
    ) -> Event:
        """The first such event, which may have happened already, else wait for it; blocks this thread.

        Raises `UsageError` as `of` does, and `TimeoutError` with the last events after `timeout` seconds.
        """
        self._check(kinds, direction)
        deadline = time.monotonic() + timeout
        happened = threading.Event()
        self._waiting.append(happened.set)
        try:
            while True:
                happened.clear()
                for event in self:
                    if _fits(event, kinds, connection, direction):
                        return event
                if not happened.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(self._missed(kinds, timeout))
        finally:
            self._waiting.remove(happened.set)

    async def happened(
        self, *kinds: str, connection: int | None = None, direction: str | None = None, timeout: float = 10.0
    ) -> Event:
        """As `wait`, for asyncio: the loop goes on meanwhile."""
        self._check(kinds, direction)
        loop, something = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(something.set)

        self._waiting.append(wake)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    something.clear()
                    for event in self:
                        if _fits(event, kinds, connection, direction):
                            return event
                    await something.wait()
        except TimeoutError:
            raise TimeoutError(self._missed(kinds, timeout)) from None
        finally:
            self._waiting.remove(wake)

    def _missed(self, kinds: tuple[str, ...], timeout: float) -> str:
        tail = "\n".join(f"  {event}" for event in self[-10:])
        return f"no event {' or '.join(kinds) or 'at all'} within {timeout:g} s; the last ones were:\n{tail}"

    def _check(self, kinds: tuple[str, ...], direction: str | None) -> None:
        for kind in kinds:
            if kind not in RECORDS:
                raise UsageError(f"there is no kind of event {kind!r}.{did_you_mean(kind, KINDS)}")
        if direction is not None and direction not in self._directions:
            raise UsageError(f"there is no direction {direction!r}; there are {' and '.join(self._directions[1:])}")


def _fits(event: Event, kinds: tuple[str, ...], connection: int | None, direction: str | None) -> bool:
    if kinds and event.kind not in kinds:
        return False
    return connection in (None, event.connection) and direction in (None, event.direction)


class _TraceFile:
    """A trace file that is written as things happen. Its objects are the listener (1) and directions."""

    def __init__(self, path: str | Path, directions: tuple[str, str, str]) -> None:
        self._path = str(path)
        self._directions = directions
        self._known: set[int] = set()
        try:
            self._file: IO[bytes] | None = open(path, "wb")  # noqa: SIM115  # closed by `close`
            self._file.write(file_header())
        except OSError as problem:
            raise EnvironmentProblem(f"trace: cannot write {self._path}: {problem.strerror}") from None

    def write(self, raw: _Raw) -> None:
        time_ns, _, kind, connection, direction, _, size, text = raw
        if self._file is None:
            return
        record, value = RECORDS[kind]
        number, name = (0, "") if record is Kind.FAULT else self._object(connection, direction)
        if number and number not in self._known:
            self._known.add(number)
            data = name.encode()
            self._file.write(pack(0, Kind.DEFINE_OBJECT, object=number, value=len(data), payload=data))
        payload = text
        if record is Kind.NOTE and size:
            payload = f"{kind}: {size} B {text}".rstrip()
        elif record not in (Kind.FAULT, Kind.NOTE):
            payload = ""
        try:
            shown = size if value is None else value
            self._file.write(pack(max(0, time_ns), record, object=number, value=shown, payload=payload.encode()))
        except OSError:
            # A full disk must not end the connections that pass here; the trace is cut short, and says so when read.
            self.close()

    def _object(self, connection: int, direction: int) -> tuple[int, str]:
        if not connection:
            return 1, "listener"
        down = int(direction == DOWN)
        return 2 * connection + down, f"{self._directions[1 + down]} #{connection}"

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
