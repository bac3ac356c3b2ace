"""Watching all protocols of a program for the oracle `contract`, without a monitor in its code.

Owns what asyncio and Twisted have in common here: the face that a transport sees in place of its protocol, the
attribute that holds it, and the calls that are told to its watch. What broken rules count for is not decided here: each
goes to `wavetank.contract.watch.listeners`.

The idea: the transport and the protocol stay what they are, so that a program that compares or keeps them sees nothing.
Only the attribute in which a transport keeps its protocol gives the transport a face in its place, and the transport's
own methods tell the watch before they do their work.

Other people's suites run under the same watch on the real system, in another `manner` (`tests/suites/contract_hooks`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import wavetank.contract as contract  # which makes the faces
from wavetank.contract.kinds import kind_of
from wavetank.contract.monitor import FACES, Monitor
from wavetank.contract.rules import PROTOCOL, TRANSPORT
from wavetank.errors import UsageError
from wavetank.kernel import core


def _virtual_s() -> float:
    return core.K.now / 1e9  # not `time.monotonic`: reading the clock takes virtual time


def _everything(holder: Any, protocol: Any) -> bool:
    return True


@dataclass
class Manner:
    """How is watched: what becomes of violations, whose clock, and which protocols of which transports are meant."""

    on_violation: Literal["record"] | Callable[[contract.ContractViolation], None] = "record"
    clock: Callable[[], float] = _virtual_s
    meant: Callable[[Any, Any], bool] = _everything


#: For tests: replaced where what is watched is no simulated world.
manner = Manner()


class _Raw:
    """In front of a face: the protocol gets the transport itself, not a face of it."""

    def connection_made(self: Any, transport: Any) -> None:
        """The first call of asyncio's transports."""
        _made(self, transport, "connection_made")

    def makeConnection(self: Any, transport: Any) -> None:
        """The first call of Twisted's."""
        _made(self, transport, "makeConnection")


def _made(monitor: Any, transport: Any, name: str) -> None:
    monitor._watch.transport = transport
    monitor._watch.enter(TRANSPORT, name, (transport,))
    try:
        getattr(monitor._inner, name)(transport)
    finally:
        monitor._watch.leave(name)


_CLASSES: Final[dict[str, Any]] = {kind: type(f"Raw{face.__name__}", (_Raw, face), {}) for kind, face in FACES.items()}


def watched(
    protocol: Any, profile: str, holder: Any, before: Any = None, *, kind: str | None = None, joined: bool = False
) -> Any:
    """The protocol under watch; itself where it is none, or is watched already.

    `holder`: the transport that gets it; `before`: what it had in its place; `joined`: the connection is made already.
    """
    if protocol is None or isinstance(protocol, Monitor) or not manner.meant(holder, protocol):
        return protocol
    try:
        found = kind_of(protocol, kind)
    except UsageError:
        return protocol
    monitor = _CLASSES[found.name](
        protocol, kind=kind, profile=profile, on_violation=manner.on_violation, joined=joined, clock=manner.clock
    )
    if isinstance(before, Monitor):
        monitor._watch.take_over(before._watch)
    return monitor


def bare(value: Any) -> Any:
    """Without its watch."""
    return value.protocol if isinstance(value, Monitor) else value


def watch_of(holder: Any, name: str) -> Any:
    """What the attribute `name` of a transport holds for the transport itself: a face, where one was put."""
    return getattr(holder, "__dict__", {}).get(f"_kept_{name}")


def tell(owner: type, name: str, protocol_of: Callable[[Any], Any]) -> None:
    """From now on calls of the method `name` of `owner` are told to the watch that `protocol_of` finds."""
    original = getattr(owner, name, None)
    if original is None:
        return

    def method(self: Any, *args: Any, **keywords: Any) -> Any:
        monitor = protocol_of(self)
        if not isinstance(monitor, Monitor) or monitor._watch.inside(PROTOCOL, name):
            return original(self, *args, **keywords)
        if name in ("writelines", "writeSequence"):
            args = (list(args[0]), *args[1:])  # read once, here: what is given may be an iterator
        monitor._watch.enter(PROTOCOL, name, args)
        try:
            return original(self, *args, **keywords)
        finally:
            monitor._watch.leave(name)

    method.__name__ = name
    setattr(owner, name, method)


class Kept:
    """A descriptor: an attribute that holds a protocol under watch, and gives it so to the transport itself."""

    def __init__(self, owner: type, name: str, profile: str, joins: Callable[[Any, Any], bool]) -> None:
        self.name, self.profile, self.joins = f"_kept_{name}", profile, joins
        self.default = getattr(owner, name, None)
        setattr(owner, name, self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self.default if instance is None else instance.__dict__.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        before = instance.__dict__.get(self.name)
        if bare(before) is not bare(value):
            value = watched(value, self.profile, instance, before, joined=self.joins(instance, value))
        elif isinstance(before, Monitor):
            value = before
        instance.__dict__[self.name] = value

    def __delete__(self, instance: Any) -> None:
        instance.__dict__.pop(self.name, None)


def of_attribute(name: str) -> Callable[[Any], Any]:
    """For `tell`: the protocol is what this attribute holds."""
    return partial(_attribute, name=name)


def _attribute(holder: Any, name: str) -> Any:
    return getattr(holder, name, None)


assert contract.KINDS.keys() == _CLASSES.keys(), "a kind of protocol without a face"
