"""All hosts and links of a world, and the faults in force between them.

Owns which host has which address, the links, and the list of active faults; it works out for each path what the faults
that aim at it amount to (delays add up, the narrowest bandwidth and the smallest buffer win). This is the one place
where a fault meets the network, and faults are taken in the order of the plan: one total order.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from wavetank.errors import UsageError
from wavetank.faults import (
    AnyFault,
    Bandwidth,
    Buffers,
    Latency,
    Loss,
    Partition,
    Party,
    Segments,
    SlowReader,
)
from wavetank.network.address import host_addresses, is_loopback, unmapped
from wavetank.network.lateness import JITTER_STEP_NS
from wavetank.network.link import Allowance, Clock, Link, Path, Shape
from wavetank.network.segmentation import AimedDraws


class Node:
    """A host as the network sees it. `stack` is the kernel's side of it."""

    def __init__(self, name: str, addresses: list[str]) -> None:
        self.name = name
        self.addresses = addresses
        self.stack: Any = None
        self.down = False


class Fabric:
    """The network of one world."""

    def __init__(self, clock: Clock, streams: Callable[[str, str], AimedDraws]) -> None:
        self.clock = clock
        self.streams = streams
        self.nodes: dict[str, Node] = {}
        self.by_address: dict[str, Node] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.active: list[AnyFault] = []
        #: The deadlines that programs on a host have pending, as virtual time in ns; those long past may be among them.
        self.deadlines: Callable[[str], Sequence[int]] = lambda host: ()
        #: Bound of the delay that faults add to one exchange (`Plan.delay_limit_s`), or None.
        self.delay_limit_ns: int | None = None
        self.on_drop: Callable[[Path, Any], object] = lambda path, packet: None
        #: Called when a fault that is not the network's begins (True) or ends (False): the kernel's `Scheduling`.
        self.other_fault: Callable[[AnyFault, bool], object] = lambda fault, begins: None
        self.on_fault: Callable[[AnyFault, bool], object] = lambda fault, begins: None
        self._paths: weakref.WeakSet[Path] = weakref.WeakSet()
        self._datagram_paths: dict[tuple[str, str], Path] = {}

    # ---- hosts

    def add(self, name: str, addresses: list[str] | None = None) -> Node:
        """A new host. Raises `UsageError` when the name or an address is taken."""
        if name in self.nodes:
            raise UsageError(f"there is already a host named {name!r}")
        node = Node(name, list(addresses) if addresses else list(host_addresses(len(self.nodes) + 1)))
        for address in node.addresses:
            if address in self.by_address:
                raise UsageError(f"{address} already belongs to the host {self.by_address[address].name!r}")
        self.nodes[name] = node
        for address in node.addresses:
            self.by_address[address] = node
        return node

    def find(self, source: Node, address: str) -> Node | None:
        """The host that `address` means for a program on `source`."""
        address = unmapped(address)
        if is_loopback(address) or address in ("0.0.0.0", "::"):
            return source
        return self.by_address.get(address)

    def link(self, source: str, target: str) -> Link:
        """The link between two hosts, made when first asked for."""
        link = self.links.get((source, target))
        if link is None:
            link = self.links[source, target] = Link(source, target)
            self._block(link)
        return link

    # ---- paths

    def path(
        self,
        sender: Party,
        receiver: Party,
        ordinal: int,
        deliver: Callable[[Any], object],
        shape: Shape | None,
        allowance: Allowance,
    ) -> Path:
        """A path for one direction of one connection."""
        link = self.link(sender.host, receiver.host)
        path = Path(
            self.clock, link, sender, receiver, ordinal, deliver, shape, self.streams, self.on_drop, allowance,
            self.deadlines,
        )  # fmt: skip
        self._paths.add(path)
        self._configure(path)
        return path

    def allowance(self) -> Allowance:
        """The delay that faults may add to one connection."""
        return Allowance(self.delay_limit_ns)

    def datagram_path(self, source: Node, address: str) -> Path | None:
        """The path of datagrams from a host to an address; None when no host has it."""
        target = self.find(source, address)
        if target is None:
            return None
        key = (source.name, target.name)
        path = self._datagram_paths.get(key)
        if path is None:
            path = self.path(
                Party(source.name), Party(target.name), 0, _deliver_datagram, None, Allowance(self.delay_limit_ns)
            )
            self._datagram_paths[key] = path
        return path

    # ---- faults

    def inject(self, fault: AnyFault) -> None:
        """Put a fault in force at its time, and end it after its duration."""
        now = self.clock.now
        if fault.start_ns <= now:
            self._begin(fault)
        else:
            self.clock.at(fault.start_ns, self._begin, fault)
        if fault.end_ns is not None:
            self.clock.at(max(fault.end_ns, now), self._end, fault)

    def heal(self) -> None:
        """End every active fault."""
        for fault in tuple(self.active):
            self._end(fault)

    def _begin(self, fault: AnyFault) -> None:
        self.active.append(fault)
        self._changed(fault, True)

    def _end(self, fault: AnyFault) -> None:
        if fault in self.active:
            self.active.remove(fault)
            self._changed(fault, False)

    def _changed(self, fault: AnyFault, begins: bool) -> None:
        self.on_fault(fault, begins)
        self.other_fault(fault, begins)
        for link in self.links.values():
            self._block(link)
        for path in sorted(self._paths, key=lambda path: path.key):
            self._configure(path)

    def _block(self, link: Link) -> None:
        link.blocked = 0
        if link.source == link.target:
            return
        for fault in self.active:
            if isinstance(fault, Partition):
                there = _named(fault.a, link.source) and _named(fault.b, link.target)
                back = _named(fault.b, link.source) and _named(fault.a, link.target)
                if there or (back and not fault.one_way):
                    link.blocked += 1

    def _configure(self, path: Path) -> None:
        delay, jitter, keep = 0, 0.0, 1.0
        path.bandwidth = path.max_piece = path.reader_rate = path.send_limit = path.receive_limit = 0
        for fault in self.active:
            if isinstance(fault, Partition) or not _aims_at(fault, path):
                continue
            match fault:
                case Latency():
                    delay += round(fault.delay_s * 1e9)
                    jitter += fault.jitter_s
                case Bandwidth():
                    path.bandwidth = _least(path.bandwidth, fault.bytes_per_s)
                case Segments():
                    path.max_piece = _least(path.max_piece, fault.max_bytes)
                case Buffers():
                    path.send_limit = _least(path.send_limit, fault.send_bytes)
                    path.receive_limit = _least(path.receive_limit, fault.receive_bytes)
                case SlowReader():
                    path.reader_rate = _least(path.reader_rate, fault.bytes_per_s)
                case Loss():
                    keep *= 1.0 - fault.rate
                case _:
                    pass
        path.latency_ns, path.delay_ns = path.link.latency_ns, delay
        path.jitter_steps = round(jitter * 1e9) // JITTER_STEP_NS
        path.loss_rate = round((1.0 - keep) * 65536)
        path.settle()


def _least(one: int, other: int) -> int:
    """The smaller bound; 0 is no bound."""
    return min(one, other) if one else other


def _named(pattern: str, host: str) -> bool:
    return pattern in ("*", host)


def _aims_at(fault: AnyFault, path: Path) -> bool:
    if isinstance(fault, (SlowReader, Buffers)):
        return fault.aim.matches_reader(path.receiver, path.sender, path.ordinal) or (
            isinstance(fault, Buffers) and fault.aim.matches(path.sender, path.receiver, path.ordinal)
        )
    return fault.aim.matches(path.sender, path.receiver, path.ordinal)


def _deliver_datagram(packet: tuple[Callable[[Any], object], Any]) -> None:
    deliver, argument = packet
    deliver(argument)
