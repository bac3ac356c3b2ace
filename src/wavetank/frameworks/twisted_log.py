"""Twisted's log as a guest: each process has its own observers, and errors that nobody handled are reported.

Owns what is private about `twisted.logger`'s globals. A process starts as a real one does: nothing observes, what is
logged is kept for the first observer, and critical events are printed to the process's standard error.

What counts as unhandled. Twisted logs an exception where nobody is left to handle it - a Deferred that is dropped, a
callback of the reactor that raises - and a program logs exceptions that it has handled, by the same calls
(`d.addErrback(log.err)`). So the place decides that logs: see `_SITES`. Source: twisted/logger/_global.py,
python/log.py and all callers of `log.err` and `Logger.failure` in twisted/internet, 23.10 to 26.10.
"""

from __future__ import annotations

import sys
from types import FrameType, ModuleType
from typing import Any, Final

from wavetank.frameworks import reports, state
from wavetank.kernel import replace

#: Where Twisted logs what nobody handled: file and function; "" is every function of the file.
_SITES: Final = {
    "internet/_baseprocess.py": ("",),
    "internet/_posixstdio.py": ("",),
    "internet/_producer_helpers.py": ("",),
    "internet/_threadedselect.py": ("",),
    "internet/asyncioreactor.py": ("",),
    "internet/base.py": ("",),
    "internet/defer.py": ("__del__", "cancel"),
    "internet/epollreactor.py": ("",),
    "internet/pollreactor.py": ("",),
    "internet/posixbase.py": ("",),
    "internet/process.py": ("",),
    "internet/selectreactor.py": ("",),
    "internet/task.py": ("stop",),  # of `react`, whose main failed
    "internet/tcp.py": ("connectionLost", "readConnectionLost", "_closeWriteConnection"),
    "internet/udp.py": ("doRead",),
    "internet/unix.py": ("",),
    "python/threadpool.py": ("",),
    "application/internet.py": ("_failed",),  # of `TimerService`
}
#: The logging itself, between the place and the observer.
_LOGGING: Final = ("logger/", "python/log.py", "python/threadable.py", "python/context.py")


def install() -> None:
    """Wait for Twisted's log to be imported, if it is. Once per interpreter."""
    replace.when_imported("twisted.logger._global", _meet_logger)
    replace.when_imported("twisted.python.log", _meet_legacy)


class _StandardError:
    """The standard error of the process that runs: Twisted's own is that of the interpreter."""

    def write(self, text: str) -> object:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _meet_logger(module: ModuleType) -> None:
    import warnings

    publisher, beginner = module.globalLogPublisher, module.globalLogBeginner
    first = beginner._temporaryObserver

    def fresh() -> tuple[Any, ...]:
        own_publisher = type(publisher)()
        own = type(beginner)(own_publisher, _StandardError(), sys, warnings)
        # What a library has begun at import, it has begun in each process that imports it.
        inherited = [observer for observer in image_observers if observer is not first]
        begun = first is not None and first not in image_observers
        observers = [*inherited] if begun else [*inherited, own._temporaryObserver]
        temporary = None if begun else own._temporaryObserver
        return [_observe, *observers], own._initialBuffer, temporary, ("", 0), warnings.showwarning

    image_observers = publisher._observers
    places = [(beginner.__dict__, name) for name in ("_initialBuffer", "_temporaryObserver", "_previousBegin")]
    state.own([(publisher.__dict__, "_observers"), *places, (warnings.__dict__, "showwarning")], fresh)


def _meet_legacy(module: ModuleType) -> None:
    publisher = module.theLogPublisher
    image_observers = publisher._legacyObservers
    state.own([(publisher.__dict__, "_legacyObservers")], lambda: (list(image_observers),))


# ---- unhandled errors


def _observe(event: dict[str, Any]) -> None:
    failure = event.get("log_failure") or event.get("failure")  # the second: from `twisted.python.log`
    error = getattr(failure, "value", None)
    if isinstance(error, BaseException) and _nobody_handled(sys._getframe(1)):
        reports.unhandled(_words(event), error)


def _words(event: dict[str, Any]) -> str:
    from twisted.logger import formatEvent

    text = str(event.get("why") or "") if "log_text" in event else formatEvent(event)
    return text.partition("\n")[0].strip() or "Unhandled Error"


def _nobody_handled(frame: FrameType | None) -> bool:
    """Whether the innermost frame that is not the log's own is one of `_SITES`."""
    while frame is not None:
        _, inside, path = frame.f_code.co_filename.rpartition("/twisted/")
        if not inside and "/wavetank/" not in frame.f_code.co_filename:
            return False
        name = frame.f_code.co_name
        if name == "replayTo":
            return False  # was observed when it happened
        if inside and not path.startswith(_LOGGING):
            functions = _SITES.get(path, ())
            return "" in functions or name in functions
        frame = frame.f_back
    return False
