"""pyOpenSSL on simulated sockets: `OpenSSL.SSL.Connection(context, socket)`.

Owns what lies between such a connection and its socket. pyOpenSSL hands the descriptor to its C library, which would
read and write past the simulated kernel. So the connection is made over memory, as pyOpenSSL itself offers, and each of
its calls carries the encrypted bytes between that memory and the descriptor, as the C library's BIO of a socket does:
where the descriptor blocks the call waits, else it raises `WantReadError` or `WantWriteError`.

Two things must be as in C. Never more is taken from the socket than the record that is wanted (OpenSSL without
`read_ahead`): who waits for readiness would wait for what lies here already. And a `send` that could encrypt its bytes,
but not get rid of them all, says `WantWriteError`; the next `send` is the same one again, and must not encrypt them a
second time. Behaviour: SSL_read(3), SSL_write(3), ssl/record/rec_layer_s3.c, crypto/bio/bss_sock.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from wavetank.kernel import refusals
from wavetank.kernel.endpoint import SOCK_DGRAM

#: RFC 8446, section 5.1: type, version, length; and the most that a record holds in the clear.
_HEADER: Final = 5
_RECORD: Final = 1 << 14
_CHUNK: Final = 1 << 16
_SENDING: Final = ("do_handshake", "shutdown")


class Line:
    """The socket of one connection, and what is on the way."""

    def __init__(self, module: Any, own: dict[str, Callable[..., Any]], connection: Any, socket: Any) -> None:
        self.module = module
        self.own = own
        self.connection = connection
        self.socket = socket
        self.unsent = b""
        self.header = b""
        self.body_left = 0
        self.taken: int | None = None  # bytes of a `send` that are encrypted, but not all sent

    def _fd(self) -> int:
        return self.socket if isinstance(self.socket, int) else int(self.socket.fileno())

    def _failed(self, problem: OSError) -> Exception:
        number = problem.errno or 0
        failure: Exception = self.module.SysCallError(number, errno.errorcode.get(number))
        return failure

    def flush(self) -> None:
        """Send what has been encrypted; `WantWriteError` when the descriptor does not take it now."""
        while True:
            if not self.unsent:
                try:
                    self.unsent = self.own["bio_read"](self.connection, _CHUNK)
                except self.module.WantReadError:
                    return
            try:
                count = os.write(self._fd(), self.unsent)
            except BlockingIOError:
                raise self.module.WantWriteError from None
            except OSError as problem:
                raise self._failed(problem) from None
            self.unsent = self.unsent[count:]

    def feed(self) -> None:
        """Take what is missing of the present record; `WantReadError` when nothing is there now."""
        try:
            data = os.read(self._fd(), self.body_left or _HEADER - len(self.header))
        except BlockingIOError:
            raise self.module.WantReadError from None
        except OSError as problem:
            raise self._failed(problem) from None
        if not data:
            self.own["bio_shutdown"](self.connection)
            return
        self.own["bio_write"](self.connection, data)
        if self.body_left:
            self.body_left -= len(data)
            return
        self.header += data
        if len(self.header) == _HEADER:
            self.body_left = int.from_bytes(self.header[3:], "big")
            self.header = b""

    def carry(self, name: str, *args: Any, **options: Any) -> Any:
        """One call of the connection, for which bytes are brought and taken away as it needs them."""
        while True:
            try:
                result = self.own[name](self.connection, *args, **options)
            except self.module.WantReadError:
                self._flush_for(name)
                self.feed()
            except self.module.Error:
                with suppress(self.module.Error):
                    self.flush()  # the alert that says why
                raise
            else:
                self._flush_for(name)
                return result

    def _flush_for(self, name: str) -> None:
        """A handshake and an end are over when they are sent; to receive is another matter than what waits to go."""
        with suppress(*(() if name in _SENDING else (self.module.WantWriteError,))):
            self.flush()


class _Methods:
    """The methods of `Connection` that touch its socket; each is the library's own where there is none."""

    def __init__(self, module: Any) -> None:
        self._module = module
        names = ("__init__", "send", "recv", "recv_into", "do_handshake", "shutdown")
        self.own: dict[str, Callable[..., Any]] = {
            name: getattr(module.Connection, name) for name in (*names, "bio_read", "bio_write", "bio_shutdown")
        }

    def begin(self, connection: Any, context: Any, socket: Any) -> None:
        """`Connection(context, socket)`."""
        if getattr(socket, "type", None) == SOCK_DGRAM:
            raise refusals.unsupported("OpenSSL.SSL.Connection(context, socket)", "DTLS on a datagram socket")
        self.own["__init__"](connection, context, None)
        connection._wavetank_line = None
        if socket is not None:
            connection._socket = socket
            connection._wavetank_line = Line(self._module, self.own, connection, socket)

    def send(self, connection: Any, buf: Any, flags: int = 0) -> int:
        """At most one record; pyOpenSSL asks for SSL_MODE_ENABLE_PARTIAL_WRITE."""
        line: Line | None = connection._wavetank_line
        if line is None:
            return int(self.own["send"](connection, buf, flags))
        line.flush()
        if line.taken is None:
            part = buf if isinstance(buf, str) else memoryview(buf).cast("B")[:_RECORD]
            line.taken = int(line.carry("send", part if isinstance(part, str) else bytes(part), flags))
            line.flush()
        taken, line.taken = line.taken, None
        return taken

    def sendall(self, connection: Any, buf: Any, flags: int = 0) -> int:
        """All of it."""
        left = memoryview(buf).cast("B")
        whole = len(left)
        while left:
            left = left[connection.send(left, flags) :]
        return whole

    def carried(self, name: str, connection: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call that may need bytes of the other side, and may have some for it."""
        line: Line | None = connection._wavetank_line
        if line is None:
            return self.own[name](connection, *args, **options)
        return line.carry(name, *args, **options)

    def memory_only(self, name: str, connection: Any, args: tuple[Any, ...]) -> Any:
        """`bio_read` and its kin are for connections over memory."""
        if connection._wavetank_line is not None:
            raise TypeError("Connection sock was not None")
        return self.own[name](connection, *args)


def patch(module: Any) -> None:
    """Change `OpenSSL.SSL` in place."""
    methods = _Methods(module)
    connection = module.Connection

    def __init__(self: Any, context: Any, socket: Any = None) -> None:
        methods.begin(self, context, socket)

    def send(self: Any, buf: Any, flags: int = 0) -> int:
        return methods.send(self, buf, flags)

    def sendall(self: Any, buf: Any, flags: int = 0) -> int:
        return methods.sendall(self, buf, flags)

    def carrying(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **options: Any) -> Any:
            return methods.carried(name, self, args, options)

        return call

    def over_memory(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any) -> Any:
            return methods.memory_only(name, self, args)

        return call

    new: dict[str, Callable[..., Any]] = {"__init__": __init__, "send": send, "write": send, "sendall": sendall}
    for name in ("recv", "recv_into", "do_handshake", "shutdown"):
        new[name] = carrying(name)
    new["read"] = new["recv"]
    for name in ("bio_read", "bio_write", "bio_shutdown"):
        new[name] = over_memory(name)
    for name, call in new.items():
        own = getattr(connection, name)
        call.__name__, call.__qualname__, call.__doc__ = own.__name__, own.__qualname__, own.__doc__
        setattr(connection, name, call)
