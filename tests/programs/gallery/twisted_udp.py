"""Twisted datagrams: requests that are repeated until they are answered, and one that is too long."""

from twisted.internet import defer, error, protocol, task

LIBRARIES = ("twisted",)
PACKETS = 120


class Server(protocol.DatagramProtocol):
    def datagramReceived(self, datagram, address):
        self.transport.write(datagram[::-1], address)


class Client(protocol.DatagramProtocol):
    def __init__(self, address):
        self.address, self.answers = address, set()

    def startProtocol(self):
        self.transport.connect(*self.address)

    def datagramReceived(self, datagram, address):
        self.answers.add(datagram)


def serve(reactor, port):
    reactor.listenUDP(port, Server())
    return defer.Deferred()


@defer.inlineCallbacks
def talk(reactor, host, port):
    address = yield reactor.resolve(host)
    client = Client((address, port))
    listening = reactor.listenUDP(0, client)
    wanted = {bytes([number]) + b"x" * 999 for number in range(PACKETS)}
    while len(client.answers) < PACKETS:
        for packet in wanted:
            if packet[::-1] not in client.answers:
                client.transport.write(packet)
                yield task.deferLater(reactor, 0.001)
        yield task.deferLater(reactor, 0.5)
    try:
        client.transport.write(b"z" * 70_000)
    except error.MessageLengthError:
        yield listening.stopListening()
        return "too long"


def scenario(world):
    world.host("server").run(serve, 8000, runner="twisted")
    world.sleep(0.1)
    assert world.host("client").run(talk, "server", 8000, runner="twisted").result(timeout=60) == "too long"
