"""What belongs to one world: its kernel, network, hosts, programs and oracles.

Owns the wiring between them. The user's face on it is `world.World`, the script target's is `script`; the run inside
the child is `runtime`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from wavetank.errors import PlanError, UsageError
from wavetank.faults import FAMILIES, AnyFault, Scheduling
from wavetank.kernel.choices import Stream, rate_of
from wavetank.kernel.core import Kernel, Thread
from wavetank.network.fabric import Fabric
from wavetank.trace.schema import Kind
from wavetank.world import deadlines, places
from wavetank.world.host import Host
from wavetank.world.job import FailureRecord
from wavetank.world.oracles import EXCEPTION, UNHANDLED, Oracles, exception_record, text_record
from wavetank.world.program import Program

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

#: The first process of a world gets this id. Small ids are the system's own on Linux; these look like an ordinary one.
FIRST_PID: Final = 1_001
#: The faults whose effect exists here.
SIMULATED: Final = frozenset(word for family in FAMILIES.values() for word in family.faults)
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class _OnHost:
    """Draws that are calm unless a process of one host runs, or has just given way."""

    def __init__(self, stream: Stream, kernel: Kernel, host: str) -> None:
        self._stream = stream
        self._kernel = kernel
        self._host = host

    def draw(self, rate: int, bound: int) -> int:
        """See `Stream.draw`."""
        return self._stream.draw(rate, bound) if self._kernel.process.host_name == self._host else 0


class Universe:
    """Everything of one world. `environment`: what programs see as environment variables."""

    def __init__(
        self,
        kernel: Kernel,
        fabric: Fabric,
        oracles: Oracles,
        environment: Mapping[str, str],
        exit_callbacks: list[Any],
    ) -> None:
        self.kernel = kernel
        self.fabric = fabric
        self.oracles = oracles
        self.environment = environment
        self.exit_callbacks = exit_callbacks
        self.hosts: dict[str, Host] = {}
        self.programs: list[Program] = []
        self.ended = 0  # how many programs have come to their end
        self.director: Process | None = None
        self._pids = FIRST_PID
        fabric.on_fault = self._fault_changes
        fabric.deadlines = lambda name: deadlines.of_host(self.hosts.get(name))
        fabric.other_fault = self._other_fault_changes

    def new_pid(self) -> int:
        """The id of the next process."""
        pid = self._pids
        self._pids += 1
        return pid

    def add_host(self, name: str, addresses: list[str] | None = None) -> Host:
        """A new host. Raises `UsageError` when the name or an address is taken, or is none."""
        _check_name(name)
        host = self.hosts[name] = Host(self, name, self.fabric.add(name, addresses))
        return host

    def only_director(self, what: str) -> None:
        """Raise `UsageError` unless the scenario itself is running: hosts' programs do not steer the world."""
        if self.kernel.process is not self.director:
            raise UsageError(
                f"only the scenario may {what}, not a program on a host",
                why="a program sees the network, not the simulator",
                next="do it in the scenario function, the one that gets the world",
            )

    def inject(self, fault: AnyFault) -> None:
        """Put a fault in force. Raises `PlanError` for one that this ground does not know."""
        if type(fault) not in SIMULATED or fault.when:
            what = "events" if type(fault) in SIMULATED else f"the fault {fault.name}"
            raise PlanError(f"{fault}: the simulated ground does not know {what}")
        self.fabric.inject(fault)

    def _fault_changes(self, fault: AnyFault, begins: bool) -> None:
        kernel = self.kernel
        kernel.recorder.event(kernel.now, Kind.FAULT, 0, 1 if begins else 0, str(fault).encode())

    def _other_fault_changes(self, fault: AnyFault, begins: bool) -> None:
        """Scheduling is the kernel's: of several such faults the one that began last is in force."""
        kernel = self.kernel
        active = [each for each in self.fabric.active if isinstance(each, Scheduling)]
        if not active:
            kernel.scheduling = None
        elif isinstance(fault, Scheduling):
            stream = kernel.choices.stream("scheduling", active[-1].target)
            kernel.scheduling_rate = rate_of(active[-1].rate)
            kernel.scheduling = stream if active[-1].target == "*" else _OnHost(stream, kernel, active[-1].target)
        kernel.refresh_attention()

    def clear(self) -> None:
        """The world is over, and the interpreter goes on: let go of everything, so that little is left to collect."""
        kernel = self.kernel
        for thread in kernel.threads:
            thread.greenlet = thread.body = None
            thread.local = {}
            thread.framework.clear()
        for host in self.hosts.values():
            for process in host.stack.processes:
                process.threads.clear()
                process.own_state.clear()
                process.exited.clear()
        for table in (kernel.threads, kernel.frozen, kernel.ready, kernel.heap, kernel.soft, self.programs, self.hosts):
            table.clear()

    # ---- failures

    def program_failed(self, program: Program, error: BaseException, status: int) -> None:
        """A program's main ended by an exception, or with a status that is not 0."""
        now = self.kernel.now
        host = program.host.name

        def words() -> FailureRecord:
            if isinstance(error, SystemExit):
                message = f": {error.code}" if isinstance(error.code, str) else ""
                stack = places.of_exception(error)
                detail = places.format_exception(error)
                return text_record(EXCEPTION, host, now, f"exit status {status}{message}", stack, detail)
            return exception_record(EXCEPTION, host, now, error, f"out of the main of {program.label}")

        first = not isinstance(error, SystemExit)
        self.oracles.report(EXCEPTION, host, words, lambda: not program.fetched, first=first, error=error)

    def unhandled(self, host: str, context: str, error: BaseException) -> None:
        """A loop, thread or hook of a program on `host` saw an exception that nobody handled."""
        self.oracles.report_exception(UNHANDLED, host, error, context)

    def director_threads(self) -> list[Thread]:
        """The threads of the scenario."""
        return [] if self.director is None else list(self.director.threads)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _HOST_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a host",
            why="a name is 1 to 63 letters, digits, '-', '_' and '.', and neither begins nor ends with one of these",
        )
