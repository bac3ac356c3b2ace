"""What faults do to hosts: their schedulers, clocks and power, and what they have run out of.

Owns the undoing as well: each effect on a host leaves a way back, which is taken when the fault ends. A host that joins
a world gets the faults that are in force. What faults do to the network is `network.rules` and `kernel.tcp.strikes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from wavetank.faults import AnyFault, ClockJump, ClockSkew, Crash, Descriptors, Pause, Scheduling
from wavetank.kernel.choices import Stream, rate_of
from wavetank.kernel.clock import HostClock
from wavetank.kernel.core import Kernel
from wavetank.kernel.stack import UNLIMITED, Stack

if TYPE_CHECKING:
    from wavetank.network.fabric import Fabric
    from wavetank.world.host import Host


class _OnHost:
    """Draws that are calm unless a process of one host runs, or has just given way."""

    def __init__(self, stream: Stream, kernel: Kernel, host: str) -> None:
        self._stream = stream
        self._kernel = kernel
        self._host = host

    def draw(self, rate: int, bound: int) -> int:
        """See `Stream.draw`."""
        return self._stream.draw(rate, bound) if self._kernel.process.host_name == self._host else 0


class _Applied(NamedTuple):
    """A fault in force on a host, and the way back."""

    fault: AnyFault
    undo: Callable[[], object]


class Effects:
    """The faults of machines in one world."""

    def __init__(self, kernel: Kernel, fabric: Fabric, hosts: dict[str, Host]) -> None:
        self.kernel = kernel
        self.fabric = fabric
        self.hosts = hosts
        self._applied: list[_Applied] = []

    def changed(self, fault: AnyFault, begins: bool) -> None:
        """A fault begins, or ends."""
        if isinstance(fault, Scheduling):
            self._schedule()
        elif not begins:
            gone = [each for each in self._applied if each.fault == fault]
            self._applied = [each for each in self._applied if each.fault != fault]
            for each in gone:
                each.undo()
        else:
            for host in self.hosts.values():
                self._apply(fault, host)

    def join(self, host: Host) -> None:
        """A new host: what is in force concerns it, too."""
        for fault in self.fabric.active:
            self._apply(fault, host)

    def _apply(self, fault: AnyFault, host: Host) -> None:
        if self.fabric.aim_of(fault).first.name not in ("*", host.name):
            return
        undo: Callable[[], object]
        match fault:
            case ClockSkew():
                undo = self._skew(_clock_of(host), round(fault.offset_s * 1e9), fault.drift_ppm)
            case ClockJump():
                undo = self._skew(_clock_of(host), round(fault.offset_s * 1e9), 0.0)
            case Pause():
                host.power.hold()
                undo = host.power.let_go
            case Crash():
                undo = self._crash(fault, host)
            case Descriptors():
                undo = self._limit(host.stack)
            case _:
                return
        self._applied.append(_Applied(fault, undo))

    # ---- clocks

    def _skew(self, clock: HostClock, offset_ns: int, drift_ppm: float) -> Callable[[], object]:
        kernel, since = self.kernel, self.kernel.now
        clock.jump(offset_ns)
        clock.drift(since, clock.drift_ppm + drift_ppm)

        def right() -> None:
            gained = round((kernel.now - since) * drift_ppm / 1_000_000)
            clock.drift(kernel.now, clock.drift_ppm - drift_ppm)
            clock.jump(-offset_ns - gained)

        return right

    # ---- power

    def _crash(self, fault: Crash, host: Host) -> Callable[[], object]:
        """Cut the power, or send the signal; the way back is to restart what ran."""
        restart_s = fault.restart_after_s
        stopped = host.power.stop(fault.signal_number, returns=restart_s is not None)
        if restart_s is not None:
            self.kernel.after(round(restart_s * 1e9), self.fabric.end, fault)
        return host.power.start_again if stopped else _nothing

    # ---- resources

    def _limit(self, stack: Stack) -> Callable[[], object]:
        def refresh() -> None:
            limits = {"descriptors": UNLIMITED, "backlog": UNLIMITED, "ports": UNLIMITED}
            for fault in self.fabric.active:
                if isinstance(fault, Descriptors) and self.fabric.aim_of(fault).first.name in ("*", stack.name):
                    limits[fault.of] = min(limits[fault.of], fault.limit)
            stack.descriptor_limit, stack.backlog_limit = limits["descriptors"], limits["backlog"]
            stack.bound_ports(limits["ports"])

        refresh()
        return refresh

    # ---- scheduling

    def _schedule(self) -> None:
        """Of several such faults the one that began last is in force."""
        kernel = self.kernel
        active = [each for each in self.fabric.active if isinstance(each, Scheduling)]
        if active:
            fault = active[-1]
            stream = kernel.choices.stream("scheduling", fault.target)
            kernel.scheduling_rate = rate_of(fault.rate)
            kernel.scheduling = stream if fault.target == "*" else _OnHost(stream, kernel, fault.target)
        else:
            kernel.scheduling = None
        kernel.refresh_attention()


def _nothing() -> None:
    """There is no way back: the fault found nothing to do."""


def _clock_of(host: Host) -> HostClock:
    stack = host.stack
    if stack.clock is None:
        stack.clock = HostClock()
    return stack.clock
