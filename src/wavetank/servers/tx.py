"""Servers and forwarding processes in Twisted's dialect: Deferreds, `ProcessProtocol`, `Protocol`.

Owns the Twisted way to carry out the procedures of this package, and the Twisted twins. Must never be imported by the
rest of the package: Twisted is optional (`pip install wavetank[twisted]`).

- `ServerProcess`: the twin of `wavetank.servers.ServerProcess`; `start`, `stop`, `restart` and `wait` give Deferreds,
  and a `ProcessProtocol` of the user's hears of the process as if `reactor.spawnProcess` had started it.
- `ForwardingProcess` and `ForwardingPort`: drop-in for the helpers of Conch's own forwarding tests, with a deadline,
  a word about a program that ended, and no timer left behind.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet import error, protocol, threads
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport, IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from wavetank.errors import ServerDied, ServerError, ServerNotReady, UsageError
from wavetank.servers import address, process, processes, wording
from wavetank.servers.address import Address
from wavetank.servers.forwarding import CTRL_C, refuse_stranger
from wavetank.servers.sockdiag import Table
from wavetank.servers.steps import Call, Script, Wait, own_copy

T = TypeVar("T")

#: How often new output is brought to a `ProcessProtocol`.
_OUTPUT_S: Final = 0.02
_LOOK_S: Final = 0.005
_DRAIN_S: Final = 1.0
_TAIL_BYTES: Final = 4096


def _the_reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@implementer(IReadDescriptor, IWriteDescriptor)
class _Watched:
    """One descriptor that a procedure waits for, by a copy of its own (see `steps.own_copy`)."""

    def __init__(self, fd: int, own: int, happened: Callable[[int], None]) -> None:
        self._fd = fd
        self._own = own
        self._happened = happened

    def fileno(self) -> int:
        return self._own

    def close(self) -> None:
        os.close(self._own)

    def logPrefix(self) -> str:
        return "wavetank"

    def doRead(self) -> None:
        self._happened(self._fd)

    doWrite = doRead

    def connectionLost(self, reason: Failure) -> None:
        self._happened(self._fd)


class _Performance:
    """One procedure on its way through the reactor."""

    def __init__(self, script: Script[Any], reactor: Any) -> None:
        self.script = script
        self.reactor = reactor
        self.deferred: Deferred[Any] = Deferred(self._cancel)
        self._undo: list[Callable[[], Any]] = []

    def _cancel(self, deferred: Deferred[Any]) -> None:
        self._clear()
        self.script.close()

    def _clear(self) -> None:
        undo, self._undo = self._undo, []
        for each in undo:
            each()

    def go_on(self, resume: Callable[[Any], Wait | Call], value: Any) -> None:
        try:
            step = resume(value)
        except StopIteration as done:
            self.deferred.callback(done.value)
        except Exception:
            self.deferred.errback(Failure())
        else:
            if isinstance(step, Wait):
                self._wait(step)
            else:
                called: Deferred[Any] = threads.deferToThread(step.function)
                called.addCallback(_outcome)
                called.addCallbacks(self._succeeded, self._failed)

    def _succeeded(self, result: Any) -> None:
        self.go_on(self.script.send, result)

    def _failed(self, failure: Failure) -> None:
        self.go_on(self.script.throw, failure.value)

    def _wait(self, wait: Wait) -> None:
        def happened(fd: int | None = None) -> None:
            if self._undo:
                self._clear()
                self.go_on(self.script.send, frozenset() if fd is None else frozenset({fd}))

        timer = self.reactor.callLater(max(0.0, wait.until - time.monotonic()), happened)
        self._undo.append(lambda: timer.cancel() if timer.active() else None)
        for fds, add, remove in (
            (wait.readable, self.reactor.addReader, self.reactor.removeReader),
            (wait.writable, self.reactor.addWriter, self.reactor.removeWriter),
        ):
            for fd in fds:
                own = own_copy(fd)
                if own < 0:
                    timer.reset(0)
                    continue
                watched = _Watched(fd, own, happened)
                add(watched)
                self._undo += (partial(remove, watched), watched.close)


def carry_out(script: Script[T], reactor: Any = None) -> Deferred[T]:
    """Carry out a procedure in the reactor. Cancelling the Deferred gives it up in order."""
    performance = _Performance(script, reactor or _the_reactor())
    performance.go_on(script.send, None)
    return performance.deferred


def _outcome(result: Any) -> Any:
    """What a callable of the user's gave; a coroutine is carried out first."""
    return Deferred.fromCoroutine(result) if inspect.iscoroutine(result) else result


@implementer(IProcessTransport)
class _Transport:
    """What a `ProcessProtocol` gets: the process, by way of the server that it belongs to."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        return self._server.pid

    def write(self, data: bytes) -> None:
        self._server.server.send_input(data)

    def writeSequence(self, seq: Sequence[bytes]) -> None:
        self.write(b"".join(seq))

    def writeToChild(self, childFD: int, data: bytes) -> None:
        if childFD != 0:
            raise UsageError(f"descriptor {childFD} of {self._server.server.name} is a file; only 0 can be written to")
        self.write(data)

    def closeStdin(self) -> None:
        self._server.server._core.close_stdin()

    loseConnection = closeStdin

    def closeChildFD(self, descriptor: int) -> None:
        if descriptor == 0:
            self.closeStdin()

    def closeStdout(self) -> None:
        """Nothing to close: it is a file."""

    closeStderr = closeStdout

    def signalProcess(self, signalID: str | int) -> None:
        number = signal.Signals[f"SIG{signalID}"] if isinstance(signalID, str) else signalID
        if not self._server.server.running:
            raise error.ProcessExitedAlready()
        os.kill(self.pid, number)


class ServerProcess:
    """The Twisted twin of `wavetank.servers.ServerProcess`: the same options, Deferreds instead of waiting.

    `protocol`, a `ProcessProtocol`, is connected when the process runs, gets what it prints, and hears of its end
    (`processExited`, `processEnded` with `ProcessDone` or `ProcessTerminated`), once. `reactor` is the installed one
    unless given. `server` is the object behind it: `server.log`, `server.report`, `server.check()`.
    """

    def __init__(self, command: Any, *, protocol: Any = None, reactor: Any = None, **options: Any) -> None:
        self.server = process.ServerProcess(command, **options)
        self.protocol = protocol
        self.reactor = reactor or _the_reactor()
        self._sent = [0, 0]
        self._watching: Any = None

    @property
    def host(self) -> str:
        """The numeric address at which it is reached."""
        return self.server.host

    @property
    def port(self) -> int:
        """Its TCP port."""
        return self.server.port

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.server.pid

    def start(self) -> Deferred[ServerProcess]:
        """Fires with this object when the server is ready; errback with the errors of `ServerProcess.start`."""
        done = carry_out(self.server._started(), self.reactor)
        return done.addCallback(lambda _: self._started())

    def stop(self) -> Deferred[Any]:
        """Fires with the `StopReport` when it is gone."""
        done = carry_out(self.server._stopped(), self.reactor)
        return done.addCallback(self._ended).addCallback(self.server._after_stop)

    def restart(self) -> Deferred[ServerProcess]:
        """Fires with this object when it is ready again, at the same address."""
        return carry_out(self.server._restarted(), self.reactor).addCallback(lambda _: self)

    def wait(self, timeout: float | None = None) -> Deferred[int | None]:
        """Fires with its exit status when it has ended by itself, with None after `timeout` seconds."""
        return carry_out(self.server._ended(timeout), self.reactor)

    def _started(self) -> ServerProcess:
        if self.protocol is not None:
            self._sent = [0, 0]
            self.protocol.makeConnection(_Transport(self))
            self._watch()
        return self

    def _watch(self) -> None:
        """Bring new output to the protocol, and the end."""
        self._bring_output()
        if self.server._core.launched is not None and not self.server.running:
            self._tell_end()
        elif self.server._core.launched is not None:
            self._watching = self.reactor.callLater(_OUTPUT_S, self._watch)

    def _bring_output(self) -> None:
        for index, stream in enumerate((self.server.log.stdout, self.server.log.stderr)):
            if stream.size() > self._sent[index]:
                data = stream.read_bytes(self._sent[index])
                self._sent[index] = stream.size()
                self.protocol.childDataReceived(index + 1, data)

    def _ended(self, report: Any) -> Any:
        if self.protocol is not None:
            self._bring_output()
            self._tell_end(report.status if report is not None else None)
        return report

    def _tell_end(self, status: int | None = None) -> None:
        watching, self._watching = self._watching, None
        if watching is not None and watching.active():
            watching.cancel()
        heard, self.protocol = self.protocol, None
        launched = self.server._core.launched
        if status is None and launched is not None and launched.status is not None:
            status = os.waitstatus_to_exitcode(launched.status)
        for descriptor in range(3):
            heard.childConnectionLost(descriptor)
        reason = Failure(_reason(status))
        heard.processExited(reason)
        heard.processEnded(reason)


def _reason(status: int | None) -> Exception:
    if status == 0:
        return error.ProcessDone(0)
    if status is not None and status < 0:
        return error.ProcessTerminated(None, -status, -status)
    return error.ProcessTerminated(status, None, (status or 0) << 8)


class ForwardingPort(protocol.Protocol):
    """Connects to the forwarded port, sends `data`, and reports all that came back when the connection is lost."""

    transport: Any

    def __init__(self, protocol: ForwardingProcess, data: bytes) -> None:
        self.protocol = protocol
        self.data = data
        self.buffer = b""

    def connectionMade(self) -> None:
        """Send."""
        self.transport.write(self.data)

    def dataReceived(self, data: bytes) -> None:
        """Collect."""
        self.buffer += data

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Report."""
        self.protocol.forwardingPortDisconnected(self.buffer)


class ForwardingProcess(protocol.ProcessProtocol):
    """A `ProcessProtocol` for a program that forwards `port`: connects when it listens, sends `data`, quits it.

    `deferred`, set by whoever spawns the process (`spawn` does), fires once, when the process has ended: with the bytes
    received, or with `PortTaken`, `ServerDied` or `ServerNotReady` as in `wavetank.servers.ForwardingProcess`.
    `timeout` is for all of it, in seconds. Give it to `reactor.spawnProcess`, as Conch's tests do with theirs.
    """

    deferred: Deferred[bytes] | None = None
    transport: Any

    def __init__(
        self, port: int, data: bytes, *, host: str = "127.0.0.1", timeout: float = 30.0, reactor: Any = None
    ) -> None:
        self.port = port
        self.data = data
        self.buffer: bytes | None = None
        self.timeout = timeout
        self.address = Address(address.check_host(host), port)
        self.reactor = reactor or _the_reactor()
        self._problem: Exception | None = None
        self._output = b""
        self._errors = b""
        self._begun = 0.0
        self._command: Sequence[str] = ()
        self._calls: list[Any] = []
        self._connected: ForwardingPort | None = None
        self._connecting: Deferred[Any] | None = None
        self._ended: Failure | None = None
        self._before_start: Exception | None = self._refuse_busy()

    def spawn(self, command: Sequence[str], **options: Any) -> Deferred[bytes]:
        """Start the program; `options` are those of `reactor.spawnProcess`. Fires as `deferred` does."""
        from wavetank.servers import program

        self.deferred = Deferred()
        words = [os.fspath(word).replace("{port}", str(self.port)) for word in command]
        try:
            if self._before_start is not None:
                raise self._before_start
            path = program.find(words[0], os.environ, options.get("path") or os.getcwd())
        except ServerError:
            deferred = self._take_deferred()
            assert deferred is not None
            deferred.errback(Failure())
            return deferred
        self._command = words
        deferred = self.deferred
        self.reactor.spawnProcess(self, path, words, **{"env": os.environ, **options})
        return deferred

    def _refuse_busy(self) -> Exception | None:
        """Who listens before the program is started is no forwarded port."""
        try:
            with Table() as table:
                address.refuse_busy(self.address, table)
        except ServerError as taken:
            return taken
        return None

    def _take_deferred(self) -> Deferred[bytes] | None:
        deferred, self.deferred = self.deferred, None
        return deferred

    # The process.

    def connectionMade(self) -> None:
        """The program runs: look for its listener."""
        self._begun = time.monotonic()
        self._later(self.timeout, self._time_is_over)
        if self._before_start is not None:
            self._give_up(self._before_start)
        else:
            self._look()

    def outReceived(self, data: bytes) -> None:
        """Keep the end of its output for an error."""
        self._output = (self._output + data)[-_TAIL_BYTES:]

    def errReceived(self, data: bytes) -> None:
        """Keep the end of its complaints for an error."""
        self._errors = (self._errors + data)[-_TAIL_BYTES:]

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self._calls = [call for call in self._calls if call.active()]
        self._calls.append(self.reactor.callLater(seconds, function))

    def _look(self) -> None:
        """Is somebody listening, and who? Then connect."""
        if self._ended is not None or self._problem is not None:
            return
        try:
            with Table() as table:
                found = [each for each in table.tcp() if each.serves(self.address.host, self.address.port)]
            for each in found:
                refuse_stranger(each, self.address, self._tree())
        except ServerError as taken:
            self._give_up(taken)
            return
        if not found:
            self._later(_LOOK_S, self._look)
            return
        creator = protocol.ClientCreator(self.reactor, ForwardingPort, self, self.data)
        self._connecting = creator.connectTCP(self.address.host, self.address.port)
        self._connecting.addCallbacks(self._is_connected, lambda _: self._later(_LOOK_S, self._look))

    def _tree(self) -> list[int]:
        pid = getattr(self.transport, "pid", None)
        return [pid, *processes.descendants(pid)] if pid else []

    def _is_connected(self, port: ForwardingPort) -> None:
        self._connecting = None
        self._connected = port

    def forwardingPortDisconnected(self, buffer: bytes) -> None:
        """The peer has gone: keep what came, ask the program to quit, and kill it in the reactor's next turn."""
        if self.buffer is None:
            self.buffer = buffer
        self._connected = None
        if self._ended is not None:
            self._deliver()
            return
        self._quit()

    def _quit(self) -> None:
        if self.transport is not None:
            self.transport.write(CTRL_C)
            self.transport.loseConnection()
        self._later(0, self._really_die)

    def _really_die(self) -> None:
        with contextlib.suppress(error.ProcessExitedAlready):
            if self.transport is not None:
                self.transport.signalProcess("KILL")

    def _give_up(self, problem: Exception) -> None:
        """Nothing will come of it: end the program, deliver the problem when it is gone."""
        self._problem = self._problem or problem
        if self._connected is not None and self._connected.transport is not None:
            self._connected.transport.abortConnection()
        self._quit()

    def _time_is_over(self) -> None:
        if self._ended is None and self.buffer is None:
            got = self._connected.buffer if self._connected is not None else None
            false = (
                f"does not listen on {self.address}" if got is None
                else f"the peer has not closed; received so far: {len(got)} bytes: {got[:80]!r}"
            )  # fmt: skip
            self._give_up(ServerNotReady(f"{self._name()}, after {self.timeout:g} s: {false}", where=self._facts()))

    def processEnded(self, reason: Failure) -> None:
        """The program has ended: deliver, unless the rest of the data is still on its way."""
        self._ended = reason
        if self._connecting is not None:
            self._connecting.addErrback(lambda _: None)
            self._connecting.cancel()
        if self.buffer is None and self._problem is None and self._connected is not None:
            self._later(_DRAIN_S, self._deliver)  # an end or a reset follows at once
        else:
            self._deliver()

    def _deliver(self) -> None:
        """Exactly once."""
        calls, self._calls = self._calls, []
        for call in calls:
            if call.active():
                call.cancel()
        port, self._connected = self._connected, None
        if port is not None and port.transport is not None:
            port.transport.abortConnection()
        deferred = self._take_deferred()
        if deferred is None:
            return
        if self._problem is not None:
            deferred.errback(Failure(self._problem))
        elif self.buffer is None:
            deferred.errback(Failure(self._early_death()))
        else:
            deferred.callback(self.buffer)

    def _early_death(self) -> ServerDied:
        assert self._ended is not None
        status = getattr(self._ended.value, "status", None)
        ended = wording.how_it_ended(status, sent_kill=False, oom_kills=0)
        after = f"{time.monotonic() - self._begun:.2f} s after its start"
        return ServerDied(f"{self._name()} {ended} {after}, before an answer was complete", where=self._facts())

    def _name(self) -> str:
        return os.path.basename(self._command[0]) if self._command else "the program"

    def _facts(self) -> str:
        lines = [f"command: {wording.command_line(self._command)}" if self._command else f"forwarded: {self.address}"]
        for name, data in (("stdout", self._output), ("stderr", self._errors)):
            text = data.decode(errors="replace").splitlines()
            lines += [f"{name}, last lines:", *(f"  | {line}" for line in text)] if text else [f"{name}: nothing"]
        return "\n    ".join(lines)
