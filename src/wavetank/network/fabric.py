"""All hosts and links of a world, and the faults in force between them.

Owns which host has which address, the links, the list of active faults, when each begins and ends, and the events that
some of them wait for. What they amount to for a path is `rules`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from wavetank.errors import UsageError
from wavetank.faults import AnyFault, End, Eof, NameFailure, Party, Reset, Stall, Target
from wavetank.network import rules
from wavetank.network.address import host_addresses, is_link_local, is_loopback, link_local_address, unmapped
from wavetank.network.link import Allowance, Clock, Gate, Link, Path, Shape
from wavetank.network.segmentation import AimedDraws


class Node:
    """A host as the network sees it. `stack` is the kernel's side of it."""

    def __init__(self, name: str, addresses: list[str]) -> None:
        self.name = name
        self.addresses = addresses
        self.link_local = ""  # no name means it, so it is not among `addresses`
        self.stack: Any = None
        self.down = False

    def owns(self, address: str) -> bool:
        """Whether this is an address of its interface to the others."""
        return address in self.addresses or (address == self.link_local != "")


class Fabric:
    """The network of one world."""

    def __init__(self, clock: Clock, streams: Callable[[str, str], AimedDraws]) -> None:
        self.clock = clock
        self.streams = streams
        self.nodes: dict[str, Node] = {}
        self.by_address: dict[str, Node] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.active: list[AnyFault] = []
        self._aimed: list[rules.Aimed] = []  # the same, with addresses in targets replaced by names
        #: The deadlines that programs on a host have pending, as virtual time in ns; those long past may be among them.
        self.deadlines: Callable[[str], Sequence[int]] = lambda host: ()
        #: Faults that wait for an event. Whoever sees one tells `happened`, if there are any.
        self.watches: list[Watch] = []
        self.over = False  # no fault begins any more
        #: Bound of the delay that faults add to one exchange (`Plan.delay_limit_s`), or None.
        self.delay_limit_ns: int | None = None
        self._exact: set[AnyFault] = set()  # faults that the bound is not for
        self.on_drop: Callable[[Path, Any], object] = lambda path, packet: None
        #: Called when a fault begins (True) or ends (False), for those that are not the network's.
        self.other_fault: Callable[[AnyFault, bool], object] = lambda fault, begins: None
        self.on_fault: Callable[[AnyFault, bool], object] = lambda fault, begins: None
        self._paths: weakref.WeakSet[Path] = weakref.WeakSet()
        self._datagram_paths: dict[tuple[str, str, int, int], Path] = {}
        self._by_port = False  # a fault aims at a port

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
        if any(":" in address for address in node.addresses):
            self._give_link_local(node)
        self._aim()
        return node

    def _give_link_local(self, node: Node) -> None:
        """One of the link, unless it was given one."""
        number = len(self.nodes)
        own = next((address for address in node.addresses if is_link_local(address)), link_local_address(number))
        while self.by_address.get(own, node) is not node:
            number += 1
            own = link_local_address(number)
        node.link_local = own
        self.by_address[own] = node

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
            link.blocked = rules.blocks(self.active, link)
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
        gate: Gate | None = None,
    ) -> Path:
        """A path for one direction of one connection, which ends at `gate`."""
        link = self.link(sender.host, receiver.host)
        path = Path(
            self.clock, link, sender, receiver, ordinal, deliver, shape, self.streams, self.on_drop, allowance,
            self.deadlines,
        )  # fmt: skip
        path.gate = gate
        self._paths.add(path)
        self._configure(path)
        return path

    def allowance(self) -> Allowance:
        """The delay that faults may add to one connection."""
        return Allowance(self.delay_limit_ns)

    def datagram_path(self, source: Node, address: str, port: int = 0, own_port: int = 0) -> Path | None:
        """The path of datagrams from a host to an address; None when no host has it.

        One for each pair of hosts, and one for each pair of ports while a fault aims at a port.
        """
        target = self.find(source, address)
        if target is None:
            return None
        key = (source.name, target.name, own_port, port) if self._by_port else (source.name, target.name, 0, 0)
        path = self._datagram_paths.get(key)
        if path is None:
            sender, receiver = Party(source.name, key[2]), Party(target.name, key[3])
            path = self.path(sender, receiver, 0, _deliver_datagram, None, Allowance(self.delay_limit_ns))
            self._datagram_paths[key] = path
        return path

    # ---- faults

    def inject(self, fault: AnyFault, *, exact: bool = False) -> None:
        """Put a fault in force at its time, or after its event, and end it after its duration.

        `exact`: what it delays is delayed by just that, whatever the bound.
        """
        if exact:
            self._exact.add(fault)
        if fault.event is not None:
            self.watches.append(Watch(fault))
            self._refresh()
            return
        now = self.clock.now
        if fault.start_ns <= now:
            self._begin(fault)
        else:
            self.clock.at(fault.start_ns, self._begin, fault)
        if fault.end_ns is not None:
            self.clock.at(max(fault.end_ns, now), self.end, fault)

    def heal(self) -> None:
        """End every active fault."""
        for fault in tuple(self.active):
            self.end(fault)

    def heal_for_good(self) -> None:
        """End every active fault, and let none begin any more."""
        self.over = True
        self.watches.clear()
        self.heal()
        self._refresh()

    def end(self, fault: AnyFault) -> None:
        """End one fault; nothing happens when it is not active."""
        if fault in self.active:
            self.active.remove(fault)
            self._changed(fault, False)

    def name_failure(self, asker: str, name: str) -> NameFailure | None:
        """The fault that a lookup of `name` by the host `asker` meets, if there is one."""
        return rules.name_failure(self._aimed, asker, name)

    def _begin(self, fault: AnyFault) -> None:
        if self.over:
            return
        self.active.append(fault)
        self._changed(fault, True)
        if isinstance(fault, rules.STRIKES):
            self._strike(fault)

    def _changed(self, fault: AnyFault, begins: bool) -> None:
        self.on_fault(fault, begins)
        self.other_fault(fault, begins)
        self._refresh()

    def _refresh(self) -> None:
        """Work out anew what the faults amount to."""
        self._aim()
        self._by_port = any(_has_port(fault.aim) for fault in self.active)
        for link in self.links.values():
            link.blocked = rules.blocks(self.active, link)
        for path in sorted(self._paths, key=_by_key):
            self._configure(path)

    def is_pair(self, *paths: Path) -> None:
        """These are the two ways between sockets that a thread has for itself."""
        for path in paths:
            path.pair = self.delay_limit_ns is not None  # what a plan by hand says holds for all
            self._configure(path)

    def _configure(self, path: Path) -> None:
        watched = not path.pair and any(watch.looks_at(self.aim_of(watch.fault), path) for watch in self.watches)
        rules.configure(path, self._aimed, watched=watched)

    def _aim(self) -> None:
        self._aimed = [rules.Aimed(fault, self.aim_of(fault), fault in self._exact) for fault in self.active]

    def aim_of(self, fault: AnyFault) -> Target:
        """What a fault aims at, with the names of hosts for their addresses."""
        aim = fault.aim
        first, second = self._named(aim.first), aim.second and self._named(aim.second)
        return aim._replace(first=first, second=second)

    def _named(self, end: End) -> End:
        node = self.by_address.get(end.name.strip("[]"))
        return end if node is None else end._replace(name=node.name)

    # ---- faults that strike connections

    def _strike(self, fault: Reset | Eof) -> None:
        """It begins: strike the connections that have come as far as it says."""
        struck = False
        for path in sorted(self._paths, key=_by_key):
            if fault in path.strikes and path.gate is not None:
                there = path.gate.passed() >= fault.after_bytes
                struck = (there and path.gate.strike(fault)) or struck
        if struck:
            self.struck(fault)

    def struck(self, fault: AnyFault) -> None:
        """A connection was struck: a fault that strikes at once, and has no duration, is over."""
        assert isinstance(fault, rules.STRIKES), f"{fault} strikes no connections"
        if not fault.after_bytes and fault.duration_s is None:
            self.end(fault)

    # ---- events

    def happened(self, kind: str, path: Path) -> None:
        """Something that faults may wait for has happened on a connection; `path` is the direction it concerns."""
        for watch in tuple(self.watches):
            aim = self.aim_of(watch.fault)
            if watch.counts(kind, aim, path):
                self.watches.remove(watch)
                fault = watch.fault_at(aim, path, self.clock.now)
                if watch.fault in self._exact:
                    self._exact.add(fault)
                self._begin_later(fault)

    def _begin_later(self, fault: AnyFault) -> None:
        # By the heap even when it is due now: who saw the event is in the midst of a system call.
        self.clock.at(fault.start_ns, self._begin, fault)
        if fault.end_ns is not None:
            self.clock.at(fault.end_ns, self.end, fault)
        self._refresh()


class Watch:
    """A fault that waits for its event."""

    __slots__ = ("event", "fault", "seen")

    def __init__(self, fault: AnyFault) -> None:
        event = fault.event
        assert event is not None, f"{fault} waits for no event"
        self.fault = fault
        self.event = event
        self.seen = 0

    def looks_at(self, aim: Target, path: Path) -> bool:
        """Whether it needs to know of the data on a path: that of its target and, for replies, what comes back."""
        if self.event.kind not in ("send", "reply"):
            return False
        one, other = path.sender, path.receiver
        back = self.event.kind == "reply" and aim.matches(other, one, path.ordinal)
        return back or aim.matches(one, other, path.ordinal)

    def counts(self, kind: str, aim: Target, path: Path) -> bool:
        """Whether this is the event: of its kind, on its target, and the right one in the count."""
        if kind != self.event.kind:
            return False
        one, other = path.sender, path.receiver
        here = aim.matches(one, other, path.ordinal)
        if kind in ("connect", "accept"):  # of a connection, whichever of its directions the target names
            here = here or aim.matches(other, one, path.ordinal)
        self.seen += here
        return here and self.seen == self.event.ordinal

    def fault_at(self, aim: Target, path: Path, now: int) -> AnyFault:
        """The fault as it is in force after its event, by the clock and with its target."""
        fault, target = self.fault, self.fault.target
        if isinstance(fault, rules.OF_ONE_CONNECTION):
            if isinstance(fault, Stall) and aim.second is None:  # it means its own reading
                along, back = aim.first.matches(path.receiver), aim.first.matches(path.sender)
                both_ways = along and back
            else:
                along = aim.matches(path.sender, path.receiver, path.ordinal)
                both_ways = not rules.one_way(aim)
            target = rules.connection(path, both_ways=both_ways, reverse=not along)
        return msgspec.structs.replace(fault, when="", at_s=now / 1e9 + fault.at_s, target=target)


def _by_key(path: Path) -> tuple[str, int, int]:
    return path.key, path.sender.port, path.receiver.port


def _has_port(aim: Target) -> bool:
    return bool(aim.first.port or (aim.second is not None and aim.second.port))


def _deliver_datagram(packet: tuple[Callable[[Any], object], Any]) -> None:
    deliver, argument = packet
    deliver(argument)
