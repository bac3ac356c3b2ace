"""One direction of a connection: the bytes that its sender has written and its receiver has not seen.

Owns these bytes, how many each side may still hold, and what becomes of them when one side is gone. Must never decide
how they are cut (that is the policy), nor what a protocol is told besides its data.

The idea: what was written stays in the sender's buffer until the receiver takes it, so that a reader that pauses is
felt by the writer at once, and watermarks mean exactly what they say. A way carries, in one round, what was on it when
its turn came.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wavetank.doubles.wire.chunks import ChunkPolicy, identity
from wavetank.doubles.wire.end import End, Loss
from wavetank.doubles.wire.log import KEPT_BYTES, Log

if TYPE_CHECKING:
    from wavetank.doubles.wire.line import Line


class Way:
    """From `sender` to `receiver`. `size` is what the sender's buffer holds, in bytes."""

    __slots__ = ("at", "broken", "delivered", "dropped", "eof", "eof_told", "inbox", "line", "log", "policy", "queue",
                 "receiver", "refusing", "reset_due", "sender", "shut", "size")  # fmt: skip

    def __init__(self, sender: End, receiver: End, policy: ChunkPolicy, log: Log) -> None:
        self.sender = sender
        self.receiver = receiver
        self.policy = policy
        self.log = log
        #: What goes wrong on this way; None: nothing.
        self.line: Line | None = None
        #: What the receiver may read, and where the sender writes to: the same, unless there is a line between.
        self.queue: deque[bytes] = deque()
        self.inbox = self.queue
        #: So much of the first piece in the queue has been taken.
        self.at = 0
        self.size = 0
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

    # ---- ends of it

    def discard(self, *, arrived: bool = True) -> None:
        """Lose what is on its way, with or without what has arrived at the other side, and take nothing more."""
        self.shut = True
        self.lose(arrived=arrived)

    def lose(self, *, arrived: bool = True) -> None:
        """Lose what is on its way, with or without what has arrived at the other side."""
        self.dropped += self.size
        self.size = 0
        if self.line is None:
            self.queue.clear()
            self.at = 0
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
            elif receiver.reading and not receiver.closing:
                if self.policy is identity and not receiver.buffered and not self.at:
                    self._carry_whole()
                else:
                    self._carry_cut()
            if self.delivered + self.dropped != before:
                if sender.paused and self.size <= sender.low:
                    sender.below_low()
                if not self.size:
                    sender.drained()
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
        if not receiver.reading and not receiver.outward.size:
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

    def _carry_whole(self) -> None:
        """Each write as one piece: the way of most tests, so it is short."""
        receiver, queue, raw, name = self.receiver, self.queue, self.log.raw, self.receiver.name
        count, most, word = len(queue), receiver.speaker.max_read, receiver.word
        try:
            while count and queue and receiver.reading and not receiver.closing:
                count -= 1
                piece = queue.popleft()
                size = len(piece)
                if size > KEPT_BYTES:
                    if size > most:
                        queue.appendleft(piece)
                        self._carry_cut()
                        return
                    self.log.data(name, word, piece)
                else:
                    raw.append((name, word, piece))
                self.size -= size
                self.delivered += size
                getattr(receiver.target, word)(piece)
        except Exception as error:
            receiver.failed(error, word)

    def _carry_cut(self) -> None:
        """Pieces as the policy wants them."""
        receiver, queue = self.receiver, self.queue
        left, most = self.size, receiver.speaker.max_read
        try:
            while left > 0 and queue and receiver.reading and not receiver.closing:
                wanted = self.policy(len(queue[0]) - self.at, left, self.delivered)
                left -= self.give(max(1, min(wanted, left, most)))
        except Exception as error:
            receiver.failed(error, receiver.word)

    def give(self, size: int) -> int:
        """One piece of at most `size` bytes; returns how long it was."""
        receiver = self.receiver
        piece = self.peek(size)
        if receiver.buffered:
            size = receiver.speaker.fill(piece)
            piece = piece[:size]
        self.log.data(receiver.name, receiver.word, piece)
        self.skip(size)
        self.delivered += size
        if receiver.buffered:
            receiver.speaker.filled(size)
        else:
            getattr(receiver.target, receiver.word)(piece)
        return size

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or all."""
        first = self.queue[0]
        end = self.at + size
        if end <= len(first):
            return first if size == len(first) else first[self.at : end]
        parts, found = [], -self.at
        for part in self.queue:
            parts.append(part)
            found += len(part)
            if found >= size:
                break
        return b"".join(parts)[self.at : end]

    def skip(self, size: int) -> None:
        """Take the first `size` bytes away."""
        if self.line is None:
            self.size -= size
        else:
            self.line.arrived -= size
        self.at += size
        queue = self.queue
        while queue and self.at >= len(queue[0]):
            self.at -= len(queue.popleft())
