"""An HTTP/2 server of Twisted (prior knowledge, no TLS); a client that keeps its connection alive with PINGs."""

from typing import Any

from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web import resource, server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
SETTINGS_ACK = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong"
CONVERSATION = [PREFACE + SETTINGS, SETTINGS_ACK, *[PING * 100] * 200]


class PriorKnowledge(ProtocolWrapper):
    negotiatedProtocol = b"h2"


class Listener(WrappingFactory):
    protocol = PriorKnowledge


def factory() -> Any:
    return Listener(server.Site(resource.Resource()))
