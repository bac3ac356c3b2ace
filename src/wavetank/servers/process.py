"""`ServerProcess`: a third-party server as a test sees it, blocking and with asyncio.

Owns the two faces and the rule who may call what from where. Everything that happens is in `core` and `stopping`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wavetank.errors import ServerError, UsageError
from wavetank.servers import launcher, output, processes, stopping
from wavetank.servers.core import Core, StartReport
from wavetank.servers.output import Log
from wavetank.servers.sharing import Sharing
from wavetank.servers.spec import Spec
from wavetank.servers.steps import Script, Wait, carry_out, carry_out_async, refuse_in_running_loop
from wavetank.servers.stopping import StopReport

#: Servers of this process that run, for the end of the process and for the pytest plugin.
LIVE: list[ServerProcess] = []
#: Those that have ended lately, for the report of the test that used them.
STOPPED: deque[ServerProcess] = deque(maxlen=32)


class ServerProcess:
    """A third-party server, started for a test and ended with it.

    `command` is the program and its arguments (a list, or one text split as a shell would). In it, in the values of
    `env`, in `files` and in `stop_command`, these stand for something: `{port}` a free port, `{socket}` the path of a
    UNIX socket, `{dir}` an empty folder of the server's own, `{host}`, and `{fd}` the number of a listening socket that
    is handed over (LISTEN_FDS and LISTEN_PID are set as well).

    Arguments, all but the first by name:

    - `ready`: what must hold before it counts as ready, besides a listener *owned by its process tree*: `"listen"`
      (that alone, no connection is made), `"tcp"` (default), `"http"`, `"http:/path"`, `"redis"`, `"postgres"`,
      `"ssh"`, `"smtp"`, `"udp"` (a UDP socket instead), `"line:TEXT"` or a compiled pattern (a line of output), a
      callable or coroutine function (gets this object; not ready while it returns false or raises), or several of
      them; an empty list for a program that counts as ready as soon as it runs.
    - `timeout`: seconds for the whole start. `tries`: how many ports are tried when chosen ones turn out to be in use.
    - `host`: the numeric address that clients will use. `port`: None for a port that is chosen (or discovered, when
      the command has no `{port}`); 0 to let the server choose, `{port}` is then 0; else this very port. `socket`: the
      path for `{socket}`, by default one in `{dir}`.
    - `cwd`: its working directory (the present one). `env`: variables to add, None to remove. Of this process's
      environment it gets a few (`spec.KEPT_VARIABLES`) and those that the patterns in `pass_env` name.
    - `files`: name to content, written into `{dir}` first, placeholders filled in. `user`: another user, for root only.
    - `stdin`: `"null"`, `"pipe"` (see `send_input`) or `"terminal"`, a terminal of its own.
    - `stop_signal`, or `stop_command` (with `{pid}`, too), or `stop_input` (bytes to its input): the polite way to stop
      it. `stop_timeout`: seconds that it gets for that. `exit_codes`: the statuses (negative for a signal) that are in
      order then; by default 0 and the signal's. `strict`: a stop that was not in order is an error, not a warning.
    - `check_descriptors`: a stop is not in order, either, when its processes have more descriptors open than when it
      was ready; the text names them.
    - `daemon`: it puts itself into the background; what it leaves is adopted.
    - `containment`: the strongest rung of the ladder to try: `"namespace"`, `"subreaper"` or `"death-signal"`.
    - `output_limit`: bytes kept of each stream. `name`: for reports; by default the program's.
    - `share`: a name under which all processes of one pytest-xdist session use one server: the first starts it, the
      last one out stops it.

    Use it with `with` or `async with`, or by `start()` and `stop()`. Raises `UsageError` at once for options that make
    no sense. One server may be used by one thread at a time.

    Source of the behaviour: docs/servers.md, and prctl(2), pidfd_open(2), sock_diag(7), pid_namespaces(7).
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]] | str,
        *,
        ready: str | re.Pattern[str] | Callable[[Any], Any] | Iterable[Any] | None = None,
        timeout: float = 30.0,
        host: str = "127.0.0.1",
        port: int | None = None,
        socket: str | os.PathLike[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        pass_env: Sequence[str] = (),
        files: Mapping[str, str | bytes] | None = None,
        user: str | None = None,
        stdin: str = "null",
        stop_signal: int = signal.SIGTERM,
        stop_command: Sequence[str] | str | None = None,
        stop_input: bytes | None = None,
        stop_timeout: float = 5.0,
        exit_codes: Sequence[int] | None = None,
        strict: bool = False,
        check_descriptors: bool = False,
        daemon: bool = False,
        tries: int = 5,
        containment: str = launcher.RUNGS[0],
        output_limit: int = output.OUTPUT_LIMIT,
        name: str = "",
        share: str = "",
    ) -> None:
        spec = Spec(
            command=command, ready=ready, timeout=timeout, host=host, port=port,  # type: ignore[arg-type]  # Spec checks
            socket=os.fspath(socket) if socket is not None else None, cwd=os.fspath(cwd) if cwd is not None else None,
            env=dict(env or {}), pass_env=tuple(pass_env), files=dict(files or {}), user=user, stdin=stdin,
            stop_signal=stop_signal, stop_command=stop_command, stop_input=stop_input, stop_timeout=stop_timeout,
            exit_codes=exit_codes, strict=strict, check_descriptors=check_descriptors, daemon=daemon, tries=tries,
            containment=containment, output_limit=output_limit, name=name,
        )  # fmt: skip
        self._core = Core(spec)
        self._core.face = self
        self._sharing = Sharing(share, spec) if share else None
        self.last_stop: StopReport | None = None

    # What it is.

    def __repr__(self) -> str:
        core = self._core
        state = f"pid {core.pid}, {core.address}" if core.launched is not None else "not running"
        return f"<ServerProcess {core.spec.name}: {state}>"

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self._core.spec.name

    @property
    def command(self) -> list[str]:
        """The command as it was started, placeholders filled in."""
        return [*self._core.argv]

    @property
    def host(self) -> str:
        """The numeric address at which it is reached."""
        return self._core.address.host

    @property
    def port(self) -> int:
        """Its TCP port. `UsageError` when that is not known (yet), or it listens on a UNIX socket."""
        port = self._core.address.port or self._core.spec.port
        if not port and self._core.address.path:
            raise UsageError(f"{self.name} listens on a UNIX socket", next=f"use .socket: {self._core.address.path}")
        if not port:
            raise UsageError(f"the port of {self.name} is not known", why="it is not started, or listens nowhere")
        return port

    @property
    def transport(self) -> str:
        """How it is reached: `tcp`, `udp` (`ready="udp"` alone) or `unix`."""
        return "unix" if self._core.spec.wants_socket else "udp" if self._core.spec.datagrams else "tcp"

    @property
    def socket(self) -> str:
        """The path of its UNIX socket; `UsageError` when it has none."""
        if not self._core.address.path:
            raise UsageError(f"{self.name} has no UNIX socket", next="use .port, or write {socket} into its command")
        return self._core.address.path

    @property
    def pid(self) -> int:
        """Its process id, as seen here (inside its PID namespace it has another). `UsageError` before the start."""
        if not self._core.pid:
            raise UsageError(f"{self.name} is not started", next="use it with `with`, or call start()")
        return self._core.pid

    @property
    def log(self) -> Log:
        """What it has printed. `UsageError` before the start."""
        if self._core.log is None:
            raise UsageError(f"{self.name} is not started", next="use it with `with`, or call start()")
        return self._core.log

    @property
    def dir(self) -> Path:
        """Its own folder, `{dir}`; removed when it is stopped. `UsageError` before the start."""
        if self._core.folder is None:
            raise UsageError(f"{self.name} is not started", next="use it with `with`, or call start()")
        return self._core.folder / "data"

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._core.running

    @property
    def report(self) -> StartReport:
        """How the last start went: containment reached, time of each stage, probes, ports tried, leftovers swept."""
        return self._core.report

    @property
    def containment(self) -> str:
        """The rung of the ladder that was obtained: `namespace`, `subreaper` or `death-signal`; empty before."""
        return self._core.report.containment

    def processes(self) -> list[int]:
        """The numbers of all its running processes, itself first."""
        return self._core.members()

    def descriptors(self) -> dict[int, str]:
        """Its open descriptors and what each is."""
        return processes.descriptors(self.pid)

    def leaked_descriptors(self) -> dict[int, dict[int, str]]:
        """The descriptors that its processes have open now and had not when it was ready: `{pid: {number: what}}`."""
        return stopping.more_descriptors(self._core)

    def check(self) -> None:
        """Raise `ServerDied`, with exit status and last output, when it has ended without having been asked to."""
        death = self._core.died()
        if death is not None:
            self._core.death_told = True
            raise death

    def send_signal(self, number: int) -> None:
        """Send it a signal. `ServerDied` when it has ended."""
        self.check()
        os.kill(self.pid, number)

    def send_input(self, data: bytes) -> None:
        """Write to its standard input (`stdin="pipe"` or `"terminal"`). `UsageError` when that is not open."""
        if self._core.stdin < 0:
            raise UsageError(f"{self.name} has no input to write to", next="stdin='pipe' or stdin='terminal'")
        os.write(self._core.stdin, data)

    # Blocking.

    def start(self) -> Self:
        """Start it and wait until it is ready. Raises the subclasses of `ServerError`; nothing is left then."""
        refuse_in_running_loop("ServerProcess.start()", "async with ServerProcess(...), or await server.start_async()")
        carry_out(self._started())
        return self

    def stop(self) -> StopReport:
        """Stop it and all that it has started. Repeating it is harmless. May be called anywhere, also in a loop.

        Raises `ServerDied` when it had ended before and nobody has been told, `ServerStopError` when it is `strict`
        and had to be killed, left processes, or ended with an unexpected status. It is gone in any case.
        """
        return self._after_stop(carry_out(self._stopped()))

    def restart(self) -> Self:
        """Stop it and start it again at the same address, with the same folder and data."""
        refuse_in_running_loop("ServerProcess.restart()", "await server.restart_async()")
        carry_out(self._restarted())
        return self

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it ends by itself; returns its exit status, or None after `timeout` seconds."""
        refuse_in_running_loop("ServerProcess.wait()", "await server.wait_async()")
        return carry_out(self._ended(timeout))

    def __enter__(self) -> Self:
        return self.start() if self._core.launched is None else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._belongs_here():
            self._leave(carry_out(self._stopped()), error)

    # asyncio.

    async def start_async(self) -> Self:
        """The same as `start`, without blocking the loop."""
        await carry_out_async(self._started())
        return self

    async def stop_async(self) -> StopReport:
        """The same as `stop`, without blocking the loop."""
        return self._after_stop(await carry_out_async(self._stopped()))

    async def restart_async(self) -> Self:
        """The same as `restart`, without blocking the loop."""
        await carry_out_async(self._restarted())
        return self

    async def wait_async(self, timeout: float | None = None) -> int | None:
        """The same as `wait`, without blocking the loop."""
        return await carry_out_async(self._ended(timeout))

    async def __aenter__(self) -> Self:
        return await self.start_async() if self._core.launched is None else self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._belongs_here():
            self._leave(await asyncio.shield(carry_out_async(self._stopped())), error)

    # Procedures, the same for every face.

    def _belongs_here(self) -> bool:
        return self._core.owner_pid == os.getpid()

    def _refuse_elsewhere(self) -> None:
        if not self._belongs_here():
            raise UsageError(
                f"{self.name} belongs to process {self._core.owner_pid}, and this is its fork {os.getpid()}",
                why="both would wait for the same messages, and one of them for ever",
                next="start a server of its own in this process, or share one by name",
            )

    def _started(self, *, again: bool = False) -> Script[None]:
        self._refuse_elsewhere()
        if self._sharing is not None and self._core.launched is None:
            yield from self._sharing.acquire(self._core)
        else:
            yield from self._core.start(again=again)
        self.last_stop = None
        LIVE.append(self)

    def _stopped(
        self, *, for_good: bool = True, how: Callable[[Core], Script[StopReport]] = stopping.stop
    ) -> Script[StopReport | None]:
        self._refuse_elsewhere()
        if self._core.launched is None:
            return None
        death = self._core.died()
        try:
            stop = how(self._core) if self._sharing is None else self._sharing.release(self._core)
            report = yield from stop
        finally:
            if self in LIVE:
                LIVE.remove(self)
                STOPPED.append(self)
            if for_good and self._sharing is None:
                self._core.dispose()
        self.last_stop = report
        report.death = death
        return report

    def _restarted(self) -> Script[None]:
        if self._sharing is not None:
            raise UsageError(f"{self.name} is shared, and a restart would surprise its other users")
        self._core.address.let_go()
        try:
            report = yield from self._stopped(for_good=False)
            self._core.address.hold()
            if report is not None:
                self._complain(report)
        except BaseException:
            if self._core.launched is None:  # else it can still be stopped, which gives its address up
                self._core.dispose()
            raise
        yield from self._started(again=self._core.folder is not None)

    def _ended(self, timeout: float | None) -> Script[int | None]:
        self._refuse_elsewhere()
        until = time.monotonic() + (timeout if timeout is not None else 1e9)
        launched = self._core.launched
        while launched is not None and self._core.running and time.monotonic() < until:
            daemon = self._core.pid != launched.pid
            yield Wait(
                readable=(launched.control.fileno(),),
                until=min(until, time.monotonic() + 0.01) if daemon else until,
            )
        if self._core.running or launched is None or launched is not self._core.launched:
            return self.last_stop.status if self.last_stop is not None else None
        self._core.death_told = True
        status = launched.status
        return os.waitstatus_to_exitcode(status) if status is not None else None

    def _after_stop(self, report: StopReport | None) -> StopReport:
        if report is None:
            return self.last_stop or StopReport(self.name, self._core.pid)
        self._complain(report)
        return report

    def _complain(self, report: StopReport) -> None:
        if report.death is not None and not self._core.death_told:
            self._core.death_told = True
            raise report.death
        stopping.complain(self._core, report)

    def _leave(self, report: StopReport | None, error: BaseException | None) -> None:
        """The end of a `with` block: an error in the block goes first, and learns what became of the server."""
        if report is None:
            return
        if error is None:
            self._complain(report)
            return
        for note in (*([str(report.death)] if report.death is not None else []), *report.troubles):
            if not isinstance(error, ServerError):
                error.add_note(note)


def stop_all() -> None:
    """Stop every server that this process has running: at its end, however it was reached."""
    for server in LIVE[::-1]:
        if server._belongs_here():
            with contextlib.suppress(ServerError):
                carry_out(server._stopped())


atexit.register(stop_all)
