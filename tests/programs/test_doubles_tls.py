"""Twisted's TLS, on pyOpenSSL, over the reactor in memory."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet import ssl
from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo

from tests.support import certificates
from tests.unit.test_doubles_tx_network import Client
from wavetank.doubles.tx import MemoryNetworkReactor


# Twisted 26.10 hands its own X509 objects to pyOpenSSL, which warns about them.
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
def test_tls_over_the_reactor_in_memory(tmp_path: Path) -> None:
    files = certificates.write(tmp_path)
    certificate = ssl.PrivateCertificate.loadPEM(Path(files.server).read_text())
    trusted = ssl.Certificate.loadPEM(Path(files.authority).read_text())
    reactor, here = MemoryNetworkReactor(chunks="random:3"), Client()
    reactor.listenSSL(443, Factory.forProtocol(Echo), certificate.options())
    options: Any = ssl.optionsForClientTLS("localhost", trustRoot=trusted)
    reactor.connectSSL("localhost", 443, here, options)
    reactor.flush()
    here.made.transport.write(b"secret " * 10_000)
    reactor.flush()
    assert here.made.data == b"secret " * 10_000
    assert b"secret" not in b"".join(
        entry.detail for entry in reactor.connections[0].log if isinstance(entry.detail, bytes)
    )
    here.made.transport.loseConnection()
    reactor.flush()
    assert here.made.closed == 1
    assert reactor.connections[0].closed
