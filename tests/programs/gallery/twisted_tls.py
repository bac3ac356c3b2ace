"""Twisted TLS endpoints (pyOpenSSL): a certificate checked by the host's name; a client that does not trust it."""

from pathlib import Path

from twisted.internet import defer, endpoints, protocol, ssl

LIBRARIES = ("twisted", "pyopenssl", "service-identity")
OPAQUE = "pyOpenSSL uses the OpenSSL inside cryptography"
DATA = bytes(range(256)) * 500
FILES = Path(__file__).parents[1]


class Server(protocol.Protocol):
    size = 0

    def dataReceived(self, data):
        self.size += len(data)
        self.transport.write(data)


class Client(protocol.Protocol):
    def __init__(self):
        self.got, self.done = b"", defer.Deferred()

    def connectionMade(self):
        self.transport.write(DATA)

    def dataReceived(self, data):
        self.got += data
        if len(self.got) == len(DATA):
            self.transport.loseConnection()

    def connectionLost(self, reason):
        self.done.callback(reason.type.__name__)


def serve(reactor, port):
    certificate = ssl.PrivateCertificate.loadPEM((FILES / "itself.pem").read_bytes())
    endpoint = endpoints.SSL4ServerEndpoint(reactor, port, certificate.options())
    return endpoint.listen(protocol.Factory.forProtocol(Server)).addCallback(lambda _: defer.Deferred())


@defer.inlineCallbacks
def talk(reactor, host, port, trust):
    options = ssl.optionsForClientTLS(host, trust)
    endpoint = endpoints.wrapClientTLS(options, endpoints.HostnameEndpoint(reactor, host, port))
    client = yield endpoint.connect(protocol.Factory.forProtocol(Client))
    reason = yield client.done
    return client.got == DATA, reason


def trusting(reactor, host, port):
    return talk(reactor, host, port, ssl.Certificate.loadPEM((FILES / "itself.pem").read_bytes()))


def distrusting(reactor, host, port):
    return talk(reactor, host, port, None)


def scenario(world):
    world.host("server").run(serve, 8443, runner="twisted")
    world.sleep(0.1)
    client = world.host("client")
    assert client.run(trusting, "server", 8443, runner="twisted").result(timeout=60) == (True, "ConnectionDone")
    assert client.run(distrusting, "server", 8443, runner="twisted").result(timeout=60) == (False, "Error")
