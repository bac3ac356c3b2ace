"""Runs of code that wants a connected socket: Tornado's streams, or whatever uses `loop.sock_recv` or `add_reader`.

Owns the two ends of a socket pair, and how the peer's end does what a script asks. It must never wait: the pair is of
this process, so what is sent is there at once.

The idea: the factory is called with one end of a real socket pair, in a loop whose time is virtual. The buffers are the
kernel's: what arrives between two reads is joined, and the end of the stream can be there with the last byte.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import termios
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from wavetank.check.aio_ground import AsyncioGround
from wavetank.check.conversation import Conversation
from wavetank.check.outcome import Outcome
from wavetank.check.schedule import End, Schedule
from wavetank.check.subject import Dialect, checked_factory
from wavetank.check.watchdog import Watchdog

#: One recv of the peer.
_READ_BYTES: Final = 2**20
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)


class SocketGround(AsyncioGround):
    """Runs schedules with code that one factory starts on a socket."""

    dialect: Dialect = "socket"

    def __init__(self, factory: Any, observe: Callable[[Any], Any] | None, watchdog: Watchdog) -> None:
        super().__init__(lambda: None, observe, watchdog)
        self.given = factory
        self.on_socket = checked_factory(factory, arguments=1)

    def families(self) -> Sequence[str]:
        """Those that do not ask for a transport."""
        return ("single cuts", "eof", "ends at once", "straddling pieces", "loss", "cuts at once", "several cuts",
                "cut ends", "garbage", "damaged bytes")  # fmt: skip

    def ends(self) -> Sequence[End]:
        """Nobody but the program can abort its side."""
        return ("eof", "reset", "eof together")

    def held_memory(self, conversation: Conversation) -> Outcome | None:
        """What is held is in the kernel's buffers, and bounded there."""
        return None

    def connect(self, schedule: Schedule) -> tuple[SocketLine, socket.socket]:
        """A line, and the socket for the program."""
        made, ours = socket.socketpair()
        theirs = CutSocket(made.family, made.type, made.proto, made.detach())
        theirs.setblocking(False)
        ours.setblocking(False)
        return SocketLine(ours, theirs), theirs


class CutSocket(socket.socket):
    """A socket that reads no further than the present piece, as a kernel may: recv(2) returns what it likes to."""

    def __init__(self, *of: int) -> None:
        super().__init__(*of)
        #: How much of each piece is still to be read.
        self.pieces: deque[int] = deque()

    def _cut(self, wanted: int) -> int:
        return min(wanted, self.pieces[0]) if self.pieces else wanted

    def _took(self, size: int, flags: int) -> None:
        if flags & socket.MSG_PEEK or not self.pieces:
            return
        self.pieces[0] -= size
        if self.pieces[0] <= 0:
            self.pieces.popleft()

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """At most the rest of a piece."""
        data = super().recv(self._cut(bufsize), flags)
        self._took(len(data), flags)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """At most the rest of a piece."""
        size = super().recv_into(buffer, self._cut(nbytes or memoryview(buffer).nbytes), flags)
        self._took(size, flags)
        return size


class SocketLine:
    """A peer at the other end of a socket pair; does what `line.Line` does, as far as a socket can."""

    #: The end of the stream is seen with the bytes before it, if it comes at once.
    ends_with_data = True
    #: Nobody is asked at the end of the stream.
    kept_open = False
    #: The peer always reads.
    deaf = False
    #: There is no transport that a protocol could leave to another one.
    switched = False
    writes: list[int]
    most_held = 0
    held_bytes = 0
    reading = True

    def __init__(self, ours: socket.socket, theirs: CutSocket) -> None:
        self._ours = ours
        self._pieces = theirs.pieces
        self._heard: list[bytes] = []
        self.output_bytes = 0
        self._unsent = b""
        self._said = 0
        self._ended = False
        self._finished = False
        self._gone = False
        self.writes = []
        self.program_ended: Callable[[], bool] = lambda: False
        self.history = ""

    # ---- what the peer does

    def say(self, data: bytes) -> None:
        """Send."""
        self._unsent += data
        self._pieces.append(len(data))
        self._said += len(data)
        self._pump()

    def end_stream(self) -> None:
        """Shut down the sending side."""
        self._ended = True
        self._pump()

    def reset(self) -> None:
        """Close without having read: the program's end sees ECONNRESET (unix(7)) when it has written, else EOF."""
        self._pump()
        self._ours.close()
        self._gone = True

    def break_off(self) -> None:
        """Close."""
        if not self._gone:
            self.reset()

    def abort(self) -> None:
        """Nobody but the program can do that."""
        raise AssertionError("a socket is aborted by its owner")

    def hear_again(self) -> bool:
        """It always reads."""
        return False

    # ---- what there is to see

    @property
    def waiting_bytes(self) -> int:
        """What was sent and not read; the kernel counts more than bytes, so only whether there is any is exact."""
        self._pump()
        if self._gone:
            return 0
        queued = array.array("i", [0])
        fcntl.ioctl(self._ours, termios.TIOCOUTQ, queued)
        return len(self._unsent) or queued[0]

    @property
    def taken_bytes(self) -> int:
        """What was sent; how much of it was read, only the kernel knows."""
        return self._said - len(self._unsent)

    @property
    def progress(self) -> int:
        """Grows with all that the program writes."""
        self._pump()
        return self.output_bytes

    @property
    def over(self) -> bool:
        """Whether the program's end is closed."""
        self._pump()
        return self._gone

    @property
    def lost(self) -> bool:
        """Whether the program's end is closed."""
        return self.over

    @property
    def output(self) -> bytes:
        """All that the program wrote."""
        self._pump()
        return b"".join(self._heard)

    def ended_by_protocol(self) -> str:
        """Whether the program closed its end."""
        return "closed" if self.over else "open"

    def _pump(self) -> None:
        """Send and receive what goes now."""
        if self._gone:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[self._ours.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(error)
        if self._ended and not self._unsent and not self._finished and not self._gone:
            self._finished = True
            self._ours.shutdown(socket.SHUT_WR)
        self._receive()

    def _receive(self) -> None:
        try:
            while not self._gone:
                data = self._ours.recv(_READ_BYTES)
                if not data:
                    self._gone = True
                    self._ours.close()
                else:
                    self._heard.append(data)
                    self.output_bytes += len(data)
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        self._unsent = b""
        if error.errno != errno.EPIPE or not self._readable():
            self._gone = True
            self._ours.close()

    def _readable(self) -> bool:
        """Whether something is left to be read although nothing can be sent."""
        try:
            return bool(self._ours.recv(1, socket.MSG_PEEK))
        except OSError:
            return False
