"""One direction of one connection: bytes from a source socket to a sink socket, as its shape says.

Owns reading, keeping, delaying, cutting and writing, and where each byte stands in the stream. What becomes of the
connection as a whole is `connection`'s. Sockets are not blocking, and everything happens in the proxy's loop.

The idea: while the direction is calm, what was read is written at once, from one buffer that all pumps share, or moved
by splice(2) through a pipe without entering this process; when the sink takes no more, reading stops, so that the
source feels it. A shaped direction has a queue of pieces with the time at which each may go.

How much is kept for one direction: `CALM_BYTES` or the `PIPE_BYTES` of a pipe when calm, `SHAPED_BYTES` when shaped,
`DELAYED_BYTES` when bytes are delayed (a delayed line that held less would be slower). The two sockets of the kernel
hold more, as tcp(7) says: tcp_rmem and tcp_wmem.

Where the behaviour comes from: splice(2), tcp(7), socket(7) (SO_LINGER), RFC 9293 section 3.10.7.4 (data that was
received before a reset stays readable).
"""

from __future__ import annotations

import errno
import os
import random
from collections import deque
from typing import TYPE_CHECKING, Final

from wavetank.proxy.shape import CALM, PIECE_GAP_NS, Bucket, Shape, reading_bucket
from wavetank.proxy.timers import Timer, now_ns

if TYPE_CHECKING:
    import socket

    from wavetank.proxy.connection import Connection
    from wavetank.proxy.core import Core, Pipe

CALM_BYTES: Final = 1 << 18
SHAPED_BYTES: Final = 1 << 18
DELAYED_BYTES: Final = 64 << 20
PIPE_BYTES: Final = 1 << 20
#: What a shaped direction reads at a time.
_CHUNK: Final = 1 << 16
#: So many reads in a row of at least `_BULK_BYTES` are a bulk transfer, which splice moves; after so many small ones
#: it is over.
_BULK_READS: Final = 4
_BULK_BYTES: Final = 1 << 16
_SMALL_BYTES: Final = 1 << 14
_SMALL_READS: Final = 32
#: After so many writes in a row the other connections have their turn.
_TURN: Final = 64
#: A reset that nobody takes bytes before is passed on after so long without progress.
_NO_PROGRESS_NS: Final = 100_000_000
#: linux/splice.h: SPLICE_F_MOVE | SPLICE_F_NONBLOCK. Not SPLICE_F_MORE, which would hold back the last segment.
_FLAGS: Final = 3
_END: Final = b""


class Pump:
    """One direction. `delivered` counts bytes that the sink took, `dropped` those that a fault forgot."""

    __slots__ = (
        "_bulk", "_connection", "_core", "_head", "_kept", "_last_due_ns", "_next_piece_ns", "_pieces", "_pipe",
        "_progress", "_queue", "_read_bucket", "_read_timer", "_rngs", "_small", "_timer", "_waits", "cut_off",
        "delivered", "direction", "doomed", "dropped", "ended", "passed_end", "reading", "shape", "sink", "source",
        "writing",
    )  # fmt: skip

    def __init__(
        self, core: Core, connection: Connection, source: socket.socket, sink: socket.socket, direction: int
    ) -> None:
        self._core = core
        self._connection = connection
        self.source = source
        self.sink = sink
        self.direction = direction
        self.shape: Shape = CALM
        self.delivered = 0
        self.dropped = 0
        #: The source has said its last byte; the sink has been told; the source was reset; nothing passes any more.
        self.ended = False
        self.passed_end = False
        self.doomed = False
        self.cut_off = False
        self.reading = False
        self.writing = False
        self._queue: deque[tuple[int, bytes]] = deque()
        self._head = 0
        self._kept = 0
        self._last_due_ns = 0
        self._pipe: Pipe | None = None
        self._bulk = 0
        self._small = 0
        self._pieces = 0
        self._next_piece_ns = 0
        self._timer: Timer | None = None
        self._waits: Bucket | None = None
        self._read_timer: Timer | None = None
        self._read_bucket: Bucket | None = None
        self._progress: Timer | None = None
        self._rngs: dict[str, random.Random] = {}

    # ---- reading

    def begin(self, shape: Shape) -> None:
        """Start, with the faults that are in force."""
        self.reshape(shape)

    def _on_readable(self) -> None:
        if self.shape is not CALM or self._queue or self.cut_off:
            self._read_shaped()
        elif self._pipe is not None:
            self._splice()
        else:
            self._copy()

    def _copy(self) -> None:
        """A calm turn: read into the buffer that all share, and write at once."""
        core = self._core
        try:
            size = self.source.recv_into(core.buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.source_reset()
            return
        if not size:
            self._source_ended()
            return
        sent = self._send(core.view[:size])
        if sent < 0:
            return
        if sent < size:
            self._keep(0, bytes(core.view[sent:size]))
            self._wait_for_sink()
        elif size >= _BULK_BYTES:
            self._bulk += 1
            if self._bulk >= _BULK_READS and core.splices and not self._connection.packets:
                self._pipe = core.take_pipe()
                self._connection.bound_window(self.source)
                self._bulk = self._small = 0
        else:
            self._bulk = 0

    def _splice(self) -> None:
        """A calm turn of a bulk transfer: from socket to socket, through a pipe."""
        pipe = self._pipe
        assert pipe is not None, "spliced without a pipe"
        try:
            size = os.splice(self.source.fileno(), pipe.writing, PIPE_BYTES, flags=_FLAGS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as problem:
            if problem.errno == errno.EINVAL:  # a socket that cannot be spliced
                self._never_splice()
            else:
                self.source_reset()
            return
        if not size:
            self._source_ended()
            return
        pipe.held += size
        if size >= _SMALL_BYTES:
            self._small = 0
        else:
            self._small += 1
        if self._empty_pipe() and self._small > _SMALL_READS:
            self._leave_splice()

    def _empty_pipe(self) -> bool:
        """Move what the pipe holds to the sink; returns whether it is empty."""
        pipe = self._pipe
        assert pipe is not None, "no pipe to empty"
        while pipe.held:
            try:
                size = os.splice(pipe.reading, self.sink.fileno(), pipe.held, flags=_FLAGS)
            except (BlockingIOError, InterruptedError):
                self._wait_for_sink()
                return False
            except OSError as problem:
                if problem.errno == errno.EINVAL:
                    self._never_splice()
                    return True
                self._sink_failed()
                return False
            pipe.held -= size
            self._core.log.add("data", self._connection.number, self.direction, self.delivered, size)
            self.delivered += size
        return True

    def _never_splice(self) -> None:
        self._core.splices = False
        self._leave_splice()
        self.advance()

    def _leave_splice(self) -> None:
        """Back to copying: what the pipe holds goes in front of the queue."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        held = b""
        while pipe.held:
            data = os.read(pipe.reading, pipe.held)
            pipe.held -= len(data)
            held += data
        if held:
            self._queue.appendleft((0, held))
            self._kept += len(held)
        self._core.give_pipe(pipe)

    def _read_shaped(self) -> None:
        """A turn of a shaped direction: read a piece, and say when it may go."""
        size = _CHUNK
        now = now_ns()
        bucket = self._read_bucket
        if bucket is not None:
            size = min(size, bucket.budget(now))
            if not size:
                self.resume_reading()
                return
        try:
            data = self.source.recv(size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.source_reset()
            return
        if not data:
            self._source_ended()
            return
        if bucket is not None:
            bucket.take(len(data), now)
        if self.shape.drop or self.cut_off:
            self._core.log.add("dropped", self._connection.number, self.direction, self.delivered, len(data))
            self.dropped += len(data)
        else:
            first = not self._queue
            if first:
                for each in self.shape.buckets:
                    each.begin(now)
            self._keep(self._due_ns(len(data), now), data)
            if first:
                self.advance()
        self.resume_reading()

    def _due_ns(self, size: int, now: int) -> int:
        """When a piece that was read now may go: never before those in front of it."""
        if not self.shape.delayed:
            return 0
        self._last_due_ns = max(self._last_due_ns, now + self.shape.delay_ns(size, self._rng))
        return self._last_due_ns

    def _rng(self, concern: str) -> random.Random:
        found = self._rngs.get(concern)
        if found is None:
            found = self._rngs[concern] = self._core.line.rng(concern, self._connection.number, self.direction)
        return found

    def _keep(self, due_ns: int, data: bytes) -> None:
        self._queue.append((due_ns, data))
        self._kept += len(data)

    def resume_reading(self) -> None:
        """Read, or do not, as what is kept and the shape allow."""
        wanted = not self.ended and not self.shape.hold and self._may_keep_more() and not self._too_soon()
        if wanted is not self.reading:
            self.reading = wanted
            if wanted:
                self._core.loop.add_reader(self.source.fileno(), self._on_readable)
            else:
                self._core.loop.remove_reader(self.source.fileno())

    def _may_keep_more(self) -> bool:
        if self.shape is CALM and not self.cut_off:
            return not self._queue and not (self._pipe is not None and self._pipe.held)
        return self._kept + _CHUNK <= (DELAYED_BYTES if self.shape.delayed else SHAPED_BYTES)

    def _too_soon(self) -> bool:
        """Whether a slow reader has to wait; it comes back here when the time has come."""
        bucket = self._read_bucket
        if bucket is None or bucket.next_ns <= now_ns():
            return False
        if self._read_timer is None:
            self._read_timer = self._core.timers.at(bucket.next_ns, self._read_again)
        return True

    def _read_again(self) -> None:
        self._read_timer = None
        self.resume_reading()

    # ---- writing

    def _send(self, data: bytes | memoryview) -> int:
        """Write once; returns how many bytes the sink took, or -1 when it is gone."""
        try:
            sent = self.sink.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._sink_failed()
            return -1
        self._core.log.add("data", self._connection.number, self.direction, self.delivered, sent)
        self.delivered += sent
        return sent

    def _wait_for_sink(self) -> None:
        if not self.writing:
            self.writing = True
            self._core.loop.add_writer(self.sink.fileno(), self._on_writable)
        self.resume_reading()

    def _on_writable(self) -> None:
        self.writing = False
        self._core.loop.remove_writer(self.sink.fileno())
        self.advance()
        self.resume_reading()

    def advance(self) -> None:
        """Write what may go now; set a timer, or wait for the sink, for the rest."""
        if self.writing or self.passed_end or self.shape.hold:
            return
        if self._pipe is not None and not self._empty_pipe():
            return
        queue, shape = self._queue, self.shape
        if shape.cuts and self._cut():
            return
        now = now_ns()
        for _ in range(_TURN):
            if not queue:
                return
            due_ns, data = queue[0]
            if not data:
                if due_ns > now:
                    self._wake_at(due_ns)
                elif not shape.silent:
                    self._pass_end()
                return
            size = len(data) - self._head
            wait_ns = due_ns if due_ns > now else 0
            if not wait_ns and shape is not CALM:
                wait_ns, size = self._allowed(size, now)
            if wait_ns:
                self._wake_at(wait_ns)
                return
            if not self._write_piece(data, size, now) or (shape.cuts and self._cut()):
                return
            now = now_ns()
        self._wake_at(now)

    def _allowed(self, size: int, now: int) -> tuple[int, int]:
        """Until when to wait (0: no longer), and how many bytes may go now."""
        shape = self.shape
        for bucket in shape.buckets:
            budget = bucket.budget(now)
            if not budget:
                self._waits = bucket
                return bucket.next_ns, 0
            size = min(size, budget)
        if shape.piece_bytes:
            if self._next_piece_ns > now:
                return self._next_piece_ns, 0
            if not self._pieces:
                self._pieces = self._rng("segments").randint(1, shape.piece_bytes)
            size = min(size, self._pieces)
        for offset, _ in shape.cuts:
            size = min(size, offset - self.delivered)
        return 0, size

    def _write_piece(self, data: bytes, size: int, now: int) -> bool:
        """Write `size` bytes of the first piece; returns whether the sink takes more."""
        head = self._head
        whole = not head and size == len(data)
        sent = self._send(data if whole else memoryview(data)[head : head + size])
        if sent < 0:
            return False
        if head + sent == len(data):
            self._queue.popleft()
            self._head = 0
        else:
            self._head += sent
        self._kept -= sent
        shape = self.shape
        for bucket in shape.buckets:
            bucket.take(sent, now)
        if shape.piece_bytes and sent:
            self._pieces -= sent
            if self._pieces <= 0:
                self._pieces = 0
                self._next_piece_ns = now_ns() + PIECE_GAP_NS
        if sent < size:
            self._wait_for_sink()
            return False
        return True

    def _wake_at(self, due_ns: int) -> None:
        if self._timer is None:
            if self._waits is not None:
                self._waits.waiting += 1
            self._timer = self._core.timers.at(due_ns, self._wake)

    def _wake(self) -> None:
        self._forget_timer()
        self.advance()
        self.resume_reading()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if self._waits is not None:
                self._waits.waiting -= 1
        self._waits = None

    def _cut(self) -> bool:
        """Strike the connection when the stream has come to the place of a cut; returns whether it was."""
        for offset, force in self.shape.cuts:
            if self.delivered >= offset and not self.cut_off:
                self._connection.strike(force, self)
                return True
        return False

    # ---- shapes

    def reshape(self, shape: Shape) -> None:
        """Go on with another shape. What was kept goes on by the new one; without delay, at once."""
        before, self.shape = self.shape, shape
        if shape is not CALM and self._pipe is not None:
            self._leave_splice()
        if before.delayed and not shape.delayed:
            self._queue = deque((0, data) for _, data in self._queue)
            self._last_due_ns = 0
        self._forget_timer()
        if shape.read_bytes_per_s != before.read_bytes_per_s:
            self._read_bucket = reading_bucket(shape.read_bytes_per_s) if shape.read_bytes_per_s else None
            if self._read_timer is not None:
                self._read_timer.cancel()
                self._read_timer = None
        if self.doomed:
            self.source_reset() if self.ended else self._tell_doom()
        self.advance()
        if not self._connection.closed:
            self.resume_reading()

    # ---- ends

    def _source_ended(self) -> None:
        if self.doomed:  # the error of the reset was already told to whoever wrote (tcp_reset in tcp_input.c)
            self.source_reset()
            return
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._queue.append((self._due_ns(0, now_ns()), _END))
        self.resume_reading()
        if self.passed_end:
            self._queue.clear()
            self._connection.half_over()
        else:
            self.advance()

    def _pass_end(self) -> None:
        self._queue.clear()
        if self.doomed:
            self._connection.pass_reset(self)
        else:
            self.shut()
            self._connection.half_over()

    def shut(self, why: str = "") -> None:
        """The sink gets the end of the stream."""
        self.passed_end = True
        self._core.log.add("eof", self._connection.number, self.direction, self.delivered, 0, why)
        self._connection.shut(self.sink)

    def cut(self, why: str) -> None:
        """The stream ends here: its reader gets the end, what is written later is read and forgotten."""
        self.cut_off = True
        self._leave_splice()
        self._queue.clear()
        self._head = self._kept = 0
        self.shut(why)
        self.resume_reading()

    def source_reset(self) -> None:
        """The source was reset, and all it had sent has been read."""
        self.doomed = True
        if self.passed_end:
            self.ended = True
            self.resume_reading()
            self._tell_doom()
        elif not self.ended:
            self._end()
            self._check_progress()

    def doom(self) -> None:
        """The source was reset; what it had sent may still be there to read."""
        if not self.doomed:
            self.doomed = True
            self._tell_doom()

    def _tell_doom(self) -> None:
        if self.shape.silent:
            return
        if self.passed_end or (self.shape.hold and not self.shape.silent):
            self._connection.pass_reset(self)
        else:
            self._check_progress()

    def _check_progress(self) -> None:
        """Pass a reset on although bytes are left, when the sink takes none of them: they would be lost anyway."""
        if self._progress is None and not self._connection.closed and not self.shape.silent:
            before = self.delivered
            self._progress = self._core.timers.at(now_ns() + _NO_PROGRESS_NS, lambda: self._progressed(before))

    def _progressed(self, before: int) -> None:
        self._progress = None
        if self.passed_end or self.shape.silent:
            return
        if self.delivered == before and self.writing:
            self._connection.pass_reset(self)
        else:
            self._check_progress()

    def _sink_failed(self) -> None:
        """The sink is gone: nothing passes here any more, and the other direction says so to the source."""
        self.passed_end = True
        self._queue.clear()
        self._kept = self._head = 0
        if self._pipe is not None:
            self._core.drop_pipe(self._pipe)
            self._pipe = None
        self.ended = True
        self.resume_reading()
        self._connection.other(self).doom()

    def noticed_error(self) -> None:
        """The kernel says that the source has an error, which matters when it is not being read."""
        self.doom()

    def stop(self) -> None:
        """Let go of everything; the sockets are closed by the connection."""
        loop = self._core.loop
        if self.reading:
            loop.remove_reader(self.source.fileno())
        if self.writing:
            loop.remove_writer(self.sink.fileno())
        self.reading = self.writing = False
        self.ended = self.passed_end = True
        self._forget_timer()
        for timer in (self._read_timer, self._progress):
            if timer is not None:
                timer.cancel()
        self._queue.clear()
        if self._pipe is not None:
            if self._pipe.held:
                self._core.drop_pipe(self._pipe)
            else:
                self._core.give_pipe(self._pipe)
            self._pipe = None
