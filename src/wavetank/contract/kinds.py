"""The kinds of objects that can be watched, in asyncio's dialect and in Twisted's: which calls, which machines.

Owns the table of kinds and how a kind is told from an object. It must never import Twisted: its kinds are known by the
names of their methods.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from wavetank.contract import lifecycle
from wavetank.contract.lifecycle import Machine
from wavetank.errors import UsageError, did_you_mean

ASYNCIO: Final = "asyncio"
TWISTED: Final = "twisted"


@dataclass(frozen=True)
class Kind:
    """One kind of object that can be watched.

    `dialect`: "asyncio" or "twisted". `hears`: what is called on the object; `says`: what it calls on its transport.
    `deferred`: those of `hears` that never come while the object is in one of the `deferring` calls. `made` and `lost`:
    what begins and ends a connection; empty where that has no name. `known_by`: a method that no other kind has.
    """

    name: str
    dialect: str
    machines: tuple[Machine, ...]
    hears: tuple[str, ...]
    says: tuple[str, ...]
    deferred: frozenset[str]
    deferring: frozenset[str]
    made: str
    lost: str
    known_by: str


_AIO_FLOW = ("pause_writing", "resume_writing")
_AIO_SAYS = ("pause_reading", "resume_reading", "write", "writelines", "write_eof", "close", "abort")
_AIO_DATAGRAM_SAYS = ("sendto", "close", "abort")
_TX_SAYS = (
    "write", "writeSequence", "loseConnection", "abortConnection", "loseWriteConnection", "pauseProducing",
    "resumeProducing", "stopProducing", "registerProducer", "unregisterProducer",
)  # fmt: skip
_NONE: frozenset[str] = frozenset()
_PRODUCER = ("resumeProducing", "pauseProducing", "stopProducing")


def _aio(name: str, machines: tuple[Machine, ...], hears: tuple[str, ...], says: tuple[str, ...], known: str) -> Kind:
    heard = ("connection_made", *hears, "connection_lost")
    # asyncio/protocols.py, pause_writing: "the only Protocol callback that is not called through call_soon()".
    deferred = frozenset(heard) - {"pause_writing"}
    return Kind(
        name, ASYNCIO, machines, heard, says, deferred, frozenset(says), "connection_made", "connection_lost", known
    )


_STREAM_REST = (lifecycle.WRITING, lifecycle.READING, lifecycle.SENDING)

_KINDS: tuple[Kind, ...] = (
    _aio(
        "buffered",
        (lifecycle.BUFFERED, *_STREAM_REST),
        ("get_buffer", "buffer_updated", "eof_received", *_AIO_FLOW),
        _AIO_SAYS,
        "get_buffer",
    ),
    _aio(
        "stream",
        (lifecycle.STREAM, *_STREAM_REST),
        ("data_received", "eof_received", *_AIO_FLOW),
        _AIO_SAYS,
        "data_received",
    ),
    _aio(
        "datagram",
        (lifecycle.DATAGRAM, lifecycle.WRITING, lifecycle.SENDING_DATAGRAMS),
        ("datagram_received", "error_received", *_AIO_FLOW),
        _AIO_DATAGRAM_SAYS,
        "datagram_received",
    ),
    _aio(
        "subprocess",
        (lifecycle.SUBPROCESS, lifecycle.PIPE, lifecycle.WRITING),
        ("pipe_data_received", "pipe_connection_lost", "process_exited", *_AIO_FLOW),
        ("close", "kill", "terminate", "send_signal"),
        "pipe_data_received",
    ),
    Kind(
        "twisted stream",
        TWISTED,
        (lifecycle.TX_STREAM, lifecycle.TX_READING, lifecycle.TX_SENDING, lifecycle.CONSUMER),
        ("makeConnection", "dataReceived", "readConnectionLost", "writeConnectionLost", "connectionLost"),
        _TX_SAYS,
        # AbortConnectionMixin (twisted/internet/test/test_tcp.py) forbids it; loseConnection does it after half close.
        frozenset({"connectionLost"}),
        frozenset({"abortConnection"}),
        "makeConnection",
        "connectionLost",
        "dataReceived",
    ),
    Kind(
        "twisted datagram",
        TWISTED,
        (lifecycle.TX_DATAGRAM,),
        ("makeConnection", "datagramReceived", "connectionRefused", "doStop"),
        ("write", "stopListening", "loseConnection"),
        _NONE,
        _NONE,
        "makeConnection",
        "doStop",
        "datagramReceived",
    ),
    Kind(
        "twisted process",
        TWISTED,
        (lifecycle.TX_PROCESS, lifecycle.TX_PIPE, lifecycle.TX_PROCESS_SENDING),
        ("makeConnection", "childDataReceived", "childConnectionLost", "processExited", "processEnded"),
        ("write", "writeSequence", "writeToChild", "closeStdin", "closeChildFD", "loseConnection", "signalProcess"),
        _NONE,
        _NONE,
        "makeConnection",
        "processEnded",
        "childDataReceived",
    ),
    Kind("consumer", TWISTED, (lifecycle.CONSUMER,), ("registerProducer", "unregisterProducer", "write"), (),
         _NONE, _NONE, "", "", "registerProducer"),
    Kind("push producer", TWISTED, (lifecycle.PUSH,), _PRODUCER, (), _NONE, _NONE, "", "", "pauseProducing"),
    Kind("pull producer", TWISTED, (lifecycle.PULL,), _PRODUCER, (), _NONE, _NONE, "", "", "resumeProducing"),
)  # fmt: skip

#: Every kind by its name; where an object could be of several, the first in this order.
KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _KINDS}

#: What asyncio's own loops go by: a class before a method's name (selector_events tests isinstance(BufferedProtocol)).
_CLASSES: Final = (
    (asyncio.BufferedProtocol, "buffered"),
    (asyncio.Protocol, "stream"),
    (asyncio.DatagramProtocol, "datagram"),
    (asyncio.SubprocessProtocol, "subprocess"),
)


def kind_of(watched: Any, name: str | None = None) -> Kind:
    """The kind of an object: the one that is named, else what its class or its methods say.

    A protocol that only writes (asyncio.BaseProtocol and nothing more) is a stream. Raises UsageError when `name` is no
    kind, and when the object is of none.
    """
    if name is not None:
        if name not in KINDS:
            hint = did_you_mean(name, KINDS)
            raise UsageError(f"{name!r} is no kind of protocol.{hint}", next=f"kind= one of {', '.join(KINDS)}")
        return KINDS[name]
    if isinstance(watched, type):
        raise UsageError(
            f"{watched.__name__} is a class, and a monitor watches one object",
            next=f"make the object first: Monitor({watched.__name__}())",
        )
    for base, kind in _CLASSES:
        if isinstance(watched, base):
            return KINDS[kind]
    found = next((kind for kind in _KINDS if callable(getattr(watched, kind.known_by, None))), None)
    if found is None and callable(getattr(watched, "connection_made", None)):
        found = KINDS["stream"]
    if found is None:
        raise UsageError(
            f"cannot tell what a {type(watched).__name__} is: it has none of the methods of a protocol or producer",
            next=f"name it: Monitor(..., kind=) one of {', '.join(KINDS)}",
        )
    return found
