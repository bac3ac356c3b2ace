"""Producers that nobody unregisters: Twisted's part of the oracle `leak`.

Owns the record of connections that a program has asked to close while a producer was registered. It never imports
Twisted: it waits for it. Source: twisted/internet/abstract.py (`FileDescriptor.doWrite`) and protocols/tls.py
(`TLSMemoryBIOProtocol.loseConnection`), 23.10 to 26.10.

The idea. A connection with a producer is closed only when the producer is unregistered: the transport believes that
there is more to come (of a push producer over plain TCP, only while it is paused). A producer that has nothing more and
does not say so keeps the connection open for ever; the transport does not even read any more, so that its peer's end is
not seen. It is found when the connection is lost for another reason, when the transport is collected as garbage, for
the reactor has let go of it, or when the program or the world ends.
"""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any, Final, NamedTuple

from wavetank.frameworks import reports
from wavetank.kernel import core, replace

#: So long after the program has asked to close a connection with nothing left to send, it is a leak.
LEFT_NS: Final = 1_000_000_000


class _Closing(NamedTuple):
    transport: weakref.ref[Any]
    process: Any
    asked_at: int
    name: str  # of the producer
    attribute: str  # that holds it
    buffers: tuple[str, ...]  # the attributes that hold what is still to be sent


_closing: Final[dict[int, _Closing]] = {}  # by the address of the transport


def install() -> None:
    """Wait for Twisted to be imported, if it is. Once per interpreter."""
    replace.when_imported("twisted.internet.abstract", _watch_transports)
    replace.when_imported("twisted.protocols.tls", _watch_tls)


def _watch_transports(module: ModuleType) -> None:
    _watch(module.FileDescriptor, "producer", ("dataBuffer", "_tempDataBuffer"))


def _watch_tls(module: ModuleType) -> None:
    _watch(module.TLSMemoryBIOProtocol, "_producer", ("_appSendBuffer",))


def _watch(owner: Any, attribute: str, buffers: tuple[str, ...]) -> None:
    lose, lost = owner.loseConnection, owner.connectionLost

    def loseConnection(self: Any, *args: Any, **keywords: Any) -> Any:
        producer = getattr(self, attribute, None)
        if producer is not None and id(self) not in _closing:
            number = id(self)
            # TLS wraps what was registered: `_PullToPush`, `_ProducerMembrane`.
            name = type(getattr(producer, "_producer", producer)).__qualname__
            reference = weakref.ref(self, lambda gone: _report(_closing.pop(number, None)))
            _closing[number] = _Closing(reference, core.K.process, core.K.now, name, attribute, buffers)
        return lose(self, *args, **keywords)

    def connectionLost(self: Any, *args: Any, **keywords: Any) -> Any:
        _look_at(_closing.pop(id(self), None))
        return lost(self, *args, **keywords)

    owner.loseConnection, owner.connectionLost = loseConnection, connectionLost


def check(process: Any) -> None:
    """`process` is over, or the world is: report what it wanted to close and never could."""
    for number, closing in list(_closing.items()):
        if closing.process is process:
            _look_at(_closing.pop(number))


def _look_at(closing: _Closing | None) -> None:
    """Report it unless the producer was unregistered meanwhile, something is left to be sent, or all is quite new."""
    transport = None if closing is None else closing.transport()
    if closing is None or getattr(transport, closing.attribute, None) is None:
        return
    if core.K.now - closing.asked_at >= LEFT_NS and not any(getattr(transport, name, None) for name in closing.buffers):
        _report(closing)


def _report(closing: _Closing | None) -> None:
    """What is garbage, the reactor had let go of: nothing was left to be sent, and nothing would have closed it."""
    if closing is None:
        return
    reports.leaked(
        f"{closing.process.name} never unregistered the producer {closing.name} of a connection that it wanted to "
        f"close at {closing.asked_at / 1e9:.6f} s: nothing closes it",
        f"a {closing.name} that was never unregistered",
        closing.process.host_name,
    )
