"""One server for several test processes: who starts it, who joins, who ends it.

Owns the folder of a shared server and the lock on it. Must never end a server that somebody still uses.

The idea: under a lock in the shared folder, the first process starts the server and writes down how to reach it; the
others connect to its supervisor. These connections are the reference count: the kernel closes them when a process ends,
however it ends. The last one out stops the server; if it is killed instead, the supervisor sees the last connection go
and ends the server. Where supervisor and server are gone, whoever comes next finds nobody at the door and starts anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from wavetank.errors import EnvironmentProblem, UsageError
from wavetank.servers import launcher, places, processes, stopping
from wavetank.servers.address import Address
from wavetank.servers.core import Core
from wavetank.servers.output import Log, Mark
from wavetank.servers.readiness import Readiness
from wavetank.servers.sockdiag import Table
from wavetank.servers.spec import Spec
from wavetank.servers.steps import Script, Wait
from wavetank.servers.stopping import StopReport

_STATE: Final = "server.json"
#: How long the last one out waits for the supervisor to say how many are left.
_COUNT_S: Final = 5.0


def group() -> str:
    """Who shares by default: the workers of one pytest-xdist session; else this process alone."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"pid-{os.getpid()}"


class Sharing:
    """The share of one process in a server named `name`, among the processes of one `group`."""

    def __init__(self, name: str, spec: Spec) -> None:
        self.name = name
        key = hashlib.sha256(f"{group()}\0{name}".encode()).hexdigest()[:12]
        self.marker = f"shared-{key}"
        self.asked_for = _fingerprint(spec)
        #: Who has started it: this process, or another one.
        self.owner = 0

    @property
    def folder(self) -> Path:
        """The folder of the shared server."""
        return places.base() / self.marker

    def acquire(self, core: Core) -> Script[None]:
        """Join the server, or start it. Raises what a start raises, and `UsageError` for another command."""
        deadline = time.monotonic() + core.spec.timeout
        with self._locked() as lock:
            yield from self._lock(lock, deadline)
            state = self._read()
            if state is not None and (yield from self._join(core, state, deadline)):
                return
            # There was none, or it has died: take over. Users of the dead one keep its folder and its supervisor.
            core.place = places.SharedRun(self.folder, self.marker)
            core.door = f"wavetank-{self.marker}-{secrets.token_hex(3)}"
            yield from core.start()
            self.owner = os.getpid()
            self._write(core)

    def release(self, core: Core) -> Script[StopReport]:
        """Leave the server to its other users, or stop it when there are none."""
        assert core.launched is not None
        with self._locked() as lock:
            yield from self._lock(lock, time.monotonic() + core.spec.timeout)
            others = (yield from self._users(core)) - 1
            if others > 0 and core.running:
                yield from self._leave(core)
                return StopReport(core.spec.name, core.pid, steps=[f"left to its other users ({others})"])
            report = yield from stopping.stop(core)
            core.dispose()
            state = self._read()
            if state is None or state["door"] == core.door:
                (self.folder / _STATE).unlink(missing_ok=True)
                places.clear(self.folder)
            return report

    def _leave(self, core: Core) -> Script[None]:
        """Say so, and wait until the supervisor has heard it: whoever counts next must not count this one."""
        launched = core.launched
        assert launched is not None
        launched.ask("leave")
        limit = time.monotonic() + _COUNT_S
        while not launched.ended and time.monotonic() < limit:
            yield Wait(readable=(launched.control.fileno(),), until=limit)
            launched.listen()
        launched.close()
        core.launched = None
        core.address.release()

    def _users(self, core: Core) -> Script[int]:
        launched = core.launched
        assert launched is not None
        launched.ask("users")
        limit = time.monotonic() + _COUNT_S
        while not launched.ended and time.monotonic() < limit:
            launched.listen()
            told = launched.heard("users")
            if told is not None:
                return int(told["users"])
            yield Wait(readable=(launched.control.fileno(),), until=limit)
        return 1

    def _join(self, core: Core, state: dict[str, Any], deadline: float) -> Script[bool]:
        """Become a user of a server that runs; False when it does not run any more."""
        if state["asked_for"] != self.asked_for:
            raise UsageError(
                f"a server is shared as {self.name!r} already, with another command or other options",
                where=f"started by pid {state['owner']}: {' '.join(state['argv'])}",
                next="give it another name: share=...",
            )
        try:
            core.launched = launcher.attach(state["door"], state["pid"], state["supervisor"], state["rung"])
        except OSError:
            return False
        if core.launched.status is not None:
            core.launched.close()
            core.launched = None
            return False
        begun = time.monotonic()
        self._adopt(core, state)
        with Table() as table:  # a health check: the whole readiness once more
            try:
                yield from Readiness(core, table, frozenset(), begun, deadline).wait()
            except BaseException:
                core.launched.close()
                core.launched = None
                raise
        core.ready_at = time.monotonic()
        core.report.ready_s = core.ready_at - begun
        core.mark = core.log.mark() if core.log is not None else Mark((0, 0))
        return True

    def _adopt(self, core: Core, state: dict[str, Any]) -> None:
        self.owner = state["owner"]
        core.place = places.SharedRun(self.folder, self.marker)
        core.pid = state["pid"]
        core.door = state["door"]
        core.argv = state["argv"]
        core.marker = state["marker"]
        core.folder = Path(state["folder"])
        core.log = Log(core.folder / "log")
        core.mark = Mark((0, 0))
        core.address = Address(core.spec.host, state["port"], state["path"], datagrams=core.spec.datagrams)
        core.report.containment = state["rung"]
        core.report.notes.append(f"shared: started by pid {self.owner}")

    def _write(self, core: Core) -> None:
        assert core.launched is not None
        state = {
            "asked_for": self.asked_for, "owner": os.getpid(), "door": core.door, "pid": core.pid,
            "supervisor": core.launched.supervisor, "rung": core.launched.rung, "argv": list(core.argv),
            "marker": core.marker, "folder": str(core.folder), "port": core.address.port, "path": core.address.path,
        }  # fmt: skip
        new = self.folder / f"{_STATE}.new"
        new.write_text(json.dumps(state))
        new.replace(self.folder / _STATE)

    def _read(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads((self.folder / _STATE).read_text())
        except (OSError, ValueError):
            return None
        return state if processes.identity(state["supervisor"]) is not None else None

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The lock's file, open; not in the folder, which comes and goes."""
        fd = os.open(places.base() / f"{self.marker}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)  # gives up the lock

    def _lock(self, fd: int, deadline: float) -> Script[None]:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise EnvironmentProblem(
                        f"the shared server {self.name!r} is being started or stopped by another process for too long",
                        where=str(self.folder), next="look at that process, or give more time: timeout=...",
                    ) from None  # fmt: skip
                yield Wait(until=time.monotonic() + 0.01)
            else:
                return


def _fingerprint(spec: Spec) -> str:
    """What two users of one server must agree on."""
    agreed = (list(spec.command), spec.host, spec.port, spec.socket, sorted(spec.env.items()), spec.user, spec.cwd)
    files = sorted((name, text if isinstance(text, str) else text.hex()) for name, text in spec.files.items())
    return hashlib.sha256(json.dumps([agreed, files]).encode()).hexdigest()
