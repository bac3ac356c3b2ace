"""The world as a scenario sees it: hosts, time, faults, what must hold.

Owns the public face `World`; the parts behind it are `universe`, `host`, `invariants`. A scenario is a function that
gets a `World` and runs as the *director*: ordinary sequential code in virtual time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from wavetank.errors import UsageError
from wavetank.faults import AnyFault, Fault, Partition
from wavetank.trace.schema import Kind
from wavetank.world import cancelling
from wavetank.world.connections import Connection, snapshot
from wavetank.world.host import Host
from wavetank.world.invariants import Invariants

if TYPE_CHECKING:
    from wavetank.network.link import Link as NetworkLink
    from wavetank.world.universe import Universe


class Link:
    """The directed way from one host to another, or a host's own loopback. Made by `World.link`."""

    def __init__(self, world: World, link: NetworkLink) -> None:
        self._world = world
        self._link = link

    def __repr__(self) -> str:
        return f"<Link {self.source} -> {self.target}>"

    @property
    def source(self) -> str:
        """Name of the host that sends."""
        return self._link.source

    @property
    def target(self) -> str:
        """Name of the host that receives."""
        return self._link.target

    @property
    def latency_s(self) -> float:
        """Seconds from sending to arrival while no fault aims at the link."""
        return self._link.latency_ns / 1e9

    @property
    def blocked(self) -> bool:
        """Whether a partition cuts it now."""
        return self._link.blocked > 0

    def inject(self, fault: AnyFault) -> None:
        """Put `fault` in force on this link alone. Raises `UsageError` when it aims at something itself."""
        if fault.target != "*" or isinstance(fault, Partition):
            raise UsageError(f"a fault on a link takes no target of its own: {fault}")
        self._world.inject(msgspec.structs.replace(fault, target=f"{self.source} -> {self.target}"))


class Trace:
    """The trace of the running world: how long it is, and a place for the scenario's own marks."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe

    def __len__(self) -> int:
        return self._universe.kernel.recorder.events

    def note(self, text: str) -> None:
        """Write `text` into the trace, now."""
        kernel = self._universe.kernel
        kernel.recorder.event(kernel.now, Kind.NOTE, 0, 0, text.encode("utf-8", "replace"))


class World:
    """One simulated universe: hosts on a network, in virtual time. Scenarios get one; it is never made by itself.

    Attributes: `seed`, the seed of this run; `random`, a `random.Random` of this run; `trace`. All times are virtual
    seconds. Only the scenario itself may call its methods, not the programs that run on hosts (`UsageError`); they may
    call `cancellable`.
    """

    def __init__(self, universe: Universe, seed: int, fail: Callable[[BaseException], None]) -> None:
        self._universe = universe
        self._invariants = Invariants(universe, fail)
        self.seed = seed
        self.random = random.Random(f"world {seed}")
        self.trace = Trace(universe)

    # ---- hosts

    def host(self, name: str, *, addresses: list[str] | None = None) -> Host:
        """A new host called `name`; programs reach it by that name.

        `addresses`: IPv4 and IPv6 addresses as text; by default one of each is assigned. Raises `UsageError` when the
        name or an address is taken or not valid.
        """
        self._universe.only_director("add a host")
        return self._universe.add_host(name, addresses)

    # ---- time

    @property
    def now(self) -> float:
        """Virtual seconds since the world began."""
        return self._universe.kernel.now / 1e9

    def sleep(self, seconds: float) -> None:
        """Let the world go on for `seconds`."""
        self._universe.only_director("let the world sleep")
        if not 0 <= seconds <= 1e9:
            raise UsageError(f"sleep: seconds must be 0 to 1e9, not {seconds!r}")
        kernel = self._universe.kernel
        kernel.park("world.sleep", kernel.now + round(seconds * 1e9))

    # ---- faults

    def inject(self, fault: AnyFault) -> None:
        """Put a fault in force at its time; a time that is past means now, and then the duration counts from now.

        A fault with an event begins after the next such events, counted from now. What it says is what happens: the
        bound on the delays of a drawn plan (`Plan.delay_limit_s`) is not for it.

        Raises `UsageError` when it is no fault of `wavetank.faults`.
        """
        self._universe.only_director("inject a fault")
        if not isinstance(fault, Fault):
            raise UsageError(f"{fault!r} is not a fault of wavetank.faults")
        if not fault.when and fault.start_ns < self._universe.kernel.now:
            fault = msgspec.structs.replace(fault, at_s=self.now)
        self._universe.inject(fault, exact=True)

    def partition(self, a: str | Host, b: str | Host, *, one_way: bool = False) -> None:
        """Cut two hosts off from each other, or only what `a` sends to `b`, until `heal`. "*" is every other host."""
        self.inject(Partition(a=self._name(a), b=self._name(b), one_way=one_way))

    def heal(self) -> None:
        """End every fault that is in force."""
        self._universe.only_director("heal the world")
        self._universe.fabric.heal()

    def link(self, a: str | Host, b: str | Host) -> Link:
        """The link from `a` to `b`; with `a` twice, its loopback. Raises `UsageError` for an unknown host."""
        names = [self._name(host) for host in (a, b)]
        return Link(self, self._universe.fabric.link(*names))

    def _name(self, host: str | Host) -> str:
        name = host.name if isinstance(host, Host) else host
        if name != "*" and name not in self._universe.hosts:
            known = ", ".join(self._universe.hosts) or "there are none yet"
            raise UsageError(f"no host is called {name!r}", why=f"the hosts: {known}")
        return name

    # ---- cancellation

    def cancellable(self, awaitable: Any) -> Any:
        """`awaitable` (of asyncio or Trio, or a Deferred of Twisted), which may be cancelled wherever it is suspended.

        For programs on hosts, not for the scenario: `reply = await world.cancellable(client.get(key))`. Whether and
        where is a choice, and calm worlds cancel nothing: it happens while a fault of scheduling is in force (family
        `timing`), or where a plan lists it. Under asyncio `CancelledError` comes out of it, and the task may go on;
        under Trio it ends without a result, as in a scope that was cancelled; a Deferred gets `cancel()`.
        """
        return cancelling.cancellable(awaitable)

    # ---- looking

    def connections(self) -> list[Connection]:
        """All sockets of all hosts, in the columns of netstat(8)."""
        return snapshot(self._universe)

    # ---- what must hold

    def always(self, check: Callable[[], Any]) -> None:
        """`check()` must pass after each step of the world. A check passes unless it raises or returns False."""
        self._universe.only_director("demand an invariant")
        self._invariants.always(check)

    def every(self, seconds: float, check: Callable[[], Any]) -> None:
        """`check()` must pass every so many virtual seconds."""
        self._universe.only_director("demand an invariant")
        self._invariants.every(seconds, check)

    def eventually(self, check: Callable[[], Any], *, within: float) -> None:
        """`check()` must pass at some time, at most `within` seconds from now; the world lasts until it does."""
        self._universe.only_director("demand an invariant")
        self._invariants.eventually(check, within)

    def at_end(self, check: Callable[[], Any]) -> None:
        """`check()` must pass when the scenario has ended."""
        self._universe.only_director("demand an invariant")
        self._invariants.at_end(check)


def settle(world: World) -> None:
    """Wait for what must hold eventually, and check what must hold at the end; the director does this."""
    world._invariants.settle()
