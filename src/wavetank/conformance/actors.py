"""The actors of a script: protocols that note what they are told, and a plain socket that does what no loop would.

Owns the tokens of streams, and the payload: the bytes of one direction follow a pattern by their place, so that whoever
receives can tell loss, repetition and change without keeping anything.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, Final

from wavetank.conformance.protocols import ConnectableProtocol
from wavetank.conformance.wires import TWISTED

#: The pattern repeats after a prime number of bytes, so that a shift by any power of two shows.
_PERIOD: Final = 251
_PATTERN: Final = bytes((13 + 7 * place) % 256 for place in range(_PERIOD)) * 64
#: Where a direction carries more than this, "all" or "part" of it came: how much at a time is the kernel's affair.
_EXACT_BYTES: Final = 256 * 1024


def payload(start: int, count: int) -> bytes:
    """The bytes of a direction from the place `start` on."""
    first = start % _PERIOD
    whole = _PATTERN * ((first + count) // len(_PATTERN) + 1)
    return whole[first : first + count]


class Log:
    """What one actor heard, as tokens; bytes that come one after another are counted together."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.sent_bytes = 0
        self.received_bytes = 0
        self._run_bytes = 0
        self._garbled = False
        #: The log of whoever sends to this actor.
        self.peer: Log | None = None

    def add(self, token: str) -> None:
        """A token; one that says the same as the one before is not repeated."""
        self._flush()
        if not self.tokens or self.tokens[-1] != token or token.startswith(("eof", "lost", "made")):
            self.tokens.append(token)

    def data(self, data: Any) -> None:
        """Bytes came."""
        if not len(data):
            self.add("data 0")
        if bytes(data) != payload(self.received_bytes, len(data)):
            self._garbled = True
        self.received_bytes += len(data)
        self._run_bytes += len(data)

    def flow(self, token: str, *, once: bool = False) -> None:
        """`paused` or `resumed`: repeated pairs are told once, since their number is left to time.

        `once`: one after another is told once, too, for Twisted: it pauses at each write while the buffer is full.
        """
        self._flush()
        if once and self.tokens[-1:] == [token]:
            return
        self.tokens.append(token)
        if len(self.tokens) >= 4 and self.tokens[-4:-2] == self.tokens[-2:]:
            del self.tokens[-2:]

    def told(self) -> list[str]:
        """All tokens so far."""
        return [*self.tokens, *self._pending()]

    def _flush(self) -> None:
        self.tokens += self._pending()
        self._run_bytes = 0

    def _pending(self) -> list[str]:
        if not self._run_bytes:
            return []
        if self._garbled:
            return ["garbled"]
        if max(self._run_bytes, self.peer.sent_bytes if self.peer is not None else 0) <= _EXACT_BYTES:
            return [f"data {self._run_bytes}"]
        all_came = self.peer is not None and self.received_bytes == self.peer.sent_bytes
        return ["data all" if all_came else "data part"]


def reason_of(reason: BaseException | None) -> str:
    """The reason of an end in a word that is the same for both dialects, else the name of the exception."""
    if reason is None:
        return "clean"
    return _REASONS.get(type(reason).__name__, type(reason).__name__)


_REASONS: Final = {
    "ConnectionDone": "clean",
    "ConnectionResetError": "reset",
    "BrokenPipeError": "reset",
    "ConnectionLost": "reset",
    "ConnectionAbortedError": "aborted",
    "ConnectionAborted": "aborted",
}


class Side(ConnectableProtocol):
    """A stream protocol of a script: notes what it is told, and does what the script says inside a callback.

    `react(event)` carries out the reactions to an event, and gives what the callback returns.
    """

    def __init__(self, name: str, react: Callable[[str, str], Any]) -> None:
        self.name = name
        self.log = Log()
        self._react = react
        #: Whether the script is about flow: then `paused` and `resumed` are noted.
        self.flows = False
        self._is_paused = False

    def made(self) -> None:
        """Note it."""
        self.log.add("made")
        if self.flows:
            self.wire.watch_flow(self, streaming=True)
        self._react(self.name, "made")

    def received(self, data: bytes) -> None:
        """Note it."""
        self.log.data(data)
        self._react(self.name, "data")

    def eof(self) -> bool | None:
        """Note it; a reaction `keep` keeps the connection open."""
        self.log.add("eof")
        return bool(self._react(self.name, "eof"))

    def paused(self) -> None:
        """Note it, where the script is about flow."""
        if self.flows:
            self._is_paused = True
            self.log.flow("paused", once=self.wire.dialect == TWISTED)
        self._react(self.name, "paused")

    def resumed(self) -> None:
        """Note it; a Twisted producer may be resumed without a pause before."""
        if self.flows and (self.wire.dialect != TWISTED or self._is_paused):
            self._is_paused = False
            self.log.flow("resumed")
        self._react(self.name, "resumed")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note every time: ConnectableProtocol would pass on the first only."""
        self._lost(exc)
        super().connection_lost(exc)

    def connectionLost(self, reason: Any) -> None:
        """As `connection_lost`."""
        self._lost(getattr(reason, "value", None))
        super().connectionLost(reason)

    def _lost(self, reason: BaseException | None) -> None:
        self.log.add(f"lost {reason_of(reason)}")
        self._react(self.name, "lost")


class Raw:
    """The other end as a plain socket that does not block; `pump` moves what TLS has to say."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.log = Log()
        sock.setblocking(False)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._unsent = b""
        self._shaking = False

    def begin_tls(self, context: ssl.SSLContext, *, server: bool) -> None:
        """Speak TLS from now on."""
        name = None if server else "localhost"
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server, server_hostname=name)
        self._shaking = True

    @property
    def is_shaking_hands(self) -> bool:
        """Whether TLS is not agreed on yet."""
        return self._shaking

    def pump(self) -> None:
        """Move what can be moved: the handshake, and what is to be sent."""
        if self._tls is not None:
            self._take_in()
            if self._shaking:
                try:
                    self._tls.do_handshake()
                    self._shaking = False
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError as error:
                    self._shaking = False
                    self.log.add(f"handshake fails {type(error).__name__}")
            self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return
            except OSError as error:
                self.log.add(f"send fails {errno.errorcode.get(error.errno or 0, 'OSError')}")
                self._unsent = b""

    def _take_in(self) -> None:
        while True:
            try:
                data = self.socket.recv(65536)
            except (BlockingIOError, OSError):
                return
            if not data:
                self._incoming.write_eof()
                return
            self._incoming.write(data)

    def send(self, count: int) -> None:
        """Send so many bytes of the pattern."""
        data = payload(self.log.sent_bytes, count)
        self.log.sent_bytes += count
        if self._tls is not None:
            self._tls.write(data)
        else:
            self._unsent += data
        self.pump()

    def send_bytes(self, data: bytes) -> None:
        """Send these bytes as they are, below TLS."""
        self._unsent += data
        self.pump()

    def read(self) -> None:
        """Take all that is there; an end or an error is noted."""
        self.pump()
        while True:
            try:
                data = self._tls.read(65536) if self._tls is not None else self.socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except ssl.SSLError as error:
                self.log.add(f"read fails {type(error).__name__}")
                return
            except OSError as error:
                self.log.add(f"read fails {errno.errorcode.get(error.errno or 0, 'OSError')}")
                return
            if not data:
                if self.log.told()[-1:] != ["eof"]:
                    self.log.add("eof")
                return
            self.log.data(data)

    def shutdown(self) -> None:
        """End one's own direction; over TLS without a word of TLS."""
        self.socket.shutdown(socket.SHUT_WR)

    def close_notify(self) -> None:
        """End TLS in order."""
        assert self._tls is not None
        with contextlib.suppress(ssl.SSLError):  # the answer has not come; what is to be said has been said
            self._tls.unwrap()
        self.pump()

    def hang_up(self) -> None:
        """Close the socket."""
        self.socket.close()

    def reset(self) -> None:
        """Close with a reset: socket(7), SO_LINGER with a time of 0."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
