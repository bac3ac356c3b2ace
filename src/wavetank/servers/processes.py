"""What `/proc` says about processes: who descends from whom, what they run, which sockets they hold.

Owns every reading of `/proc/PID`. Must never signal a process, and must never take a zombie for a running one.

The idea: a process is known by its number *and* its start time, because numbers are used again; a socket by its
inode, which both the kernel's table of sockets and the process's descriptor directory give. Read directly and not by
way of psutil: what is asked here (socket inodes, ancestry, the call that a process is blocked in) is three files, and
it is asked every millisecond while a server starts.

Source: proc(5), proc_pid_stat(5), proc_pid_fd(5), proc_pid_syscall(5).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

#: Clock ticks per second of the start times in /proc/PID/stat.
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
#: A command line longer than this is cut where it is shown.
COMMAND_CHARACTERS: Final = 200
#: State letters of a process that no longer runs: zombie, and dead (proc_pid_stat(5)).
_ENDED: Final = frozenset("ZXx")


class Stat(NamedTuple):
    """What /proc/PID/stat says: state letter, parent, process group, session, start in clock ticks after boot."""

    state: str
    parent: int
    group: int
    session: int
    started_ticks: int

    @property
    def runs(self) -> bool:
        """Whether the process still runs; a zombie does not."""
        return self.state not in _ENDED


class Identity(NamedTuple):
    """A process for certain: its number, and when it started (clock ticks after boot)."""

    pid: int
    started_ticks: int


def stat(pid: int) -> Stat | None:
    """The process's state; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold spaces and parentheses: fields count from the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def identity(pid: int) -> Identity | None:
    """The process for certain; None when it does not run."""
    found = stat(pid)
    return Identity(pid, found.started_ticks) if found is not None and found.runs else None


def runs(process: Identity) -> bool:
    """Whether this very process still runs."""
    return identity(process.pid) == process


def everyone() -> Iterator[int]:
    """The numbers of all processes that can be seen."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def descendants(root: int) -> list[int]:
    """All running descendants of a process, itself not included, parents before children.

    By the lists of children that the kernel keeps (proc_tid_children(5), CONFIG_PROC_CHILDREN): the cost is that of the
    tree, not of the machine. Where the kernel has none, by the parents of all processes.
    """
    if not os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children"):
        return _descendants_by_parents(root)
    ordered, ahead = [], [root]
    while ahead:
        pid = ahead.pop(0)
        found = stat(pid)
        if pid != root and found is not None and found.runs:
            ordered.append(pid)
        ahead += _children(pid)
    return ordered


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except OSError:
            continue
    return found


def _descendants_by_parents(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    running: set[int] = set()
    for pid in everyone():
        found = stat(pid)
        if found is not None:
            children.setdefault(found.parent, []).append(pid)
            if found.runs:
                running.add(pid)
    ordered, ahead = [], [root]
    while ahead:
        pid = ahead.pop(0)
        ahead += children.get(pid, ())
        if pid != root and pid in running:
            ordered.append(pid)
    return ordered


def descends(pid: int, root: int) -> bool:
    """Whether `root` is `pid` or one of its ancestors."""
    while pid > 0:
        if pid == root:
            return True
        found = stat(pid)
        if found is None:
            return False
        pid = found.parent
    return False


def command(pid: int) -> str:
    """The command line, shortened; the name in brackets when there is none; empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read(COMMAND_CHARACTERS * 4).replace(b"\0", b" ").decode(errors="replace").strip()
        if not text:
            with open(f"/proc/{pid}/comm", "rb") as file:
                text = f"[{file.read().decode(errors='replace').strip()}]"
    except OSError:
        return ""
    return text if len(text) <= COMMAND_CHARACTERS else f"{text[:COMMAND_CHARACTERS]}..."


def started(pid: int) -> str:
    """When the process started, as local time `2026-01-31 12:00:00`; empty when it is gone."""
    found = stat(pid)
    if found is None:
        return ""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(booted + found.started_ticks / _TICKS_PER_S))


def describe(pid: int) -> str:
    """As in `pid 12 (redis-server *:6379), started 2026-01-31 12:00:00`."""
    return f"pid {pid} ({command(pid) or 'gone'}), started {started(pid) or 'unknown'}"


def descriptors(pid: int) -> dict[int, str]:
    """The open descriptors of a process and what each is, as in `{3: "socket:[123]"}`; empty where not allowed."""
    found = {}
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return {}
    for number in numbers:
        try:
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
    return found


def socket_inodes(pids: Iterable[int]) -> set[int]:
    """The inodes of all sockets that these processes hold."""
    return {
        int(target[8:-1])
        for pid in pids
        for target in descriptors(pid).values()
        if target.startswith("socket:[") and target.endswith("]")
    }


def holders(inode: int) -> list[int]:
    """All processes that hold this socket, as far as this user may look."""
    target = f"socket:[{inode}]"
    return [pid for pid in everyone() if target in descriptors(pid).values()]


def environment(pid: int) -> dict[str, str]:
    """The environment that the process was started with; empty where this user may not look."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().decode(errors="surrogateescape").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def message_queue_limit(pid: int) -> int:
    """The soft limit RLIMIT_MSGQUEUE of a process, in bytes; 0 when it is unlimited or not to be seen."""
    try:
        with open(f"/proc/{pid}/limits") as file:
            found = re.search(r"^Max msgqueue size +(\d+)", file.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def awaited_input(pid: int) -> str:
    """What the process is blocked reading from, when that is its standard input or a terminal; else empty."""
    try:
        with open(f"/proc/{pid}/syscall") as file:
            words = file.read().split()
    except OSError:
        return ""
    # "running", or "-1 SP PC" when blocked outside a call; read is 0 on x86-64 and 63 on arm64 (asm/unistd.h).
    if len(words) < 3 or words[0] not in ("0", "63"):
        return ""
    number = int(words[1], 16)
    target = descriptors(pid).get(number, "")
    terminal = target.startswith(("/dev/tty", "/dev/pts/", "/dev/console"))
    return target if number == 0 or terminal else ""
