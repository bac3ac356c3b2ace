"""`ConnectableProtocol`: a protocol that knows its loop and when it ended, in both dialects at once.

Owns the translation of both dialects' callbacks into one set of hooks (`made`, `received`, `eof`, `paused`, `resumed`,
`stopped`, `lost`), so that one script runs on every loop and reactor. It must never import Twisted: Twisted asks for no
base class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wavetank.conformance.wires import TwistedWire, Wire


class ConnectableProtocol:
    """A protocol for either dialect that knows where it runs and how it ended.

    Override the callbacks of your dialect (`data_received`, `connection_lost`, ...; `dataReceived`, `connectionLost`,
    ...), calling those here; or the hooks, which are the same for both. Nothing needs to be constructed.

    `loop`: the loop or reactor, set before the connection is made (`reactor` is the same). `transport`: as the loop
    gave it; `wire`: the same in neutral words. `disconnect_reason` (`disconnectReason`): what the end was given: None
    or an exception; of a Twisted Failure its exception. `ended`: has it come; `ended_at_s`: the loop's time then.
    `endings`: how often it came. `problems`: what went wrong around this protocol, as text. `other`: the peer's
    protocol, when `run_protocols` runs the pair.
    """

    loop: Any = None
    transport: Any = None
    wire: Any = None
    other: Any = None
    factory: Any = None
    disconnect_reason: BaseException | None = None
    ended_at_s: float | None = None
    endings: int = 0
    problems: tuple[str, ...] = ()
    _done: Callable[[Any], None] | None = None

    @property
    def reactor(self) -> Any:
        """The loop, by Twisted's word for it."""
        return self.loop

    @property
    def disconnectReason(self) -> BaseException | None:
        """The reason of the end, by Twisted's spelling."""
        return self.disconnect_reason

    @property
    def ended(self) -> bool:
        """Whether the connection was lost."""
        return self.endings > 0

    def set_up(self, loop: Any, done: Callable[[Any], None]) -> None:
        """Before the connection is made: where it runs, and what to call with this protocol when it has ended."""
        self.loop = loop
        self._done = done

    def problem(self, text: str) -> None:
        """Note that something went wrong."""
        self.problems = (*self.problems, text)

    # --- hooks -----------------------------------------------------------------------------------------------------

    def made(self) -> None:
        """The connection is there."""

    def received(self, data: bytes) -> None:
        """Some bytes came."""

    def eof(self) -> bool | None:
        """The peer ended its direction; true keeps the connection open (where the dialect can)."""

    def paused(self) -> None:
        """The write buffer is too full."""

    def resumed(self) -> None:
        """The write buffer has room."""

    def stopped(self) -> None:
        """The transport wants no more data, ever (Twisted's stopProducing)."""

    def lost(self, reason: BaseException | None) -> None:
        """The connection is over."""

    # --- asyncio ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Asyncio: the connection is there."""
        self.transport, self.wire = transport, Wire(transport)
        self.made()

    def data_received(self, data: bytes) -> None:
        """Asyncio: some bytes came."""
        self.received(data)

    def eof_received(self) -> bool | None:
        """Asyncio: the peer ended its direction."""
        return self.eof()

    def pause_writing(self) -> None:
        """Asyncio: the write buffer is over its high-water mark."""
        self.paused()

    def resume_writing(self) -> None:
        """Asyncio: the write buffer is at its low-water mark or below."""
        self.resumed()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Asyncio: the connection is over."""
        self._end(exc)

    # --- Twisted ---------------------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Twisted: here is the transport; calls `connectionMade`."""
        self.transport, self.wire = transport, TwistedWire(transport)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Twisted: the connection is there."""
        self.made()

    def dataReceived(self, data: bytes) -> None:
        """Twisted: some bytes came."""
        self.received(data)

    def pauseProducing(self) -> None:
        """Twisted: the write buffer is too full; called again for each write while it is."""
        self.paused()

    def resumeProducing(self) -> None:
        """Twisted: the write buffer is empty."""
        self.resumed()

    def stopProducing(self) -> None:
        """Twisted: the consumer has died."""
        self.stopped()

    def connectionLost(self, reason: Any) -> None:
        """Twisted: the connection is over; `reason` is a Failure."""
        self._end(getattr(reason, "value", None))

    def _end(self, reason: BaseException | None) -> None:
        self.endings += 1
        if self.endings > 1:
            self.problem(f"the connection was lost {self.endings} times")
            return
        self.disconnect_reason = reason
        self.ended_at_s = _now_s(self.loop)
        try:
            self.lost(reason)
        finally:
            if self._done is not None:
                self._done(self)


def _now_s(loop: Any) -> float | None:
    for name in ("time", "seconds"):
        if hasattr(loop, name):
            return float(getattr(loop, name)())
    return None
