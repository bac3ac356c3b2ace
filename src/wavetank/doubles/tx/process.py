"""Processes in Twisted's dialect: a transport without a process, and a protocol that collects what a process says.

Owns the order of the callbacks of a process. Must never start one. Source: twisted/internet/_baseprocess.py,
process.py and protocol.py (ProcessProtocol) of Twisted 26.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IConsumer, IProcessTransport, IPushProducer
from twisted.internet.protocol import ProcessProtocol
from twisted.python import log as twisted_log
from twisted.python.failure import Failure
from zope.interface import implementer

from wavetank.doubles.tx.string import must_be_bytes
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.violation import violation
from wavetank.errors import UsageError

#: What spawnProcess uses unless told otherwise (twisted/internet/interfaces.py, IReactorProcess.spawnProcess).
CHILD_FDS: Final[Mapping[int, str]] = MappingProxyType({0: "w", 1: "r", 2: "r"})


class AccumulatingProcessProtocol(ProcessProtocol):
    """Collects what a process says, and says when it has exited and ended.

    `made`, `exited`, `ended`: 0, then 1. `data`: bytes by descriptor of the child, every descriptor; `outData`,
    `errData`: those of 1 and 2. `closedFDs`: the descriptors that were closed, in order. `exitedReason`, `endedReason`:
    Failures. `exitedDeferred`, `endedDeferred`: set one, and it fires, once. `calls`: the callbacks in order.
    """

    made = 0
    exited = 0
    ended = 0
    exitedReason: Failure | None = None
    endedReason: Failure | None = None
    exitedDeferred: Deferred[None] | None = None
    endedDeferred: Deferred[None] | None = None

    def __init__(self) -> None:
        self.data: dict[int, bytes] = {}
        self.closedFDs: list[int] = []
        self.calls: list[str] = []

    @property
    def outData(self) -> bytes:
        """What came from descriptor 1."""
        return self.data.get(1, b"")

    @property
    def errData(self) -> bytes:
        """What came from descriptor 2."""
        return self.data.get(2, b"")

    def connectionMade(self) -> None:
        """Note it."""
        self.made = 1
        self.calls.append("connectionMade")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Add to `data[childFD]`; then `outReceived` and `errReceived` are called, as by `ProcessProtocol`."""
        self.data[childFD] = self.data.get(childFD, b"") + data
        self.calls.append("childDataReceived")
        super().childDataReceived(childFD, data)

    def childConnectionLost(self, childFD: int) -> None:
        """Note it; then `inConnectionLost` and the like are called, as by `ProcessProtocol`."""
        self.closedFDs.append(childFD)
        self.calls.append("childConnectionLost")
        super().childConnectionLost(childFD)

    def processExited(self, reason: Failure) -> None:
        """Note it; fire `exitedDeferred`."""
        self.exited = 1
        self.exitedReason = reason
        self.calls.append("processExited")
        waiting, self.exitedDeferred = self.exitedDeferred, None
        if waiting is not None:
            waiting.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """Note it; fire `endedDeferred`."""
        self.ended = 1
        self.endedReason = reason
        self.calls.append("processEnded")
        waiting, self.endedDeferred = self.endedDeferred, None
        if waiting is not None:
            waiting.callback(None)


@implementer(IProcessTransport, IConsumer, IPushProducer)
class FakeProcessTransport:
    """A process transport without a process: remembers what it is asked, and calls its protocol as a process would.

    `protocol`: if given, it is told at once that the process has started. `childFDs`: descriptors of the child, "w" for
    those that we write to, "r" for those that we read. `written`: bytes by descriptor; `signals`: what was sent.
    What a test does: `say(fd, data)`, `close(fd)` and `exit(...)`, in any order; `processEnded` comes when the process
    has exited and every descriptor is closed, last of all. Exceptions of `childConnectionLost` are logged.
    With `strict=True`, writing to a descriptor that is closed raises `ContractViolation`.
    """

    pid: int | None

    def __init__(
        self,
        protocol: Any = None,
        *,
        pid: int = 4321,
        childFDs: Mapping[int, str] = CHILD_FDS,
        strict: bool = False,
    ) -> None:
        self.pid = pid
        self.proto = self.protocol = protocol
        self.pipes = dict(childFDs)
        self.written: dict[int, bytes] = {}
        self.signals: list[str | int] = []
        self.status: Failure | None = None
        self.log = Log()
        self.producer: Any = None
        self._strict = strict
        self._ended = False
        if protocol is not None:
            self.log.note("process", "makeConnection")
            protocol.makeConnection(self)

    # ---- IProcessTransport

    def write(self, data: bytes) -> None:
        """Write to the standard input of the process; dropped when that is closed, unless strict."""
        self.writeSequence([data])

    def writeSequence(self, seq: Iterable[bytes]) -> None:
        """Write all of them to the standard input of the process; dropped when that is closed, unless strict."""
        if 0 in self.pipes or self._strict:
            self.writeToChild(0, b"".join(seq))

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write to a descriptor of the child; KeyError, as with Twisted's, when it is closed."""
        must_be_bytes(data)
        self.log.note("protocol", "writeToChild", (childFD, data))
        if childFD not in self.pipes:
            if self._strict:
                raise violation("write-after-lost", self.log)
            raise KeyError(childFD)
        self.written[childFD] = self.written.get(childFD, b"") + data

    def closeChildFD(self, descriptor: int) -> None:
        """Close one descriptor; the protocol is told. Nothing when it is closed."""
        self.log.note("protocol", "closeChildFD", descriptor)
        self.close(descriptor)

    def closeStdin(self) -> None:
        """Close the standard input."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """Close the standard output."""
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        """Close the standard error."""
        self.closeChildFD(2)

    def loseConnection(self) -> None:
        """Close standard input, output and error."""
        for descriptor in (0, 1, 2):
            self.closeChildFD(descriptor)

    def signalProcess(self, signalID: str | int) -> None:
        """Remember the signal; ProcessExitedAlready when the process has exited."""
        self.log.note("protocol", "signalProcess", signalID)
        if self.pid is None:
            raise ProcessExitedAlready()
        self.signals.append(signalID)

    def getPeer(self) -> Any:
        """Raise `NotImplementedError`, as Twisted's does: a process has no address."""
        raise NotImplementedError()

    def getHost(self) -> Any:
        """Raise `NotImplementedError`, as Twisted's does."""
        raise NotImplementedError()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Register a producer for the standard input; a pull producer is resumed at once."""
        if self.producer is not None:
            raise RuntimeError("Cannot register two producers")
        if 0 not in self.pipes:
            producer.stopProducing()
            return
        self.producer = producer
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self.producer = None

    def pauseProducing(self) -> None:
        """Remembered in the log."""
        self.log.note("protocol", "pauseProducing")

    def resumeProducing(self) -> None:
        """Remembered in the log."""
        self.log.note("protocol", "resumeProducing")

    def stopProducing(self) -> None:
        """Lose the connection."""
        self.loseConnection()

    # ---- for tests

    def say(self, childFD: int, data: bytes) -> None:
        """The process writes to a descriptor that we read; UsageError when it is closed, or not one of these."""
        if self.pipes.get(childFD) != "r":
            open_ones = ", ".join(str(fd) for fd, mode in self.pipes.items() if mode == "r") or "none"
            raise UsageError(f"nothing can come from descriptor {childFD}", why=f"open for reading: {open_ones}")
        self.log.data("process", f"childDataReceived({childFD})", data)
        self.protocol.childDataReceived(childFD, data)

    def close(self, childFD: int) -> None:
        """The process closes a descriptor. Nothing when it is closed."""
        if self.pipes.pop(childFD, None) is None:
            return
        if childFD == 0 and self.producer is not None:
            producer, self.producer = self.producer, None
            producer.stopProducing()
        self._tell("childConnectionLost", childFD)
        self._maybe_ended()

    def exit(self, code: int | None = 0, *, signal: int | None = None, keep_open: bool = False) -> None:
        """The process exits with `code`, or by `signal`; then its descriptors close.

        With `keep_open` they stay open, as when a grandchild has them: `processEnded` waits for `close` of each.
        """
        if self.status is not None:
            raise UsageError("the process has exited already", where=str(self.status.value))
        self.pid = None
        if signal is None and code == 0:
            self.status = Failure(ProcessDone(0))
        else:
            raw = (signal or 0) if signal is not None else (code or 0) << 8  # wait(2): the status word
            self.status = Failure(ProcessTerminated(None if signal is not None else code, signal, raw))
        self._tell("processExited", self.status)
        if not keep_open:
            for childFD in tuple(self.pipes):
                self.close(childFD)
        self._maybe_ended()

    def _maybe_ended(self) -> None:
        if self.status is None or self.pipes or self._ended:
            return
        self._ended = True
        self._tell("processEnded", self.status)

    def _tell(self, call: str, argument: Any) -> None:
        """Call the protocol; what it raises is logged, and stops nothing (twisted/internet/_baseprocess.py)."""
        self.log.note("process", call, argument.value if isinstance(argument, Failure) else argument)
        try:
            getattr(self.protocol, call)(argument)
        except Exception:
            twisted_log.err()
