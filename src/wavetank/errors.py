"""The one tree of exceptions of Wavetank.

Owns every exception class that leaves Wavetank on purpose, and the form of its text. Must never import another
module of Wavetank: everybody raises these, and `import wavetank` stays light.

The idea: an error has four parts - what happened, where, why (or what it usually means), and what to type next -
and `str()` shows the parts that are there, one per line. Each class knows the exit status of the command line
(`exit_status`), so that the outermost layer only prints and leaves. Each error crosses process borders: it pickles by
its constructor arguments (`_fields`), never by `args`.

Refusals inside a simulated program (`NotSimulated`) are also what the program expects from that call - an `OSError`
with an errno, an `ImportError` - so that code which survives a refusal on Linux survives it here.
"""

from __future__ import annotations

import difflib
import errno as errno_names
import os
from collections.abc import Iterable
from typing import Any, ClassVar

# Exit statuses of the command line; the list a user sees is in docs/words/errors.md.
EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 3
EXIT_ENVIRONMENT = 4
EXIT_NOTHING = 5
EXIT_NONDETERMINISM = 6


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that suggests the nearest of the `known` words, with a space in front; empty when none is near.

    The nearest is the first that begins with `word`, else the most similar one.
    """
    words = list(known)
    found = [each for each in words if word and each.startswith(word)] or difflib.get_close_matches(word, words, n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


def _rebuild(kind: type[WavetankError], fields: dict[str, Any]) -> WavetankError:
    """The error again, from what `__reduce__` kept of it."""
    return kind(**fields)


class WavetankError(Exception):
    """The root of the tree: an error in four parts.

    Arguments, all text: `what` happened; `where` (host, connection, virtual time, file, line); `why` it happened or
    what it usually means; `next`, what to type next. Parts that are empty are not shown.
    """

    exit_status: ClassVar[int] = EXIT_INTERNAL
    _fields: ClassVar[tuple[str, ...]] = ("what", "where", "why", "next")

    def __init__(self, what: str = "", *, where: str = "", why: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.next = next

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The parts that are present, one line of text each (a part may itself hold line breaks)."""
        parts = (("where", self.where), ("why", self.why), ("next", self.next))
        return [self.what or type(self).__name__, *(f"  {name}: {text}" for name, text in parts if text)]

    def __reduce__(self) -> tuple[Any, ...]:
        # By constructor arguments: OSError's own __reduce__ and BaseException's both rebuild from `args`, which
        # here belongs to the program that reads errno from args[0].
        fields = {name: getattr(self, name) for name in self._fields}
        rest = {name: value for name, value in self.__dict__.items() if name.startswith("__")}  # __notes__
        return _rebuild, (type(self), fields), rest or None


class UsageError(WavetankError):
    """The user asked for something that makes no sense: a wrong option, target, file or value."""

    exit_status = EXIT_USAGE


class PlanError(UsageError):
    """A plan, a fault or a fault's target is not valid."""


class FailureFileError(UsageError):
    """A failure file cannot be used: missing, cut short, not JSON, not ours, too new, or edited."""


class TraceError(UsageError):
    """A trace file cannot be read: missing, cut short, not ours, or too new."""


class EnvironmentProblem(WavetankError):
    """The machine does not let us work: a folder that cannot be written, an interpreter that cannot be used."""

    exit_status = EXIT_ENVIRONMENT


class NothingToRun(WavetankError):
    """The target exists but has no scenario in it."""

    exit_status = EXIT_NOTHING


class Nondeterminism(WavetankError):
    """The same plan gave two different runs; `where` is the first event at which they part."""

    exit_status = EXIT_NONDETERMINISM


class InternalError(WavetankError):
    """A defect of Wavetank itself. `why` and `next` say so when the raiser gives nothing better."""

    exit_status = EXIT_INTERNAL

    def __init__(self, what: str = "", *, where: str = "", why: str = "", next: str = "") -> None:
        super().__init__(
            what,
            where=where,
            why=why or "this is a defect of Wavetank, not of your program",
            next=next or "report it with this text, the command line, the seed and the output of `wavetank doctor`",
        )


class KernelError(InternalError):
    """An assertion of the simulated kernel is broken.

    Arguments: `what` invariant broke; the `host` and `connection` (text, may be empty) it broke at; `time_ns`, the
    virtual time in nanoseconds. `where` is made of these unless it is given.
    """

    _fields = ("what", "host", "connection", "time_ns", "where")

    def __init__(
        self, what: str, *, host: str = "", connection: str = "", time_ns: int | None = None, where: str = ""
    ) -> None:
        named = (
            ("host", host),
            ("connection", connection),
            ("virtual time", "" if time_ns is None else f"{time_ns / 1e9:.9f} s"),
        )
        super().__init__(what, where=where or ", ".join(f"{name} {text}" for name, text in named if text))
        self.host = host
        self.connection = connection
        self.time_ns = time_ns


class ProgramKilled(WavetankError):
    """A program whose result was asked for never ended by itself: a signal or a crash of its host killed it."""

    exit_status = EXIT_FAILURE


class ContractViolation(WavetankError):
    """A protocol or its transport broke a rule of the contract between them.

    Arguments: `rule`, its name (a key of `wavetank.contract.RULES`); `source`, where it is written; `history`, calls
    up to it, oldest first, the offending one last; `what` and `where`, in words.
    """

    exit_status = EXIT_FAILURE
    _fields: ClassVar[tuple[str, ...]] = ("rule", "source", "history", "what", "where")

    def __init__(self, rule: str, source: str, history: Iterable[Any] = (), *, what: str = "", where: str = "") -> None:
        super().__init__(what or f"the rule {rule} is broken", where=where, why=source)
        self.rule = rule
        self.source = source
        self.history = tuple(history)

    def lines(self) -> list[str]:
        """The parts, and below them the history, one line a call."""
        calls = [f"    {call}" for call in self.history]
        return [*super().lines(), *(["  calls, the last is the one:"] if calls else []), *calls]


class ServerError(WavetankError):
    """A third-party server, or a program that forwards for one, did not do what was expected of it."""

    exit_status = EXIT_FAILURE


class ProgramUnusable(ServerError):
    """The server's program is missing or cannot be executed here; found before anything was started."""

    exit_status = EXIT_ENVIRONMENT


class PortTaken(ServerError):
    """The address that a server was to have belongs to another process; the text says which."""


class ServerNotReady(ServerError):
    """A server was not ready when the time was over; it has been ended."""


class ServerDied(ServerError):
    """A server ended by itself, or was killed by somebody else: before it was ready, or while it was in use."""


class ServerStopError(ServerError):
    """A server did not stop as it should: it had to be killed, left processes, or ended with an unexpected status."""


class CheckFailed(WavetankError, AssertionError):
    """A protocol does not do what `wavetank.check` asks of every protocol.

    Arguments: `kind` (as in `--json`), `what` does not hold, `where` (the pieces and the end that show it), `why`;
    `report`, lines that show it, both outputs side by side among them; `test`, a regression test, ready to run.
    """

    exit_status = EXIT_FAILURE
    _fields: ClassVar[tuple[str, ...]] = ("kind", "what", "where", "why", "report", "test")

    def __init__(
        self, kind: str, what: str = "", *, where: str = "", why: str = "", report: str = "", test: str = ""
    ) -> None:
        super().__init__(what, where=where, why=why)
        self.kind = kind
        self.report = report
        self.test = test

    def lines(self) -> list[str]:
        """The parts, the report, and the test."""
        report = ["", *self.report.splitlines()] if self.report else []
        test = ["", "A regression test:", "", *self.test.splitlines()] if self.test else []
        return [*super().lines(), *report, *test]


class NotSimulated(WavetankError):
    """A simulated program made a call that Wavetank does not simulate; it was refused at the call.

    Arguments: `call`, its name as `--allow` takes it (`subprocess.Popen`); `reason`, why it is not simulated;
    `where`; `next`, when `--allow CALL` is not the way out.
    """

    exit_status = EXIT_FAILURE
    _fields: ClassVar[tuple[str, ...]] = ("call", "reason", "where", "next")

    def __init__(self, call: str, reason: str = "", *, where: str = "", next: str = "") -> None:
        allow = f"to let it through to the real system, at the price of repeatable runs: --allow {call}"
        WavetankError.__init__(self, f"{call} is not simulated", where=where, why=reason, next=next or allow)
        self.call = call
        self.reason = reason


class NotSimulatedOSError(NotSimulated, OSError):
    """A refused call that reports by `OSError`.

    `errno` is ENOSYS unless given: what Linux answers for a call that the kernel does not have, so libraries that
    probe for a call and live without it do so here (errno(3): "Function not implemented").
    """

    _fields: ClassVar[tuple[str, ...]] = ("call", "reason", "errno", "where", "next")

    def __init__(
        self, call: str, reason: str = "", *, errno: int = errno_names.ENOSYS, where: str = "", next: str = ""
    ) -> None:
        NotSimulated.__init__(self, call, reason, where=where, next=next)
        _become_os_error(self, errno)


class OutsideWorld(NotSimulatedOSError):
    """A program named a real address that belongs to no host of the world; nothing leaves to the real network.

    Arguments: `call`, `address` as text. `errno` is ENETUNREACH, what connect(2) gives where no route exists.
    """

    _fields = ("call", "address", "where")

    def __init__(self, call: str, address: str, *, where: str = "") -> None:
        super().__init__(
            call,
            f"{address} is the address of no host of this world, and nothing leaves to the real network",
            errno=errno_names.ENETUNREACH,
            where=where,
            next="give the world that host: --host NAME=SCRIPT, or world.host(NAME, addresses=[...])",
        )
        self.what = f"{call}: {address} is outside the world"
        self.address = address
        _become_os_error(self, errno_names.ENETUNREACH)


class NotSimulatedImport(NotSimulated, ImportError):
    """A module that cannot work on the simulated kernel was imported (a C loop of its own, for example).

    `name` is the module, as for every `ImportError`; `call` is "import NAME", which `--allow` takes as NAME.
    """

    _fields = ("module", "reason", "where", "next")

    def __init__(self, module: str, reason: str = "", *, where: str = "", next: str = "") -> None:
        allow = f"to import it all the same, at the price of repeatable runs: --allow {module}"
        NotSimulated.__init__(self, f"import {module}", reason, where=where, next=next or allow)
        self.module = module
        self.name = module
        self.msg = self.what


def _become_os_error(error: NotSimulatedOSError, errno: int) -> None:
    """Set what programs read from an `OSError`: errno, strerror, and args[0] (older code reads the errno there)."""
    error.errno = errno
    error.strerror = f"{error.what} ({os.strerror(errno)})"
    error.args = (errno, error.strerror)
