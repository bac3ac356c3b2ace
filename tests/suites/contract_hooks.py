"""Runs somebody's test suite under the monitor: `python contract_hooks.py REPORT unittest|trial|pytest ARGUMENTS...`.

Every real transport of asyncio, and of Twisted when it is there, gets a watch: what it calls on its protocol passes a
monitor's face, and what is called on it is told to the same watch. The transport and the protocol themselves stay what
they are, so that a suite that compares identities still passes. Violations are recorded, never raised; the file REPORT
gets one JSON object: how many connections and calls were watched, and each violation.

Not watched: protocols that are mocks, since a suite asserts on their attributes; transports on loops that are fakes of
the suite, where the test itself plays the kernel and the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import sys
import traceback
import unittest
from collections import Counter
from typing import Any
from unittest import mock

import wavetank.contract  # the faces are made here
from wavetank.contract import ContractViolation, Watch
from wavetank.contract.kinds import kind_of
from wavetank.contract.monitor import FACES, Monitor
from wavetank.contract.rules import PROTOCOL, TRANSPORT
from wavetank.errors import UsageError

assert wavetank.contract

_count: Counter[str] = Counter()
_found: list[dict[str, str]] = []
_enter = Watch.enter


def _report(violation: ContractViolation) -> None:
    # The innermost frames outside of this project say whose call it was.
    frames = [
        f"{frame.filename.rpartition('site-packages/')[2].rpartition('/lib/')[2]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_stack()
        if "wavetank" not in frame.filename and "contract_hooks" not in frame.filename
    ]
    _found.append(
        {"rule": violation.rule, "text": str(violation), "frames": " < ".join(frames[-6:][::-1]), "test": _test()}
    )


def _test() -> str:
    current = os.environ.get("PYTEST_CURRENT_TEST", "")
    frame: Any = sys._getframe()
    while frame is not None and not current:
        case = frame.f_locals.get("self")
        if isinstance(case, unittest.TestCase):
            return case.id()
        frame = frame.f_back
    return current


class _Raw:
    """In front of a face: the protocol gets the transport itself, not a face of it."""

    def connection_made(self: Any, transport: Any) -> None:
        self._watch.transport = transport
        self._watch.enter(TRANSPORT, "connection_made", (transport,))
        try:
            self._inner.connection_made(transport)
        finally:
            self._watch.leave("connection_made")

    def makeConnection(self: Any, transport: Any) -> None:
        self._watch.transport = transport
        self._watch.enter(TRANSPORT, "makeConnection", (transport,))
        try:
            self._inner.makeConnection(transport)
        finally:
            self._watch.leave("makeConnection")


_CLASSES = {kind: type(f"Raw{face.__name__}", (_Raw, face), {}) for kind, face in FACES.items()}


def watched(protocol: Any, profile: str, before: Any = None, *, kind: str | None = None, joined: bool = False) -> Any:
    """The protocol under watch; itself where it is none, a mock, or watched already."""
    if protocol is None or isinstance(protocol, (Monitor, mock.NonCallableMock)):
        return protocol
    try:
        found = kind_of(protocol, kind)
    except UsageError:
        _count["not a protocol"] += 1
        return protocol
    monitor = _CLASSES[found.name](protocol, kind=kind, profile=profile, on_violation=_report, joined=joined)
    _count["connections"] += 1
    if isinstance(before, Monitor):
        monitor._watch.take_over(before._watch)
    return monitor


#: The `makeConnection` of those who call that of the base class.
_WRAPPERS: list[Any] = []


def bare(value: Any) -> Any:
    """Without its monitor."""
    return value.protocol if isinstance(value, Monitor) else value


def tell(owner: type, name: str, protocol_of: Any) -> None:
    """Calls of the method `name` of `owner` are told to the watch of the protocol that `protocol_of` finds."""
    original = getattr(owner, name, None)
    if original is None:
        return

    def method(self: Any, *args: Any, **keywords: Any) -> Any:
        monitor = protocol_of(self)
        if not isinstance(monitor, Monitor) or monitor._watch._stack[-1:] == [(PROTOCOL, name)]:
            return original(self, *args, **keywords)
        if name in ("writelines", "writeSequence"):
            args = (list(args[0]), *args[1:])
        monitor._watch.enter(PROTOCOL, name, args)
        try:
            return original(self, *args, **keywords)
        finally:
            monitor._watch.leave(name)

    method.__name__ = name
    setattr(owner, name, method)


class Kept:
    """A descriptor: an attribute that holds a protocol under watch, and gives it so to the transport itself."""

    def __init__(self, owner: type, name: str, profile: str) -> None:
        self.name, self.profile = f"_kept_{name}", profile
        self.default = getattr(owner, name, None)
        setattr(owner, name, self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self.default if instance is None else instance.__dict__.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        before = instance.__dict__.get(self.name)
        if _faked(instance):
            instance.__dict__[self.name] = value
            return
        if bare(before) is not bare(value):
            joined = instance.__dict__.get("_joined", False) or _connects_itself(value)
            value = watched(value, self.profile, before, joined=joined)
        elif isinstance(before, Monitor):
            value = before
        instance.__dict__[self.name] = value

    def __delete__(self, instance: Any) -> None:
        instance.__dict__.pop(self.name, None)


def _connects_itself(protocol: Any) -> bool:
    """Whether a Twisted protocol has its own `makeConnection`: what a listening port calls on it is not seen then."""
    base = sys.modules.get("twisted.internet.protocol")
    made = getattr(type(protocol), "makeConnection", None)
    return base is not None and made is not None and made not in (base.BaseProtocol.makeConnection, *_WRAPPERS)


def _faked(transport: Any) -> bool:
    """Whether a transport of asyncio is on a loop that a test made up."""
    loop = getattr(transport, "_loop", None)
    return loop is not None and not isinstance(loop, asyncio.SelectorEventLoop)


def install_asyncio() -> None:
    """The transports of asyncio: sockets, datagrams, pipes, TLS, subprocesses."""
    from asyncio import base_subprocess, selector_events, sslproto, unix_events

    for owner in (
        selector_events._SelectorTransport,
        unix_events._UnixReadPipeTransport,
        unix_events._UnixWritePipeTransport,
        base_subprocess.BaseSubprocessTransport,
    ):
        _keep(owner, "_protocol", "cpython")
        owner.get_protocol = lambda self: bare(self._protocol)
    says = ("write", "writelines", "write_eof", "close", "abort", "pause_reading", "resume_reading", "sendto")
    for owner in (
        selector_events._SelectorSocketTransport,
        selector_events._SelectorDatagramTransport,
        unix_events._UnixReadPipeTransport,
        unix_events._UnixWritePipeTransport,
    ):
        for name in says:
            tell(owner, name, lambda self: self._protocol)
    _watch_tls(sslproto.SSLProtocol)
    transport = sslproto._SSLProtocolTransport
    transport.get_protocol = lambda self: bare(self._ssl_protocol._app_protocol)
    for name in says:
        tell(transport, name, lambda self: getattr(self._ssl_protocol, "_app_protocol", None))


def _watch_tls(owner: Any) -> None:
    """What speaks TLS for another protocol; that one may have been connected before TLS began (`start_tls`)."""
    set_original, init_original = owner._set_app_protocol, owner.__init__

    def set_app_protocol(self: Any, protocol: Any) -> None:
        before = getattr(self, "_app_protocol", None)
        if not _faked(self):
            protocol = watched(protocol, "cpython", before, joined=self.__dict__.get("_joined", False))
        set_original(self, protocol)

    def init(self: Any, loop: Any, *args: Any, call_connection_made: bool = True, **keywords: Any) -> None:
        self._loop, self._joined = loop, not call_connection_made
        init_original(self, loop, *args, call_connection_made=call_connection_made, **keywords)

    owner._set_app_protocol, owner.__init__ = set_app_protocol, init


def _keep(owner: type, name: str, profile: str) -> None:
    Kept(owner, name, profile)


def install_twisted() -> None:
    """Twisted's real transports: TCP and UNIX connections, TLS over them, datagram ports, processes, producers."""
    from twisted.internet import abstract, process, tcp, udp
    from twisted.protocols import tls

    _keep(tcp.Connection, "protocol", "twisted")
    _keep(udp.Port, "protocol", "twisted")
    _keep(process.BaseProcess, "proto", "twisted")
    says = (
        "write", "writeSequence", "loseConnection", "abortConnection", "loseWriteConnection",
        "pauseProducing", "resumeProducing", "stopProducing", "unregisterProducer",
    )  # fmt: skip
    for name in says:
        tell(tcp.Connection, name, lambda self: self.protocol)
    for name in ("write", "writeSequence", "writeToChild"):
        tell(process.Process, name, lambda self: self.proto)
    _keep(tls.TLSMemoryBIOProtocol, "wrappedProtocol", "twisted")
    for name in ("write", "writeSequence", "loseConnection", "abortConnection"):
        tell(tls.TLSMemoryBIOProtocol, name, lambda self: self.wrappedProtocol)
    _WRAPPERS.append(tls.TLSMemoryBIOProtocol.makeConnection)
    _watch_connecting()
    _watch_tls_of_twisted(tls.TLSMemoryBIOProtocol)
    for owner in (abstract._ConsumerMixin, tls.TLSMemoryBIOProtocol):
        _watch_producers(owner)


def _watch_connecting() -> None:
    """A listening port connects the protocol that its factory gave it, not the one its transport keeps."""
    from twisted.internet.protocol import BaseProtocol

    original = BaseProtocol.makeConnection

    def make(self: Any, transport: Any) -> None:
        monitor = getattr(transport, "__dict__", {}).get("_kept_protocol")
        if not isinstance(monitor, Monitor) or monitor.protocol is not self or monitor._watch.made:
            return original(self, transport)
        monitor._watch.transport = transport
        monitor._watch.enter(TRANSPORT, "makeConnection", (transport,))
        try:
            return original(self, transport)
        finally:
            monitor._watch.leave("makeConnection")

    BaseProtocol.makeConnection = make


def _watch_tls_of_twisted(owner: Any) -> None:
    original = owner.__init__

    def init(self: Any, factory: Any, wrapped: Any, _connectWrapped: bool = True) -> None:
        self._joined = not _connectWrapped
        original(self, factory, wrapped, _connectWrapped)

    owner.__init__ = init


def _watch_producers(owner: Any) -> None:
    original = owner.registerProducer

    def register(self: Any, producer: Any, streaming: bool) -> Any:
        if getattr(self, "TLS", False) or isinstance(producer, Monitor):
            return original(self, producer, streaming)
        kind = "push producer" if streaming else "pull producer"
        return original(self, watched(producer, "twisted", kind=kind), streaming)

    owner.registerProducer = register


def _write(path: str) -> None:
    with open(path, "w") as file:
        json.dump({**_count, "violations": _found}, file)


def _counted(self: Watch, by: str, name: str, args: tuple[Any, ...]) -> None:
    _count["calls"] += 1
    _enter(self, by, name, args)


def main() -> None:
    """Install the hooks and hand over to the runner."""
    report, runner, *arguments = sys.argv[1:]
    process = os.getpid()
    atexit.register(lambda: os.getpid() == process and _write(report))
    if report != os.devnull:
        Watch.enter = _counted
        install_asyncio()
    sys.argv = [runner, *arguments]
    if runner == "trial":
        if report != os.devnull:
            install_twisted()
        from twisted.scripts.trial import run

        run()
    elif runner == "pytest":
        import pytest

        sys.exit(pytest.main(arguments))
    else:
        unittest.main(module=None, argv=["unittest", *arguments])


if __name__ == "__main__":
    main()
