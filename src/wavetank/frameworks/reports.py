"""What the frameworks tell whoever listens: exceptions that nobody handled, and notes for the reader of a report.

Owns the lists of listeners. It decides nothing; what counts as a failure is said in `wavetank.world.oracles`.
"""

from __future__ import annotations

from collections.abc import Callable

from wavetank.kernel import core

#: Called for each exception that a loop, reactor or thread found unhandled: the host's name, the framework's words for
#: where that was, and the exception.
unhandled_hooks: list[Callable[[str, str, BaseException], object]] = []
#: Called with each thing that the reader of a report should know, such as a library replaced by another.
note_hooks: list[Callable[[str], object]] = []
#: Called for each thing that a program has lost and that can never end: the host's name, words, details.
leak_hooks: list[Callable[[str, str, str], object]] = []


def unhandled(text: str, error: BaseException) -> None:
    """In the process that runs now, nobody handled `error`."""
    host = core.K.process.host_name
    for hook in tuple(unhandled_hooks):
        hook(host, text, error)


def leaked(text: str, detail: str, host: str = "") -> None:
    """A process on `host`, or the one that runs now, has lost something that can never end."""
    host = host or core.K.process.host_name
    for hook in tuple(leak_hooks):
        hook(host, text, detail)


def note(text: str) -> None:
    """Tell the reader of the report, once."""
    for hook in tuple(note_hooks):
        hook(text)
