"""Twisted: LineReceiver on both sides, lines and raw data, a line that is too long."""

from twisted.internet import defer, endpoints, protocol
from twisted.protocols import basic

LIBRARIES = ("twisted",)
LINES = [b"line %d " % number + b"x" * (number % 700) for number in range(400)]


class Server(basic.LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line[::-1])

    def lineLengthExceeded(self, line):
        self.transport.loseConnection()


class Client(basic.LineReceiver):
    def connectionMade(self):
        self.left, self.done = list(LINES), defer.Deferred()
        for line in LINES:
            self.sendLine(line)

    def lineReceived(self, line):
        assert line[::-1] == self.left.pop(0)
        if not self.left:
            self.transport.write(b"y" * 20_000 + b"\r\n")

    def connectionLost(self, reason):
        self.done.callback(reason.type.__name__)


def serve(reactor, port):
    factory = protocol.Factory.forProtocol(Server)
    return endpoints.TCP4ServerEndpoint(reactor, port).listen(factory).addCallback(lambda _: defer.Deferred())


@defer.inlineCallbacks
def talk(reactor, host, port):
    endpoint = endpoints.HostnameEndpoint(reactor, host, port)
    client = yield endpoint.connect(protocol.Factory.forProtocol(Client))
    return (yield client.done), len(client.left)


def scenario(world):
    world.host("server").run(serve, 8000, runner="twisted")
    world.sleep(0.1)
    reason, left = world.host("client").run(talk, "server", 8000, runner="twisted").result(timeout=60)
    assert left == 0
    assert reason in ("ConnectionDone", "ConnectionLost")
