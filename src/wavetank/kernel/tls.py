"""TLS over simulated sockets: what CPython's `_ssl` does between OpenSSL and a descriptor, without the descriptor.

Owns the object that `SSLContext._wrap_socket` returns (`_ssl._SSLSocket` in C). Everything above it is the standard
library's own: `ssl.SSLContext`, `ssl.SSLSocket` with all its methods, and whatever builds on them. `wrap_bio` is not
touched: asyncio, Trio and Twisted move their bytes themselves. Must never look into what is encrypted.

The idea. OpenSSL works on two memory BIOs. Where it would read a record from the descriptor or write one to it, this
module does the same system call on the simulated socket, with the same size: never a byte beyond the record at hand, so
that `select` tells what it tells on Linux, and that what follows the last record is left for plain reads. Waiting,
timeouts and their texts follow Modules/_ssl.c.

Writing is the delicate half. A memory BIO never refuses, so a record that OpenSSL has made must be delivered even when
the socket is full: `write` makes one record at a time, raises want-write with that record kept, and goes on behind it
when it is called again with the same data - exactly what `SSL_write` does without SSL_MODE_ENABLE_PARTIAL_WRITE
(OpenSSL ssl/record/rec_layer_s3.c, `ssl3_write_bytes`).
"""

from __future__ import annotations

import re
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from wavetank.errors import NotSimulated
from wavetank.kernel import core, pyopenssl
from wavetank.kernel.arguments import bytes_of, letting_go
from wavetank.kernel.c_errno import c_errno
from wavetank.kernel.core import FAR, TIMEOUT, Thread
from wavetank.kernel.file import ERR, HUP, OUT, READABLE, WRITABLE, Waiting
from wavetank.kernel.replace import when_imported

_HEADER_BYTES: Final = 5  # RFC 8446 section 5.1: type, version, length
_RECORD_BYTES: Final = 16_384  # SSL3_RT_MAX_PLAIN_LENGTH
#: A header that looks like this is followed by its record; of another one OpenSSL must judge first.
_TYPES: Final = frozenset({20, 21, 22, 23})
_MAJOR_VERSION: Final = 3
_SSL, _WANT_WRITE, _EOF, _NO_SOCKET = 1, 3, 8, 9  # enum py_ssl_error, Modules/_ssl.h
_EOF_TEXT: Final = "EOF occurred in violation of protocol"
_NO_ERRNO: Final = "Some I/O error occurred"  # what Python 3.11 makes of that over memory BIOs, and over sockets not

_HANDSHAKE, _READ, _WRITE, _SHUTDOWN = "do_handshake", "read", "write", "shutdown"
_CALLS: Final = (_HANDSHAKE, _READ, _WRITE, _SHUTDOWN)
#: What C says when time is over. The first text begins with the line of the source: see `_learn`.
_timed_out: Final = {
    _HANDSHAKE: "The handshake operation timed out",
    _READ: "The read operation timed out",
    _WRITE: "The write operation timed out",
    _SHUTDOWN: "The read operation timed out",
}
#: The place in C that every `ssl.SSLError` names at its end, for each call.
_places: Final = dict.fromkeys(_CALLS, "(_ssl.c)")
#: Python 3.10 and 3.11 take every failure of a system call in `read` and `write` for an end (python/cpython#115627).
_failures_are_ends = False
_ssl: Any = None


class _Connection:
    """TLS between OpenSSL and one simulated socket. What is not defined here is answered by OpenSSL's own object."""

    __slots__ = (
        "_body_left", "_done", "_failed", "_flowing", "_header", "_incoming", "_inner", "_outgoing", "_owes", "_queue",
        "_record_size", "_socket", "_unsent", "_writer",
    )  # fmt: skip

    def __init__(self, context: Any, sock: Any, server_side: bool, server_hostname: Any, **options: Any) -> None:
        self._socket = weakref.ref(sock)  # the socket owns us
        self._incoming = _ssl.MemoryBIO()
        self._outgoing = _ssl.MemoryBIO()
        self._inner = context._wrap_bio(self._incoming, self._outgoing, server_side, server_hostname, **options)
        self._header = b""  # of the record that arrives
        self._body_left = 0
        self._unsent = b""  # made by OpenSSL and not taken by the socket
        self._owes = False  # whether there is more in that than the record of a `write` that was begun
        self._failed = False  # whether OpenSSL has given the connection up
        self._flowing = False  # whether the last call has read data
        self._done = 0  # how much of the data given to `write` is behind us
        self._record_size = 0  # how much of it is in the record that is being sent
        self._writer: Thread | None = None
        self._queue: list[Thread] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def context(self) -> Any:
        """The context; a server-name callback may set another one."""
        return self._inner.context

    @context.setter
    def context(self, context: Any) -> None:
        self._inner.context = context

    @property
    def session(self) -> Any:
        """The session, to be resumed with a later connection."""
        return self._inner.session

    @session.setter
    def session(self, session: Any) -> None:
        self._inner.session = session

    @property
    def owner(self) -> Any:
        """What callbacks are given for this connection."""
        return self._inner.owner

    @owner.setter
    def owner(self, owner: Any) -> None:
        self._inner.owner = owner

    # ---- the calls of `_ssl._SSLSocket` that move bytes

    def do_handshake(self) -> None:
        """Do the handshake, or go on with it."""
        self._flowing = False
        self._drive(_HANDSHAKE, self._inner.do_handshake, *self._start())

    @letting_go
    def read(self, size: int, *buffer: Any) -> Any:
        """Decrypted bytes, at most `size`; with a buffer, how many were put into it."""
        sock, deadline = self._start()
        try:
            room = memoryview(buffer[0]).nbytes if buffer else size
            if self._flowing and room > 0 and not (self._inner.pending() or self._owes):
                self._expect(sock, deadline)
            result = self._drive(_READ, lambda: self._inner.read(size, *buffer), sock, deadline)
            self._flowing = bool(result)
            return result
        except OSError as problem:
            if _becomes_eof(problem):
                raise _error(_ssl.SSLEOFError, _EOF, f"{_EOF_TEXT} {_places[_READ]}") from None
            raise

    @letting_go
    def write(self, data: Any) -> int:
        """Encrypt and send all of `data`. After want-write or a timeout: call again with the same data."""
        sock, deadline = self._start()
        with memoryview(bytes_of(data)) as given, given.cast("B") as view:
            if 0 < deadline < FAR:
                self._writable_first(sock, deadline)
            self._queue_up(deadline)
            try:
                return self._write(view, sock, deadline)
            except OSError as problem:
                if _becomes_eof(problem):
                    raise _error(_ssl.SSLEOFError, _EOF, f"{_EOF_TEXT} {_places[_WRITE]}") from None
                raise
            finally:
                self._writer = None
                if self._queue:
                    core.K.wake(self._queue.pop(0))

    def shutdown(self) -> Any:
        """Say that nothing more comes, and wait until the peer says it; returns the socket."""
        self._flowing = False
        sock, deadline = self._start()
        self._drive(_SHUTDOWN, self._inner.shutdown, sock, deadline)
        return sock

    def verify_client_post_handshake(self) -> None:
        """Ask for the client's certificate; the question leaves with the next call that moves bytes."""
        self._flowing = False
        self._inner.verify_client_post_handshake()

    # ---- how

    def _start(self) -> tuple[Any, int]:
        """The socket, and until when to wait: FAR for ever, -1 not at all."""
        sock = self._socket()
        if sock is None:
            raise _error(_ssl.SSLError, _NO_SOCKET, "Underlying socket connection gone")
        timeout: int | None = sock._sim_timeout
        return sock, FAR if timeout is None else core.K.now + timeout if timeout else -1

    def _drive(self, name: str, call: Callable[[], Any], sock: Any, deadline: int) -> Any:
        """Let OpenSSL work until it is done, and bring and take its records."""
        while True:
            done, result = self._try(call, sock)
            if self._outgoing.pending:
                self._owes = True
            if done:
                if self._owes:
                    self._answer(name, sock, deadline)
                return result
            if self._owes:
                self._send(name, sock, deadline)
            try:
                self._feed(name, result, sock, deadline)
            finally:
                del result  # it may be raised: no cycle of error, traceback and frame for each poll

    def _expect(self, sock: Any, deadline: int) -> None:
        """Bring the next record before OpenSSL asks for it: it asks by errors, and two of them cost a fifth of a read.

        Only where it is certain to ask: the last call has read data, and no more of that record is left.
        """
        while not self._receive(sock) and deadline >= 0:
            self._wait(_READ, READABLE, sock, deadline)

    def _try(self, call: Callable[..., Any], sock: Any, *args: Any) -> tuple[bool, Any]:
        """True and the result, or False and the error that asks for more input."""
        if self._failed:
            c_errno.value = 0  # of a connection that has failed before, C reports the errno of anything, long ago
        try:
            return True, call(*args)
        except _ssl.SSLWantReadError as error:
            return False, error
        except Exception as error:
            self._failed, self._flowing = True, False
            try:
                self._sent_now(sock)  # the peer is told why, if there is room
            except OSError:
                self._unsent = b""  # what the program hears of is the error itself
            if str(error).startswith(_NO_ERRNO):
                raise _error(_ssl.SSLEOFError, _EOF, str(error).replace(_NO_ERRNO, _EOF_TEXT)) from None
            raise

    def _answer(self, name: str, sock: Any, deadline: int) -> None:
        """Send what a call has left behind that is done, as the tickets of a handshake or the answer to a new key."""
        if name == _READ:
            with suppress(OSError):  # raising now would lose what was read; the next call meets the same error
                self._sent_now(sock)
        else:
            self._send(name, sock, deadline)

    def _feed(self, name: str, wanted: Exception, sock: Any, deadline: int) -> None:
        """Bring more input, or wait for it; without waiting, raise what OpenSSL raised."""
        if self._receive(sock):
            return
        if deadline >= 0:
            self._wait(name, READABLE, sock, deadline)
            return
        try:
            raise wanted
        finally:
            del wanted

    def _write(self, view: memoryview, sock: Any, deadline: int) -> int:
        """`ssl3_write_bytes`: record after record; what was begun before is finished first."""
        size = len(view)
        if size < self._done + self._record_size:
            raise _error(_ssl.SSLError, _SSL, f"[SSL: BAD_LENGTH] bad length {_places[_WRITE]}", "SSL", "BAD_LENGTH")
        while True:
            if self._unsent or self._outgoing.pending:
                self._send(_WRITE, sock, deadline)
            self._done += self._record_size
            self._record_size = 0
            if self._done and self._done == size:
                self._done = 0
                return size
            part = view[self._done : self._done + _RECORD_BYTES]
            self._record_size = self._encrypt(part, sock, deadline)
            if not size:
                self._send(_WRITE, sock, deadline)
                return 0

    def _encrypt(self, part: memoryview, sock: Any, deadline: int) -> int:
        """One record; does the handshake first where that has not been done."""
        while True:
            done, result = self._try(self._inner.write, sock, part)
            if done:
                return int(result)
            self._send(_WRITE, sock, deadline)
            try:
                self._feed(_WRITE, result, sock, deadline)
            finally:
                del result

    def _queue_up(self, deadline: int) -> None:
        """A thread that is in the middle of its data goes first; in Python before 3.13.1 both could go wrong."""
        thread = core.K.running
        while self._writer is not None:
            if deadline < 0:
                raise self._want_write(_WRITE)
            self._queue.append(thread)
            try:
                if core.K.park("another thread's write to the same TLS connection", deadline) is TIMEOUT:
                    raise TimeoutError(_timed_out[_WRITE])
            finally:
                if thread in self._queue:
                    self._queue.remove(thread)
        self._writer = thread

    def _writable_first(self, sock: Any, deadline: int) -> None:
        """With a timeout, C waits for room before it begins."""
        file = sock._sim_file()
        while not file.poll() & (OUT | ERR | HUP):
            self._wait(_WRITE, WRITABLE, sock, deadline)

    def _wait(self, name: str, mask: int, sock: Any, deadline: int) -> None:
        """Wait until something may have changed, or raise what C raises when time is over."""
        kernel = core.K
        file = sock._sim_file()
        if kernel.soft:
            kernel.run_soft()
            if file.poll() & mask:
                return
        if kernel.now >= deadline or not file.wait(mask, deadline, Waiting(f"SSLSocket.{name}()", file)):
            raise TimeoutError(_timed_out[_WRITE if mask == WRITABLE and name == _SHUTDOWN else name])

    def _receive(self, sock: Any) -> bool:
        """Bring what there is of the record at hand, in the reads that OpenSSL makes; False when there is nothing."""
        kernel = core.K
        got = False
        while True:
            kernel.tick()
            file = sock._sim_file()
            data = file.receive(self._body_left or _HEADER_BYTES - len(self._header), 0)
            if kernel.soft:
                kernel.run_soft()
            if data is None:
                return got
            kernel.streak = 0
            got = True
            if not data:
                self._incoming.write_eof()
                return True
            self._incoming.write(data)
            if self._arrived(data):
                return True

    def _arrived(self, data: bytes) -> bool:
        """Count the bytes of a record; True when it is whole, or when OpenSSL had better look at its header first."""
        if self._body_left:
            self._body_left -= len(data)
            return not self._body_left
        self._header += data
        if len(self._header) < _HEADER_BYTES:
            return False
        header, self._header = self._header, b""
        self._body_left = int.from_bytes(header[3:5], "big")
        return header[0] not in _TYPES or header[1] != _MAJOR_VERSION or not self._body_left

    def _send(self, name: str, sock: Any, deadline: int) -> None:
        """Send what OpenSSL has made. Without waiting, and without room: want-write, and the rest is kept."""
        while not self._sent_now(sock):
            if deadline < 0:
                raise self._want_write(name)
            self._wait(name, WRITABLE, sock, deadline)

    def _want_write(self, name: str) -> Any:
        return _error(_ssl.SSLWantWriteError, _WANT_WRITE, f"The operation did not complete (write) {_places[name]}")

    def _sent_now(self, sock: Any) -> bool:
        """Send as much as the socket takes; whether that was all."""
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        kernel = core.K
        while self._unsent:
            kernel.tick()
            taken = sock._sim_file().send(self._unsent, 0)
            if kernel.soft:
                kernel.run_soft()
            if taken is None:
                return False
            kernel.streak = 0
            self._unsent = self._unsent[taken:]
        self._owes = False
        return True


def _becomes_eof(problem: OSError) -> bool:
    """Whether C would report this failed system call as an end."""
    return _failures_are_ends and problem.errno is not None and not isinstance(problem, _ssl.SSLError | NotSimulated)


def _error(kind: Any, number: int, text: str, library: str | None = None, reason: str | None = None) -> Any:
    """An `ssl.SSLError` with the attributes that C gives it."""
    error = kind(number, text)
    error.library, error.reason = library, reason
    return error


def _wrap_socket(
    self: Any,
    sock: Any,
    server_side: bool,
    server_hostname: Any = None,
    *,
    owner: Any = None,
    session: Any = None,
) -> _Connection:
    """Stands for the method of `_ssl._SSLContext`, which takes real sockets only."""
    return _Connection(self, sock, server_side, server_hostname, owner=owner, session=session)


# ---- what differs between releases of Python


def _learn(module: Any) -> None:
    """How the C module at hand reports errors: the line numbers in its texts, and what it makes of a failed call."""
    global _failures_are_ends
    context = module._SSLContext(module.PROTOCOL_TLS_CLIENT)
    for name, args in ((_HANDSHAKE, ()), (_READ, (1,)), (_WRITE, (b"x",)), (_SHUTDOWN, ())):
        connection = context._wrap_bio(module.MemoryBIO(), module.MemoryBIO(), False)
        try:
            getattr(connection, name)(*args)
        except module.SSLError as error:
            found = re.search(r"\(_ssl\.c:\d+\)", str(error))
            if found:
                _places[name] = found[0]
    incoming = module.MemoryBIO()
    connection = context._wrap_bio(incoming, module.MemoryBIO(), False)
    incoming.write(b"no TLS")
    with suppress(module.SSLError):
        connection.do_handshake()
    try:
        c_errno.value = 0
        connection.do_handshake()  # of a connection that has failed: no error, no errno, and -1
    except OSError as error:
        _failures_are_ends = isinstance(error, module.SSLSyscallError)
    try:
        code = Path(module.__file__).read_bytes()
    except (AttributeError, OSError):
        return  # linked into the interpreter: the text stays without the line
    line = re.search(rb"_ssl\.c:\d+: The handshake operation timed out", code)
    if line:
        _timed_out[_HANDSHAKE] = line[0].decode()


def _patch_ssl(module: Any) -> None:
    global _ssl
    _ssl = sys.modules["_ssl"]
    _learn(_ssl)
    module.SSLContext._wrap_socket = _wrap_socket


def install() -> None:
    """Put TLS onto simulated sockets as soon as `ssl` is imported."""
    when_imported("ssl", _patch_ssl)
    when_imported("OpenSSL.SSL", pyopenssl.patch)
