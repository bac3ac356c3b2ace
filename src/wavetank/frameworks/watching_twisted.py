"""Twisted's transports under watch: connections, TLS over them, datagram ports, pipes, child processes, producers.

Owns which names of Twisted hold a protocol or a producer, and which methods of its transports a protocol calls. It
never imports Twisted: it waits for it; how is in `watching`. Source: twisted/internet/tcp.py, udp.py, abstract.py,
protocol.py, _posixstdio.py, process.py and protocols/tls.py, 23.10 to 26.10.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final

from wavetank.contract.monitor import Monitor
from wavetank.contract.rules import TRANSPORT
from wavetank.frameworks.watching import Kept, of_attribute, tell, watch_of, watched
from wavetank.kernel import replace

_PROFILE: Final = "twisted"
_SAYS: Final = (
    "write", "writeSequence", "loseConnection", "abortConnection", "loseWriteConnection",
    "pauseProducing", "resumeProducing", "stopProducing", "registerProducer", "unregisterProducer",
)  # fmt: skip
_SAYS_TO_PIPES: Final = (
    "write", "writeSequence", "loseConnection", "loseWriteConnection",
    "pauseProducing", "resumeProducing", "stopProducing", "registerProducer", "unregisterProducer",
)  # fmt: skip
_SAYS_TO_CHILDREN: Final = ("write", "writeSequence", "writeToChild")
_SAYS_OVER_TLS: Final = ("write", "writeSequence", "loseConnection", "abortConnection")
#: The `makeConnection` of those who call that of the base class.
_WRAPPERS: Final[list[Any]] = []


def install() -> None:
    """From now on every protocol that a transport of Twisted gets is watched, once its module has been imported."""
    replace.when_imported("twisted.internet.tcp", _watch_tcp)
    replace.when_imported("twisted.internet.udp", _watch_udp)
    replace.when_imported("twisted.internet._posixstdio", _watch_pipes)
    replace.when_imported("twisted.internet.process", _watch_children)
    replace.when_imported("twisted.internet.protocol", _watch_connecting)
    replace.when_imported("twisted.internet.abstract", lambda module: _watch_producers(module._ConsumerMixin))
    replace.when_imported("twisted.protocols.tls", _watch_tls)


def _watch_tcp(module: ModuleType) -> None:
    Kept(module.Connection, "protocol", _PROFILE, _joins)
    for name in _SAYS:
        tell(module.Connection, name, of_attribute("protocol"))


def _watch_udp(module: ModuleType) -> None:
    Kept(module.Port, "protocol", _PROFILE, _joins)


def _watch_pipes(module: ModuleType) -> None:
    """`StandardIO`: one protocol on two pipes."""
    Kept(module.StandardIO, "protocol", _PROFILE, _joins)
    for name in _SAYS_TO_PIPES:
        tell(module.StandardIO, name, of_attribute("protocol"))


def _watch_children(module: ModuleType) -> None:
    Kept(module.BaseProcess, "proto", _PROFILE, _joins)
    for name in _SAYS_TO_CHILDREN:
        tell(module.Process, name, of_attribute("proto"))


def _joins(transport: Any, protocol: Any) -> bool:
    """Whether the connection is made already, or will be without our being told.

    What a listening port calls on a protocol with a `makeConnection` of its own is not seen.
    """
    if transport.__dict__.get("_joined", False):
        return True
    base = sys.modules.get("twisted.internet.protocol")
    made = getattr(type(protocol), "makeConnection", None)
    return base is not None and made is not None and made not in (base.BaseProtocol.makeConnection, *_WRAPPERS)


def _watch_connecting(module: ModuleType) -> None:
    """A listening port connects the protocol that its factory gave it, not the one that its transport keeps."""
    base = module.BaseProtocol
    original = base.makeConnection

    def make(self: Any, transport: Any) -> None:
        monitor = watch_of(transport, "protocol")
        if not isinstance(monitor, Monitor) or monitor.protocol is not self or monitor._watch.made:
            original(self, transport)
            return
        monitor._watch.transport = transport
        monitor._watch.enter(TRANSPORT, "makeConnection", (transport,))
        try:
            original(self, transport)
        finally:
            monitor._watch.leave("makeConnection")

    base.makeConnection = make


def _watch_tls(module: ModuleType) -> None:
    owner = module.TLSMemoryBIOProtocol
    Kept(owner, "wrappedProtocol", _PROFILE, _joins)
    for name in _SAYS_OVER_TLS:
        tell(owner, name, of_attribute("wrappedProtocol"))
    _WRAPPERS.append(owner.makeConnection)
    original = owner.__init__

    def init(self: Any, factory: Any, wrapped: Any, _connectWrapped: bool = True, **keywords: Any) -> None:
        self._joined = not _connectWrapped
        original(self, factory, wrapped, _connectWrapped, **keywords)

    owner.__init__ = init
    _watch_producers(owner)


def _watch_producers(owner: Any) -> None:
    original = owner.registerProducer

    def register(self: Any, producer: Any, streaming: bool) -> Any:
        if getattr(self, "TLS", False) or isinstance(producer, Monitor):
            return original(self, producer, streaming)
        kind = "push producer" if streaming else "pull producer"
        return original(self, watched(producer, _PROFILE, self, kind=kind), streaming)

    owner.registerProducer = register
