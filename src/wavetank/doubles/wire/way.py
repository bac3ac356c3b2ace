"""One direction of a connection: the bytes that its sender has written and its receiver has not seen.

Owns these bytes, how many each side may still hold, and what becomes of them when one side is gone. Must never decide
how they are cut (that is the policy), nor what a protocol is told besides its data.

The idea: what was written stays in the sender's buffer until the receiver takes it, so that a reader that pauses is
felt by the writer at once, and watermarks mean exactly what they say. A way carries, in one round, what was on it when
its turn came.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from wavetank.doubles.wire.chunks import ChunkPolicy, Cutter, collapse, cutter, identity
from wavetank.doubles.wire.end import End, Loss
from wavetank.doubles.wire.log import KEPT_BYTES, Log

if TYPE_CHECKING:
    from wavetank.doubles.wire.line import Line

#: For speed only, here and in `calm`, protocols are called by their dialect's names: looking them up by name is slower.
TWISTED: Final = "dataReceived"


class Way:
    """From `sender` to `receiver`. `size` is what the sender's buffer holds, in bytes."""

    __slots__ = ("broken", "cut", "delivered", "dropped", "eof", "eof_told", "flowing", "got", "inbox", "limit", "line",
                 "log", "losses", "open", "policy", "queue", "raw", "receiver", "refusing", "reset_due", "sender",
                 "short", "shut", "size", "watched", "wrote")  # fmt: skip

    def __init__(self, sender: End, receiver: End, policy: ChunkPolicy, log: Log) -> None:
        self.sender = sender
        self.receiver = receiver
        self.policy = policy
        self.log = log
        #: What goes wrong on this way; None: nothing.
        self.line: Line | None = None
        #: What the receiver may read, and where the sender writes to: the same, unless there is a line between.
        self.queue: list[bytes] = []
        self.inbox = self.queue
        #: Kept for speed: the log's list, and its words for what is written and received.
        self.raw = log.raw
        self.wrote = (sender.name, "write")
        self.got = (receiver.name, receiver.word)
        #: Kept for speed (`changed` does): the sender may write without a second thought, up to so many bytes;
        #: the receiver takes what is on its way at once, cut by `cut`; and a single write of up to so many bytes
        #: arrives as it is.
        self.open = self.flowing = False
        self.cut: Cutter | None = cutter(policy)
        self.short = 0
        #: Somebody wants the log to be told of each write before it is made: then there is no short way.
        self.watched = False
        self.limit = 0
        self.size = 0
        #: How often what was on its way was lost.
        self.losses = 0
        #: After the queue comes the end of the stream; whether the receiver has been told.
        self.eof = self.eof_told = False
        #: Nothing more is accepted: the sender is closed, or gone.
        self.shut = False
        #: The sender has aborted; whether a reset is still to be noticed by the receiver.
        self.broken = self.reset_due = False
        #: The receiver is gone, and what was sent to it since has been answered by a reset.
        self.refusing = False
        #: Bytes that the receiver got, and bytes that were lost.
        self.delivered = self.dropped = 0

    def changed(self) -> None:
        """Something that decides about the short ways was changed: its ends, its line, its policy."""
        sender, receiver = self.sender, self.receiver
        self.open = not (self.watched or self.line or self.shut or sender.closing or sender.eof_written)
        self.cut = cutter(self.policy)
        self.short = KEPT_BYTES if self.policy is identity or self.policy is collapse else 0
        self.flowing = not (
            self.line
            or self.eof
            or self.reset_due
            or receiver.buffered
            or receiver.closing
            or not receiver.reading
            or self.cut is None
        )
        self.got = (receiver.name, receiver.word)
        # Where nobody has been asked for a round yet, every write is one too many: it asks for it.
        self.limit = sender.high if sender.connection.awake else -1

    # ---- ends of it

    def discard(self, *, arrived: bool = True) -> None:
        """Lose what is on its way, with or without what has arrived at the other side, and take nothing more."""
        self.shut = True
        self.lose(arrived=arrived)

    def lose(self, *, arrived: bool = True) -> None:
        """Lose what is on its way, with or without what has arrived at the other side."""
        self.dropped += self.size
        self.size = 0
        self.losses += 1
        if self.line is None:
            self.queue.clear()
        else:
            self.dropped += self.line.discard(arrived=arrived)

    def cut_off(self, *, reset: bool) -> None:
        """The sender is gone at once: what it had buffered is lost; the receiver sees a reset, or an orderly end."""
        self.discard(arrived=False)
        self.broken = True
        if reset:
            self.reset_due = True
        else:
            self.eof = True

    def refuse(self) -> None:
        """The receiver is gone: what is on its way is lost, and what comes later is answered by a reset."""
        if self.size or (self.line is not None and self.line.held):
            self.swallow()
            self.sender.connection.soon(self.sender.taken)

    def swallow(self) -> None:
        """The sender's system takes the bytes, and nobody gets them: only the next ones are answered by a reset."""
        self.refusing = True
        self.lose()

    # ---- a round

    def move(self) -> bool:
        """Carry what is on it now; returns whether anything happened."""
        if self.line is not None:
            return self.line.move()
        receiver, sender = self.receiver, self.sender
        if self.reset_due:
            return self.notice_reset()
        queue = self.queue
        before = self.delivered + self.dropped
        if queue:
            if receiver.lost:
                self.nobody()
                sender.taken()
            elif self.flowing:
                self.carry()
            elif receiver.closing:
                self.lose()  # its system takes them, and nobody will read them
                sender.taken()
            elif receiver.reading:
                self.read(receiver.takes, lambda: self.size)
                sender.taken()
        elif not self.eof:
            return False
        if self.eof and not queue and not self.eof_told and not receiver.closing and receiver.reading:
            self.eof_told = True
            receiver.end_of_stream()
            return True
        return self.delivered + self.dropped != before

    def notice_reset(self) -> bool:
        """A reset is noticed by those who read or have something to send; others will, when they do."""
        receiver = self.receiver
        if receiver.lost:
            self.reset_due = False
            return False
        if not (receiver.reading or receiver.closing or receiver.outward.size):
            return False
        self.reset_due = False
        receiver.reset(Loss.RESET)
        return True

    def nobody(self) -> None:
        """The receiver is gone: the first bytes are accepted and lost, the next ones find the connection broken.

        That is how TCP does it: a segment to a closed socket is answered by a reset (RFC 9293 section 3.5.2), and
        only the write after that fails (EPIPE).
        """
        if self.refusing and not self.sender.closing:
            self.sender.reset(Loss.BROKEN)
        else:
            self.swallow()

    def carry(self) -> None:
        """What is on its way, cut at once, when this way is `flowing`."""
        receiver, raw, got, cut = self.receiver, self.raw, self.got, self.cut
        assert cut is not None
        writes = self.queue[:]
        self.queue.clear()
        self.log.trim()
        moved, losses, twisted = 0, self.losses, receiver.word == TWISTED
        try:
            for piece in cut(writes, self.size, receiver.speaker.max_read):
                size = len(piece)
                raw.append(got)
                if size <= KEPT_BYTES:
                    raw.append(piece)
                else:
                    raw.append(piece[:KEPT_BYTES])
                    raw.append(size)
                self.size -= size
                moved += size
                if twisted:
                    receiver.target.dataReceived(piece)
                else:
                    receiver.target.data_received(piece)
                if not self.flowing:
                    break
        except Exception as error:
            receiver.failed(error, receiver.word)
        self.delivered += moved
        if self.size and losses == self.losses:
            self._put_back(writes, moved)
        if self.sender.attentive:
            self.sender.taken()

    def _put_back(self, writes: list[bytes], taken: int) -> None:
        """What is left of these writes, of which so many bytes were taken, goes before what was written since."""
        for index, write in enumerate(writes):
            if taken < len(write):
                self.queue[:0] = [write[taken:], *writes[index + 1 :]]
                return
            taken -= len(write)

    def read(self, may: Callable[[], bool], most: Callable[[], int]) -> None:
        """Pieces as the policy wants them, of what is in the queue now, while `may()`, each of at most `most()`."""
        receiver = self.receiver
        pieces = self.queue[:]
        self.queue.clear()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        ends = [*accumulate(map(len, pieces))]
        begun, losses = self.delivered, self.losses
        try:
            if self.line is None and not receiver.buffered:
                self._deal(data, ends)
            if self.delivered - begun < len(data) and losses == self.losses:
                self._share_out(data, ends, may, most, self.delivered - begun)
        except Exception as error:
            receiver.failed(error, receiver.word)
        if losses == self.losses:
            self._put_back(pieces, self.delivered - begun)

    def _deal(self, data: bytes, ends: list[int]) -> None:
        """What `_share_out` does, for the most frequent case: nothing but the policy decides about the pieces."""
        receiver, raw, got = self.receiver, self.raw, self.got
        longest, losses, total = receiver.speaker.max_read, self.losses, len(data)
        at = index = 0
        while at < total and receiver.reading and not receiver.closing and losses == self.losses:
            if self.line is not None or receiver.buffered:
                return  # a callback has changed that: `_share_out` goes on
            left = total - at
            size = min(max(self.policy(ends[index] - at, left, self.delivered), 1), left, longest)
            piece = data[at : at + size]
            raw.append(got)
            if size <= KEPT_BYTES:
                raw.append(piece)
            else:
                raw.append(piece[:KEPT_BYTES])
                raw.append(size)
            self.size -= size
            self.delivered += size
            at += size
            while at < total and ends[index] <= at:
                index += 1
            if got[1] == TWISTED:
                receiver.target.dataReceived(piece)
            else:
                receiver.target.data_received(piece)

    def _share_out(
        self, data: bytes, ends: list[int], may: Callable[[], bool], most: Callable[[], int], at: int
    ) -> None:
        """Pieces of these bytes from `at` on while `may()`, each of at most `most()`; `ends` are where writes end."""
        receiver, losses = self.receiver, self.losses
        index = bisect_right(ends, at)
        while at < len(data) and may() and losses == self.losses:
            left = len(data) - at
            wanted = self.policy(ends[index] - at, left, self.delivered)
            at += self._give(data, at, max(1, min(wanted, left, receiver.speaker.max_read, most())))
            while index < len(ends) and ends[index] <= at:
                index += 1

    def _give(self, data: bytes, at: int, size: int) -> int:
        """One piece of at most `size` bytes; returns how long it was."""
        receiver = self.receiver
        piece = data[at : at + size]
        if receiver.buffered:
            size = receiver.speaker.fill(piece)
            piece = piece[:size]
        self.log.data(receiver.name, receiver.word, piece)
        if self.line is None:
            self.size -= size
        else:
            self.line.arrived -= size
        self.delivered += size
        if receiver.buffered:
            receiver.speaker.filled(size)
        else:
            getattr(receiver.target, receiver.word)(piece)
        return size
