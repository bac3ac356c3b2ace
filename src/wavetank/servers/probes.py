"""Does it speak? One probe for each protocol: what is sent, what must come back, what means "not yet".

Owns the conversations by which a server shows that it serves. Must never decide whose listener it talks to.

The idea: a listening socket is not a server. PostgreSQL listens 30 to 80 ms before it answers a query, redis answers
-LOADING while it reads its file. A probe connects (every connection is counted: a probe is traffic, too), says the
protocol's smallest sentence and classifies the answer: good, not yet, or something else, which is kept for the error
together with what was expected. `listen` does not connect at all, for servers that serve one client only.

Source: RFC 9110 and 9112 (HTTP), RFC 5321 section 4.2 (SMTP greeting), RFC 4253 section 4.2 (SSH version exchange), the
Redis serialization protocol, PostgreSQL's frontend/backend protocol 3.0 and its table of error codes.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from wavetank.errors import UsageError, did_you_mean
from wavetank.servers.address import Address, family
from wavetank.servers.steps import Script, Wait

#: One try gets no longer than this; the next one makes a new connection.
_TRY_S: Final = 5.0
#: More than this is not an answer to a probe.
_MOST_BYTES: Final = 65_536


@dataclass(frozen=True)
class Answer:
    """How one try ended: whether it is `good`; what came (`got`) and what was `expected`, for the error."""

    good: bool
    got: str
    expected: str
    #: Nothing came in its time: an answer that did come says more.
    silent: bool = False


#: Sends bytes and receives the reply: yields what to send, gets all bytes so far (None: the peer has closed).
Conversation = Generator[bytes, bytes | None, Answer]


@dataclass(frozen=True)
class Probe:
    """One protocol. `conversation` is None for a probe that says nothing; `connects` False: none at all."""

    name: str
    expects: str
    conversation: Callable[[Address], Conversation] | None = None
    connects: bool = True
    #: It is about a bound UDP socket instead of a listener.
    datagrams: bool = False


def _shown(data: bytes | None, *, closed: bool = False) -> str:
    if not data:
        return "the connection was closed without a byte" if closed or data is None else "nothing"
    return f"{len(data)} bytes: {data[:80]!r}{'...' if len(data) > 80 else ''}"


def _until(sent: bytes, enough: Callable[[bytes], bool], judge: Callable[[bytes], bool], expected: str) -> Conversation:
    """Send, read until `enough`, and judge what came."""
    data = yield sent
    last = b""
    while data is not None and not enough(data):
        last = data
        data = yield b""
    if data is None:
        return Answer(bool(last) and judge(last), _shown(last, closed=True), expected)
    return Answer(judge(data), _shown(data), expected)


def _line(data: bytes) -> bool:
    return b"\n" in data or len(data) >= _MOST_BYTES


def _http(path: str) -> Callable[[Address], Conversation]:
    def speak(address: Address) -> Conversation:
        host = "localhost" if address.path else str(address)
        request = f"GET {path or '/'} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: wavetank\r\nConnection: close\r\n\r\n"
        expected = f"an HTTP status line with 2xx or 3xx for {path}" if path else "an HTTP status line, not 503"

        def good(data: bytes) -> bool:
            found = re.match(rb"HTTP/1\.[01] (\d)(\d\d)\b", data)
            return found is not None and (found[1] in b"23" if path else found[1] + found[2] != b"503")

        return (yield from _until(request.encode(), _line, good, expected))

    return speak


def _redis(address: Address) -> Conversation:
    # A server that wants a password serves, too: it refuses in its own protocol.
    good = (b"+PONG", b"-NOAUTH", b"-NOPERM", b"-DENIED")
    return (yield from _until(b"PING\r\n", _line, lambda data: data.startswith(good), "+PONG"))


def _ssh(address: Address) -> Conversation:
    def enough(data: bytes) -> bool:  # RFC 4253 section 4.2: other lines may come before the version
        return re.search(rb"^SSH-[^\n]*\n", data, re.MULTILINE) is not None or len(data) >= _MOST_BYTES

    def good(data: bytes) -> bool:
        return re.search(rb"^SSH-(2\.0|1\.99)-", data, re.MULTILINE) is not None

    return (yield from _until(b"", enough, good, "a line SSH-2.0-..."))


def _smtp(address: Address) -> Conversation:
    def enough(data: bytes) -> bool:  # "220-" goes on, "220 " is the last line (RFC 5321 section 4.2.1)
        return re.search(rb"^\d\d\d[ \r\n][^\n]*\n?", data, re.MULTILINE) is not None and data.endswith(b"\n")

    answer = yield from _until(b"", enough, lambda data: data.startswith(b"220"), "a line 220 ...")
    if answer.good:
        yield b"QUIT\r\n"
    return answer


#: PostgreSQL's SSLRequest is not used: a server that insists on TLS says so in an ordinary error message.
_PG_STARTUP: Final = b"user\0postgres\0database\0postgres\0application_name\0wavetank\0\0"
_PG_NOT_YET: Final = b"57P"  # 57P01 to 57P03: shutting down, crash recovery, starting up (cannot_connect_now)


def _postgres(address: Address) -> Conversation:
    """`SELECT 1` where no password is asked for; where one is, or the role is refused, the server serves as well."""
    expected = "the row 1 for SELECT 1"
    message = struct.pack("!II", 8 + len(_PG_STARTUP), 196_608) + _PG_STARTUP  # protocol 3.0
    data = yield message
    asked = False
    while data is not None:
        for kind, body in _pg_messages(data):
            if kind == b"R" and body[:4] != bytes(4):
                return Answer(True, "a request for a password", expected)
            if kind == b"E":
                fields = {field[:1]: field[1:] for field in body.split(b"\0") if field}
                code, text = fields.get(b"C", b""), fields.get(b"M", b"").decode(errors="replace")
                return Answer(not code.startswith(_PG_NOT_YET), f"error {code.decode()}: {text}", expected)
            if kind == b"D":
                yield struct.pack("!cI", b"X", 4)
                return Answer(body.endswith(b"\0\0\0\x011"), "a row", expected)
            if kind == b"Z" and not asked:
                asked = True
                query = b"SELECT 1\0"
                data = yield struct.pack("!cI", b"Q", 4 + len(query)) + query
                break
        else:
            last = data
            data = yield b""
            if data is None:
                return Answer(False, _shown(last, closed=True), expected)
    return Answer(False, "the connection was closed without a byte", expected)


def _pg_messages(data: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    while len(data) >= 5:
        length = struct.unpack_from("!I", data, 1)[0] + 1
        if len(data) < length:
            break
        found.append((data[:1], data[5:length]))
        data = data[max(length, 5) :]
    return found


#: The probes by name; `http:/path`, a pattern and a callable are the others (see `ServerProcess`).
NAMED: Final = {
    "listen": Probe("listen", "a listening socket", connects=False),
    "tcp": Probe("tcp", "a connection that is accepted"),
    "http": Probe("http", "an HTTP status line", _http("")),
    "redis": Probe("redis", "+PONG", _redis),
    "postgres": Probe("postgres", "the row 1 for SELECT 1", _postgres),
    "ssh": Probe("ssh", "a line SSH-2.0-...", _ssh),
    "smtp": Probe("smtp", "a line 220 ...", _smtp),
    "udp": Probe("udp", "a UDP socket of its own", connects=False, datagrams=True),
}


def named(name: str) -> Probe:
    """The probe of that name. Raises `UsageError`, which suggests the nearest."""
    if name.startswith("http:/"):
        return Probe(name, f"a good answer for {name[5:]}", _http(name[5:]))
    probe = NAMED.get(name)
    if probe is None:
        hint = did_you_mean(name, [*NAMED, "line"]) or ""
        known = ", ".join([*NAMED, "http:/PATH", "line:TEXT"])
        raise UsageError(
            f"unknown readiness {name!r}.{hint}", next=f"one of {known}; a compiled pattern; or a callable"
        )
    return probe


def try_once(probe: Probe, address: Address, deadline: float) -> Script[Answer]:
    """One connection, one conversation. Gives `Answer`; nothing is raised for what the server does."""
    until = min(deadline, time.monotonic() + _TRY_S)
    connection = socket.socket(socket.AF_UNIX if address.path else family(address.host), socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        number = connection.connect_ex(address.path or (_reachable(address.host), address.port))
        if number in (errno.EINPROGRESS, errno.EAGAIN):
            yield Wait(writable=(connection.fileno(),), until=until)
            number = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            return Answer(False, f"connecting failed: {errno.errorcode.get(number, number)}", probe.expects)
        if probe.conversation is None:
            return (yield from _accepted(connection, address, until, probe.expects))
        return (yield from _converse(connection, probe.conversation(address), until, probe.expects))
    finally:
        connection.close()


def _reachable(host: str) -> str:
    """Where a client connects to reach a wildcard address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _accepted(connection: socket.socket, address: Address, until: float, expected: str) -> Script[Answer]:
    """A connection to a socket that we have handed over says nothing until the server takes it from the queue."""
    if address.handed_over is None:
        return Answer(True, "accepted", expected)
    from wavetank.servers.sockdiag import Table

    with Table() as table:
        while time.monotonic() < until:
            queued = [each.queued for each in table.tcp() if each.serves(address.host, address.port)]
            if queued and not any(queued):
                return Answer(True, "accepted", expected)
            yield Wait(until=time.monotonic() + 0.001)
    return Answer(False, "the connection waits in the queue: the server does not accept", expected)


def _converse(connection: socket.socket, talk: Conversation, until: float, expected: str) -> Script[Answer]:
    data = b""
    fd = connection.fileno()
    begun = time.monotonic()
    try:
        to_send = next(talk)
        while True:
            if to_send:
                connection.send(to_send)  # a few dozen bytes into an empty buffer
            ready = yield Wait(readable=(fd,), until=until)
            if not ready:
                waited = time.monotonic() - begun
                return Answer(False, f"{_shown(data)} within {waited:.1f} s", expected, silent=not data)
            new = connection.recv(_MOST_BYTES)
            data += new
            to_send = talk.send(data if new and len(data) <= _MOST_BYTES else None)
    except StopIteration as done:
        answer: Any = done.value
        assert isinstance(answer, Answer)
        return answer
    except OSError as error:
        return Answer(False, f"{_shown(data)}, then {errno.errorcode.get(error.errno or 0, error)}", expected)
    finally:
        talk.close()
