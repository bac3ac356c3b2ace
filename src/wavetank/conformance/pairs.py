"""`run_protocols`: runs a server and a client protocol until both have ended, and returns what happened.

Owns what both dialects share: how a factory is told to make a loop or a reactor, the record of what happened, and the
search for what was left behind. `pairs_aio` and `pairs_tx` do the running.
"""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from wavetank.conformance.protocols import ConnectableProtocol
from wavetank.conformance.wires import ASYNCIO, TWISTED
from wavetank.errors import UsageError, WavetankError, did_you_mean

#: The endpoints that have a name.
ENDPOINTS: Final = ("tcp", "tls", "unix")
#: A pair that has not ended by then hangs: Twisted's own tests wait for 120 s, asyncio's for 10 to 60.
TIMEOUT_S: Final = 30.0


class PairHangs(WavetankError):
    """A pair of protocols did not end in time; `happening` is what had happened until then."""

    exit_status = 1
    happening: Happening

    def __init__(self, what: str = "", *, where: str = "", why: str = "", next: str = "") -> None:
        super().__init__(what, where=where, why=why, next=next)


@dataclass
class Ending:
    """How one side ended.

    `disconnect_reason`: None or an exception; `ended_at_s`: the loop's time of it; `endings`: how often it was told;
    `problems`: what the protocol noted; `protocol`: the object, None where it was made here and let go. Every other
    attribute of the protocol can be read here as it was at the end.
    """

    disconnect_reason: BaseException | None = None
    ended_at_s: float | None = None
    endings: int = 0
    problems: tuple[str, ...] = ()
    protocol: Any = None
    state: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["state"][name]
        except KeyError:
            raise AttributeError(f"the protocol had no {name!r} when it ended") from None


@dataclass
class Happening:
    """What happened to a pair.

    `client`, `server`: how each side ended; `errors`: the exceptions that nobody handled, as the loop's handler or
    Twisted's log got them; `left`: what was left behind, as text: readers, writers, timers, tasks, sockets,
    descriptors, references to the protocols. `timed_out`: they did not both end.
    """

    client: Ending
    server: Ending
    errors: list[BaseException] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    timed_out: bool = False


def dialect_of(made: Any) -> str:
    """The dialect of a loop or reactor; UsageError for what is neither."""
    if callable(getattr(made, "run_until_complete", None)) and callable(getattr(made, "call_soon", None)):
        return ASYNCIO
    if callable(getattr(made, "callLater", None)) and callable(getattr(made, "callWhenRunning", None)):
        return TWISTED
    raise UsageError(
        f"the factory made a {type(made).__name__}, which is neither an asyncio loop nor a Twisted reactor",
        why="a loop has run_until_complete and call_soon, a reactor has callLater and callWhenRunning",
        next="give a function that returns a new one each time, as asyncio.new_event_loop",
    )


def run_protocols(
    factory: Callable[[], Any], server: Any, client: Any, endpoint: Any = "tcp", *, timeout_s: float = TIMEOUT_S
) -> Happening:
    """Run a server and a client protocol on a new loop or reactor until both have ended.

    `factory` makes the asyncio loop or the Twisted reactor; it is run, and closed, here. `server`, `client`: protocols
    (`ConnectableProtocol`), or what makes one: then it is let go at the end, and a reference that is kept to it is
    reported. `endpoint`: "tcp", "tls" or "unix" on this machine, or an object with `listen(loop, factory)` and
    `connect(loop, factory, listening)`, coroutine functions for a loop, functions that return Deferreds for a reactor.

    Returns a `Happening`. Raises `PairHangs` when they have not both ended after `timeout_s` seconds, and UsageError
    for a factory that makes neither, and for an unknown endpoint.
    """
    if not callable(factory):
        raise UsageError(f"the factory of loops is a {type(factory).__name__}, not a function")
    if isinstance(endpoint, str) and endpoint not in ENDPOINTS:
        raise UsageError(f"no endpoint {endpoint!r}.{did_you_mean(endpoint, ENDPOINTS)}", next=", ".join(ENDPOINTS))
    loop = factory()
    module = import_module("wavetank.conformance.pairs_aio" if dialect_of(loop) == ASYNCIO else _TWISTED)
    pair = Pair(_made(server), _made(client), released=(not _is_object(server), not _is_object(client)))
    happening: Happening = module.run(loop, pair, endpoint, timeout_s)
    if happening.timed_out:
        ended = [side for side in ("client", "server") if getattr(happening, side).endings]
        hung = PairHangs(
            f"the pair did not end within {timeout_s:g} s",
            where=f"only the {ended[0]} has ended" if ended else "neither side has ended",
            next="a larger timeout_s=, if it needs longer",
        )
        hung.happening = happening
        raise hung
    return happening


_TWISTED: Final = "wavetank.conformance.pairs_tx"


def _is_object(given: Any) -> bool:
    """Whether this is a protocol already, not what makes one."""
    return not isinstance(given, type) and isinstance(given, ConnectableProtocol)


def _made(given: Any) -> ConnectableProtocol:
    protocol = given if _is_object(given) else given()
    if not isinstance(protocol, ConnectableProtocol):
        raise UsageError(
            f"{type(protocol).__name__} is no ConnectableProtocol, so it cannot say when it has ended",
            next=f"class {type(protocol).__name__}(ConnectableProtocol): ...",
        )
    return protocol


class Pair:
    """Both protocols while they run; whoever runs them calls `begin`, then `release` once they have ended."""

    def __init__(
        self, server: ConnectableProtocol, client: ConnectableProtocol, *, released: tuple[bool, bool]
    ) -> None:
        self.server: Any = server
        self.client: Any = client
        self._released = dict(zip(("server", "client"), released, strict=True))
        self._before = descriptors()
        self._missing = 2
        self._frozen: dict[str, int] = {}

    def begin(self, loop: Any, ended: Callable[[], None]) -> None:
        """Tell both protocols where they run; `ended` is called when the second one has ended."""

        def one_less(_: Any) -> None:
            self._missing -= 1
            if not self._missing:
                ended()

        self.server.other, self.client.other = self.client, self.server
        for protocol in (self.server, self.client):
            protocol.set_up(loop, one_less)

    def freeze(self) -> None:
        """Time is up: what ends from now on ends because the loop is taken down, and does not count."""
        self._frozen = {side: getattr(self, side).endings for side in ("client", "server")}
        for protocol in (self.client, self.server):
            protocol._done = None

    def release(self, errors: list[BaseException], *, timed_out: bool) -> Happening:
        """Record how both ended, and let go of the protocols that were made here."""
        endings = {}
        left: list[str] = []
        for side in ("client", "server"):
            protocol = getattr(self, side)
            endings[side] = _ending(protocol, keep=not self._released[side])
            endings[side].endings = self._frozen.get(side, protocol.endings)
            if not timed_out and protocol.wire is not None and _open_socket(protocol.wire):
                left.append(f"the {side}'s socket is open")
        watched = {}
        for side in ("client", "server"):
            protocol = getattr(self, side)
            protocol.other = protocol._done = protocol.wire = protocol.transport = None
            if self._released[side]:
                watched[side] = weakref.ref(protocol)
            protocol = None
        self.server = self.client = None
        # Tracebacks of errors hold frames, and frames hold protocols: those are ours, not the loop's.
        for error in errors:
            _without_frames(error)
        gc.collect()
        if not timed_out:
            left += [f"a reference to the {side}'s protocol" for side, alive in watched.items() if alive() is not None]
        return Happening(endings["client"], endings["server"], errors, left, timed_out)

    def descriptors_left(self) -> list[str]:
        """The descriptors that are open now and were not before."""
        return [f"descriptor {number}" for number in sorted(descriptors() - self._before)]


def descriptors() -> set[int]:
    """The descriptors of this process."""
    return {int(name) for name in os.listdir("/proc/self/fd")}


def _ending(protocol: Any, *, keep: bool) -> Ending:
    state = {}
    for name in dir(protocol):
        if name.startswith("_") or name in ("loop", "reactor", "transport", "wire", "other", "factory"):
            continue
        value = getattr(protocol, name)
        if not callable(value):
            state[name] = value
    if protocol.disconnect_reason is not None:
        _without_frames(protocol.disconnect_reason)
    return Ending(
        protocol.disconnect_reason,
        protocol.ended_at_s,
        protocol.endings,
        protocol.problems,
        protocol if keep else None,
        state,
    )


def _open_socket(wire: Any) -> bool:
    try:
        return int(wire.socket().fileno()) >= 0
    except Exception:  # a transport that has given up its socket may raise anything
        return False


def _without_frames(error: BaseException) -> None:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        waiting += [each.__cause__, each.__context__]
