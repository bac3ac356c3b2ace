"""A server of notes on Twisted's LineReceiver, with a limit on lines."""

from twisted.internet import protocol
from twisted.protocols.basic import LineReceiver

LINES = [b"hello", b"a note of ordinary length", b"=" * 63, b"=" * 64, b"", b"quit"]
CONVERSATION = [line + b"\r\n" for line in LINES]


class Notes(LineReceiver):
    MAX_LENGTH = 64

    def lineReceived(self, line: bytes) -> None:
        if line == b"quit":
            self.transport.loseConnection()
        else:
            self.sendLine(b"ok %d" % len(line))


def factory() -> protocol.ServerFactory:
    return protocol.ServerFactory.forProtocol(Notes)
