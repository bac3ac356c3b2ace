"""The words of scripts for pipes and child processes on asyncio's loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any, Final

from wavetank.conformance.actors import Log, Side, payload
from wavetank.conformance.case import amount
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.ground_aio import loop_of, offered
from wavetank.conformance.wires import NotOffered


class Plain:
    """The other end of a pipe: a descriptor that does not block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.log = Log()
        os.set_blocking(fd, False)

    def send(self, count: int) -> None:
        """Write so many bytes of the pattern."""
        data = payload(self.log.sent_bytes, count)
        self.log.sent_bytes += os.write(self.fd, data)

    def read(self) -> None:
        """Take all that is there."""
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return
            if not data:
                if self.log.told()[-1:] != ["eof"]:
                    self.log.add("eof")
                return
            self.log.data(data)

    def hang_up(self) -> None:
        """Close it."""
        os.close(self.fd)


async def _pipe(bench: Bench, name: str, direction: str) -> None:
    """Connect one end of a pipe to the loop, to read or to write; the other end is the actor `raw`."""
    ours, theirs = os.pipe() if direction == "read" else reversed(os.pipe())
    connect = offered(bench, "connect_read_pipe" if direction == "read" else "connect_write_pipe")
    file = os.fdopen(ours, "rb" if direction == "read" else "wb", 0)
    raw = Plain(theirs)
    side = Side(name, bench.react)
    side.flows = "flow" in bench.case.wants
    bench.actors[name], bench.logs[name] = side, side.log
    bench.actors["raw"], bench.logs["raw"] = raw, raw.log
    raw.log.peer, side.log.peer = side.log, raw.log
    await connect(lambda: side, file)


class Child(asyncio.SubprocessProtocol):
    """A process protocol of a script. What pipes say is told by pipe: their order is left open."""

    def __init__(self, name: str, react: Callable[[str, str], Any], log_of: Callable[[str], Log]) -> None:
        self.name = name
        #: Whether the script asks for the order of pipes and the end among each other.
        self.ordered = False
        self.log = Log()
        self._react = react
        self._log_of = log_of
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Note it."""
        self.transport = transport
        self.log.add("made")
        self._react(self.name, "made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Note it by pipe."""
        log = self._log_of(f"pipe{fd}")
        log.received_bytes += len(data)
        log.add("data" if data else "data 0")

    def pipe_connection_lost(self, fd: int, exc: BaseException | None) -> None:
        """Note it by pipe."""
        self._log_of(f"pipe{fd}").add(f"lost {'clean' if exc is None else type(exc).__name__}")

    def process_exited(self) -> None:
        """Note it, with the status."""
        self.log.add(f"exited {self.transport.get_returncode()}")
        self._react(self.name, "exited")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note it, and which pipe was not lost before, where the script is about that."""
        for number in (0, 1, 2) if self.ordered else ():
            told = self._log_of(f"pipe{number}").told()
            if told and not told[-1].startswith("lost"):
                self.log.add(f"pipe {number} is open")
        self.log.add(f"lost {'clean' if exc is None else type(exc).__name__}")


#: Programs of scripts, for a shell.
PROGRAMS: Final = {
    "nothing": "exit 0",
    "status3": "exit 3",
    "echo": "echo hello",
    "both": "echo out; echo err >&2",
    "cat": "exec cat",
    "much": "head -c 300000 /dev/zero",
    "stubborn": "trap '' TERM; read line",
    "quiet": "exec >&- 2>&-; read line",
    "grandchild": "sleep 0.2 & exit 0",
    "forever": "exec sleep 60",
}


async def _spawn(bench: Bench, name: str, program: str) -> None:
    """Start a process with pipes for its three streams."""
    spawn = offered(bench, "subprocess_exec")
    child = Child(name, bench.react, bench.log)
    child.ordered = "order" in bench.case.wants
    bench.actors[name], bench.logs[name] = child, child.log
    if program == "missing":
        await spawn(lambda: child, "/no/such/program")
    else:
        await spawn(lambda: child, "/bin/sh", "-c", PROGRAMS[program])


def _feed(bench: Bench, name: str, count: str) -> None:
    """Write to the process's standard input."""
    bench.actors[name].transport.get_pipe_transport(0).write(payload(0, amount(count)))


def _end_input(bench: Bench, name: str) -> None:
    bench.actors[name].transport.get_pipe_transport(0).close()


def _signal(verb: str) -> Verb:
    def call(bench: Bench, name: str) -> None:
        getattr(bench.actors[name].transport, verb)()

    return call


def _end(bench: Bench, name: str) -> None:
    bench.actors[name].transport.close()


def _status(bench: Bench, name: str) -> None:
    """What the transport says of the process."""
    transport = bench.actors[name].transport
    bench.log(name).add(f"returncode {transport.get_returncode()}")
    bench.log(name).add("pid is there" if isinstance(transport.get_pid(), int) else "pid is missing")


async def _watch_fd(bench: Bench, _: str) -> None:
    """add_reader and remove_reader on a pipe: called while there is something to read, and no more after that."""
    loop = loop_of(bench)
    reading, writing = os.pipe()
    log = bench.log("reader")
    try:
        loop.add_reader(reading, lambda: log.add("readable"))
    except NotImplementedError:
        raise NotOffered("add_reader") from None
    os.write(writing, b"x")
    await bench.settle()
    log.add(f"removed {loop.remove_reader(reading)}")
    log.add(f"removed {loop.remove_reader(reading)}")
    os.write(writing, b"x")
    await bench.settle()
    for fd in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(fd)


VERBS: Final[dict[str, Verb]] = {
    "pipe": _pipe,
    "spawn": _spawn,
    "feed": _feed,
    "end_input": _end_input,
    "kill": _signal("kill"),
    "terminate": _signal("terminate"),
    "end": _end,
    "status": _status,
    "watch_fd": _watch_fd,
}
