"""Twisted as a guest: its own reactors run unmodified; here is how each process comes to a reactor of its own.

Owns what `twisted.internet.reactor` means: one object for all modules, also for those that imported it long before,
which forwards to the reactor of the process that runs. It owns, too, the few other globals that must not be shared. It
never imports Twisted unless a program's main is to run under it. Source: twisted/internet/reactor.py, main.py, task.py
and python/threadable.py, 23.10 to 26.10.

The idea. A real process makes its reactor when `twisted.internet.reactor` is imported for the first time, unless a
reactor was installed before. The image, and the director with the scenario's file, import modules before there is a
program, so there the import makes nothing; a process makes the default reactor when one of its own imports asks for it,
or when it first uses the one that a module already has. `install()` works until then. What a module asks of the reactor
while the image or the director imports it is done by the reactor of each process, if that makes sense, else refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import CO_OPTIMIZED
from types import MethodType, ModuleType
from typing import Any, Final

from wavetank.errors import NotSimulatedImport
from wavetank.frameworks import state, twisted_log, twisted_waits
from wavetank.kernel import core, replace

NAME: Final = "twisted.internet.reactor"
#: At most so many of its pending calls are looked at.
DEADLINES: Final = 64
_IMAGE: Final = object()
#: What each process has for itself: its reactor (None: not made yet; `_IMAGE`: nobody's process), what somebody put at
#: `twisted.internet.reactor` in place of it, as tests do, and what its main returned under `run`.
_own: Final[dict[str, Any]] = {"reactor": _IMAGE, "shown": None, "main": None}
_modules: Final = state.ModuleTable(sys.modules)
#: What modules asked of the reactor while the image imported them: the call, its arguments.
_asked: Final[list[tuple[str, tuple[Any, ...], dict[str, Any]]]] = []
#: The calls that a real program makes at import and that a process can make later just as well.
_LATER: Final = frozenset({"addSystemEventTrigger", "callLater", "callWhenRunning", "installNameResolver",
                           "installResolver", "suggestThreadPoolSize"})  # fmt: skip
_installed: Callable[[], Any] | None = None  # makes the reactor that a module installed while the image imported it
_of_image: tuple[int, Callable[[], Any] | None] | None = None  # how much of both is the image's, not a director's


def run(main: Callable[..., Any], *args: Any) -> Any:
    """Run the reactor until the Deferred or coroutine that `main(reactor, *args)` returns has its result; return that.

    Raises what it failed with. The result is None when the reactor was stopped before.
    """
    from twisted.internet.defer import maybeDeferred
    from twisted.python.failure import Failure

    reactor = _current()
    ended: list[Any] = []
    stopping: list[bool] = []

    def finish(result: Any) -> None:
        ended.append(result)
        if not stopping:
            reactor.callWhenRunning(_stop, reactor)

    reactor.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    work = _own["main"] = main(reactor, *args)
    maybeDeferred(lambda: work).addBoth(finish)
    reactor.run()
    if ended and isinstance(ended[0], Failure):
        ended[0].raiseException()
    return ended[0] if ended else None


def _stop(reactor: Any) -> None:
    from twisted.internet.error import ReactorNotRunning

    with suppress(ReactorNotRunning):
        reactor.stop()


# ---- the reactor of each process


def _current() -> Any:
    """The reactor of the process that runs; made now, if it has none yet."""
    reactor = _own["reactor"]
    if reactor is None:
        from twisted.internet import default

        sys.modules.pop(NAME, None)
        if _installed is None:
            default.install()
        else:
            _install_reactor(_installed())
        reactor = _own["reactor"]
    return reactor


def _install_reactor(reactor: Any) -> None:
    """`twisted.internet.main.installReactor`: this process, and in the image each process, has this reactor."""
    global _installed
    if _own["reactor"] is _IMAGE:
        if _installed is not None:
            _already_installed()
        _installed = type(reactor)
    elif NAME in sys.modules:
        _already_installed()
    elif _own["reactor"] is not None:  # set aside, as tests do: who has it keeps it, who imports it now gets this one
        _own["shown"] = sys.modules[NAME] = reactor
        return
    else:
        _own["reactor"] = reactor
        for name, args, keywords in _asked:
            getattr(reactor, name)(*args, **keywords)
    sys.modules[NAME] = the_reactor  # type: ignore[assignment]  # as Twisted itself does


def _already_installed() -> None:
    from twisted.internet.error import ReactorAlreadyInstalledError

    raise ReactorAlreadyInstalledError("reactor already installed")


class _Reactor:
    """`twisted.internet.reactor`: whatever is asked of it, the reactor of the process that runs answers."""

    __slots__ = ("__weakref__",)
    __spec__ = None  # asked by `import` of what it finds in `sys.modules`; must not make a reactor

    def __getattr__(self, name: str) -> Any:
        if _own["reactor"] is _IMAGE:
            return _while_importing(name)
        if name in _NOT_FORWARDED and not (name == "__dict__" and _is_made()):
            raise AttributeError(name)
        value = getattr(_current(), name)
        if isinstance(value, MethodType) and not sys._getframe(1).f_code.co_flags & CO_OPTIMIZED:
            return _Call(name)  # taken by a module or class, which other processes may use, too
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_current(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_current(), name)

    @property  # type: ignore[misc]  # typeshed: writable
    def __class__(self) -> Any:
        reactor = _own["reactor"]
        return _Reactor if reactor is None or reactor is _IMAGE else type(reactor)

    def __eq__(self, other: object) -> bool:
        return other is self or (other is not None and other is _own["reactor"])

    def __hash__(self) -> int:
        return hash(_IMAGE if _own["reactor"] is _IMAGE else _current())

    def __repr__(self) -> str:
        reactor = _own["reactor"]
        return f"<reactor of {core.K.process.name}>" if reactor is None or reactor is _IMAGE else repr(reactor)

    def __dir__(self) -> list[str]:
        return dir(_default_class() if _own["reactor"] is _IMAGE else _current())


def _is_made() -> bool:
    return _own["reactor"] is not None


#: Asked by `import`, `inspect`, `copy` and the like of anything they meet.
_NOT_FORWARDED: Final = frozenset({"__path__", "__file__", "__dict__", "__wrapped__", "__loader__"})
the_reactor: Final = _Reactor()


class _Call:
    """A method of the reactor, taken while a module is imported (`later = reactor.callLater`): the caller's own."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if _own["reactor"] is not _IMAGE:
            return getattr(_current(), self._name)(*args, **keywords)
        if self._name in _LATER:
            _asked.append((self._name, args, keywords))
            return None
        raise NotSimulatedImport(
            _importer(),
            f"it calls reactor.{self._name}() where no program runs: at import, or in the scenario itself",
            next="call it in a function that a program calls",
        )

    def __repr__(self) -> str:
        return f"<{self._name} of the reactor>"


def _importer() -> str:
    frame = sys._getframe(2)
    return str(frame.f_globals.get("__name__", "?"))


def _while_importing(name: str) -> Any:
    """An attribute of the reactor, where there is none: in the image, in the director."""
    if name in ("__providedBy__", "__provides__"):
        return sys.modules["zope.interface"].implementedBy(_default_class())
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "running":
        return False
    value = getattr(_default_class(), name)
    return _Call(name) if callable(value) else value


def _default_class() -> Any:
    if isinstance(_installed, type):
        return _installed
    from twisted.internet import default

    return sys.modules[default.install.__module__].__dict__[_DEFAULT[default.install.__module__]]


_DEFAULT: Final = {
    "twisted.internet.epollreactor": "EPollReactor",
    "twisted.internet.pollreactor": "PollReactor",
    "twisted.internet.selectreactor": "SelectReactor",
}


# ---- meeting Twisted


class _Package(ModuleType):
    """The package `twisted.internet`, whose attribute `reactor` is each process's own."""

    @property
    def reactor(self) -> Any:
        """What `from twisted.internet import reactor` gives: importing it is what makes the default reactor."""
        if _own["shown"] is None and _own["reactor"] is None:
            _current()
        elif _own["shown"] is None and NAME not in sys.modules:
            from twisted.internet import default

            default.install()
        shown = _own["shown"]
        return the_reactor if shown is None else shown

    @reactor.setter
    def reactor(self, value: Any) -> None:
        _own["shown"] = None if value is the_reactor else value

    @reactor.deleter
    def reactor(self) -> None:
        _own["shown"] = None


def install() -> None:
    """Wait for Twisted to be imported, if it is. Once per interpreter."""
    replace.when_imported("twisted.internet", _meet_package)
    replace.when_imported("twisted.internet.main", _meet_main)
    replace.when_imported("twisted.internet.task", _meet_task)
    replace.when_imported("twisted.internet.tcp", _meet_tcp)
    replace.when_imported("twisted.python.threadable", _meet_threadable)
    replace.when_imported("twisted.names.client", _meet_names)
    for name in ("treq.api", "treq._utils"):  # 24 and newer; older
        replace.when_imported(name, _meet_treq)
    twisted_log.install()


def _meet_package(module: ModuleType) -> None:
    module.__class__ = _Package
    if _own["reactor"] is _IMAGE:
        sys.modules[NAME] = the_reactor  # type: ignore[assignment]
    state.own([*((_own, name) for name in _own), (_modules, NAME)], _nothing_yet, _as_the_image)


def _nothing_yet() -> tuple[Any, ...]:
    return None, None, None, state.ABSENT if _installed is None else the_reactor


def _as_the_image() -> tuple[Any, ...]:
    """For a new director: what the director of an earlier world asked of the reactor is over."""
    global _installed, _of_image
    if _of_image is None:
        _of_image = len(_asked), _installed
    size, _installed = _of_image
    del _asked[size:]
    return _IMAGE, None, None, the_reactor


def _meet_main(module: ModuleType) -> None:
    module.installReactor = _install_reactor  # type: ignore[attr-defined]


def _meet_task(module: ModuleType) -> None:
    # Its tasks run under the reactor of the first that was started.
    state.own([(module.__dict__, "_theCooperator")], lambda: (module.Cooperator(),))


def _meet_tcp(module: ModuleType) -> None:
    import socket

    # The descriptor to give up when there are no more: `open("/dev/null")` takes none of the simulated process's.
    reservation = getattr(module, "_FileDescriptorReservation", None)
    if reservation is not None:
        state.own([(module.__dict__, "_reservedFD")], lambda: (reservation(lambda: socket.socket(socket.AF_UNIX)),))


def _meet_threadable(module: ModuleType) -> None:
    state.own([(module.__dict__, "ioThread")], lambda: (None,))


def _meet_names(module: ModuleType) -> None:
    state.own([(module.__dict__, "theResolver")], lambda: (None,))


def _meet_treq(module: ModuleType) -> None:
    # A pool of connections, and with it the reactor of the first process that made a request.
    if "_global_pool" in module.__dict__:
        state.own([(module.__dict__, "_global_pool")], lambda: ([None],))


# ---- who waits for what


def waits(thread: core.Thread) -> list[tuple[str, str, Any]]:
    """What the reactor of a process waits for, if `thread` runs it; see `twisted_waits`."""
    reactor = _reactor_of(thread)
    return [] if reactor is None else twisted_waits.of_reactor(reactor, thread.process.own_value(_own, "main"))


def deadlines(thread: core.Thread) -> list[int]:
    """When delayed calls of the reactor that `thread` runs are due, as virtual time in ns; of many, some of the first.

    A reactor counts in seconds of the wall clock (twisted/python/runtime.py, `Platform.seconds`).
    """
    reactor = _reactor_of(thread)
    if reactor is None:
        return []
    kernel, clock = core.K, thread.process.stack.clock
    began = kernel.epoch_ns + (0 if clock is None else clock.error_ns(kernel.now))
    pending = (getattr(reactor, name, [])[:DEADLINES] for name in ("_pendingTimedCalls", "_newTimedCalls"))
    return [round(call.getTime() * 1e9) - began for calls in pending for call in calls if not call.cancelled]


def unsent_bytes(thread: core.Thread, number: int) -> int:
    """How many bytes a transport of the reactor of `thread` keeps for the descriptor `number`.

    Source: twisted/internet/abstract.py, `FileDescriptor.write` and `doWrite`.
    """
    reactor = _reactor_of(thread)
    for writer in () if reactor is None else reactor.getWriters():
        if hasattr(writer, "_tempDataLen") and writer.fileno() == number:
            size: int = len(writer.dataBuffer) - writer.offset + writer._tempDataLen
            return size
    return 0


def _reactor_of(thread: core.Thread) -> Any:
    """The reactor that `thread` runs, None when it runs none."""
    process = thread.process
    if "twisted.internet" not in sys.modules or thread is not process.main_thread:
        return None
    shown = process.own_value(_own, "shown")
    reactor = shown if getattr(shown, "running", False) is True else process.own_value(_own, "reactor")
    return None if reactor is _IMAGE or not hasattr(reactor, "getWriters") else reactor
