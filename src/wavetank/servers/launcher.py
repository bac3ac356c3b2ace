"""The run's side of the keeper: start it once, ask it for servers, hear what becomes of them.

Owns the connection to the keeper and to each supervisor, and the ladder of containment: which rung was reached, and why
not a higher one. Must never fork in this process (threads of the program under test may hold locks).

Source: `wavetank.servers.keeper`, which is the other side; unix(7) for passed descriptors.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wavetank.errors import EnvironmentProblem, InternalError
from wavetank.servers import keeper as keeper_program
from wavetank.servers.steps import Script, Wait

#: The ladder, strongest rung first.
RUNGS: Final = ("namespace", "subreaper", "death-signal")
#: What each rung means, for reports.
RUNG_WORDS: Final = {
    "namespace": "a PID namespace with an init: the kernel ends every descendant",
    "subreaper": "a subreaper: daemons are found and ended as long as the supervisor lives",
    "death-signal": "the parent-death signal: ends the server itself, not what it forked",
}
#: A keeper takes 10 to 30 ms to start; a machine on which it takes so long cannot be worked with.
_KEEPER_START_S: Final = 30.0


@dataclass(kw_only=True)
class Order:
    """What is to be started. `program` is a path; `files` are the descriptors for 0, 1, 2 and further ones."""

    program: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    files: Sequence[int]
    user: tuple[int, int, Sequence[int]] | None = None
    terminal: bool = False
    output_limit: int = 64 << 20
    door: str = ""
    umask: int = 0o022
    brand: int = 0
    spare: str = ""


def credentials(account: pwd.struct_passwd) -> tuple[int, int, Sequence[int]]:
    """User, group and supplementary groups of an account."""
    return account.pw_uid, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


class ExecFailed(Exception):
    """The program could not be executed: the stage that failed (`chdir`, `user`, `exec`, `prepare`) and the errno."""

    def __init__(self, stage: str, errno: int) -> None:
        super().__init__(stage, errno)
        self.stage = stage
        self.errno = errno


@dataclass
class Launched:
    """A started server as the run sees it."""

    control: socket.socket
    rung: str
    refused: Mapping[str, str]
    pid: int = 0
    pidfd: int = -1
    supervisor: int = 0
    status: int | None = None
    ended: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)

    def listen(self) -> None:
        """Take what the supervisor has said so far; never waits."""
        while not self.ended:
            try:
                data, fds, _, _ = socket.recv_fds(self.control, 4096, 1)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if fds:
                self.pidfd = fds[0]
            if not data:
                self.ended = True
                return
            self._take(json.loads(data))

    def _take(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "spawned":
                self.pid, self.supervisor = message["pid"], message["supervisor"]
            case "exit" | "welcome":
                self.status = message.get("status", message.get("exit"))
            case "ended":
                self.ended = True
        self.told.append(message)

    def heard(self, event: str) -> dict[str, Any] | None:
        """The last message of this kind, or None."""
        return next((each for each in reversed(self.told) if each["event"] == event), None)

    def ask(self, what: str) -> None:
        """Send a wish (`end`, `leave`, `users`); a supervisor that is gone needs no asking."""
        with contextlib.suppress(OSError):
            self.control.send(json.dumps({"do": what}).encode())

    def close(self) -> None:
        """Close our ends; the supervisor takes that for leaving."""
        self.control.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class _Keeper:
    """One keeper program."""

    def __init__(self) -> None:
        self.run_pid = os.getpid()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        command = [
            sys.executable,
            "-I",
            "-S",
            str(Path(keeper_program.__file__)),
            str(theirs.fileno()),
            str(os.getpid()),
        ]
        try:
            with theirs:
                done = subprocess.run(
                    command, pass_fds=[theirs.fileno()], env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, timeout=_KEEPER_START_S, check=False, start_new_session=True,
                )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            self._requests.close()
            where = " ".join(command)
            raise EnvironmentProblem("the keeper of servers cannot be started", where=where, why=str(error)) from None
        self._requests.settimeout(_KEEPER_START_S)
        if done.returncode or self._requests.recv(16) != b"ready":
            self._requests.close()
            raise InternalError("the keeper of servers ended at once", where=" ".join(command))

    def request(self, order: Order, rung: str) -> socket.socket:
        """Ask for a server; returns the connection to its supervisor. OSError when the keeper is gone."""
        data = {
            "rung": rung, "program": order.program, "argv": list(order.argv), "env": dict(order.env),
            "cwd": order.cwd, "user": order.user, "terminal": order.terminal, "umask": order.umask,
            "output_limit": order.output_limit, "door": order.door, "brand": order.brand, "spare": order.spare,
        }  # fmt: skip
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, open(os.memfd_create("wavetank-request"), "wb") as file:
                # By a file, because a message has a limit (net.core.wmem_default) and an environment can be larger.
                file.write(json.dumps(data).encode())
                file.flush()
                with self._lock:
                    socket.send_fds(self._requests, [b"start"], [file.fileno(), theirs.fileno(), *order.files])
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)  # recv_fds() of the standard library passes no flags on
        return ours

    def close(self) -> None:
        self._requests.close()


_keeper: _Keeper | None = None
_starting = threading.Lock()
#: Rungs that this machine has refused to this process, and why.
_refused: dict[str, str] = {}


def _current_keeper(*, fresh: bool = False) -> _Keeper:
    global _keeper
    with _starting:
        if _keeper is not None and (fresh or _keeper.run_pid != os.getpid()):
            _keeper.close()  # after a fork: the keeper is the parent's, and would not see this process end
            _keeper = None
        if _keeper is None:
            _keeper = _Keeper()
            atexit.register(_keeper.close)
        return _keeper


def launch(order: Order, *, strongest: str = RUNGS[0], deadline: float) -> Script[Launched]:
    """Start a server on the strongest rung that this machine allows, from `strongest` down.

    Raises `ExecFailed`, and `EnvironmentProblem` when no rung works. What it has started is ended when it is given up.
    """
    for rung in RUNGS[RUNGS.index(strongest) :]:
        if rung in _refused:
            continue
        launched = Launched(_request(order, rung), rung, dict(_refused))
        try:
            yield from _first_word(launched, deadline)
        except BaseException:
            launched.close()
            raise
        refusal = launched.heard("refused")
        if refusal is None:
            return launched
        launched.close()
        _refused[rung] = refusal["error"]
    raise EnvironmentProblem("no server can be started", why="; ".join(f"{k}: {v}" for k, v in _refused.items()))


def _request(order: Order, rung: str) -> socket.socket:
    try:
        return _current_keeper().request(order, rung)
    except OSError:
        return _current_keeper(fresh=True).request(order, rung)  # somebody killed the keeper: once more with a new one


def _first_word(launched: Launched, deadline: float) -> Script[None]:
    """Until the server is spawned, refused or failed."""
    while True:
        launched.listen()
        failure = launched.heard("failed")
        if failure is not None:
            raise ExecFailed(failure["stage"], failure["errno"])
        if launched.pid or launched.heard("refused"):
            return
        if launched.ended:
            raise InternalError("the supervisor of a server ended before the server was started")
        if time.monotonic() >= deadline:
            raise EnvironmentProblem(
                "the program was not even executed when the time was over", why="the machine is too busy"
            )
        yield Wait(readable=(launched.control.fileno(),), until=deadline)


def attach(door: str, pid: int, supervisor: int, rung: str) -> Launched:
    """Join the users of a server that another run has started, at its supervisor's door. OSError when it is gone."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        control.connect(f"\0{door}")
        control.settimeout(_KEEPER_START_S)
        data = control.recv(4096)
        if not data:
            raise ConnectionResetError("the supervisor is ending")
        control.setblocking(False)
        launched = Launched(control, rung, {}, pid=pid, supervisor=supervisor)
        launched.pidfd = os.pidfd_open(pid)
        launched._take(json.loads(data))
    except BaseException:
        control.close()
        raise
    return launched


def send_signal(launched: Launched, number: int) -> bool:
    """Send the server a signal, by pidfd; False when it has ended already."""
    try:
        signal.pidfd_send_signal(launched.pidfd, signal.Signals(number))
    except ProcessLookupError:
        return False
    return True
