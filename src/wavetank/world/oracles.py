"""What counts as a failure of a run, without a line of the user's code; and which of several failures is reported.

Owns the names of the oracles, the failures found so far, and their words. It never looks for them itself: whoever sees
something go wrong - the end of a program, a loop's exception handler, the kernel with nothing left to do, the watchdog
- reports here.

A run goes on after an exception nobody handled, because what follows from it may say more. Of several failures the one
out of a program or the scenario itself is reported before the others, and the earlier before the later. A program that
ends with a status, as Twisted's `react` does after it has logged an exception, has said less than what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from wavetank.kernel import core
from wavetank.trace.schema import Kind
from wavetank.world import places
from wavetank.world.job import FailureRecord

#: The oracles of `wavetank.world` (`nondeterminism` is found by the campaign, which compares two runs).
EXCEPTION: Final = "exception"
UNHANDLED: Final = "unhandled"
HANG: Final = "hang"
SPIN: Final = "spin"
LEAK: Final = "leak"
CONTRACT: Final = "contract"
BUFFER: Final = "buffer"
KINDS: Final = (EXCEPTION, UNHANDLED, HANG, SPIN, LEAK, CONTRACT, BUFFER)
#: At most so many failures of one run are kept; the first are what matters.
MAX_FAILURES: Final = 100


class Found(NamedTuple):
    """One failure: where it was seen, and how to say it. `still` tells whether it counts in the end."""

    kind: str
    time_ns: int
    host: str
    words: Callable[[], FailureRecord]
    still: Callable[[], bool]
    first: bool  # reported before others, even earlier ones
    error: BaseException | None


def _always() -> bool:
    return True


class Oracles:
    """The failures of one run. `off`: names of oracles that are switched off."""

    def __init__(self, off: Iterable[str] = ()) -> None:
        self.off = frozenset(off)
        self.found: list[Found] = []
        self.notes: list[str] = []

    def report(
        self,
        kind: str,
        host: str,
        words: Callable[[], FailureRecord],
        still: Callable[[], bool] = _always,
        *,
        first: bool = False,
        error: BaseException | None = None,
    ) -> None:
        """Something failed now. The words are made at the end, and only when `still()` says that it counts then.

        `error`: the exception that it is, if it is one.
        """
        assert kind in KINDS, f"no oracle is called {kind!r}"
        if kind not in self.off and len(self.found) < MAX_FAILURES:
            self.found.append(Found(kind, core.K.now, host, words, still, first, error))

    def report_exception(
        self, kind: str, host: str, error: BaseException, context: str = "", still: Callable[[], bool] = _always
    ) -> None:
        """An exception is the failure; `context` says in what it was seen ("Task exception was never retrieved")."""
        now = core.K.now
        core.K.recorder.event(now, Kind.NOTE, 0, 0, f"{kind}: {type(error).__name__}".encode())
        self.report(
            kind,
            host,
            lambda: exception_record(kind, host, now, error, context),
            still,
            first=kind == EXCEPTION,
            error=error,
        )

    def note(self, text: str) -> None:
        """Something the reader of the report should know; each text once."""
        if text not in self.notes and len(self.notes) < MAX_FAILURES:
            self.notes.append(text)

    def _counted(self) -> list[Found]:
        """The failures that count, the one to be reported first."""
        return sorted((found for found in self.found if found.still()), key=lambda each: (not each.first, each.time_ns))

    def blamed(self) -> BaseException | None:
        """The exception that is the verdict; None when it is none, or there is no verdict."""
        counted = self._counted()
        return counted[0].error if counted else None

    def verdict(self) -> FailureRecord | None:
        """The failure of the run, or None. Others are named in its summary."""
        counted = self._counted()
        if not counted:
            return None
        record = counted[0].words()
        others = [f"{each.kind} on {each.host or 'the world'} at {each.time_ns / 1e9:.6f} s" for each in counted[1:4]]
        if others:
            more = f" and {len(counted) - 4} more" if len(counted) > 4 else ""
            record.summary = f"{record.summary}\nalso: {', '.join(others)}{more}".strip()
        return record


def exception_record(kind: str, host: str, time_ns: int, error: BaseException, context: str) -> FailureRecord:
    """The words for a failure that is an exception; of a group of them, the first that is none is the failure."""
    first = places.first_of(error)
    place = places.innermost(places.of_exception(first)) or places.innermost(places.of_exception(error))
    if first is not error:
        context = f"{context}\nin {places.last_line(error)}".strip()
    return FailureRecord(
        kind=kind,
        error=places.last_line(first),
        host=host,
        time_ns=time_ns,
        where=str(place) if place else "",
        traceback=places.format_exception(error),
        summary=context,
    )


def text_record(
    kind: str, host: str, time_ns: int, error: str, stack: list[places.Place], detail: str, *, sort: str = ""
) -> FailureRecord:
    """The words for a failure that is none of Python's exceptions. `stack`: innermost first."""
    place = places.innermost(stack)
    where = str(place) if place else ""
    return FailureRecord(kind=kind, error=error, host=host, time_ns=time_ns, where=where, traceback=detail, sort=sort)
