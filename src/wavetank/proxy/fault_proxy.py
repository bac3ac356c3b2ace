"""The two faces of the proxy: `with FaultProxy(...)`, whose loop runs in a thread, and `async with`, in the caller's.

Owns the thread, and the way of calls into the proxy's loop. Must never do anything to bytes: `core` does, for both.
A call from outside the loop returns when the loop has carried it out: after `inject` the fault is in force.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from wavetank import plan as plans
from wavetank.errors import PlanError, UsageError
from wavetank.faults import AnyFault, parse_target
from wavetank.plan import Plan
from wavetank.proxy import address as addresses
from wavetank.proxy.control import Control
from wavetank.proxy.core import Core
from wavetank.proxy.events import EventLog

_T = TypeVar("_T")
#: A loop that does not answer for so long is stuck.
_ANSWER_S: Final = 60.0


class FaultProxy:
    """A proxy in front of `upstream` that does nothing to the bytes until a fault says so.

    `upstream`: "127.0.0.1:6379", "udp:127.0.0.1:53", "unix:/run/x.sock", "unix-dgram:...", "unix-seqpacket:...", a
    port, (host, port), a path, or anything with a `port`, such as a `ServerProcess`. `listen`: in the same form; by
    default a free port of 127.0.0.1. `plan`: a `Plan`, or its file, whose faults it begins with. `seed`: what is drawn
    (jitter, pieces, loss) follows from it, from the connection's number and the direction; by default the plan's, or 0.
    `names`: what the two ends are called in targets. `control`: where the control API listens (True: a free port), on
    loopback only; `token`: its password, drawn when not given. `trace`: a file that gets the trace. `splice=False`
    copies all bytes through this process.

    Used as `with FaultProxy(...) as proxy` (its event loop runs in a thread), as `async with` (in the running loop), or
    by `start` and `stop`. Raises `UsageError`, `PlanError` for what makes no sense, when it is made; when it starts
    `EnvironmentProblem`: a port in use, an upstream that does not resolve. After that, no socket is left.
    """

    def __init__(
        self,
        upstream: object,
        *,
        listen: object = None,
        plan: Plan | str | PathLike[str] | None = None,
        seed: int | None = None,
        names: tuple[str, str] = ("client", "server"),
        control: object = None,
        token: str | None = None,
        trace: str | Path | None = None,
        splice: bool = True,
    ) -> None:
        self._upstream = addresses.upstream(upstream)
        self._listen = addresses.listening(listen, self._upstream)
        self._names = _checked_names(names)
        where = "" if plan is None or isinstance(plan, Plan) else f"{plan}: "
        self._plan = plans.read_plan(plan) if plan is not None and not isinstance(plan, Plan) else plan
        self._seed = seed if seed is not None else self._plan.seed if self._plan is not None else 0
        self._trace = trace
        self._splice = splice
        self._control = None if control is None or control is False else Control(self, control, token)
        if token is not None and self._control is None:
            raise UsageError("token: there is no control API to protect; it is switched on by control")
        self._core: Core | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        if self._plan is not None:
            self._check_plan(self._plan, where)

    def _check_plan(self, plan: Plan, where: str) -> None:
        """All that is wrong with a plan, in one line."""
        line = self._new_core(trace=None).line
        wrong = []
        for fault in plan.faults:
            try:
                line.check(fault)
            except PlanError as error:
                wrong.append(error.what)
        if wrong:
            raise PlanError(where + "; ".join(dict.fromkeys(wrong)))

    def _new_core(self, trace: str | Path | None) -> Core:
        return Core(self._upstream, self._listen, names=self._names, seed=self._seed, trace=trace, splice=self._splice)

    # ---- starting and stopping

    async def _start(self) -> None:
        core = self._new_core(self._trace)
        await core.start()
        self._loop = asyncio.get_running_loop()
        self._core = core
        core.log.synchronise = self._synchronise
        try:
            if self._control is not None:
                await self._control.start()
            for fault in self._plan.faults if self._plan is not None else ():
                core.inject(fault)
            if self._plan is not None and self._plan.choices:
                core.log.add("note", text=f"{len(self._plan.choices)} choices of the plan are the simulator's")
        except BaseException:
            await self._stop()
            raise

    async def _stop(self) -> None:
        if self._control is not None:
            await self._control.stop()
        if self._core is not None:
            await self._core.stop()
        self._loop = None

    def start(self) -> FaultProxy:
        """Start it with a loop in a thread of its own; returns the proxy. Raises as the class says."""
        self._only_once()
        started: list[BaseException | None] = []
        ready = threading.Event()
        done = asyncio.Event()

        async def live() -> None:
            try:
                await self._start()
            except BaseException as error:
                started.append(error)
                ready.set()
                return
            self._done = done
            started.append(None)
            ready.set()
            await done.wait()
            await self._stop()

        self._thread = threading.Thread(target=lambda: asyncio.run(live()), name="wavetank-proxy", daemon=True)
        self._thread.start()
        ready.wait()
        if started[0] is not None:
            self._thread.join()
            self._thread = None
            raise started[0]
        return self

    def stop(self) -> None:
        """End it: connections are closed, the port is free. The events stay. More than once does no harm."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        self._thread = None
        loop.call_soon_threadsafe(self._done.set)
        thread.join()

    def __enter__(self) -> FaultProxy:
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> FaultProxy:
        _need_asyncio()
        self._only_once()
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    def _only_once(self) -> None:
        if self._loop is not None:
            raise UsageError("the proxy runs already; make another FaultProxy for another one")

    # ---- what it is

    def _running(self) -> Core:
        if self._core is None or self._loop is None:
            raise UsageError("the proxy does not run; use it inside `with FaultProxy(...) as proxy`, or start it")
        return self._core

    @property
    def port(self) -> int:
        """The port it listens on; 0 for a UNIX socket."""
        return self._running().listen.port

    @property
    def host(self) -> str:
        """The host it listens on; "" for a UNIX socket."""
        return self._running().listen.host

    @property
    def address(self) -> tuple[str, int] | str:
        """What `socket.connect` takes: (host, port), or the path of a UNIX socket."""
        return self._running().listen.plain

    @property
    def upstream(self) -> str:
        """The address of the server behind it, as text."""
        return str(self._upstream)

    @property
    def listening(self) -> str:
        """The address it listens on, as text."""
        return str(self._running().listen)

    @property
    def seed(self) -> int:
        """The seed of what is drawn."""
        return self._seed

    @property
    def control_url(self) -> str | None:
        """Where the control API is; None when it is off."""
        return None if self._control is None else self._control.url

    @property
    def token(self) -> str | None:
        """The password of the control API; None when it is off."""
        return None if self._control is None else self._control.token

    @property
    def events(self) -> EventLog:
        """All that has happened, also after the end of the proxy. Raises `UsageError` before its start."""
        if self._core is None:
            raise UsageError("the proxy has not been started, so it has no events")
        return self._core.log

    @property
    def connections(self) -> list[int]:
        """The numbers of the connections that are open."""
        core = self._running()
        return self._call(lambda: sorted(core.connections))

    @property
    def connections_so_far(self) -> int:
        """How many connections (or clients, for datagrams) there have been."""
        return self._running().accepted

    @property
    def faults(self) -> list[tuple[int, AnyFault, bool]]:
        """The faults: the number of each, the fault, and whether it is in force or has yet to begin."""
        return self._call(self._running().line.listed)

    # ---- what it does

    def check(self, fault: AnyFault) -> None:
        """Raise what `inject` would raise, and do nothing; also before the start."""
        (self._core or self._new_core(trace=None)).line.check(fault)

    def inject(self, fault: AnyFault) -> int:
        """Put `fault` in force, at its time; connections that are open feel it, too. Returns its number, for `clear`.

        `at_s` counts from the start of the proxy; a time that is past means now, and then `duration_s` counts from now.
        Raises `PlanError` for a fault that a proxy cannot carry out, with the one that comes nearest.
        """
        core = self._running()
        return self._call(lambda: core.inject(fault))

    def clear(self, number: int | None = None) -> None:
        """Heal everything, or the fault with this number. What was held back goes on; open connections stay open."""
        core = self._running()
        self._call(lambda: core.clear(number))

    def _synchronise(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._call(lambda: None)

    def _call(self, what: Callable[[], _T]) -> _T:
        """Carry it out in the proxy's loop, and wait until that is done."""
        loop = self._loop
        assert loop is not None, "called while it does not run"
        try:
            here: Any = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is loop:
            return what()
        result: list[_T] = []
        problem: list[BaseException] = []
        done = threading.Event()

        def carry_out() -> None:
            try:
                result.append(what())
            except BaseException as error:
                problem.append(error)
            done.set()

        loop.call_soon_threadsafe(carry_out)
        if not done.wait(_ANSWER_S):
            raise TimeoutError(f"the proxy's loop has not answered for {_ANSWER_S:g} s: something blocks it")
        if problem:
            raise problem[0]
        return result[0]


def _need_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "`async with FaultProxy(...)` runs in an asyncio event loop, and none is running in this thread",
            next="with FaultProxy(...) as proxy: its loop runs in a thread, under any framework",
        ) from None


def _checked_names(names: object) -> tuple[str, str]:
    if not isinstance(names, tuple | list) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise UsageError(f"names: two names are needed, of the client and of the server, not {names!r}")
    client, server = names
    if client == server:
        raise UsageError(f"names: both ends are called {client!r}")
    for name in names:
        aim = parse_target(name)
        if aim.second is not None or aim.first.name != name or aim.ordinal or name in ("*", "connecting", "accepting"):
            raise UsageError(f"names: {name!r} is not the name of a host")
    return client, server
