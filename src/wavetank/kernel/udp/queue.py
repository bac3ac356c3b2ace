"""The receive queue of a UDP socket, bounded by the memory that its datagrams take.

Owns the accounting: what a datagram costs, when one is dropped, and when memory counts as free again. Linux counts
`skb->truesize`, and gives memory back lazily: a reader works off a private part of the queue, and what it has read is
given back when that part is empty or a quarter of the buffer has gathered. Source: net/ipv4/udp.c
(`__udp_enqueue_schedule_skb`, `udp_rmem_release`, `__skb_recv_udp`) as of Linux 6.15; before, one datagram more fitted.
Costs and drops were measured on Linux 6.18 with SO_MEMINFO, for every size: no difference.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wavetank.kernel.udp.delivery import Packet

BUFFER_LEAST: Final = 2_304  # SOCK_MIN_RCVBUF on x86-64
_HEADERS: Final = (59, 72)  # Ethernet, IPv4 or IPv6, UDP, and room for alignment
_CACHE_LINE: Final = 64  # SMP_CACHE_BYTES
_SHARED_INFO: Final = 320  # SKB_DATA_ALIGN(sizeof(struct skb_shared_info))
_HEADER: Final = 256  # SKB_DATA_ALIGN(sizeof(struct sk_buff))
_SMALL: Final = 256  # what a head of skb_small_head_cache holds
_SMALL_COST: Final = 832
_LINEAR_MOST: Final = 16_384 - _SHARED_INFO  # SKB_MAX_ALLOC
#: Over IPv6 loopback (MTU 65,536) a larger datagram travels in two fragments.
_WHOLE_MOST_6: Final = 65_488
_FRAGMENTED_COST: Final = 67_144


def cost(size: int, *, version6: bool) -> int:
    """The memory that a datagram of `size` bytes takes in the receiver's buffer."""
    if version6 and size > _WHOLE_MOST_6:
        return _FRAGMENTED_COST
    need = size + _HEADERS[version6]
    aligned = -(-need // _CACHE_LINE) * _CACHE_LINE
    if aligned <= _SMALL:
        return _SMALL_COST
    if need < _LINEAR_MOST:
        return (1 << (aligned + _SHARED_INFO - 1).bit_length()) + _HEADER
    return _SMALL_COST + size


class Queue:
    """Datagrams that have arrived, oldest first."""

    __slots__ = ("deficit", "limit", "packets", "taken_over", "used")

    def __init__(self, limit: int) -> None:
        self.packets: deque[Packet] = deque()
        self.limit = limit
        self.used = 0  # sk_rmem_alloc
        self.taken_over = 0  # how many of the oldest are in the reader's part (up->reader_queue)
        self.deficit = 0  # read, and not yet given back (up->forward_deficit)

    def put(self, packet: Packet) -> bool:
        """Take a datagram in; False when it is dropped for want of memory. An empty buffer takes any."""
        size = packet.cost
        if self.used + size > self.limit and self.used:
            return False
        self.used += size
        self.packets.append(packet)
        return True

    def first(self) -> Packet:
        """The oldest datagram, which stays. Looking is enough to take the queue over (`first_packet_length`)."""
        if not self.taken_over:
            self.taken_over = len(self.packets)
        return self.packets[0]

    def take(self) -> Packet:
        """The oldest datagram."""
        packets = self.packets
        packet = self.first()
        packets.popleft()
        self.taken_over -= 1
        self.deficit += packet.cost
        if self.deficit >= self.limit >> 2 or not self.taken_over:
            self.used -= self.deficit
            self.deficit = 0
            self.taken_over = len(packets)
        assert self.used >= 0, f"the receive buffer holds {self.used} bytes"
        return packet
