"""`Monitor`: stands between a protocol and its transport, passes every call on, and checks it against the contract.

Owns what all faces share: which face an object gets, what is done with a violation, and that everything else reaches
the object behind. It must never change an argument or an answer, nor import Twisted: what it watches brings its own.
The faces themselves are in `faces_aio` and `faces_tx`, the rules in `rules`, the running of the tables in `watch`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from wavetank.contract.kinds import Kind, kind_of
from wavetank.contract.profiles import Profile, profile_of
from wavetank.contract.rules import PROTOCOL, TRANSPORT
from wavetank.contract.watch import DEFAULT_HISTORY, Call, Watch
from wavetank.errors import ContractViolation, UsageError

#: The face of each kind, by its name; the modules of the faces fill it in.
FACES: Final[dict[str, type[Monitor]]] = {}
#: The attributes that are the monitor's own; every other one is that of the watched object.
_OWN: Final = frozenset({"_watch", "_inner", "_options", "_face"})


class Monitor:
    """Watches one protocol on one connection: checks every call in both directions, and passes it on.

    `protocol`: the object to watch - an asyncio protocol (stream, buffered, datagram, subprocess) or a Twisted one
    (`Protocol`, `DatagramProtocol`, `ProcessProtocol`), a Twisted producer or consumer. A monitor can stand wherever
    the object could, as in `loop.create_server(lambda: Monitor(Echo()), ...)`; unknown attributes are the object's own.
    The transport that the object gets is watched, too; use it, or `monitor.transport`, rather than the one that
    `create_connection` returns: what is called there is not seen.

    `profile`: "documented" (strict), "cpython", "uvloop", "twisted", or a `Profile`. `on_violation`: "raise" raises
    `ContractViolation` from the call that breaks a rule, which is then not made; "record" keeps it; a function is
    called with it. `kind`: which kind of object it is, where its class and methods leave that open (`KINDS`).
    `history`: so many calls are kept. `clock`: gives seconds. `joined`: the connection is made already and the protocol
    takes it over, as with `loop.start_tls`: `connection_made` may come or not. What `set_protocol` of the watched
    transport puts in place is watched so by itself.

    A loop may swallow what is raised inside a callback; so `violations` has every one, and `finish()` raises the first.
    One monitor watches one connection: a protocol that connects again needs a new one.

    Raises UsageError for what is no protocol, and for an unknown kind or profile.
    """

    _watch: Watch
    _inner: Any
    _face: Any

    def __new__(cls, protocol: Any, *, kind: str | None = None, **options: Any) -> Monitor:
        """A monitor with the face of the protocol's kind."""
        if isinstance(protocol, Monitor):
            raise UsageError("this protocol is watched by a monitor already", next="Monitor(protocol) once")
        return object.__new__(FACES[kind_of(protocol, kind).name] if cls is Monitor else cls)

    def __init__(
        self,
        protocol: Any,
        *,
        kind: str | None = None,
        profile: str | Profile = "documented",
        on_violation: str | Callable[[ContractViolation], None] = "raise",
        history: int = DEFAULT_HISTORY,
        clock: Callable[[], float] = time.monotonic,
        joined: bool = False,
    ) -> None:
        found: Kind = kind_of(protocol, kind)
        options = {"profile": profile, "on_violation": on_violation, "history": history, "clock": clock}
        report = _reporter(on_violation)
        object.__setattr__(self, "_inner", protocol)
        object.__setattr__(self, "_options", options)
        object.__setattr__(self, "_face", None)
        watch = Watch(found, profile_of(profile), report, history=history, clock=clock)
        if joined:
            watch.join()
        object.__setattr__(self, "_watch", watch)

    @property
    def protocol(self) -> Any:
        """The object that is watched."""
        return self._inner

    @property
    def transport(self) -> Any:
        """The transport as the protocol sees it: watched. None before the connection is made."""
        return self._face if self._face is not None else getattr(self._inner, "transport", None)

    @property
    def violations(self) -> list[ContractViolation]:
        """Every break of a rule so far, in order, whether it was raised or not."""
        return self._watch.violations

    @property
    def history(self) -> tuple[Call, ...]:
        """The last calls in both directions, oldest first."""
        return tuple(self._watch.calls)

    def finish(self) -> None:
        """Say that the connection should be over: raises the first violation there was, if any.

        A connection that was made and never lost is one (`lost-at-all`). With `on_violation` other than "raise" the
        violations are only recorded, and nothing is raised.
        """
        self._watch.ended()
        if self.violations and self._options["on_violation"] == "raise":
            raise self.violations[0]

    def successor(self, protocol: Any) -> Monitor:
        """A monitor for a protocol that takes the place of this one on the same transport, with the same history."""
        options = {name: value for name, value in self._options.items() if name != "kind"}
        new = Monitor(protocol, **options)
        new._watch.take_over(self._watch)
        new._watch.calls = self._watch.calls
        new._watch.violations = self._watch.violations
        object.__setattr__(new, "_face", self._face)
        return new

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # a monitor that is being copied has none yet
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<Monitor of {self._inner!r}>"

    def _heard(self, name: str, args: tuple[Any, ...]) -> Any:
        """The transport calls the protocol."""
        watch = self._watch
        watch.enter(TRANSPORT, name, args)
        try:
            return getattr(self._inner, name)(*args)
        finally:
            watch.leave(name)

    def _said(self, real: Any, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The protocol calls its transport."""
        watch = self._watch
        watch.enter(PROTOCOL, name, (*args, *keywords.values()))
        try:
            return getattr(real, name)(*args, **keywords)
        finally:
            watch.leave(name)


def _reporter(on_violation: str | Callable[[ContractViolation], None]) -> Callable[[ContractViolation], None]:
    if callable(on_violation):
        return on_violation
    if on_violation == "raise":
        return _raise
    if on_violation == "record":
        return _keep
    raise UsageError(
        f"on_violation is {on_violation!r}", next='on_violation="raise", on_violation="record", or a function'
    )


def _raise(violation: ContractViolation) -> None:
    raise violation


def _keep(violation: ContractViolation) -> None:
    """The watch has it already."""


def hearing(names: Iterable[str]) -> dict[str, Any]:
    """Methods for a face, one for each of these calls of a transport, that do nothing but pass the call on."""

    def method(name: str) -> Callable[..., Any]:
        def heard(self: Monitor, *args: Any) -> Any:
            return self._heard(name, args)

        heard.__name__ = name
        return heard

    return {name: method(name) for name in names}
