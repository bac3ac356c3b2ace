"""Where in the user's code something happened or waits: stacks as a reader wants them.

Owns the text of stacks and exceptions, with our frames left out and the user's own line first. It decides nothing:
oracles ask it where, reports show what it says.
"""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, NamedTuple

from wavetank.world.finder import LIBRARIES
from wavetank.world.finder import owner as owner

_STANDARD: Final = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
#: No report shows a stack deeper than this; of deeper ones, the innermost lines.
MAX_DEPTH: Final = 64


class Place(NamedTuple):
    """One line of code that ran or waits."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{short(self.file)}:{self.line} in {self.function}"


def short(path: str) -> str:
    """A path as reports show it: a library's from the package on, the user's own as the name of the file."""
    for part in LIBRARIES:
        _, found, rest = path.rpartition(part)
        if found:
            return rest
    if path.startswith(_STANDARD):
        return path[len(_STANDARD) :]
    return os.path.basename(path)


def innermost(places: Iterable[Place]) -> Place | None:
    """The user's own place nearest to where it happened, else a library's, else any but ours. Innermost first."""
    fallback: dict[str, Place] = {}
    for place in places:
        whose = owner(place.file)
        if whose == "user":
            return place
        fallback.setdefault(whose, place)
    return fallback.get("library") or fallback.get("python")


def of_frame(frame: FrameType | None) -> list[Place]:
    """The stack of a frame, innermost first, without our own lines."""
    found: list[Place] = []
    while frame is not None and len(found) < MAX_DEPTH:
        code = frame.f_code
        if owner(code.co_filename) != "wavetank":
            found.append(Place(code.co_filename, frame.f_lineno or 0, code.co_name))
        frame = frame.f_back
    return found


def of_exception(error: BaseException) -> list[Place]:
    """Where an exception was raised, innermost first, without our own lines."""
    found = [
        Place(frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if owner(frame.f_code.co_filename) != "wavetank"
    ]
    pointed = error.__dict__.get("__wavetank_place__")
    return found[::-1] if pointed is None else [*found[::-1], pointed]


def first_of(error: BaseException) -> BaseException:
    """The exception itself, or of a group, however deep, the first one in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def of_function(function: Any) -> Place | None:
    """Where a function begins, None when it is not written in Python."""
    code = getattr(function, "__code__", None)
    return None if code is None else Place(code.co_filename, code.co_firstlineno, code.co_name)


def point_to(error: BaseException, place: Place | None) -> None:
    """Say where in the user's code the reason for `error` is, when no line of its traceback can."""
    if place is not None:
        error.__dict__["__wavetank_place__"] = place


def of_coroutine(awaitable: Any) -> list[Place]:
    """What a suspended coroutine awaits, innermost first."""
    return [
        Place(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name)
        for frame in frames_of_coroutine(awaitable)
    ]


def frames_of_coroutine(awaitable: Any) -> list[FrameType]:
    """The frames of a suspended coroutine and of those that it awaits, innermost first, without our own."""
    found: list[FrameType] = []
    while awaitable is not None and len(found) < MAX_DEPTH:
        frame, inner = _suspended(awaitable)
        if frame is None:
            break
        if owner(frame.f_code.co_filename) != "wavetank":
            found.append(frame)
        awaitable = inner
    return found[::-1]


def source_line(place: Place) -> str:
    """The text of a line, without its indentation; empty when there is none to be read."""
    import linecache

    return linecache.getline(place.file, place.line).strip()


#: What stands between an awaiting coroutine and what it awaits: `anext(generator)`, `coroutine.__await__()`.
_BETWEEN: Final = ("async_generator_asend", "async_generator_athrow", "coroutine_wrapper")


def _suspended(awaitable: Any) -> tuple[FrameType | None, Any]:
    while type(awaitable).__name__ in _BETWEEN:  # only the garbage collector can look through (CPython issue 76991)
        awaitable = next((each for each in gc.get_referents(awaitable) if hasattr(each, "__name__")), None)
    # Names of the three kinds: coroutine, generator-based coroutine, asynchronous generator (Library: inspect).
    for frame_name, inner_name in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await")):
        frame = getattr(awaitable, frame_name, None)
        if frame is not None:
            return frame, getattr(awaitable, inner_name, None)
    return None, None


def lines(places: Iterable[Place]) -> Iterator[str]:
    """Places as Python prints a stack, in the given order."""
    for place in places:
        yield f'  File "{place.file}", line {place.line}, in {place.function}\n'
        text = source_line(place)
        if text:
            yield f"    {text}\n"


def format_exception(error: BaseException) -> str:
    """An exception as Python prints it, without our own lines, in it and in those that it follows from."""
    shown = traceback.TracebackException.from_exception(error, compact=True)
    _hide(shown, set())
    return "".join(shown.format())


def _hide(shown: traceback.TracebackException, seen: set[int]) -> None:
    if id(shown) in seen:
        return
    seen.add(id(shown))
    # Python leaves out the importer's frames, too (Python/import.c, remove_importlib_frames).
    hidden = [owner(entry.filename) == "wavetank" or entry.filename.startswith("<frozen imp") for entry in shown.stack]
    shown.stack[:] = [entry for entry, hide in zip(shown.stack, hidden, strict=True) if not hide]
    for other in (shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or ())):
        if other is not None:
            _hide(other, seen)


def last_line(error: BaseException) -> str:
    """The one line that names an exception: `ValueError: no such thing`; of several lines of text, all."""
    return "".join(traceback.TracebackException(type(error), error, None).format_exception_only()).strip()


def without_ours(start: TracebackType | None) -> TracebackType | None:
    """A traceback from the first line on that is not ours."""
    while start is not None and owner(start.tb_frame.f_code.co_filename) == "wavetank":
        start = start.tb_next
    return start
