"""The abort family: clients that abort at the worst moments, servers that do not read, and the scenarios they make.

Owns the eleven scenarios of Twisted's AbortConnectionMixin (twisted/internet/test/test_tcp.py) in words of both
dialects, and one that asyncio's callbacks add. Every one must end on both sides, exactly once, never from inside the
call that aborts, and leave nothing behind.

"Every buffer is full" is observed, not waited for: the program's own buffer has called for a pause, the kernel takes
nothing more from the socket (POLLOUT is off) and what it has queued to send (TIOCOUTQ) no longer moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from wavetank.conformance.protocols import ConnectableProtocol
from wavetank.conformance.wires import is_writable, unsent_bytes

#: As Twisted's test: 100 times 320,000 bytes, more than any default of tcp_wmem and tcp_rmem together.
_CHUNK: Final = b"1234567890" * 32_000
_CHUNKS: Final = 100
#: Looks at the queue, a millisecond apart, that must agree before it counts as full.
_SAME: Final = 5
_LOOK_S: Final = 0.001


class AbortingProtocol(ConnectableProtocol):
    """A protocol that aborts, and notes when it is told of the end from inside the abort."""

    inside = False
    aborted = False

    def abort(self) -> None:
        """Abort; `connection_lost` must not come before this returns."""
        self.aborted = True
        self.inside = True
        try:
            self.wire.abort()
        finally:
            self.inside = False

    def lost(self, reason: BaseException | None) -> None:
        """The end has come."""
        if self.inside:
            self.problem("connection_lost was called from inside abort")


class StreamingProducerClient(AbortingProtocol):
    """Writes until every buffer is full, then aborts.

    `unsent_bytes`: what the kernel had queued at that moment; `buffered_bytes`: what the transport had, where it tells;
    `before_handshake`: TLS had not begun, so the kernel was given nothing of it.
    """

    unsent_bytes: int = 0
    buffered_bytes: int | None = None
    before_handshake = False
    _paused = False
    _looks: tuple[int, ...] = ()

    def made(self) -> None:
        """Begin at once."""
        self.start()

    def start(self) -> None:
        """Write more than all buffers hold together."""
        self.wire.watch_flow(self, streaming=True)
        for _ in range(_CHUNKS):
            self.wire.write(_CHUNK)
        if not self._paused:
            self.problem("32,000,000 bytes were written and nobody asked for a pause")
            self.abort()

    def paused(self) -> None:
        """The program's own buffer is full; the kernel's may be still filling."""
        if not self._paused:
            self._paused = True
            self._later()

    def resumed(self) -> None:
        """Room again, before the end: the peer has read."""
        self._looks = ()

    def _later(self) -> None:
        (self.loop.call_later if hasattr(self.loop, "call_later") else self.loop.callLater)(_LOOK_S, self._look)

    def _look(self) -> None:
        if self.ended:
            return
        sock = self.wire.socket()
        queued = unsent_bytes(sock)
        # Twisted connects before TLS has shaken hands; with a server that reads nothing it never does: all is stuck.
        self.before_handshake = self.wire.shakes_hands()
        full = self.before_handshake or (queued > 0 and not is_writable(sock))
        self._looks = (*self._looks, queued)[-_SAME:] if full else ()
        if len(self._looks) < _SAME or len({*self._looks}) > 1:
            self._later()
            return
        self.unsent_bytes = queued
        size = getattr(self.transport, "get_write_buffer_size", None)
        self.buffered_bytes = size() if size is not None else None
        self.abort()

    def lost(self, reason: BaseException | None) -> None:
        """Let the peer read, so that it learns of the end."""
        super().lost(reason)
        if self.other is not None and self.other.wire is not None and not self.other.ended:
            self.other.wire.resume_reading()


class StreamingProducerClientLater(StreamingProducerClient):
    """The same, after one exchange of bytes: over TLS the handshake is over by then."""

    _started = False

    def made(self) -> None:
        """Say hello, and wait for the answer."""
        self.wire.write(b"hello")

    def received(self, data: bytes) -> None:
        """The answer: begin."""
        if not self._started:
            self._started = True
            self.start()


class NoReadServer(ConnectableProtocol):
    """Reads nothing, from the moment it is connected (from the first data on, where a loop ignores that)."""

    def made(self) -> None:
        """Stop reading."""
        self.wire.pause_reading()

    def received(self, data: bytes) -> None:
        """Data came all the same: uvloop ignores a pause inside connection_made."""
        if not self.other.ended:
            self.wire.pause_reading()


class EventualNoReadServer(ConnectableProtocol):
    """Answers the first data, then reads nothing."""

    _answered = False

    def received(self, data: bytes) -> None:
        """Answer, and stop reading."""
        if not self._answered:
            self._answered = True
            self.wire.write(b"hello")
            self.wire.pause_reading()


class ProducerAbortingClient(AbortingProtocol):
    """Writes much, and aborts when it is asked for more (asyncio: in `resume_writing`; Twisted: as a pull producer)."""

    stopped_first = False
    _registering = False

    def made(self) -> None:
        """Begin at once."""
        self.start()

    def start(self) -> None:
        """Write, and have oneself told when there is room."""
        for _ in range(_CHUNKS):
            self.wire.write(_CHUNK)
        self._registering = True
        self.wire.watch_flow(self, streaming=False)
        self._registering = False

    def resumed(self) -> None:
        """There is room: abort. A pull producer is asked once while it registers; that one does not count."""
        if not self._registering and not self.aborted:
            self.abort()

    def stopped(self) -> None:
        """Twisted tells the producer before the protocol."""
        self.stopped_first = not self.ended


class ProducerAbortingClientLater(ProducerAbortingClient):
    """The same, begun by the first data."""

    _started = False

    def made(self) -> None:
        """Wait."""

    def received(self, data: bytes) -> None:
        """Begin."""
        if not self._started:
            self._started = True
            self.start()


class ProducerThrowingClient(ProducerAbortingClient):
    """Aborts when it is asked for more, then raises."""

    def resumed(self) -> None:
        """There is room: abort, and fail."""
        aborted = self.aborted
        super().resumed()
        if self.aborted and not aborted:
            raise ZeroDivisionError("raised on purpose")


class PauseAbortingClient(AbortingProtocol):
    """Aborts when it is asked to pause."""

    def made(self) -> None:
        """Write more than the marks allow."""
        self.wire.watch_flow(self, streaming=True)
        for _ in range(_CHUNKS):
            if not self.aborted:
                self.wire.write(_CHUNK)

    def paused(self) -> None:
        """Too full: abort."""
        if not self.aborted:
            self.abort()


class DataAbortingClient(AbortingProtocol):
    """On data: writes, aborts, and writes once more, which must never arrive."""

    def received(self, data: bytes) -> None:
        """Write X, abort, write Y."""
        if self.aborted:
            return
        self.wire.write(b"X" * 10_000)
        self.abort()
        self.wire.write(b"Y" * 10_000)
        self.then()

    def then(self) -> None:
        """What follows."""


class AbortingTwiceClient(DataAbortingClient):
    """Aborts twice."""

    def then(self) -> None:
        """Once more."""
        self.abort()


class AbortingThenClosingClient(DataAbortingClient):
    """Aborts, then closes."""

    def then(self) -> None:
        """And close."""
        self.wire.close()


class AbortingThenThrowingClient(DataAbortingClient):
    """Aborts, then raises."""

    def then(self) -> None:
        """And fail."""
        raise ZeroDivisionError("raised on purpose")


class ReadyServer(ConnectableProtocol):
    """Says that it is ready, and takes nothing but X."""

    def made(self) -> None:
        """Say so."""
        self.wire.write(b"ready")

    def received(self, data: bytes) -> None:
        """Only what was written before the abort may come."""
        if data.strip(b"X"):
            self.problem("bytes arrived that were written after the abort")


class GreetingServer(ConnectableProtocol):
    """Says something, and takes what comes."""

    def made(self) -> None:
        """Say so."""
        self.wire.write(b"ready")


class HelloClient(ConnectableProtocol):
    """Says hello, and waits for the end."""

    def made(self) -> None:
        """Say so."""
        self.wire.write(b"hello")


class PassiveServer(ConnectableProtocol):
    """Takes what comes, and does nothing."""


class AbortingTwiceServer(AbortingProtocol):
    """On data: aborts twice."""

    def received(self, data: bytes) -> None:
        """Twice."""
        if not self.aborted:
            self.abort()
            self.then()

    def then(self) -> None:
        """What follows."""
        self.abort()


class AbortingThenClosingServer(AbortingTwiceServer):
    """On data: aborts, then closes."""

    def then(self) -> None:
        """And close."""
        self.wire.close()


@dataclass(frozen=True)
class Scenario:
    """One pair: its name, both protocols, how often ZeroDivisionError is reported, and whether buffers were to fill."""

    name: str
    client: type[ConnectableProtocol]
    server: type[ConnectableProtocol]
    raised: int = 0
    fills: bool = False


_SCENARIOS: tuple[Scenario, ...] = (
    Scenario("abort-in-data", DataAbortingClient, ReadyServer),
    Scenario("client-aborts-twice", AbortingTwiceClient, ReadyServer),
    Scenario("client-aborts-then-closes", AbortingThenClosingClient, ReadyServer),
    Scenario("server-aborts-twice", HelloClient, AbortingTwiceServer),
    Scenario("server-aborts-then-closes", HelloClient, AbortingThenClosingServer),
    Scenario("abort-in-resume", ProducerAbortingClient, PassiveServer),
    Scenario("abort-in-resume-later", ProducerAbortingClientLater, GreetingServer),
    Scenario("abort-with-full-buffers", StreamingProducerClient, NoReadServer, fills=True),
    Scenario("abort-with-full-buffers-later", StreamingProducerClientLater, EventualNoReadServer, fills=True),
    Scenario("abort-in-data-then-raise", AbortingThenThrowingClient, ReadyServer, raised=1),
    Scenario("abort-in-resume-then-raise", ProducerThrowingClient, PassiveServer, raised=1),
    Scenario("abort-in-pause", PauseAbortingClient, PassiveServer),
)

#: Every scenario by its name; the first eleven are Twisted's, in the order of its test class.
SCENARIOS: Final[dict[str, Scenario]] = {each.name: each for each in _SCENARIOS}


def complaints(scenario: Scenario, happening: Any) -> list[str]:
    """What is wrong with how a scenario came out; empty when it kept the contract.

    Reasons: the aborting side may be told None (asyncio) or that the connection was aborted or lost (Twisted); the
    other side a clean end, a reset or a broken pipe; over TLS, an error of the TLS library.
    """
    found = [f"{side}: {text}" for side in ("client", "server") for text in getattr(happening, side).problems]
    for side in ("client", "server"):
        reason = getattr(happening, side).disconnect_reason
        if not _fair(reason, scenario):
            found.append(f"{side}: the reason of the end is {reason!r}")
    raised = [error for error in happening.errors if isinstance(error, ZeroDivisionError)]
    if len(raised) != scenario.raised:
        found.append(f"ZeroDivisionError was reported {len(raised)} times, not {scenario.raised}")
    found += [f"reported: {error!r}" for error in happening.errors if not isinstance(error, ZeroDivisionError)]
    if scenario.fills and not (happening.client.unsent_bytes or happening.client.before_handshake):
        found.append("the buffers were never full")
    return found + [f"left behind: {text}" for text in happening.left]


#: Class names, so that neither Twisted nor pyOpenSSL is imported for them.
_FAIR: Final = (
    "ConnectionAborted ConnectionLost ConnectionDone ConnectionResetError BrokenPipeError ConnectionAbortedError"
    " SSLError Error SSLZeroReturnError SSLEOFError"
)


def _fair(reason: BaseException | None, scenario: Scenario) -> bool:
    if reason is None or type(reason).__name__ in _FAIR.split():
        return True
    return bool(scenario.raised) and isinstance(reason, ZeroDivisionError)
