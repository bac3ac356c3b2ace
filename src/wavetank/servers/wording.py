"""The texts of what goes wrong with a server: every fact that its reader needs, in one place.

Owns the words of errors. Must never decide whether something is an error.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from wavetank.errors import ServerDied
from wavetank.servers import processes
from wavetank.servers.output import Log, Mark
from wavetank.servers.sockdiag import Listener

#: What servers print when bind(2) answers EADDRINUSE.
ADDRESS_IN_USE = re.compile(
    r"address (is )?already in use|EADDRINUSE|errno[ =:]*98\b|port \d+ (is )?(already )?in use", re.I
)
_WANTS_TERMINAL = re.compile(
    r"not (a|from a|to a) (tty|terminal)|inappropriate ioctl|must be run from a terminal|/dev/tty|standard input|stdin",
    re.I,
)


def command_line(argv: Sequence[str]) -> str:
    """The command as one would type it."""
    return shlex.join(argv)


def how_it_ended(status: int | None, *, sent_kill: bool, oom_kills: int) -> str:
    """Words for a wait status: exit status, or the signal's name, core or not, and who may have sent it."""
    if status is None:
        return "ended (its status is not known: it had put itself into the background)"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in {*signal.Signals} else f"signal {number}"
        core = ", core dumped" if os.WCOREDUMP(status) else ""
        if number == signal.SIGKILL and not sent_kill:
            by = "; most likely the kernel's out-of-memory killer, which acted meanwhile" if oom_kills else ""
            return f"was killed by someone else ({name}, which Wavetank has not sent{by})"
        return f"was killed by {name}{core}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def oom_kills() -> int:
    """How often the kernel's out-of-memory killer has acted since boot (/proc/vmstat)."""
    try:
        found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.M)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def listed(pids: Iterable[int]) -> str:
    """Processes with their command lines, as in `pid 12 (sleep 60), pid 13 (sh)`."""
    return ", ".join(f"pid {pid} ({processes.command(pid) or 'gone'})" for pid in pids)


def addresses(listeners: Iterable[Listener]) -> str:
    """Where processes listen, without repetition."""
    return ", ".join(dict.fromkeys(map(str, listeners)))


def facts(argv: Sequence[str], log: Log, mark: Mark, *more: str) -> str:
    """The part `where` of an error: the command and what the server printed."""
    return "\n    ".join([f"command: {command_line(argv)}", *more, *log.excerpt(mark).splitlines()])


def input_hint(pids: Iterable[int], log: Log, mark: Mark, *, stdin: str) -> str:
    """What to do when a program waits for input, or ended because it got none; empty when nothing points to that."""
    for pid in pids:
        target = processes.awaited_input(pid)
        if target:
            return (
                f"pid {pid} ({processes.command(pid)}) is blocked reading {target}: it wants input or a terminal; "
                "start it with the option for running unattended, or write to it (stdin='pipe'), or stdin='terminal'"
            )
    if stdin != "terminal" and _WANTS_TERMINAL.search(log.since(mark)):
        return (
            f"the program seems to want a terminal or standard input (it got {stdin!r}): stdin='terminal' gives it one"
        )
    return ""


def died(name: str, ended: str, when: str, *, where: str, why: str = "", next: str = "") -> ServerDied:
    """The error for a server that ended when it should not."""
    return ServerDied(f"{name} {ended} {when}", where=where, why=why, next=next)
