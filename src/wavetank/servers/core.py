"""One server from its start to its end, whatever the face: the state, and the procedure that starts it.

Owns what is known about a running server, and the start: address, launch, readiness. Stopping is in `stopping`. Must
never wait without a deadline, and never leave a process behind when it fails.

The idea: three things are waited for at once - the end of the process (the supervisor says so), a listener *owned by
our process tree* at the expected address (the kernel's table, by inode), and the output - and then the protocol's probe
must pass. A listener that belongs to somebody else is an impostor and is named, never accepted.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wavetank.errors import PortTaken, ServerError, ServerNotReady, UsageError
from wavetank.servers import address, launcher, places, processes, program, wording
from wavetank.servers.address import Address, BindFailed
from wavetank.servers.output import Log, Mark
from wavetank.servers.readiness import Readiness
from wavetank.servers.sockdiag import Connection, Table
from wavetank.servers.spec import Spec, fill
from wavetank.servers.steps import Script
from wavetank.servers.terminal import open_stdin


@dataclass
class StartReport:
    """How the last start went. Times are seconds after `start()` was called."""

    containment: str = ""
    #: Why each stronger rung was not to be had.
    refused: dict[str, str] = field(default_factory=dict)
    spawned_s: float = 0.0
    listening_s: float | None = None
    ready_s: float = 0.0
    #: Connections that the probe made: they are in the server's own counts and logs.
    probe_connections: int = 0
    #: Ports that were tried before, and why they were given up.
    tried: list[str] = field(default_factory=list)
    #: What earlier, killed runs had left and was ended before this start.
    leftovers: list[places.Leftover] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        listening = f", listening after {self.listening_s:.3f} s" if self.listening_s is not None else ""
        return (
            f"spawned after {self.spawned_s:.3f} s{listening}, ready after {self.ready_s:.3f} s "
            f"with {self.probe_connections} probe connections; containment: {launcher.RUNG_WORDS[self.containment]}"
        )


class Core:
    """The state of one server. Procedures on it are generators (see `steps`)."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.owner_pid = os.getpid()
        self.address = Address(spec.host)
        self.launched: launcher.Launched | None = None
        self.report = StartReport()
        self.log: Log | None = None
        self.mark = Mark((0, 0))
        self.folder: Path | None = None
        self.marker = ""
        self.pid = 0
        self.argv: Sequence[str] = spec.command
        self.stdin: int = -1
        self.ready_at = 0.0
        self.oom_kills = 0
        self.sent_kill = False
        self.death_told = False
        #: Since it was asked to stop, its end is nobody's fault, whoever looks at it meanwhile.
        self.stopping = False
        #: What has been tried for that so far, by all who have asked.
        self.stop_steps: list[str] = []
        #: The `StopReport` of the last stop that was carried out to its end.
        self.last_stop: object = None
        self.descriptors_at_start: dict[int, dict[int, str]] = {}
        #: Connections that it had when it was ready, most of them the probe's: nothing that it leaks. By the port of
        #: their other end, as those that wait to be accepted have no inode yet; by inode on a UNIX socket.
        self.probed: set[int] = set()
        self.door = ""
        self.short_folder: Path | None = None
        self._place: places.Run | places.SharedRun | None = None
        #: The object that the user has, for callables that get it.
        self.face: object = None

    # What is known of it now.

    @property
    def place(self) -> places.Run | places.SharedRun:
        """Where its folder is: with the other servers of this run, unless it is shared."""
        if self._place is None:
            self._place = places.run()
        return self._place

    @place.setter
    def place(self, place: places.SharedRun) -> None:
        self._place = place

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        launched = self.launched
        if launched is None:
            return False
        launched.listen()
        if self.pid != launched.pid:
            return processes.identity(self.pid) is not None  # adopted: a daemon
        return launched.status is None and not launched.ended

    def members(self) -> list[int]:
        """All running processes of the server: the descendants of its supervisor, but for the init."""
        if self.launched is None or not self.launched.supervisor:
            return []
        pids = processes.descendants(self.launched.supervisor)
        return [pid for pid in pids if not self._is_init(pid)]

    def _is_init(self, pid: int) -> bool:
        """The init of the namespace is the keeper's program still: the supervisor's child that is not the server."""
        assert self.launched is not None
        found = processes.stat(pid)
        return self.launched.rung == "namespace" and found is not None and found.parent == self.launched.supervisor

    def ended(self) -> str:
        """Words for how it ended."""
        assert self.launched is not None
        status = self.launched.status if self.pid == self.launched.pid else None
        if status is None and self.launched.ended:
            return "is gone, together with its supervisor: somebody has killed both"
        kills = wording.oom_kills() - self.oom_kills
        return wording.how_it_ended(status, sent_kill=self.sent_kill, oom_kills=kills)

    def facts(self, *more: str) -> str:
        """Command and output, for errors. Its folder is kept from now on, because its path is named."""
        assert self.log is not None
        assert self.folder is not None
        self.place.keep(self.folder)
        return wording.facts(self.argv, self.log, self.mark, *more)

    def died(self) -> ServerError | None:
        """The error for a server that ended while it was in use; None while it runs."""
        if self.launched is None or not self.ready_at or self.stopping or self.running:
            return None
        after = f"{time.monotonic() - self.ready_at:.2f} s after it was ready, while it was in use"
        return wording.died(self.spec.name, self.ended(), after, where=self.facts())

    def values(self) -> dict[str, str]:
        """What the placeholders stand for."""
        assert self.folder is not None
        found = {"host": self.spec.host, "dir": str(self.folder / "data"), "port": str(self.address.port)}
        if self.address.path:
            found["socket"] = self.address.path
        if self.address.handed_over is not None:
            found["fd"] = "3"
        return found

    # The start.

    def start(self, *, again: bool = False) -> Script[None]:
        """Start and wait until it is ready. `again` keeps address, folder and data (a restart)."""
        if self.launched is not None:
            raise UsageError(f"{self.spec.name} is running already", next="stop() it first, or restart() it")
        try:
            yield from self._start(again=again)
        except BaseException:
            self.dispose()
            raise

    def _start(self, *, again: bool) -> Script[None]:
        begun = time.monotonic()
        deadline = begun + self.spec.timeout
        self.report = StartReport(leftovers=places.sweep_once())
        self.sent_kill = self.death_told = self.stopping = False
        self.stop_steps = []
        if not again:
            self._make_folder()
        path = program.find(self.spec.command[0], {**os.environ, **_text(self.spec.env)}, self.working_directory())
        for attempt in range(1, self.spec.tries + 1):
            if not again or self._finds_its_own_port():
                self.address.release()
                self.address = self._choose_address()
            try:
                yield from self._start_at(path, begun, deadline)
                return
            except BindFailed as taken:
                self.report.tried.append(f"{self.address}: {taken.error.what}")
                # A restart tries again only without its hold on the port, for servers that do not bind beside it.
                retry = self.address.let_go() if again else self.address.chosen
                if not retry or attempt == self.spec.tries or time.monotonic() >= deadline:
                    raise self._taken(taken.error) from None

    def _taken(self, error: PortTaken) -> PortTaken:
        """The error with what was tried before it."""
        tried = "; ".join(self.report.tried)
        how_often = f"tried {len(self.report.tried)} times: {tried}" if self.address.chosen else (
            "not tried again on another port, because this one was asked for"
        )  # fmt: skip
        return PortTaken(
            error.what, where=error.where, why=f"{error.why}; {how_often}".removeprefix("; "), next=error.next
        )

    def _make_folder(self) -> None:
        self.marker, self.folder = self.place.new_folder(self.spec.name)
        self.log = Log(self.folder / "log")
        account = self.spec.account()
        if account is not None:
            os.chown(self.folder / "data", account.pw_uid, account.pw_gid)

    def _choose_address(self) -> Address:
        spec = self.spec
        assert self.folder is not None
        if spec.wants_socket:
            return address.unix_socket(spec.socket or self._socket_path())
        if spec.uses("fd"):
            return address.handed_over(spec.host, spec.port or 0, datagrams=spec.datagrams)
        if spec.port is None and spec.uses("port"):
            return address.choose(spec.host, datagrams=spec.datagrams)
        return Address(spec.host, spec.port or 0, datagrams=spec.datagrams)

    def _finds_its_own_port(self) -> bool:
        """Whether nothing tells it where to listen: after a restart it may listen at another port, and is found."""
        spec = self.spec
        return not (spec.port or spec.wants_socket or spec.uses("port") or spec.uses("fd"))

    def _socket_path(self) -> str:
        """In the server's folder; in a shorter one when the temporary folder's name is too long for that."""
        assert self.folder is not None
        path = self.folder / "data" / "s"
        if len(os.fsencode(path)) > address.SOCKET_PATH_BYTES:
            account = self.spec.account()
            self.short_folder = places.short_folder(self.marker)
            if account is not None:
                os.chown(self.short_folder, account.pw_uid, account.pw_gid)
            path = self.short_folder / "s"
        return str(path)

    def working_directory(self) -> str:
        """Where the server runs."""
        assert self.folder is not None
        if self.spec.cwd is None:
            return os.getcwd()
        return os.path.abspath(fill(os.fspath(self.spec.cwd), {"dir": str(self.folder / "data")}))

    def _start_at(self, path: str, begun: float, deadline: float) -> Script[None]:
        """One try, at one address. Whatever goes wrong, nothing of it is left."""
        assert self.log is not None
        self.mark = self.log.mark()
        self.oom_kills = wording.oom_kills()
        with Table() as table:
            if self.address.known and self.address.handed_over is None:
                _as_bind_failure(address.refuse_busy, self.address, table)
            before = frozenset(each.inode for each in (*table.tcp(), *table.udp()))
            try:
                yield from self._launch(path, deadline)
                self.report.spawned_s = time.monotonic() - begun
                readiness = Readiness(self, table, before, begun, deadline)
                yield from readiness.wait()
            except BaseException:
                self._discard()
                raise
        self.ready_at = time.monotonic()
        self.report.ready_s = self.ready_at - begun
        self.note_members()

    def _launch(self, path: str, deadline: float) -> Script[None]:
        values = self.values()
        self._write_files(values)
        self.argv = [fill(word, values) for word in self.spec.command]
        account = self.spec.account()
        env = self.spec.environment(self.marker, values)
        if self.address.handed_over is not None:
            env |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "wavetank"}
        stdin, self.stdin = open_stdin(self.spec.stdin)
        assert self.log is not None
        opened = (stdin, *self.log.open_files())
        passed = [self.address.handed_over.fileno()] if self.address.handed_over is not None else []
        order = launcher.Order(
            program=path, argv=self.argv, env=env, cwd=self.working_directory(), files=[*opened, *passed],
            user=launcher.credentials(account) if account else None,
            terminal=self.spec.stdin == "terminal", output_limit=self.spec.output_limit, door=self.door,
            brand=self.place.brand,
            spare=str(self.folder),
        )  # fmt: skip
        try:
            self.launched = yield from launcher.launch(order, strongest=self.spec.containment, deadline=deadline)
        except launcher.ExecFailed as failed:
            raise program.explain_exec(path, self.spec.command[0], order.cwd, failed.errno) from None
        finally:
            for fd in opened:
                os.close(fd)
        self.pid = self.launched.pid
        self.report.containment = self.launched.rung
        self.report.refused = dict(self.launched.refused)
        self.place.note(self.marker, [self.launched.supervisor, self.pid])

    def _write_files(self, values: dict[str, str]) -> None:
        assert self.folder is not None
        data = self.folder / "data"
        account = self.spec.account()
        for name, text in self.spec.files.items():
            path = (data / name).resolve()
            if not path.is_relative_to(data.resolve()):
                raise UsageError(f"files: {name!r} is outside the server's folder", next="give a relative name")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else fill(text, values).encode())
            path.chmod(0o600)  # keys among them; sshd refuses others
            if account is not None:
                os.chown(path, account.pw_uid, account.pw_gid)

    def note_members(self) -> None:
        """Write down who belongs to the server now, for the sweep of a later run."""
        assert self.launched is not None
        pids = self.members()
        self.place.note(self.marker, [self.launched.supervisor, *pids])
        self.probed = {each.peer_port or each.inode for each in self._clients()}
        self.descriptors_at_start = self.descriptors(pids)

    def descriptors(self, pids: Iterable[int]) -> dict[int, dict[int, str]]:
        """The open descriptors of its processes, less those of connections that clients keep, and of the probe's."""
        # In this order: of what is accepted between the two looks, neither knows.
        found = {pid: processes.descriptors(pid) for pid in pids}
        clients = {
            f"socket:[{each.inode}]"
            for each in self._clients()
            if each.whole or (each.peer_port or each.inode) in self.probed
        }
        return {
            pid: {number: what for number, what in open_now.items() if what not in clients}
            for pid, open_now in found.items()
        }

    def _clients(self) -> list[Connection]:
        with Table() as table:
            return table.accepted(self.address.port, self.address.path)

    def _discard(self) -> None:
        """After a failed or abandoned start: end everything at once, and wait for nobody but the supervisor."""
        if self.launched is not None:
            self.sent_kill = True
            supervisor = processes.identity(self.launched.supervisor)
            self.launched.ask("end")
            self.launched.close()
            limit = time.monotonic() + 5.0
            while supervisor is not None and processes.runs(supervisor) and time.monotonic() < limit:
                time.sleep(0.001)  # SIGKILL is on its way; what is waited for is the kernel
            self.launched = None
        self.close_stdin()
        self.place.note(self.marker, [])

    def close_stdin(self) -> None:
        """Close our end of the server's input."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def dispose(self) -> None:
        """The server has been stopped for good: give up its address and its data; output stays until the run ends."""
        self.address.release()
        for each in filter(None, (self.folder and self.folder / "data", self.short_folder)):
            shutil.rmtree(each, ignore_errors=True)

    # Errors of the start; `Readiness` finds out, this knows what there is to say.

    def exited_before_ready(self, begun: float, listeners: str) -> ServerError:
        """The server has ended before it was ready."""
        assert self.log is not None
        after = f"{time.monotonic() - begun:.2f} s after its start, before it was ready"
        hint = wording.input_hint((), self.log, self.mark, stdin=self.spec.stdin)
        if wording.ADDRESS_IN_USE.search(self.log.since(self.mark)) and self.address.port:
            raise BindFailed(self._bind_error(after))
        status = self.launched.status if self.launched is not None else None
        left = [pid for pid in self.members() if pid != self.pid]
        if status == 0 and (left or listeners):
            return wording.died(
                self.spec.name, "forked into the background:", f"the process we started exited with status 0 {after}",
                where=self.facts(f"still running: {wording.listed(left)}", f"listening: {listeners or 'nowhere'}"),
                why="it cannot be watched there",
                next="use its foreground option, or daemon=True to adopt what it left",
            )  # fmt: skip
        why = "status 0 is a failure here: a server has to stay" if status == 0 else ""
        if why and self.spec.stdin == "null":
            why += ". If it reads commands from its input, it has found the end of that: stdin='pipe' keeps it open"
        return wording.died(self.spec.name, self.ended(), after, where=self.facts(), why=hint or why)

    def _bind_error(self, after: str) -> PortTaken:
        try:
            with Table() as table:
                address.refuse_busy(self.address, table)
        except PortTaken as taken:
            what, where = taken.what, f"{taken.where}\n    {self.facts()}"
        else:
            what, where = f"port {self.address.port} is in use, by whom cannot be seen any more", self.facts()
        return PortTaken(what, where=where, why=f"{self.spec.name} {self.ended()} {after}: it could not bind its port")

    def not_ready(self, true: Sequence[str], false: Sequence[str]) -> ServerNotReady:
        """The deadline has passed."""
        assert self.log is not None
        hint = wording.input_hint(self.members(), self.log, self.mark, stdin=self.spec.stdin)
        return ServerNotReady(
            f"{self.spec.name} was not ready after {self.spec.timeout:g} s: {'; '.join(false)}",
            where=self.facts(*(f"true: {fact}" for fact in true), *(f"false: {fact}" for fact in false)),
            why=hint, next="it has been ended; give it more time with timeout=, or correct the command or ready=",
        )  # fmt: skip


def _as_bind_failure(check: Callable[[Address, Table], None], wanted: Address, table: Table) -> None:
    try:
        check(wanted, table)
    except PortTaken as taken:
        raise BindFailed(taken) from None


def _text(env: Mapping[str, str | None]) -> dict[str, str]:
    """The entries of `env=` that set something."""
    return {name: value for name, value in env.items() if value is not None}
