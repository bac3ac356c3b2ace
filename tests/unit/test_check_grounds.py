"""The same properties for Twisted protocols, for sans-I/O objects and for code on sockets."""

import asyncio
import socket
from collections.abc import Callable
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any, ClassVar

import pytest
from twisted.internet import protocol, reactor, ssl, threads
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.protocols import tls
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import TimeoutMixin

from wavetank.check import CheckFailed, SansIO, check_protocol, play
from wavetank.errors import UsageError

LINES = b"hello\r\nto the world\r\nquit\r\n"


class Lines(LineReceiver):
    """A server of lines, done right."""

    def lineReceived(self, line: bytes) -> None:
        if line == b"quit":
            self.transport.loseConnection()
        else:
            self.sendLine(b"<" + line + b">")


class Pieces(protocol.Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"<" + data + b">")


class Raises(Lines):
    def lineReceived(self, line: bytes) -> None:
        super().lineReceived(line.decode("ascii").encode())


class RaisesLater(Lines):
    def connectionLost(self, reason: Any = None) -> None:
        reactor.callLater(1, self.late)

    def late(self) -> None:
        raise RuntimeError("too late")


class FailsDeferred(Lines):
    def lineReceived(self, line: bytes) -> None:
        super().lineReceived(line)
        waiting: Deferred[None] = Deferred()
        waiting.addCallback(lambda _: 1 / 0)
        waiting.callback(None)


class WritesWhenLost(Lines):
    def connectionLost(self, reason: Any = None) -> None:
        self.transport.write(b"bye")


class Spins(Lines):
    def connectionLost(self, reason: Any = None) -> None:
        while True:
            pass


class Pushes(protocol.Protocol):
    """A producer that loses what it is asked to hold back."""

    paused = False

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        for byte in data:
            if not self.paused:
                self.transport.write(bytes([byte]))

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        pass

    def connectionLost(self, reason: Any = None) -> None:
        self.transport.unregisterProducer()


class Idle(Lines, TimeoutMixin):
    """Drops idle peers, and does its work in a thread."""

    def connectionMade(self) -> None:
        self.setTimeout(60)

    def lineReceived(self, line: bytes) -> None:
        self.resetTimeout()
        threads.deferToThread(line.upper).addCallback(self.done)

    def done(self, line: bytes) -> None:
        if self.connected and line == b"QUIT":
            self.transport.loseConnection()
        elif self.connected:
            self.sendLine(line)

    def connectionLost(self, reason: Any = None) -> None:
        self.connected = 0
        self.setTimeout(None)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (Pieces, "cut"),
        (Raises, "exception"),
        (RaisesLater, "unhandled"),
        (FailsDeferred, "unhandled"),
        (WritesWhenLost, "contract"),
        (Spins, "spin"),
        (Pushes, "pause"),
    ],
)
def test_a_twisted_protocol_that_breaks_a_property(made: Any, kind: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_protocol(made, LINES)
    assert caught.value.kind == kind, str(caught.value)


@pytest.mark.parametrize("made", [Lines, Idle, lambda: protocol.ServerFactory.forProtocol(Lines)])
def test_twisted_protocols_that_keep_all_pass(made: Any) -> None:
    before = reactor.callLater
    check_protocol(made, LINES, seconds=1.5, examples=20)
    assert reactor.callLater == before


def test_a_factory_object_and_one_that_listens_are_factories() -> None:
    assert play(protocol.ServerFactory.forProtocol(Lines), [b"a\r\n"]).output == b"<a>\r\n"

    def main() -> None:
        reactor.listenTCP(8000, protocol.ServerFactory.forProtocol(Lines))

    assert play(main, [b"a\r\n"], dialect="twisted").output == b"<a>\r\n"


class Asking(Lines):
    """A client of lines."""

    def connectionMade(self) -> None:
        self.sendLine(b"ready")


class Connects(protocol.ClientFactory):
    protocol = Asking
    told: ClassVar[list[str]] = []

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.told.append(type(reason.value).__name__)


def by_connector() -> None:
    reactor.connectTCP("example", 8000, Connects())


def by_endpoint() -> Any:
    return TCP4ClientEndpoint(reactor, "127.0.0.1", 8000).connect(protocol.ClientFactory.forProtocol(Asking))


@pytest.mark.parametrize("connects", [by_connector, by_endpoint])
def test_a_twisted_program_that_connects_is_checked_on_that_connection(connects: Any) -> None:
    outcome = play(connects, [b"a\r\n"], dialect="twisted", end="eof")
    assert (outcome.problems, outcome.output) == ([], b"ready\r\n<a>\r\n")
    check_protocol(connects, LINES, dialect="twisted", seconds=1, examples=5)


def test_the_client_factory_is_told_of_the_loss() -> None:
    Connects.told.clear()
    play(by_connector, [b"quit\r\n"], dialect="twisted")
    assert Connects.told == ["ConnectionDone"]


def test_a_second_connection_is_refused_in_one_line() -> None:
    def twice() -> None:
        by_connector()
        by_connector()

    with pytest.raises(UsageError, match="twice opens a second connection"):
        play(twice, [b"a\r\n"], dialect="twisted")


# ---- objects without I/O


class Frames:
    """A length byte, and so many bytes."""

    def __init__(self) -> None:
        self.buffer = b""

    def receive_data(self, data: bytes) -> list[bytes]:
        self.buffer += data
        found = []
        while self.buffer and len(self.buffer) > self.buffer[0]:
            size = self.buffer[0]
            found.append(self.buffer[1 : size + 1])
            self.buffer = self.buffer[size + 1 :]
        return found

    def data_to_send(self) -> bytes:
        return b""


class Hasty(Frames):
    def receive_data(self, data: bytes) -> list[bytes]:
        return [data[1:]] if data else []


class Broken(Frames):
    def receive_data(self, data: bytes) -> list[bytes]:
        return [] if data[0] < 200 else [data[1000:1001][0:][0].to_bytes(1, "big")]


FRAMES = b"\x05hello\x03the\x05world"


def test_objects_without_io() -> None:
    check_protocol(Frames, FRAMES)
    with pytest.raises(CheckFailed, match="depends on how its input is cut"):
        check_protocol(Hasty, FRAMES)
    with pytest.raises(CheckFailed, match="receive_data raised IndexError"):
        check_protocol(Broken, FRAMES)


def test_answers_of_an_adapter_are_output() -> None:
    def made() -> SansIO:
        return SansIO(Frames(), lambda machine, frame: frame.upper())

    assert play(made, [FRAMES]).output == b"HELLOTHEWORLD"
    check_protocol(made, FRAMES)


# ---- sockets


def on_socket(read: Callable[[bytes], list[bytes]]) -> Callable[[socket.socket], Any]:
    """A program that echoes what `read` makes of each piece."""

    async def serve(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(sock, 65536):
                for line in read(data):
                    await loop.sock_sendall(sock, line)
        except ConnectionError:
            pass
        finally:
            sock.close()

    return serve


def test_code_on_a_socket() -> None:
    check_protocol(on_socket(lambda data: [data]), LINES, dialect="socket", seconds=1.5, examples=10)
    with pytest.raises(CheckFailed, match="depends on how its input is cut"):
        check_protocol(on_socket(lambda data: [b"<" + data + b">"]), LINES, dialect="socket")


def test_what_comes_with_the_end_is_handled() -> None:
    async def late(sock: socket.socket) -> None:
        loop, lines = asyncio.get_running_loop(), b""
        while data := await loop.sock_recv(sock, 65536):
            lines += data
            await asyncio.sleep(0)
            try:  # looks for the end first, and forgets what came before
                if not sock.recv(1, socket.MSG_PEEK):
                    break
            except BlockingIOError:
                pass
            await loop.sock_sendall(sock, data)
        sock.close()

    with pytest.raises(CheckFailed) as caught:
        check_protocol(late, LINES, dialect="socket")
    assert caught.value.kind == "eof", str(caught.value)


class Upper(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line.upper())


def _listens_with_tls() -> None:
    reactor.listenSSL(8443, protocol.Factory.forProtocol(Upper), ssl.CertificateOptions())  # type: ignore[attr-defined]


def _connects_with_tls() -> None:
    factory = protocol.ClientFactory.forProtocol(Upper)
    reactor.connectSSL("localhost", 8443, factory, ssl.ClientContextFactory())  # type: ignore[attr-defined]


def _wraps_in_tls() -> object:
    return tls.TLSMemoryBIOFactory(ssl.CertificateOptions(), False, protocol.Factory.forProtocol(Upper))


@pytest.mark.parametrize("made", [_listens_with_tls, _connects_with_tls, _wraps_in_tls])
def test_tls_of_twisted_from_the_beginning_is_left_out(made: Any) -> None:
    outcome = play(made, [b"a\r\n"], dialect="twisted", end="eof")
    assert (outcome.output, outcome.problems, outcome.without_tls) == (b"A\r\n", [], True)


def test_tls_of_asyncio_from_the_beginning_is_left_out() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "localhost", 8443, ssl=SSLContext(PROTOCOL_TLS_SERVER))
        await server.serve_forever()

    outcome = play(main, [b"a"], end="eof")
    assert (outcome.output, outcome.problems, outcome.without_tls) == (b"a", [], True)


def test_tls_of_twisted_in_the_middle_is_an_error_that_says_so() -> None:
    class Switching(LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            self.transport.startTLS(ssl.CertificateOptions())

    with pytest.raises(UsageError, match=r"Switching begins TLS in the middle of the connection: transport.startTLS"):
        check_protocol(Switching, b"STARTTLS\r\n")
