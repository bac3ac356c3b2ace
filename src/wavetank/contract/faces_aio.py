"""The faces of asyncio's dialect: what a loop sees in place of a protocol, and a protocol in place of its transport.

Owns the classes that a loop tests for (`isinstance(protocol, BufferedProtocol)`), and the calls that need more than
passing on: the transport that arrives, the buffer that is lent, the protocol that is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from wavetank.contract.kinds import ASYNCIO, KINDS
from wavetank.contract.monitor import FACES, Monitor, hearing
from wavetank.contract.protocols import datagram_error
from wavetank.contract.rules import TRANSPORT


class _Asyncio(Monitor):
    """What the faces of asyncio's protocols have in common."""

    def connection_made(self, transport: Any) -> None:
        real = getattr(transport, "_real", transport) if isinstance(transport, _Faces) else transport
        object.__setattr__(self, "_face", _face_of(real, self))
        self._watch.transport = real
        self._watch.enter(TRANSPORT, "connection_made", (real,))
        try:
            self._inner.connection_made(self._face)
        finally:
            self._watch.leave("connection_made")


class _Buffered(_Asyncio):
    def get_buffer(self, sizehint: int) -> Any:
        buffer = self._heard("get_buffer", (sizehint,))
        self._watch.answered(buffer)
        return buffer


class _Datagram(_Asyncio):
    def error_received(self, exc: Exception) -> None:
        self._watch.enter(TRANSPORT, "error_received", (exc,))
        try:
            datagram_error(self._inner, exc)
        finally:
            self._watch.leave("error_received")


def _add_face(kind: str, face: type[Monitor], base: type) -> None:
    own = {name for each in face.__mro__ for name in vars(each)}
    methods = hearing(name for name in KINDS[kind].hears if name not in own)
    FACES[kind] = type(f"{base.__name__}Monitor", (face, base), {"__module__": __name__, **methods})


_add_face("stream", _Asyncio, asyncio.Protocol)
_add_face("buffered", _Buffered, asyncio.BufferedProtocol)
_add_face("datagram", _Datagram, asyncio.DatagramProtocol)
_add_face("subprocess", _Asyncio, asyncio.SubprocessProtocol)


# --- the transport's side ----------------------------------------------------------------------------------------


class _Faces:
    """A transport as a watched protocol sees it: the calls of the contract are watched, all go to the real one."""

    _real: Any
    _monitor: Monitor

    def get_protocol(self) -> Any:
        found = self._real.get_protocol()
        return found.protocol if isinstance(found, Monitor) else found

    def set_protocol(self, protocol: Any) -> None:
        """Another protocol takes over: it is watched from now on, in the state in which the transport is."""
        if not isinstance(protocol, Monitor):
            protocol = self._monitor.successor(protocol)
        object.__setattr__(self, "_monitor", protocol)
        self._real.set_protocol(protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_real"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)

    def __repr__(self) -> str:
        return f"<monitored {self._real!r}>"


def _passing(name: str) -> Callable[..., Any]:
    def passed(self: _Faces, *args: Any, **keywords: Any) -> Any:
        return getattr(self._real, name)(*args, **keywords)

    passed.__name__ = name
    return passed


def _saying(name: str) -> Callable[..., Any]:
    def said(self: _Faces, *args: Any, **keywords: Any) -> Any:
        return self._monitor._said(self._real, name, args, keywords)

    said.__name__ = name
    return said


def _writelines(self: _Faces, list_of_data: Any) -> None:
    # Read once, here: what is given may be an iterator.
    self._monitor._said(self._real, "writelines", (list(list_of_data),), {})


def _transport_face(base: type, kinds: tuple[str, ...]) -> type[_Faces]:
    """The class of faces of transports of this base class: all its methods, those of the contract watched."""
    says = {name for kind in kinds for name in KINDS[kind].says}
    methods: dict[str, Any] = {
        name: _saying(name) if name in says else _passing(name)
        for name in dir(base)
        if not name.startswith("_") and name not in vars(_Faces)
    }
    if "writelines" in says:
        methods["writelines"] = _writelines
    return type(f"Monitored{base.__name__}", (_Faces, base), {"__module__": __name__, **methods})


_TRANSPORTS: Final[dict[str, type[_Faces]]] = {
    "stream": _transport_face(asyncio.Transport, ("stream",)),
    "datagram": _transport_face(asyncio.DatagramTransport, ("datagram",)),
    "subprocess": _transport_face(asyncio.SubprocessTransport, ("subprocess",)),
}
_TRANSPORTS["buffered"] = _TRANSPORTS["stream"]

assert {kind.name for kind in KINDS.values() if kind.dialect == ASYNCIO} == {*_TRANSPORTS}


def _face_of(real: Any, monitor: Monitor) -> Any:
    face_type = _TRANSPORTS[monitor._watch.kind.name]
    face = face_type.__new__(face_type)
    object.__setattr__(face, "_real", real)
    object.__setattr__(face, "_monitor", monitor)
    return face
