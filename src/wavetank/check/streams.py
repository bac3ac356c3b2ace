"""From TCP segments to what two programs said: reassembly of the connections in a capture.

Owns the numbering of connections in a capture, who connected, and the order in which bytes arrived. It must never guess
bytes: where some are missing, it says so.

The idea: each direction is one stream of bytes, put together by sequence numbers; repeated and overlapping segments
count once, early ones wait for the gap to close (RFC 9293 section 3.10). Bytes count from the moment they became
readable, so the order between the two directions is that of the capture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from wavetank.check.capture import SYN, Segment
from wavetank.errors import UsageError

Endpoint = tuple[str, int]

_MODULUS = 2**32  # sequence numbers wrap (RFC 9293 section 3.4)
_ACK = 0x10


@dataclass
class _Direction:
    """One direction of one connection: the next byte's sequence number, and segments that came early."""

    next_sequence: int | None = None
    early: dict[int, bytes] = field(default_factory=dict)

    def take(self, segment: Segment) -> list[bytes]:
        """The pieces that became readable with this segment."""
        if segment.flags & SYN:
            self.next_sequence = (segment.sequence + 1) % _MODULUS
        if not segment.payload:
            return []
        start = (segment.sequence + (1 if segment.flags & SYN else 0)) % _MODULUS
        if self.next_sequence is None:
            self.next_sequence = start  # the capture begins in the middle of the connection
        kept = self.early.get(start, b"")
        self.early[start] = max(kept, segment.payload, key=len)
        return self._readable()

    def _readable(self) -> list[bytes]:
        assert self.next_sequence is not None
        pieces: list[bytes] = []
        while True:
            for start in sorted(self.early, key=self._behind, reverse=True):
                behind = self._behind(start)
                if behind < 0:
                    return pieces
                fresh = self.early.pop(start)[behind:]
                if fresh:
                    pieces.append(fresh)
                    self.next_sequence = (self.next_sequence + len(fresh)) % _MODULUS
                    break
            else:
                return pieces

    def _behind(self, start: int) -> int:
        """How many bytes of a segment that starts there are old; negative when bytes before it are missing."""
        assert self.next_sequence is not None
        distance = (self.next_sequence - start) % _MODULUS
        return distance if distance < _MODULUS // 2 else distance - _MODULUS


@dataclass
class Connection:
    """One connection of a capture: who connected to whom, and what was said, in order.

    `said` holds (from the side that connected, the bytes), one item for each segment that carried something new.
    """

    client: Endpoint
    server: Endpoint
    said: list[tuple[bool, bytes]] = field(default_factory=list)
    _directions: dict[bool, _Direction] = field(default_factory=lambda: {True: _Direction(), False: _Direction()})
    _missing_bytes: int = 0

    def take(self, segment: Segment) -> None:
        """Add a segment of this connection."""
        from_client = segment.source == self.client
        self._missing_bytes += segment.missing_bytes
        self.said += [(from_client, piece) for piece in self._directions[from_client].take(segment)]

    def complete(self, name: str) -> None:
        """Raises `UsageError` when bytes of this connection are missing in the capture `name`."""
        if self._missing_bytes:
            raise UsageError(
                f"{name}: packets of {self} are cut: {self._missing_bytes} bytes are missing",
                next="record whole packets: tcpdump -s 0",
            )
        if self.gaps:
            raise UsageError(
                f"{name}: bytes of {self} are missing",
                why="the capture lost packets, or was started or stopped too early or too late",
                next="record it again, with a larger buffer: tcpdump -B 4096",
            )

    @property
    def gaps(self) -> bool:
        """Whether bytes wait behind others that never came."""
        return any(direction.early for direction in self._directions.values())

    def bytes_from(self, client: bool) -> int:
        """How many bytes one side said."""
        return sum(len(data) for from_client, data in self.said if from_client is client)

    def __str__(self) -> str:
        return f"{_shown(self.client)} -> {_shown(self.server)}"


def connections(segments: Iterable[Segment]) -> list[Connection]:
    """The connections in which anything was said, in the order of their first segments."""
    found: list[Connection] = []
    latest: dict[frozenset[Endpoint], Connection] = {}
    for segment in segments:
        ends = frozenset((segment.source, segment.target))
        known = latest.get(ends)
        opening = segment.flags & (SYN | _ACK) == SYN
        if known is None or (opening and known.said):  # the same ports again
            known = latest[ends] = _opened_by(segment)
            found.append(known)
        known.take(segment)
    return [each for each in found if each.said or each.gaps]


def _opened_by(segment: Segment) -> Connection:
    """The connection whose first segment in the capture is this one."""
    client, server = segment.source, segment.target
    if segment.flags & (SYN | _ACK) == SYN | _ACK:
        client, server = server, client
    elif not segment.flags & SYN and segment.source[1] < segment.target[1]:
        client, server = server, client  # begun before the capture: servers have the lower port
    return Connection(client, server)


def _shown(end: Endpoint) -> str:
    host, port = end
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
