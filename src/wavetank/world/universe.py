"""What belongs to one world: its kernel, network, hosts, programs and oracles.

Owns the wiring between them. The user's face on it is `world.World`, the script target's is `script`; the run inside
the child is `runtime`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from wavetank import frameworks
from wavetank.errors import ContractViolation, UsageError, did_you_mean
from wavetank.faults import FAMILIES, ON_NETWORK, AnyFault, hosts_of
from wavetank.kernel.core import Kernel, Thread
from wavetank.network.fabric import Fabric
from wavetank.trace.schema import Kind
from wavetank.world import deadlines, leaks, places
from wavetank.world.buffers import Buffers
from wavetank.world.effects import Effects
from wavetank.world.host import Host
from wavetank.world.job import FailureRecord
from wavetank.world.oracles import CONTRACT, EXCEPTION, UNHANDLED, Oracles, exception_record, text_record
from wavetank.world.program import Program

if TYPE_CHECKING:
    from wavetank.kernel.process import Process

#: The first process of a world gets this id. Small ids are the system's own on Linux; these look like an ordinary one.
FIRST_PID: Final = 1_001
#: Faults under which every program can get on.
_MILD: Final = frozenset(word for family in FAMILIES.values() if family.mild for word in family.faults)
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


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
        self._named: dict[str, AnyFault] = {}  # hosts at which faults aim
        fabric.on_fault = self._fault_changes
        kernel.when_full = Buffers(kernel, oracles).full
        fabric.deadlines = lambda name: deadlines.of_host(self.hosts.get(name))
        self.effects = Effects(kernel, fabric, self.hosts)
        fabric.other_fault = self.effects.changed
        kernel.last_resort = self.last_resort
        self.healed_at: int | None = None  # when nothing went on, and every fault was healed

    def new_pid(self) -> int:
        """The id of the next process."""
        pid = self._pids
        self._pids += 1
        return pid

    def add_host(self, name: str, addresses: list[str] | None = None) -> Host:
        """A new host. Raises `UsageError` when the name or an address is taken, or is none."""
        _check_name(name)
        host = self.hosts[name] = Host(self, name, self.fabric.add(name, addresses))
        self.effects.join(host)
        return host

    def only_director(self, what: str) -> None:
        """Raise `UsageError` unless the scenario itself is running: hosts' programs do not steer the world."""
        if self.kernel.process is not self.director:
            raise UsageError(
                f"only the scenario may {what}, not a program on a host",
                why="a program sees the network, not the simulator",
                next="do it in the scenario function, the one that gets the world",
            )

    def inject(self, fault: AnyFault, *, exact: bool = False) -> None:
        """Put a fault in force. `exact`: the plan's bound on delays is not for it."""
        self._named.update(dict.fromkeys(hosts_of(fault), fault))
        self.fabric.inject(fault, exact=exact)

    def note_unknown_hosts(self) -> None:
        """At the end: say which faults aimed at hosts that this world did not have."""
        for name, fault in self._named.items():
            if name not in self.hosts:
                known = ", ".join(self.hosts) or "none"
                hint = did_you_mean(name, self.hosts)
                self.oracles.note(f"{fault}: no host is called {name!r}.{hint} The hosts were {known}")

    def note_faults_without_traffic(self, faults: Sequence[AnyFault]) -> None:
        """At the end: say that faults of the network met nothing to act on, when that is so."""
        if not self.fabric.links and any(type(fault) in ON_NETWORK for fault in faults):
            self.oracles.note(
                "nothing went over TCP or UDP, so faults of the network did nothing: "
                "UNIX sockets, pipes and socketpair have none"
            )

    def _fault_changes(self, fault: AnyFault, begins: bool) -> None:
        kernel = self.kernel
        kernel.recorder.event(kernel.now, Kind.FAULT, 0, 1 if begins else 0, str(fault).encode())

    def last_resort(self, reason: str) -> bool:
        """Nothing can happen any more, or the time is over: heal every fault, once, and demand progress after that.

        Mild faults within the bounds of drawn plans let every program get on: they excuse no time. False: nothing was
        to be healed.
        """
        fabric = self.fabric
        bounded = fabric.delay_limit_ns is not None
        unhealed = [fault for fault in fabric.active if not (bounded and type(fault) in _MILD)]
        if self.healed_at is not None or not (unhealed or fabric.watches):
            return False
        kernel = self.kernel
        self.healed_at = kernel.now
        self.fabric.heal_for_good()
        if reason == "limit":
            kernel.limit += kernel.limit
        kernel.refresh_attention()
        return True

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
        program.reported = True

        def words() -> FailureRecord:
            if isinstance(error, SystemExit):
                message = f": {error.code}" if isinstance(error.code, str) else ""
                stack = places.of_exception(error)
                detail = places.format_exception(error)
                return text_record(EXCEPTION, host, now, f"exit status {status}{message}", stack, detail)
            return exception_record(EXCEPTION, host, now, error, f"out of the main of {program.label}")

        first = not isinstance(error, SystemExit)
        self.oracles.report(EXCEPTION, host, words, lambda: not program.fetched, first=first, error=error)

    def contract_broken(self, violation: ContractViolation) -> None:
        """A monitor of `wavetank.contract` saw a broken rule in the process that runs."""
        host, now, stack = self.kernel.process.host_name, self.kernel.now, places.of_frame(sys._getframe(1))
        detail = "\n".join(violation.lines())
        what, rule = violation.what, violation.rule
        self.oracles.report(CONTRACT, host, lambda: text_record(CONTRACT, host, now, what, stack, detail, sort=rule))

    def check_leaks(self, process: Process) -> None:
        """A program is over, or the world is: see what it leaves."""
        leaks.check(self.kernel, self.oracles, process)
        frameworks.check_leaks(process)

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
