"""The end of a server: asked politely, then told, then killed; and what was found out on the way.

Owns the order of escalation and the report about it. Must never hang: every wait has a limit, nothing is read from
pipes; and never leave a process: what the server had below it when the stop began is checked afterwards, by number and
start time.

The order: the server's own way (a command, bytes to its input, a signal); SIGTERM to its process group; SIGKILL to
everything - tree, session, orphans - by the supervisor, which reaps. A server that needed more than the first is
*escalated*, which is reported, and an error where the server is `strict`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import warnings
from dataclasses import dataclass, field
from typing import Final

from wavetank.errors import ServerError, ServerStopError
from wavetank.servers import launcher, processes, wording
from wavetank.servers.core import Core
from wavetank.servers.processes import Identity
from wavetank.servers.sockdiag import Table
from wavetank.servers.spec import fill
from wavetank.servers.steps import Script, Wait

#: What children of a server get to end by themselves after it has ended.
_CHILDREN_S: Final = 1.0
#: What the group gets after SIGTERM, on top of the server's own grace.
_GROUP_S: Final = 0.5
#: What a server gets to close connections that its clients have closed, before they count as leaked.
_CLOSING_S: Final = 0.5
#: After SIGKILL there is nothing to wait for but the kernel; a process in an uninterruptible sleep can take longer.
_KILL_S: Final = 10.0


class ServerWarning(UserWarning):
    """Something about a server that is not an error by itself: it had to be killed, it left processes behind."""


@dataclass
class StopReport:
    """How a server ended. `status` is its exit status, negative for a signal, None when it is not known."""

    name: str
    pid: int
    status: int | None = None
    seconds: float = 0.0
    #: What it took, in order: `stop command`, `input`, the signal's name, `SIGTERM to the group`, `SIGKILL`.
    steps: list[str] = field(default_factory=list)
    escalated: bool = False
    #: Processes that got SIGKILL, with their command lines.
    killed: list[str] = field(default_factory=list)
    #: Processes that lived on after the server itself had ended, with their command lines. They were killed.
    left: list[str] = field(default_factory=list)
    #: Descriptors that the server has open at its end and had not when it was ready: `{pid: {number: what}}`.
    more_descriptors: dict[int, dict[int, str]] = field(default_factory=dict)
    #: How many descriptors these processes had when it was ready, and have at its end: `{pid: (before, after)}`.
    descriptor_counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    #: Its exit status is none of those that were expected.
    unexpected: bool = False
    #: It had ended before it was asked to.
    died: bool = False
    #: One line for each thing that was not as it should be.
    troubles: list[str] = field(default_factory=list)
    #: The error for a server that had ended before it was asked to.
    death: ServerError | None = None


def stop(core: Core) -> Script[StopReport]:
    """Stop the server and everything it has started. Raises nothing for what the server does: see `complain`."""
    return (yield from _end(core, politely=True))


def kill(core: Core) -> Script[StopReport]:
    """The same at once, by SIGKILL."""
    return (yield from _end(core, politely=False))


def _end(core: Core, *, politely: bool) -> Script[StopReport]:
    launched = core.launched
    assert launched is not None
    begun = time.monotonic()
    died = not core.stopping and (core.death_told or not core.running)  # what has been killed may not be gone yet
    core.stopping = True
    report = StopReport(core.spec.name, core.pid, died=died, steps=core.stop_steps)
    snapshot = [found for pid in core.members() if (found := processes.identity(pid)) is not None]
    try:
        yield from _count_descriptors(core, report)
        if politely and not report.died and core.running:
            yield from _politely(core, report)
            if core.running:
                yield from _firmly(core, report)
        if not core.running:
            yield from _children_may_end(core, snapshot)
        yield from _kill_all(core, launched, report, snapshot)
    finally:
        if core.launched is launched:
            _give_up(core)
    if core.launched is not launched:
        # Another stop, of a signal handler or another task, began later and was done first: what it found counts.
        assert isinstance(core.last_stop, StopReport)
        return core.last_stop
    report.status = _status(core)
    report.seconds = time.monotonic() - begun
    _judge(core, report, snapshot)
    core.launched = None
    core.last_stop = report
    core.place.note(core.marker, [])
    return report


def _status(core: Core) -> int | None:
    """The exit status as `subprocess` gives it. What our own SIGKILL ended with its namespace is not reported by it."""
    assert core.launched is not None
    if core.pid != core.launched.pid:
        return None
    if core.launched.status is None:
        return -signal.SIGKILL if core.sent_kill else None
    return os.waitstatus_to_exitcode(core.launched.status)


def _politely(core: Core, report: StopReport) -> Script[None]:
    """The server's own way."""
    spec = core.spec
    assert core.launched is not None
    deadline = time.monotonic() + spec.stop_timeout
    if spec.stop_command is not None:
        report.steps.append("stop command")
        yield from _run_stop_command(core, report, deadline)
    elif spec.stop_input is not None:
        report.steps.append("input")
        with contextlib.suppress(OSError):
            os.set_blocking(core.stdin, False)
            os.write(core.stdin, spec.stop_input)
        if spec.stdin == "pipe":
            core.close_stdin()
    else:
        report.steps.append(signal.Signals(spec.stop_signal).name)
        _signal(core, spec.stop_signal)
    yield from _until_ended(core, deadline)


def _signal(core: Core, number: int) -> None:
    assert core.launched is not None
    if core.pid == core.launched.pid:
        launcher.send_signal(core.launched, number)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(core.pid, number)


def _run_stop_command(core: Core, report: StopReport, deadline: float) -> Script[None]:
    assert core.spec.stop_command is not None
    argv = [fill(word, core.values() | {"pid": str(core.pid)}) for word in core.spec.stop_command]
    try:
        command = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=core.spec.environment(core.marker, core.values()), cwd=core.working_directory(),
        )  # fmt: skip
    except OSError as error:
        report.troubles.append(f"the stop command {wording.command_line(argv)} cannot be run: {error.strerror}")
        return
    try:
        while command.poll() is None and time.monotonic() < deadline:
            yield Wait(until=min(deadline, time.monotonic() + 0.005))
    finally:
        if command.poll() is None:
            command.kill()
            command.wait()
            report.troubles.append(f"the stop command {wording.command_line(argv)} did not end; it was killed")
    if command.returncode > 0:
        report.troubles.append(f"the stop command {wording.command_line(argv)} gave status {command.returncode}")


def _until_ended(core: Core, deadline: float) -> Script[None]:
    assert core.launched is not None
    while core.running and time.monotonic() < deadline:
        watched = (core.launched.control.fileno(),)
        until = deadline if core.pid == core.launched.pid else min(deadline, time.monotonic() + 0.005)
        yield Wait(readable=watched, until=until)


def _firmly(core: Core, report: StopReport) -> Script[None]:
    """It has not gone in its grace: SIGTERM to the whole group (a shell may have kept it from the real server)."""
    report.escalated = True
    report.steps.append("SIGTERM to the group")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(core.pid, signal.SIGTERM)
    yield from _until_ended(core, time.monotonic() + min(_GROUP_S, core.spec.stop_timeout))


def _children_may_end(core: Core, snapshot: list[Identity]) -> Script[None]:
    """Workers of a server that ends in order need a moment more than it."""
    limit = time.monotonic() + _CHILDREN_S
    while core.members() and time.monotonic() < limit:
        yield Wait(until=time.monotonic() + 0.005)


def _kill_all(core: Core, launched: launcher.Launched, report: StopReport, snapshot: list[Identity]) -> Script[None]:
    """Everything that still lives gets SIGKILL; the supervisor reaps, says so and ends."""
    members = core.members()
    if core.running:
        report.steps.append("SIGKILL")
        report.killed = _described(members)
        core.sent_kill = True
    else:
        strays = [each.pid for each in snapshot if processes.runs(each) and each.pid not in members]
        report.left = _described([*members, *strays])
    supervisor = processes.identity(launched.supervisor)
    launched.ask("end")
    limit = time.monotonic() + _KILL_S
    while not launched.ended and time.monotonic() < limit:
        yield Wait(readable=(launched.control.fileno(),), until=limit)
        launched.listen()
    while supervisor is not None and processes.runs(supervisor) and time.monotonic() < limit:
        yield Wait(until=time.monotonic() + 0.001)
    for each in snapshot:  # what had left the tree on the weakest rung, or while the supervisor was dead
        if processes.runs(each):
            core.sent_kill = True
            with contextlib.suppress(OSError):
                os.kill(each.pid, signal.SIGKILL)
    while any(processes.runs(each) for each in snapshot) and time.monotonic() < limit:
        yield Wait(until=time.monotonic() + 0.001)


def _described(pids: list[int]) -> list[str]:
    return [f"pid {pid} ({processes.command(pid)})" for pid in pids]


def _give_up(core: Core) -> None:
    """Close everything, also when the procedure was abandoned half-way: the supervisor then ends the server."""
    assert core.launched is not None
    core.launched.ask("end")
    core.launched.close()
    core.close_stdin()


def more_descriptors(core: Core) -> dict[int, dict[int, str]]:
    """What the server's processes have open now and had not when it was ready, where that makes them more.

    Connections that their client has not closed are none of it. Those that it has closed are.
    """
    found = {}
    for pid, (before, now) in _descriptors_then_and_now(core).items():
        if len(now) > len(before):
            found[pid] = {number: what for number, what in now.items() if before.get(number) != what}
    return found


def _descriptors_then_and_now(core: Core) -> dict[int, tuple[dict[int, str], dict[int, str]]]:
    now = core.descriptors(core.descriptors_at_start)
    return {pid: (before, now[pid]) for pid, before in core.descriptors_at_start.items()}


def _count_descriptors(core: Core, report: StopReport) -> Script[None]:
    """Write down what has been gained; where it matters, after a moment in which the server may close connections."""
    limit = time.monotonic() + _CLOSING_S
    while (found := more_descriptors(core)) and core.spec.check_descriptors and time.monotonic() < limit:
        yield Wait(until=time.monotonic() + 0.005)
    counts = {pid: (len(before), len(now)) for pid, (before, now) in _descriptors_then_and_now(core).items()}
    report.more_descriptors = found
    report.descriptor_counts = {pid: counts[pid] for pid in found}


def _judge(core: Core, report: StopReport, snapshot: list[Identity]) -> None:
    """Write down what was not as it should be."""
    spec = core.spec
    name = report.name
    if report.escalated:
        what = "SIGTERM" if report.steps[0] == "SIGTERM" else f"{report.steps[0]} and SIGTERM"
        end = f", killed: {', '.join(report.killed)}" if report.killed else ", ended after SIGTERM to its group"
        report.troubles.append(f"{name} ignored {what} for {spec.stop_timeout:.1f} s{end}")
    if report.left:
        report.troubles.append(f"{name} left processes behind, killed: {', '.join(report.left)}")
    if not report.died and not report.escalated and report.status is not None:
        allowed = _exit_codes(core)
        if report.status not in allowed:
            assert core.launched is not None
            words = ", ".join(map(str, sorted(allowed)))
            report.unexpected = True
            report.troubles.append(f"{name} {core.ended()} when it was asked to stop, expected was one of {words}")
    if spec.check_descriptors and report.more_descriptors:
        report.troubles.append(f"{name} leaks descriptors: {_leaks(report)}")
    alive = [each.pid for each in snapshot if processes.runs(each)]
    if alive:
        report.troubles.append(f"{name}: SIGKILL has not ended {wording.listed(alive)}")
    if core.address.port and core.address.handed_over is None and not alive:
        with Table() as table:
            if any(each.serves(core.address.host, core.address.port) for each in core.address.among(table)):
                report.troubles.append(f"{name}: somebody listens on {core.address} although it has ended")


def _exit_codes(core: Core) -> set[int]:
    """The expected exit statuses: given ones; else 0, and the two ways to report the signal that was sent."""
    if core.spec.exit_codes is not None:
        return {*core.spec.exit_codes}
    number = int(core.spec.stop_signal)
    return {0, -number, 128 + number}


def _leaks(report: StopReport) -> str:
    """The descriptors that a server has gained since it was ready, in words: how many before and after, and which."""
    return "; ".join(
        f"pid {pid} had {report.descriptor_counts[pid][0]} descriptors open when it was ready and "
        f"{report.descriptor_counts[pid][1]} at its end, new: "
        + ", ".join(f"{number} -> {what}" for number, what in sorted(more.items()))
        for pid, more in report.more_descriptors.items()
    )


def complain(core: Core, report: StopReport) -> None:
    """Raise `ServerStopError` for troubles of a strict server, else warn of them. A server that died is an error."""
    if not report.troubles:
        return
    if core.spec.strict or (core.spec.exit_codes is not None and report.unexpected):
        raise ServerStopError("; ".join(report.troubles), where=core.facts(f"steps: {', '.join(report.steps)}"))
    for trouble in report.troubles:
        warnings.warn(trouble, ServerWarning, stacklevel=4)
