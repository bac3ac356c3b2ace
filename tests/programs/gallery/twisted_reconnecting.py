"""Twisted: ClientService reconnects after the server crashed and came back; deferToThread on the side."""

from twisted.application import internet
from twisted.internet import defer, endpoints, protocol, task, threads

LIBRARIES = ("twisted",)
DATA = bytes(range(256)) * 100


class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


class Asking(protocol.Protocol):
    def connectionMade(self):
        self.got, self.done = b"", defer.Deferred()
        self.transport.setTcpKeepAlive(True)
        self.transport.write(DATA)

    def dataReceived(self, data):
        self.got += data
        if self.got == DATA:
            self.done.callback(True)


def serve(reactor, port):
    endpoint = endpoints.TCP4ServerEndpoint(reactor, port)
    return endpoint.listen(protocol.Factory.forProtocol(Echo)).addCallback(lambda _: defer.Deferred())


@defer.inlineCallbacks
def ask_often(reactor, host, port):
    endpoint = endpoints.HostnameEndpoint(reactor, host, port)
    service = internet.ClientService(endpoint, protocol.Factory.forProtocol(Asking), retryPolicy=lambda attempt: 0.5)
    service.startService()
    answers = 0
    for _ in range(4):
        asking = yield service.whenConnected()
        answers += yield asking.done
        asking.transport.abortConnection()
        yield task.deferLater(reactor, 1.0)
    yield service.stopService()
    return answers, (yield threads.deferToThread(sum, range(10)))


def scenario(world):
    server = world.host("server")
    server.run(serve, 8000, runner="twisted")
    world.sleep(0.1)
    job = world.host("client").run(ask_often, "server", 8000, runner="twisted")
    world.sleep(1.5)
    server.crash()
    world.sleep(2.0)
    server.restart()
    assert job.result(timeout=120) == (4, 45)
