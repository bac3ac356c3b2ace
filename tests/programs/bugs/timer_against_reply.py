"""A keep-alive timer. The bug: it is not stopped when a request begins to arrive, only when it is complete, so a
request that comes in two pieces around it is cut off. Twisted."""

import sys

from twisted.internet import defer, protocol, task
from twisted.protocols.basic import LineReceiver

FIXED = "fixed" in sys.argv


class Server(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self):
        self.timer = self.factory.reactor.callLater(0.2, self.hang_up)

    def dataReceived(self, data):
        if FIXED:
            self.stop()
        return LineReceiver.dataReceived(self, data)

    def stop(self):
        if self.timer and self.timer.active():
            self.timer.cancel()

    def lineReceived(self, line):
        self.stop()
        self.sendLine(line[::-1])
        self.timer = self.factory.reactor.callLater(0.2, self.hang_up)

    def hang_up(self):
        self.factory.cut_off = self._buffer
        self.transport.loseConnection()

    def connectionLost(self, reason):
        self.stop()


class Client(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self):
        self.count = 0
        self.ask()

    def ask(self):
        self.asked = b"question %d" % self.count
        self.transport.write(self.asked[:4])
        self.factory.reactor.callLater(0.01, self.transport.write, self.asked[4:] + b"\n")

    def lineReceived(self, line):
        assert line == self.asked[::-1]
        self.count += 1
        if self.count == 4:
            self.transport.loseConnection()
        else:
            self.factory.reactor.callLater(0.12, self.ask)

    def connectionLost(self, reason):
        self.factory.done.callback(self.count)


@defer.inlineCallbacks
def main(reactor):
    server, client = protocol.Factory.forProtocol(Server), protocol.ClientFactory.forProtocol(Client)
    server.reactor = client.reactor = reactor
    server.cut_off = b""
    client.done = defer.Deferred()
    port = reactor.listenTCP(7106, server, interface="127.0.0.1")
    reactor.connectTCP("127.0.0.1", 7106, client)
    yield client.done
    yield port.stopListening()
    # Between requests the server may hang up; when one has begun to arrive it may not.
    assert not server.cut_off, server.cut_off


task.react(main)
