"""Twisted AMP: commands both ways, an error that crosses the wire."""

from twisted.internet import defer, endpoints, protocol
from twisted.protocols import amp

LIBRARIES = ("twisted",)
PARTS = [bytes([number]) * 60_000 for number in range(3)]


class Divide(amp.Command):
    arguments = ((b"a", amp.Integer()), (b"b", amp.Integer()))
    response = ((b"quotient", amp.Float()),)
    errors = {ZeroDivisionError: b"ZERO"}  # noqa: RUF012


class Reverse(amp.Command):
    arguments = ((b"data", amp.String()),)
    response = ((b"data", amp.String()),)


class Server(amp.AMP):
    @Divide.responder
    def divide(self, a, b):
        return {"quotient": a / b}

    @Reverse.responder
    def reverse(self, data):
        return {"data": data[::-1]}


def serve(reactor, port):
    factory = protocol.Factory.forProtocol(Server)
    return endpoints.TCP4ServerEndpoint(reactor, port).listen(factory).addCallback(lambda _: defer.Deferred())


@defer.inlineCallbacks
def talk(reactor, host, port):
    factory = protocol.Factory.forProtocol(amp.AMP)
    client = yield endpoints.HostnameEndpoint(reactor, host, port).connect(factory)
    for part in PARTS:
        reply = yield client.callRemote(Reverse, data=part)
        assert reply["data"] == part[::-1]
    assert (yield client.callRemote(Divide, a=1, b=4))["quotient"] == 0.25
    try:
        yield client.callRemote(Divide, a=1, b=0)
    except ZeroDivisionError:
        client.transport.loseConnection()
        return "divided by zero"


def scenario(world):
    world.host("server").run(serve, 8000, runner="twisted")
    world.sleep(0.1)
    assert world.host("client").run(talk, "server", 8000, runner="twisted").result(timeout=60) == "divided by zero"
