"""The words of scripts for datagrams, pipes and child processes on Twisted's reactors.

The same words as `verbs_datagram` and `verbs_system` have for asyncio's loops. A pipe is one direction of a
`StandardIO`; the other direction stands idle. It imports Twisted, so it is imported only for a reactor.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import error, interfaces, protocol, stdio
from zope.interface import implementer

from wavetank.conformance.actors import Log, payload
from wavetank.conformance.case import amount
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.ground_tx import TwistedSide
from wavetank.conformance.verbs_system import PROGRAMS, Plain
from wavetank.conformance.verbs_tx import HOST
from wavetank.conformance.wires import NotOffered

#: Not typed there.
_standard_io: Any = stdio.StandardIO


class Datagrams(protocol.ConnectedDatagramProtocol):
    """A datagram protocol of a script: each datagram is a token with its size."""

    def __init__(self, name: str, react: Callable[[str, str], Any]) -> None:
        self.name = name
        self.log = Log()
        self._react = react
        self.to: Any = None
        self.last_from: Any = None
        self.wire: Any = self

    def startProtocol(self) -> None:
        """Note it."""
        self.log.add("made")
        self._react(self.name, "made")

    def stopProtocol(self) -> None:
        """Note it."""
        self.log.add("lost clean")

    def datagramReceived(self, datagram: bytes, addr: Any = None) -> None:
        """Note its size, and whether it is whole."""
        self.last_from = addr
        whole = datagram == payload(0, len(datagram))
        self.log.received_bytes += len(datagram)
        self.log.add(f"datagram {len(datagram)}" if whole else f"datagram {len(datagram)} garbled")
        self._react(self.name, "datagram")

    def connectionRefused(self) -> None:
        """Note it."""
        self.log.add("error ConnectionRefusedError")
        self._react(self.name, "error")

    def connectionFailed(self, failure: Any) -> None:
        """Note it."""
        self.log.add(f"error {type(failure.value).__name__}")

    def close(self) -> None:
        """Stop the port; a second time does nothing, which a transport does for its users on asyncio."""
        transport: Any = self.transport
        if transport is not None:
            transport.stopListening()


class PipeSide(TwistedSide):
    """One direction of standard input and output: when it has ended, so has the connection.

    The descriptors stay the caller's, who closes them.
    """

    descriptors: tuple[int, ...] = ()

    def writeConnectionLost(self) -> None:
        """The direction has ended, as asked, or since nobody reads."""
        self.wire.close()

    def lost(self, reason: BaseException | None) -> None:
        """Close what was opened for it."""
        descriptors, self.descriptors = self.descriptors, ()
        for fd in descriptors:
            os.close(fd)


class UnixDatagrams(Datagrams):
    """The same over a UNIX socket, whose client side is connected by nature."""


async def _bind(bench: Bench, name: str, *words: str) -> None:
    """Open a port: `connected` to the other, or `nowhere` (where nobody listens), or `unix`, or neither."""
    made: Any = bench.add(name, (UnixDatagrams if "unix" in words else Datagrams)(name, bench.react))
    other = bench.actors.get("server") if name == "client" else None
    reactor = bench.ground.reactor
    if "unix" in words:
        _bind_unix(bench, made, is_client=other is not None)
        return
    port = reactor.listenUDP(0, made, interface=HOST)
    target = (HOST, other.transport.getHost().port) if other is not None else None
    if "nowhere" in words:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((HOST, 0))
            target = taken.getsockname()
    if target is not None and {"connected", "nowhere"} & {*words}:
        port.connect(*target)
    else:
        made.to = target


def _bind_unix(bench: Bench, made: Any, *, is_client: bool) -> None:
    if is_client:
        bench.ground.reactor.connectUNIXDatagram(bench.extra["datagram path"], made)
        return
    folder = tempfile.TemporaryDirectory(prefix="wavetank-")
    bench.extra.setdefault("folders", []).append(folder)
    bench.extra["datagram path"] = os.path.join(folder.name, "datagrams")
    bench.ground.reactor.listenUNIXDatagram(bench.extra["datagram path"], made)


def _sendto(bench: Bench, name: str, what: str, *words: str) -> None:
    """Send a datagram of so many bytes; `text` what is no bytes; `elsewhere` to another address."""
    actor = bench.actors[name]
    to = actor.to
    if what == "times":
        raise NotOffered("datagrams that wait in a buffer")
    if what == "back":
        what, to = words[0], actor.last_from
    elif "elsewhere" in words:
        to = (HOST, 9)
    data: Any = "text" if what == "text" else payload(0, amount(what))
    actor.transport.write(*((data,) if isinstance(actor, UnixDatagrams) else (data, to)))


async def _pipe(bench: Bench, name: str, direction: str) -> None:
    """Connect one end of a pipe to the reactor, to read or to write; the other end is the actor `raw`."""
    ours, theirs = os.pipe() if direction == "read" else reversed(os.pipe())
    idle_read, idle_write = os.pipe()
    side = bench.add(name, PipeSide(name, bench.react))
    side.flows = "flow" in bench.case.wants
    side.descriptors = (ours, idle_read, idle_write)
    raw = bench.actors["raw"] = Plain(theirs)
    bench.logs["raw"] = raw.log
    raw.log.peer, side.log.peer = side.log, raw.log
    ends = {"stdin": ours, "stdout": idle_write} if direction == "read" else {"stdin": idle_read, "stdout": ours}
    _standard_io(side, reactor=bench.ground.reactor, **ends)


class Child(protocol.ProcessProtocol):
    """A process protocol of a script. What pipes say is told by pipe: their order is left open."""

    def __init__(self, name: str, react: Callable[[str, str], Any], log_of: Callable[[str], Log]) -> None:
        self.name = name
        self.log = Log()
        self._react = react
        self._log_of = log_of
        self.returncode: int | None = None

    def connectionMade(self) -> None:
        """Note it."""
        self.log.add("made")
        self._react(self.name, "made")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Note it by pipe."""
        log = self._log_of(f"pipe{childFD}")
        log.received_bytes += len(data)
        log.add("data" if data else "data 0")

    def childConnectionLost(self, childFD: int) -> None:
        """Note it by pipe; Twisted tells no reason."""
        self._log_of(f"pipe{childFD}").add("lost clean")

    def processExited(self, reason: Any) -> None:
        """Note it, with the status."""
        status = reason.value
        signum = getattr(status, "signal", None)
        self.returncode = -signum if signum else status.exitCode
        self.log.add(f"exited {self.returncode}")
        self._react(self.name, "exited")

    def processEnded(self, reason: Any) -> None:
        """Note it, and a pipe that was not lost before."""
        for number in (0, 1, 2):
            told = self._log_of(f"pipe{number}").told()
            if told and not told[-1].startswith("lost"):
                self.log.add(f"pipe {number} is open")
        self.log.add("lost clean")


async def _spawn(bench: Bench, name: str, program: str) -> None:
    """Start a process with pipes for its three streams."""
    child = Child(name, bench.react, bench.log)
    bench.actors[name], bench.logs[name] = child, child.log
    arguments = ["/no/such/program"] if program == "missing" else ["/bin/sh", "-c", PROGRAMS[program]]
    bench.ground.reactor.spawnProcess(child, arguments[0], arguments, env=None)


def _feed(bench: Bench, name: str, count: str) -> None:
    """Write to the process's standard input."""
    bench.actors[name].transport.write(payload(0, amount(count)))


def _signal(word: str) -> Verb:
    def call(bench: Bench, name: str) -> None:
        try:
            bench.actors[name].transport.signalProcess(word)
        except error.ProcessExitedAlready:
            raise ProcessLookupError from None

    return call


def _status(bench: Bench, name: str) -> None:
    """What the protocol was told, and what the transport says of the process."""
    child = bench.actors[name]
    bench.log(name).add(f"returncode {child.returncode}")
    bench.log(name).add("pid is there" if isinstance(child.transport.pid, int) else "pid is missing")


@implementer(interfaces.IReadDescriptor)
class _Readable:
    """A descriptor that a reactor watches."""

    def __init__(self, fd: int, log: Log) -> None:
        self.fd = fd
        self.log = log

    def fileno(self) -> int:
        """The descriptor."""
        return self.fd

    def doRead(self) -> None:
        """Something is there."""
        self.log.add("readable")

    def connectionLost(self, reason: Any) -> None:
        """It is over."""

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "descriptor"


async def _watch_fd(bench: Bench, _: str) -> None:
    """Have a pipe watched (addReader, removeReader): called while there is something to read, no more after that."""
    reactor = bench.ground.reactor
    reading, writing = os.pipe()
    log = bench.log("reader")
    watched = _Readable(reading, log)
    reactor.addReader(watched)
    os.write(writing, b"x")
    await bench.settle()
    for _time in range(2):
        reactor.removeReader(watched)
        log.add(f"removed {watched in reactor.getReaders()}")
    os.write(writing, b"x")
    await bench.settle()
    os.close(reading)
    os.close(writing)


VERBS: Final[dict[str, Verb]] = {
    "bind": _bind,
    "sendto": _sendto,
    "pipe": _pipe,
    "spawn": _spawn,
    "feed": _feed,
    "end_input": lambda bench, name: bench.actors[name].transport.closeStdin(),
    "kill": _signal("KILL"),
    "terminate": _signal("TERM"),
    "status": _status,
    "watch_fd": _watch_fd,
}
