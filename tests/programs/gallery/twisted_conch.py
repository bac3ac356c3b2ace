"""Twisted Conch: an SSH server and client, a subsystem that reverses what it gets, a wrong password."""

from cryptography.hazmat.primitives.asymmetric import ed25519
from twisted.conch import avatar
from twisted.conch.client.knownhosts import KnownHostsFile
from twisted.conch.endpoints import SSHCommandClientEndpoint
from twisted.conch.ssh import channel, factory, keys
from twisted.cred import checkers, portal
from twisted.internet import defer, endpoints, protocol
from zope.interface import implementer

LIBRARIES = ("twisted", "bcrypt", "cryptography")
OPAQUE = "Conch uses the OpenSSL inside cryptography"
DATA = bytes(range(256)) * 400


class Reversing(channel.SSHChannel):
    name, got = b"session", b""

    def request_exec(self, data):
        return True

    def dataReceived(self, data):
        self.got += data
        if len(self.got) == len(DATA):
            self.write(self.got[::-1])
            self.conn.sendEOF(self)
            self.loseConnection()


class User(avatar.ConchUser):
    def __init__(self):
        super().__init__()
        self.channelLookup[b"session"] = Reversing


@implementer(portal.IRealm)
class Realm:
    def requestAvatar(self, name, mind, *interfaces):
        return interfaces[0], User(), lambda: None


class Server(factory.SSHFactory):
    def __init__(self):
        key = keys.Key(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
        self.privateKeys = {key.sshType(): key}
        self.publicKeys = {key.sshType(): key.public()}
        self.portal = portal.Portal(Realm(), [checkers.InMemoryUsernamePasswordDatabaseDontUse(ann=b"secret")])


class Client(protocol.Protocol):
    def connectionMade(self):
        self.got, self.done = b"", defer.Deferred()
        self.transport.write(DATA)

    def dataReceived(self, data):
        self.got += data

    def connectionLost(self, reason):
        self.done.callback(self.got == DATA[::-1])


class Trusting(KnownHostsFile):
    def verifyHostKey(self, ui, hostname, ip, key):
        return defer.succeed(True)


def serve(reactor, port):
    return endpoints.TCP4ServerEndpoint(reactor, port).listen(Server()).addCallback(lambda _: defer.Deferred())


@defer.inlineCallbacks
def talk(reactor, host, port, password):
    endpoint = SSHCommandClientEndpoint.newConnection(
        reactor, b"reverse", b"ann", host, port, password=password, knownHosts=Trusting(None), ui=object()
    )
    try:
        client = yield endpoint.connect(protocol.Factory.forProtocol(Client))
    except Exception as problem:
        return type(problem).__name__
    return (yield client.done)


def scenario(world):
    world.host("server").run(serve, 2222, runner="twisted")
    world.sleep(0.1)
    client = world.host("client")
    assert client.run(talk, "server", 2222, b"secret", runner="twisted").result(timeout=60) is True
    refused = client.run(talk, "server", 2222, b"wrong", runner="twisted").result(timeout=60)
    assert refused == "AuthenticationFailed"
