"""The faces of Twisted's dialect: what a reactor sees in place of a protocol, producer or consumer, and the reverse.

Owns the calls that need more than passing on: the transport that arrives, the producer that is registered, the protocol
that is put in place by assignment (`transport.protocol = ...`). It must never import Twisted: interfaces that an object
provides are read from the object behind, through `__providedBy__` (zope.interface's own attribute).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wavetank.contract.kinds import KINDS
from wavetank.contract.monitor import FACES, Monitor, hearing
from wavetank.contract.rules import TRANSPORT


class _Connected(Monitor):
    """What is connected to a transport: stream, datagram and process protocols."""

    def makeConnection(self, transport: Any) -> None:
        real = object.__getattribute__(transport, "_real") if isinstance(transport, _Transport) else transport
        object.__setattr__(self, "_face", _Transport(real, self))
        self._watch.transport = real
        self._watch.enter(TRANSPORT, "makeConnection", (real,))
        try:
            self._inner.makeConnection(self._face)
        finally:
            self._watch.leave("makeConnection")

    def connectionMade(self) -> None:
        """For who sets `transport` and calls this by hand, as older tests do, in place of `makeConnection`."""
        self._watch.enter(TRANSPORT, "makeConnection", ())
        try:
            self._inner.connectionMade()
        finally:
            self._watch.leave("makeConnection")


class _Consumer(Monitor):
    """A consumer: the producer that it gets is watched."""

    def registerProducer(self, producer: Any, streaming: bool) -> Any:
        return self._heard("registerProducer", (_watched(producer, streaming, self), streaming))


class _Producer(Monitor):
    """A producer, of either sort."""


for _kind, _face in (
    ("twisted stream", _Connected),
    ("twisted datagram", _Connected),
    ("twisted process", _Connected),
    ("consumer", _Consumer),
    ("push producer", _Producer),
    ("pull producer", _Producer),
):
    _methods = hearing(name for name in KINDS[_kind].hears if name not in vars(_face))
    FACES[_kind] = type(f"{_kind.title().replace(' ', '')}Monitor", (_face,), {"__module__": __name__, **_methods})


def _watched(producer: Any, streaming: bool, monitor: Monitor) -> Any:
    """The producer under a monitor that reports as this one does; one that is watched already as it is."""
    if isinstance(producer, Monitor):
        return producer
    watched = Monitor(producer, kind="push producer" if streaming else "pull producer", **monitor._options)
    watched._watch.violations = monitor._watch.violations
    return watched


class _Transport:
    """A transport as a watched protocol sees it: the calls of the contract are watched, all go to the real one."""

    def __init__(self, real: Any, monitor: Monitor) -> None:
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_monitor", monitor)

    def __getattr__(self, name: str) -> Any:
        monitor: Monitor = object.__getattribute__(self, "_monitor")
        value = getattr(object.__getattribute__(self, "_real"), name)
        if name in monitor._watch.kind.says:
            return self._saying(name)
        # A watched producer or protocol looks to its owner as it is.
        return value.protocol if isinstance(value, Monitor) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "protocol" and not isinstance(value, Monitor):
            value = self._monitor.successor(value)
            object.__setattr__(self, "_monitor", value)
        setattr(self._real, name, value)

    def __repr__(self) -> str:
        return f"<monitored {self._real!r}>"

    def _saying(self, name: str) -> Callable[..., Any]:
        def said(*args: Any, **keywords: Any) -> Any:
            monitor: Monitor = object.__getattribute__(self, "_monitor")
            if name == "registerProducer":
                args = (*args, *keywords.values())
                args, keywords = (_watched(args[0], args[1], monitor), *args[1:]), {}
            elif name == "writeSequence":
                # Read once, here: what is given may be an iterator.
                args = ([*args[0]], *args[1:])
            return monitor._said(self._real, name, args, keywords)

        return said
