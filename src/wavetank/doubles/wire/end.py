"""One end of a connection in memory: its state, and what its transport may ask for.

Owns the life of an end - open, closing, lost - and when its protocol is told what. Must never call a protocol itself:
`Speaker` does, in the dialect's words.

The idea: a transport forwards each call of its protocol to its end; the end changes its state, puts bytes on its way
out, and schedules what real transports schedule (`connection_lost` is never called inside `close()` or `abort()`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from wavetank.doubles.wire.watermarks import Watermarks

if TYPE_CHECKING:
    from wavetank.doubles.wire.connection import Connection
    from wavetank.doubles.wire.way import Way


class Loss(Enum):
    """Why an end is gone, in no dialect's words."""

    DONE = "closed in order"
    ABORTED = "aborted here"
    RESET = "reset by the other side"
    BROKEN = "the other side is gone, and does not take what is sent"
    FAILED = "a callback raised"


class Speaker(Protocol):
    """What an end needs to be told in its protocol's dialect; exceptions of the protocol come out of each call."""

    #: The longest piece that a real transport of this dialect reads at once, in bytes.
    max_read: int
    #: What this dialect buffers before it asks for a pause.
    watermarks: Watermarks
    #: Whether a pause is asked for at each write over the high mark, not once for each time the buffer fills.
    insists: bool
    #: Whether the end of the other side's stream loses the connection at once: what waits is not sent any more.
    ends_at_once: bool
    #: What this dialect calls things in the log, where it is not what asyncio does.
    words: Mapping[str, str]
    #: What the protocol talks to.
    transport: Any

    def attach(self, end: End) -> None:
        """Speak for this end: set `target`, `word` and `buffered` there, now and whenever the protocol changes."""

    def face(self) -> Any:
        """The transport as the protocol sees it: the same, or watched."""

    def made(self) -> None:
        """The connection is made."""

    def fill(self, data: bytes) -> int:
        """Copy as much of `data` as there is room for into the buffer of a buffered protocol; returns how much."""

    def filled(self, size: int) -> None:
        """Tell a buffered protocol so."""

    def ended(self) -> bool:
        """The other side sends no more; returns whether this side stays open for writing."""

    def lost(self, loss: Loss, error: BaseException | None) -> None:
        """The connection is gone, for this reason; `error` is what a callback raised. Nothing is called after it."""

    def pausing(self) -> Callable[[], Any] | None:
        """What to call as the buffer is over its high mark."""

    def resuming(self) -> Callable[[], Any] | None:
        """What to call as the buffer was over its high mark, and is at or below the low one."""

    def emptied(self) -> Callable[[], Any] | None:
        """What to call as the buffer is empty."""

    def half_closed(self) -> Callable[[], Any] | None:
        """What to call as this side's half close has been sent."""

    def report(self, error: BaseException, call: str) -> None:
        """A callback raised, and nobody but the loop or the log is there to be told."""


class End:
    """One side: `name`, its two ways, and where its life is."""

    __slots__ = ("attentive", "buffered", "closing", "connection", "eof_written", "finished", "held_open", "high",
                 "inward", "lost", "low", "name", "outward", "paused", "reading", "speaker", "target",
                 "word")  # fmt: skip

    def __init__(self, name: str, speaker: Speaker, connection: Connection) -> None:
        self.name = name
        self.speaker = speaker
        self.connection = connection
        self.outward: Way
        self.inward: Way
        #: What gets the data, the name of its method for it, and whether it wants to be filled instead.
        self.target: Any = None
        self.word = ""
        self.buffered = False
        self.low, self.high = speaker.watermarks
        #: Whether this side takes data: it has not paused reading.
        self.reading = True
        #: Whether it was asked to pause writing.
        self.paused = False
        #: Whether something waits for what was written to be taken: kept by `attend`.
        self.attentive = False
        #: Whether closing waits although nothing is left to be sent: a producer is registered.
        self.held_open = False
        self.closing = False
        #: Closing is done: the loss is to be told.
        self.finished = False
        self.eof_written = False
        self.lost = False

    def takes(self) -> bool:
        """Whether data may be given to it now."""
        return self.reading and not self.closing

    def changed(self) -> None:
        """Something about this end was changed that its ways go by."""
        self.attend()
        self.outward.changed()
        self.inward.changed()

    def attend(self) -> None:
        """See whether anything waits for what was written to be taken."""
        self.attentive = self.paused or self.closing or self.eof_written or self.held_open

    # ---- what a transport asks for

    def write(self, data: bytes) -> None:
        """Put `data`, not empty, on its way, when that is not simple (transports do the simple thing themselves).

        Pauses the protocol when the buffer is over its high mark.

        What is written when nothing can be sent any more is dropped: after `abort`, after the loss, and after `close`
        when the buffer was empty. What is written after `close` while data pends is still sent.
        """
        self.connection.log.data(self.name, "write", data)
        way = self.outward
        if way.shut or (self.closing and not way.size and not self.held_open):
            way.dropped += len(data)
            return
        way.inbox.append(data)
        way.size += len(data)
        self.written()

    def written(self) -> None:
        """Something was written: see whether it is too much, and have a round made."""
        if self.outward.size > self.high:
            self.over_high()
        self.connection.wake()

    def over_high(self) -> None:
        """Ask for a pause: once for each time the buffer fills, or at each write."""
        if not self.paused or self.speaker.insists:
            self.paused = self.attentive = True
            self.call("pause_writing", self.speaker.pausing())

    def below_low(self) -> None:
        """Take back the pause, if one was asked for."""
        if self.paused and not self.lost:
            self.paused = False
            self.attend()
            self.call("resume_writing", self.speaker.resuming())

    def taken(self) -> None:
        """Some of what was written has been taken: what waits for that follows."""
        if self.paused and self.outward.size <= self.low:
            self.below_low()
        if not self.outward.size:
            self.drained()

    def drained(self) -> None:
        """All that was written has been taken."""
        if self.lost:
            return
        self.call("resume_writing", self.speaker.emptied())
        if self.outward.size:
            return
        if self.closing:
            self.finish_closing()
        elif self.eof_written:
            self.eof_sent()

    def eof_sent(self) -> None:
        """What this side half closed is on its way."""
        if not self.closing:
            self.call("write_ended", self.speaker.half_closed())

    def set_limits(self, marks: Watermarks) -> None:
        """Change the marks; a buffer that is over the new high mark pauses at once, as asyncio's does."""
        self.low, self.high = marks
        self.outward.changed()
        if self.outward.size > self.high:
            self.over_high()

    def write_eof(self) -> None:
        """Half close: what is written so far is sent, then the end of the stream."""
        if self.eof_written or self.closing:
            return
        self.note("write_eof")
        self.eof_written = True
        self.outward.eof = True
        self.changed()
        if self.outward.size:
            self.connection.wake()
        else:
            self.connection.soon(self.eof_sent)

    def close(self) -> None:
        """Close in order: no more reading; what is buffered is sent; then the loss is told. Once only."""
        if self.closing:
            return
        self.note("close")
        self.closing = True
        self.changed()
        self.release()

    def release(self) -> None:
        """Finish closing, if that is what it does and nothing waits to be sent."""
        if self.closing and not self.outward.size:
            self.finish_closing()

    def finish_closing(self) -> None:
        """The buffer is empty, or nobody takes it: tell the protocol soon, and the other side that this was all."""
        if self.held_open or self.finished:
            return
        self.finished = True
        self.outward.eof = self.outward.shut = True
        self.changed()
        self.connection.soon(self.lose, Loss.DONE)

    def abort(self) -> None:
        """Close at once: what is buffered and what is on its way, in both directions, is lost."""
        if self.outward.broken or self.lost:
            return
        self.note("abort")
        self._break(Loss.ABORTED, reset=self.connection.abort_resets)

    def fail(self, error: BaseException) -> None:
        """End as by `abort`, and `error` is the reason: what TLS asks of the transport below it."""
        if self.outward.broken or self.lost:
            return
        self.note("abort", error)
        self._break(Loss.FAILED, error, reset=False)

    def _break(self, loss: Loss, error: BaseException | None = None, *, reset: bool) -> None:
        self.closing = True
        self.held_open = False
        self.outward.cut_off(reset=reset)
        self.inward.discard()
        self.changed()
        self.connection.soon(self.lose, loss, error)

    def pause_reading(self) -> None:
        """Take nothing until `resume_reading`."""
        self.note("pause_reading")
        self.reading = False
        self.changed()

    def resume_reading(self) -> None:
        """Take what comes."""
        self.note("resume_reading")
        self.reading = True
        self.changed()
        self.connection.wake()

    # ---- what happens to it

    def end_of_stream(self) -> None:
        """The other side's half close has arrived."""
        self.note("eof_received")
        try:
            stays = self.speaker.ended()
        except Exception as error:
            self.failed(error, "eof_received")
            return
        if stays:
            return
        if self.speaker.ends_at_once:
            self.outward.cut_off(reset=False)
            self.lose(Loss.DONE)
        else:
            self.close()

    def reset(self, loss: Loss) -> None:
        """The connection is gone without order: what is buffered is lost, and the protocol is told now."""
        self.closing = True
        self.held_open = False
        self.outward.discard()
        self.inward.discard()
        self.lose(loss)

    def lose(self, loss: Loss, error: BaseException | None = None) -> None:
        """Tell the protocol that the connection is lost; once."""
        if self.lost:
            return
        self.lost = True
        self.closing = True
        self.outward.shut = True
        self.inward.refuse()
        self.changed()
        self.note("connection_lost", error or loss.value)
        try:
            self.speaker.lost(loss, error)
        except Exception as raised:
            self.connection.failed(self, raised, "connection_lost")

    def note(self, word: str, detail: Any = None) -> None:
        """Into the log, in the dialect's words."""
        self.connection.log.note(self.name, self.speaker.words.get(word, word), detail)

    def call(self, word: str, callback: Callable[[], Any] | None) -> None:
        """Call this, if it is anything; what it raises is reported, and the transport goes on."""
        if callback is None:
            return
        self.note(word)
        try:
            callback()
        except Exception as error:
            self.connection.failed(self, error, word)

    def failed(self, error: BaseException, call: str) -> None:
        """A callback that gave data or the end of it raised: that ends the connection, orderly for the other side."""
        self._break(Loss.FAILED, error, reset=False)
        self.connection.failed(self, error, call)
