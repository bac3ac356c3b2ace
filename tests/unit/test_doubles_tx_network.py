"""A Twisted reactor in memory, on which connections complete: real endpoints, a real web server and client."""

from typing import Any

import pytest
from twisted.internet import endpoints, error, interfaces, protocol
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.web import client, resource, server
from zope.interface.verify import verifyObject

from wavetank.doubles import tx
from wavetank.errors import UsageError
from wavetank.faults import Reset


class Client(protocol.ClientFactory):
    noisy = False
    protocol = tx.AccumulatingProtocol

    def __init__(self) -> None:
        self.events: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.made = self.protocol()
        return self.made

    def startedConnecting(self, connector: Any) -> None:
        self.events.append("started")

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.events.append(reason.type)

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.events.append(reason.type)


class Server(protocol.ServerFactory):
    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        self.made = tx.AccumulatingProtocol()
        return self.made


def test_interfaces() -> None:
    reactor = tx.MemoryNetworkReactor()
    for interface in (
        interfaces.IReactorTCP,
        interfaces.IReactorTime,
        interfaces.IReactorUDP,
        interfaces.IReactorProcess,
    ):
        assert verifyObject(interface, reactor)


@pytest.mark.parametrize("host", ["localhost", "example.org", "10.0.0.9"])
def test_what_connects_is_joined_with_what_listens(host: str) -> None:
    reactor, here, there = tx.MemoryNetworkReactor(), Client(), Server()
    port = reactor.listenTCP(80, there)
    connector = reactor.connectTCP(host, 80, here)
    assert verifyObject(interfaces.IListeningPort, port)
    assert verifyObject(interfaces.IConnector, connector)
    assert (connector.state, here.events) == ("connecting", ["started"])
    reactor.flush()
    assert (connector.state, connector.getDestination().port, port.connections) == ("connected", 80, 1)
    here.made.transport.write(b"hello")
    reactor.flush()
    assert there.made.data == b"hello"
    assert there.made.transport.getPeer() == here.made.transport.getHost()
    connector.disconnect()
    reactor.flush()
    assert (here.events, connector.state) == (["started", error.ConnectionDone], "disconnected")
    connector.connect()
    reactor.flush()
    assert (connector.state, len(reactor.connections)) == ("connected", 2)
    assert reactor.tcpServers[0][0] == 80


def test_nobody_listens() -> None:
    reactor, here = tx.MemoryNetworkReactor(), Client()
    connector = reactor.connectTCP("localhost", 80, here)
    reactor.flush()
    assert (here.events, connector.state) == (["started", error.ConnectionRefusedError], "disconnected")
    with pytest.raises(error.NotConnectingError):
        connector.stopConnecting()
    connector.connect()
    connector.stopConnecting()
    assert here.events[2:] == ["started", error.UserError]
    reactor.flush()
    assert len(here.events) == 4


def test_ports_are_taken_and_free_again() -> None:
    reactor = tx.MemoryNetworkReactor()
    port = reactor.listenTCP(80, Server())
    with pytest.raises(error.CannotListenError):
        reactor.listenTCP(80, Server())
    assert port.stopListening().called
    reactor.listenTCP(80, Server())
    one, two = (reactor.listenTCP(0, Server()).getHost().port for _ in range(2))
    assert one != two
    only = reactor.listenTCP(81, Server(), interface="10.0.0.1")
    assert only.getHost().host == "10.0.0.1"
    for host, listens in (("10.0.0.1", True), ("10.0.0.2", False)):
        assert (reactor.listener((host, 81)) is only) is listens


def test_endpoints_and_unix_paths_and_options() -> None:
    reactor, there = tx.MemoryNetworkReactor(chunks="one byte", faults=[Reset(3, target="client -> server")]), Server()
    endpoints.UNIXServerEndpoint(reactor, "/tmp/socket").listen(there)
    made: list[Any] = []
    factory = Factory.forProtocol(tx.AccumulatingProtocol)
    factory.protocolConnectionMade = None  # type: ignore[attr-defined]
    endpoints.UNIXClientEndpoint(reactor, "/tmp/socket").connect(factory).addCallback(made.append)
    reactor.flush()
    made[0].transport.write(b"12345")
    reactor.flush()
    assert there.made.data == b"123"
    assert there.made.closedReason.check(error.ConnectionLost)
    with pytest.raises(UsageError, match="takes no chunk"):
        tx.MemoryNetworkReactor(chunk=1)


def test_a_real_web_server_and_client() -> None:
    class Page(resource.Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:
            request.setHeader(b"content-type", b"text/plain")
            return b"page of " + request.path

    reactor = tx.MemoryNetworkReactor(chunks="random:5")
    site = server.Site(Page(), reactor=reactor)
    reactor.listenTCP(80, site)
    body = tx.AccumulatingProtocol()
    asked: Deferred[Any] = client.Agent(reactor).request(b"GET", b"http://127.0.0.1/one")
    asked.addCallback(lambda response: response.deliverBody(body))
    reactor.pump([0.1] * 10)
    assert body.data == b"page of /one"
    assert body.closedReason is not None
    assert body.closedReason.check(client.ResponseDone)


def test_datagrams_and_processes() -> None:
    reactor, one, two = tx.MemoryNetworkReactor(), tx.AccumulatingDatagramProtocol(), tx.AccumulatingDatagramProtocol()
    first, second = reactor.listenUDP(0, one), reactor.listenUDP(53, two, maxPacketSize=3)
    assert verifyObject(interfaces.IUDPTransport, second)
    with pytest.raises(error.CannotListenError):
        reactor.listenUDP(53, one)
    first.write(b"12345", ("127.0.0.1", 53))
    with pytest.raises(ValueError, match="no address"):
        first.write(b"x")
    first.connect("127.0.0.1", 54)
    first.write(b"nobody")
    reactor.flush()
    assert (two.received, one.refused) == ([(b"123", ("127.0.0.1", first.getHost().port))], 1)
    second.stopListening()
    assert two.closed == 1
    process = tx.AccumulatingProcessProtocol()
    transport = reactor.spawnProcess(process, "cat", ["cat"], childFDs={0: "w", 1: "r"})
    transport.say(1, b"meow")
    transport.exit(0)
    assert (process.outData, process.ended, reactor.processes[0][1]["executable"]) == (b"meow", 1, "cat")
