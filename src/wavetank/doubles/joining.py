"""`connect`: two protocols, of either dialect, joined in memory.

Owns what the arguments mean, and which dialect a protocol speaks. Must never import Twisted for two asyncio protocols.
"""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import Iterable
from typing import Any, Final, Literal

from wavetank.doubles.wire import chunks as chunk_policies
from wavetank.doubles.wire import watermarks as marks
from wavetank.doubles.wire.connection import Connection
from wavetank.doubles.wire.datagrams import KNOWN as DATAGRAM_FAULTS
from wavetank.doubles.wire.datagrams import DatagramConnection
from wavetank.doubles.wire.driver import ClockDriver, Driver, LoopDriver
from wavetank.doubles.wire.end import Speaker
from wavetank.doubles.wire.trouble import checked
from wavetank.errors import UsageError, did_you_mean

ASYNCIO: Final = "asyncio"
TWISTED: Final = "twisted"
#: The names of both ends, unless they are given others.
NAMES: Final = ("client", "server")
#: Where both ends seem to be, unless they are given others: the addresses of Twisted's StringTransport.
ADDRESSES: Final = (("10.0.0.1", 12345), ("192.168.1.1", 54321))


def connect(
    a: Any,
    b: Any,
    *,
    chunks: Any = None,
    watermarks: Any = None,
    faults: Iterable[Any] = (),
    seed: int = 0,
    clock: Any = None,
    abort: Literal["reset", "eof"] = "reset",
    strict: bool = False,
    names: tuple[str, str] = NAMES,
    addresses: tuple[Any, Any] = ADDRESSES,
    dialects: tuple[str | None, str | None] = (None, None),
) -> Any:
    """Join the protocols `a` and `b`, of asyncio or Twisted; both get a transport and are told.

    `a` is the side that connects, `b` the one that listened; `b` is told first. Returns the `Connection`. Two
    datagram protocols are joined as well: a `DatagramConnection`, with no chunks, watermarks, abort or strictness.

    - `chunks`: how what each side sends is cut and joined: "identity" (the default), "collapse", "one byte", "random"
      or "random:SEED", a size in bytes, a list of offsets to cut at, what Hypothesis' `data()` gives, or a function
      `(first, total, offset) -> size` (`wavetank.doubles.wire.chunks`); or a pair of these.
    - `watermarks`: (low, high) in bytes, or high alone, or a pair of these; without, those of each dialect.
    - `faults`: words of `wavetank.faults` whose target is "*" or names sides: `Segments(3, target="client -> server")`.
    - `seed`: what faults draw from.
    - `clock`: who makes the rounds: None (the running asyncio loop; if there is none, `pump()` and `flush()` do), an
      asyncio loop, a provider of Twisted's IReactorTime, or "manual".
    - `abort`: what the other side of an abort sees: "reset" (as with Twisted, and with asyncio when unread data
      waited), or "eof" (as with asyncio when none did).
    - `strict`: both protocols are watched by a `wavetank.contract.Monitor`, which raises `ContractViolation` for what
      breaks the documented contract; they are given watched transports.
    - `names` of the ends, in the log and in targets; `addresses` that they seem to have.
    - `dialects`: "asyncio" or "twisted", where a protocol has the callbacks of both.

    Without a loop and a clock, what a callback raises comes out of `connect`, `pump` and `flush`. Raises `UsageError`
    for arguments that make no sense.
    """
    policies = chunk_policies.read_pair(chunks)
    limits = marks.read_pair(watermarks)
    if abort not in ("reset", "eof"):
        raise UsageError(f"abort is {abort!r}", why='it is what the other side sees: "reset" or "eof"')
    if len({*names}) != 2:
        raise UsageError(f"names is {names!r}", why="the two ends have two names")
    driver, loop = _driver(clock)
    if is_datagram(a) or is_datagram(b):
        return _connect_datagrams(a, b, chunks, watermarks, faults, seed, names, addresses, driver, loop)
    ends = (
        (a, limits[0], addresses[0], addresses[1], dialects[0]),
        (b, limits[1], addresses[1], addresses[0], dialects[1]),
    )
    if a is b:
        raise UsageError("a and b are the same object", why="a protocol has one transport; join two of them")
    speakers = tuple(_speaker(*end, loop=loop, strict=strict) for end in ends)
    connection = Connection(
        (speakers[0], speakers[1]), names, policies, driver=driver, abort_resets=abort == "reset", seed=seed
    )
    connection.inject(*checked(faults))
    connection.begin()
    return connection


def _driver(clock: Any) -> tuple[Driver | None, asyncio.AbstractEventLoop | None]:
    """Who makes rounds, and the asyncio loop if it is one."""
    if clock is None:
        try:
            clock = asyncio.get_running_loop()
        except RuntimeError:
            return None, None
    if clock == "manual":
        return None, None
    if isinstance(clock, asyncio.AbstractEventLoop):
        return LoopDriver(clock), clock
    if callable(getattr(clock, "callLater", None)) and callable(getattr(clock, "seconds", None)):
        return ClockDriver(clock), None
    raise UsageError(
        f"clock is {reprlib.repr(clock)}",
        why='it is None, "manual", an asyncio loop, or a provider of IReactorTime (callLater and seconds)',
    )


def _speaker(
    protocol: Any,
    limits: marks.Watermarks | None,
    host: Any,
    peer: Any,
    dialect: str | None,
    *,
    loop: asyncio.AbstractEventLoop | None,
    strict: bool,
) -> Speaker:
    found = dialect_of(protocol, dialect)
    if strict:
        from wavetank.contract import Monitor

        protocol = protocol if isinstance(protocol, Monitor) else Monitor(protocol)
    if found == ASYNCIO:
        from wavetank.doubles.aio.transport import speaker_for

        return speaker_for(protocol, limits, {"sockname": host, "peername": peer}, loop)
    from wavetank.doubles.tx.transport import speaker_for as twisted_speaker_for

    return twisted_speaker_for(protocol, limits, host, peer)


def dialect_of(protocol: Any, given: str | None = None) -> str:
    """The dialect of a protocol object, "asyncio" or "twisted", from the callbacks that it has.

    Raises `UsageError` for a class, a factory, what has neither kind of callbacks, and what has both.
    """
    if given is not None:
        if given not in (ASYNCIO, TWISTED):
            hint = did_you_mean(str(given), (ASYNCIO, TWISTED))
            raise UsageError(f"unknown dialect {given!r}.{hint}", why="the dialects are asyncio and twisted")
        return given
    shown = reprlib.repr(protocol)
    if isinstance(protocol, type):
        name = protocol.__name__
        raise UsageError(f"{name} is a class, not a protocol", next=f"make one of it: {name}(...)")
    if callable(getattr(protocol, "buildProtocol", None)):
        raise UsageError(f"{shown} is a factory, not a protocol", next="make one of it: factory.buildProtocol(None)")
    speaks_asyncio = any(callable(getattr(protocol, name, None)) for name in ("data_received", "get_buffer"))
    speaks_twisted = callable(getattr(protocol, "dataReceived", None))
    if speaks_asyncio and speaks_twisted:
        raise UsageError(
            f"{shown} has the callbacks of both dialects", next='say which one counts: dialects=("asyncio", None)'
        )
    if speaks_asyncio or speaks_twisted:
        return ASYNCIO if speaks_asyncio else TWISTED
    raise UsageError(
        f"{shown} is no protocol: it has no data_received, get_buffer or dataReceived",
        next="give protocol objects: connect(MyProtocol(), Other())",
    )


def is_datagram(protocol: Any) -> bool:
    """Whether a protocol object is one for datagrams, of either dialect."""
    return not isinstance(protocol, type) and any(
        callable(getattr(protocol, name, None)) for name in ("datagram_received", "datagramReceived")
    )


def _connect_datagrams(
    a: Any,
    b: Any,
    chunks: Any,
    watermarks: Any,
    faults: Any,
    seed: int,
    names: tuple[str, str],
    addresses: tuple[Any, Any],
    driver: Driver | None,
    loop: asyncio.AbstractEventLoop | None,
) -> DatagramConnection:
    if not (is_datagram(a) and is_datagram(b)):
        raise UsageError(
            "a datagram protocol and a stream protocol cannot be joined", next="give two protocols of the same kind"
        )
    if chunks is not None or watermarks is not None:
        raise UsageError(
            "chunks and watermarks mean nothing for datagrams",
            why="a datagram arrives whole or not at all",
            next="faults=[Truncate(100)] cuts datagrams",
        )
    found = checked(faults, DATAGRAM_FAULTS, "datagram protocols")
    pairs = ((a, addresses[0], addresses[1]), (b, addresses[1], addresses[0]))
    speakers = [_datagram_speaker(*each, loop) for each in pairs]
    connection = DatagramConnection((speakers[0], speakers[1]), names, addresses, driver=driver, seed=seed)
    for speaker, side in zip(speakers, connection.sides, strict=True):
        speaker.attach(side)
    connection.inject(*found)
    connection.begin()
    return connection


def _datagram_speaker(protocol: Any, host: Any, peer: Any, loop: asyncio.AbstractEventLoop | None) -> Any:
    if callable(getattr(protocol, "datagram_received", None)):
        from wavetank.doubles.aio.datagram import DatagramSpeaker

        return DatagramSpeaker(protocol, host, peer, loop)
    from wavetank.doubles.tx.datagram import DatagramSpeaker as TwistedSpeaker

    return TwistedSpeaker(protocol, host, peer)
