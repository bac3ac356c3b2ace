"""The line: one protocol under test, and a peer that does as it is told, joined in memory.

Owns the peer's side of a connection of `wavetank.doubles`: what it says, hears and does, and what is counted on the
way. It must never decide what happens next: a script does. It knows no dialect: the doubles do.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from wavetank.doubles.wire.chunks import identity
from wavetank.doubles.wire.connection import Connection
from wavetank.doubles.wire.driver import Driver
from wavetank.doubles.wire.end import Loss, Speaker
from wavetank.doubles.wire.log import Log
from wavetank.doubles.wire.watermarks import Watermarks

#: The names of the two ends in a history.
PEER: Final = "peer"
PROTOCOL: Final = "protocol"
#: Where both seem to be: addresses for documentation (RFC 5737) would make servers refuse what is only local.
ADDRESSES: Final = (("127.0.0.1", 49152), ("127.0.0.1", 8000))
#: A transport that pauses its protocol with any byte that it holds.
_ANY_BYTE: Final = Watermarks(0, 0)


class _Peer(asyncio.Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.heard_bytes = 0

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)
        self.heard_bytes += len(data)

    def eof_received(self) -> bool:
        return True


class _CountingLog(Log):
    """Tells the line of each write before it is made."""

    def __init__(self, on_write: Callable[[int], None]) -> None:
        super().__init__()
        self._on_write = on_write

    def data(self, end: str, call: str, data: bytes) -> None:
        super().data(end, call, data)
        if end == PROTOCOL and call == "write":
            self._on_write(len(data))


class Socket:
    """What programs ask of the socket below a transport: addresses, family, and options that do nothing."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, name: tuple[str, int], peer: tuple[str, int] | None) -> None:
        self._name = name
        self._peer = peer

    def getsockname(self) -> tuple[str, int]:
        """Its own address."""
        return self._name

    def getpeername(self) -> tuple[str, int]:
        """The peer's address."""
        if self._peer is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._peer

    def fileno(self) -> int:
        """There is no descriptor."""
        return -1

    def setsockopt(self, *arguments: Any) -> None:
        """Options change nothing in memory."""

    def getsockopt(self, *arguments: Any) -> int:
        """No option is set."""
        return 0


class Line:
    """One protocol under test, its transport, and the peer."""

    #: A transport reads first, and is told of the end of the stream in a later turn.
    ends_with_data = False

    def __init__(
        self,
        speakers: tuple[Speaker, Speaker],
        peer: _Peer,
        driver: Driver,
        *,
        deaf_after: int | None = None,
        hears_again: bool = True,
        moved: Callable[[], None] = lambda: None,
        late: Callable[[str, int], None] = lambda when, size: None,
    ) -> None:
        self._late = late
        self._peer = peer
        self._moved = moved
        self._hears_again = hears_again
        self._deaf_after = deaf_after
        self.deaf = False
        self.writes: list[int] = []
        #: Whether the protocol wanted to keep its side open when the peer sent no more.
        self.kept_open = False
        #: Whether the program that made the connection is through: then nobody is there to end it.
        self.program_ended: Callable[[], bool] = lambda: False
        self.most_held = 0
        self.connection = Connection(
            speakers,
            (PEER, PROTOCOL),
            (identity, identity),
            driver=driver,
            abort_resets=True,
            log=_CountingLog(self._on_write),
        )
        self.peer_end, self.end = self.connection.ends
        self.end.outward.watched = True
        self.end.changed()
        if deaf_after == 0:
            self._stop_hearing()
        self._target = self.end.target
        self._note_answer_to_eof(speakers[1])
        self.connection.begin()

    # ---- what the peer does

    def say(self, data: bytes) -> None:
        """Write to the protocol."""
        self.peer_end.write(data)

    def end_stream(self) -> None:
        """Send no more (EOF)."""
        self.peer_end.write_eof()

    def reset(self) -> None:
        """Lose the connection."""
        self.peer_end.abort()

    def break_off(self) -> None:
        """Lose the connection, noticed or not."""
        if not self.end.lost:
            self.end.reset(Loss.RESET)

    def abort(self) -> None:
        """Abort the protocol's own transport, as a program that shuts down does."""
        self.end.abort()

    def hear_again(self) -> bool:
        """Read again, if the peer stopped and ever does; returns whether."""
        if not self.deaf or not self._hears_again:
            return False
        self.deaf = False
        self._deaf_after = None
        if not self.peer_end.closing:
            self.peer_end.resume_reading()
        return True

    # ---- what there is to see

    @property
    def history(self) -> Log:
        """What was called, in order."""
        return self.connection.log

    @property
    def reading(self) -> bool:
        """Whether the protocol has not paused reading."""
        return self.end.reading

    @property
    def switched(self) -> bool:
        """Whether the protocol has put another one in its place."""
        return not self.end.lost and self.end.target is not self._target

    @property
    def waiting_bytes(self) -> int:
        """What the peer has said and the protocol has not taken."""
        return self.peer_end.outward.size

    @property
    def taken_bytes(self) -> int:
        """What the protocol has taken."""
        return self.peer_end.outward.delivered

    def _note_answer_to_eof(self, speaker: Speaker) -> None:
        """Note whether the protocol keeps its side open, which it says in answer to the end of the stream."""
        ended = speaker.ended

        def noted() -> bool:
            self.kept_open = ended()
            return self.kept_open

        speaker.ended = noted  # type: ignore[method-assign]

    @property
    def progress(self) -> int:
        """Grows with all that the protocol reads and writes."""
        return self.taken_bytes + len(self.writes)

    @property
    def over(self) -> bool:
        """Whether the protocol takes nothing more: it is closing, or the connection is lost."""
        return self.end.closing

    @property
    def lost(self) -> bool:
        """Whether the protocol has been told of the loss."""
        return self.end.lost

    @property
    def output(self) -> bytes:
        """All that the peer heard."""
        heard = self._peer.heard
        if len(heard) > 1:
            heard[:] = [b"".join(heard)]
        return heard[0] if heard else b""

    @property
    def output_bytes(self) -> int:
        """How much the peer heard."""
        return self._peer.heard_bytes

    @property
    def held_bytes(self) -> int:
        """What the protocol has written and the peer has not read."""
        return self.end.outward.size

    def ended_by_protocol(self) -> str:
        """How the protocol has ended the connection so far."""
        end = self.end
        if end.outward.broken:
            return "aborted"
        if end.closing:
            return "closed"
        return "half closed" if end.eof_written else "open"

    def _on_write(self, size: int) -> None:
        self.writes.append(size)
        self._moved()
        if self._deaf_after is not None and len(self.writes) >= self._deaf_after and not self.deaf:
            self._stop_hearing()
        end = self.end
        if end.lost:
            self._late("the connection was lost", size)
        elif end.closing and not end.held_open and (end.outward.shut or not end.outward.size):
            self._late("the protocol had closed it", size)
        held = end.outward.size + size
        if held > self.most_held:
            self.most_held = held

    def _stop_hearing(self) -> None:
        """Read no more; where the peer will read again, the protocol is paused by the very write."""
        self.deaf = True
        self.peer_end.reading = False
        if self._hears_again:
            self.end.low, self.end.high = _ANY_BYTE
        self.peer_end.changed()
        self.end.changed()


def peer_speaker(loop: asyncio.AbstractEventLoop | None) -> tuple[Speaker, _Peer]:
    """A speaker for the peer, and the peer."""
    from wavetank.doubles.aio.transport import speaker_for

    peer = _Peer()
    return speaker_for(peer, Watermarks(2**40, 2**41), {}, loop), peer
