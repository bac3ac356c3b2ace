"""Reading a capture file: pcap or pcapng, from the file's bytes to the TCP segments in it.

Owns the two file formats and the few headers between a link layer and TCP's payload. It must never decide what the
segments mean: `streams` puts them together.

The idea: a capture is a list of packets with a link type; a packet is Ethernet, Linux cooked or plain IP; all that is
not TCP is passed over. Written here and not taken from a library: the parsers on PyPI are unmaintained (dpkt, last
release 2022) or a framework of many megabytes (scapy), and these formats are fixed and small.

Source of the formats: pcap(5) and draft-ietf-opsawg-pcap; draft-ietf-opsawg-pcapng; the link types on tcpdump.org;
RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wavetank.errors import UsageError

#: The first four bytes of a pcap file, microseconds and nanoseconds, in both byte orders.
_PCAP_MAGICS: Final = {
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",
}
#: The section header block of pcapng, the same in both byte orders.
_PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6

# Link types (tcpdump.org/linktypes.html), and how far from the start of a packet its EtherType stands and its payload.
_NULL, _ETHERNET, _RAW, _LOOP, _COOKED, _IPV4, _IPV6, _COOKED2 = 0, 1, 101, 108, 113, 228, 229, 276
_RAW_BSD: Final = 12  # how libpcap on BSD numbers raw IP
_ETHER_TYPES: Final = {_ETHERNET: (12, 14), _COOKED: (14, 16), _COOKED2: (0, 20)}
_TYPE_IPV4, _TYPE_IPV6 = 0x0800, 0x86DD
_VLAN_TAGS: Final = (0x8100, 0x88A8)  # IEEE 802.1Q, 802.1ad
_TCP: Final = 6  # IP protocol number
#: IPv6 headers that may stand before TCP's (RFC 8200 section 4.1): hop by hop, routing, destination options.
_IPV6_EXTENSIONS: Final = (0, 43, 60)
_IPV6_FRAGMENT: Final = 44

SYN: Final = 0x02  # a flag of TCP


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment: `source` and `target` as (address, port), its sequence number, its flags and its payload.

    `missing_bytes` counts the payload that was on the wire and is not in the file (a capture cut by its snap length).
    """

    source: tuple[str, int]
    target: tuple[str, int]
    sequence: int
    flags: int
    payload: bytes
    missing_bytes: int


def is_capture(data: bytes) -> bool:
    """Whether `data` begins as a pcap or pcapng file does."""
    return data[:4] in _PCAP_MAGICS or data[:4] == _PCAPNG_MAGIC


def segments(data: bytes, name: str) -> Iterator[Segment]:
    """The TCP segments of the capture `data`, in the order of the file; `name` is for errors.

    Raises `UsageError`: neither pcap nor pcapng, cut short, damaged, or of a link type that is not known here.
    """
    if not is_capture(data):
        raise UsageError(f"{name} is not a capture: it begins neither as pcap nor as pcapng", next=_HOW)
    packets = _pcapng(data, name) if data[:4] == _PCAPNG_MAGIC else _pcap(data, name)
    for link, packet, original_bytes in packets:
        try:
            segment = _segment(link, packet, original_bytes, name)
        except (struct.error, IndexError):
            continue  # shorter than its own headers: not a TCP segment that carries anything
        if segment is not None:
            yield segment


_HOW: Final = "record one with: tcpdump -i lo -s 0 -w FILE.pcap tcp port PORT"


# ---- the two file formats: (link type, packet, length of the packet on the wire)


def _pcap(data: bytes, name: str) -> Iterator[tuple[int, bytes, int]]:
    order = _PCAP_MAGICS[data[:4]]
    if len(data) < 24:
        raise UsageError(f"{name} is cut short within its header", next=_HOW)
    link = struct.unpack_from(f"{order}I", data, 20)[0] & 0x0FFFFFFF  # the upper bits tell of frame check sequences
    at = 24
    while at < len(data):
        if at + 16 > len(data):
            raise _cut_short(name, at)
        kept, original = struct.unpack_from(f"{order}II", data, at + 8)
        at += 16
        if at + kept > len(data):
            raise _cut_short(name, at)
        yield link, data[at : at + kept], original
        at += kept


def _pcapng(data: bytes, name: str) -> Iterator[tuple[int, bytes, int]]:
    at, order = 0, "<"
    links: list[int] = []
    while at < len(data):
        if at + 12 > len(data):
            raise _cut_short(name, at)
        if data[at : at + 4] == _PCAPNG_MAGIC:
            order = "<" if struct.unpack_from("<I", data, at + 8)[0] == _BYTE_ORDER_MAGIC else ">"
            links = []  # interfaces are numbered anew in each section
        kind, total = struct.unpack_from(f"{order}II", data, at)
        if total < 12 or total % 4 or at + total > len(data):
            raise _cut_short(name, at)
        body = data[at + 8 : at + total - 4]
        if kind == _INTERFACE:
            links.append(struct.unpack_from(f"{order}H", body)[0])
        elif kind == _ENHANCED:
            interface, _, _, kept, original = struct.unpack_from(f"{order}IIIII", body)
            yield _link(links, interface, name, at), body[20 : 20 + kept], original
        elif kind == _SIMPLE:
            (original,) = struct.unpack_from(f"{order}I", body)
            yield _link(links, 0, name, at), body[4 : 4 + original], original
        at += total


def _link(links: list[int], interface: int, name: str, at: int) -> int:
    if interface >= len(links):
        raise UsageError(f"{name} is damaged: a packet of an interface that it does not describe", where=f"byte {at}")
    return links[interface]


def _cut_short(name: str, at: int) -> UsageError:
    return UsageError(f"{name} is cut short or damaged", where=f"byte {at}", next=_HOW)


# ---- from the link layer to TCP


def _segment(link: int, packet: bytes, original_bytes: int, name: str) -> Segment | None:
    """The TCP segment in a packet; None when there is something else in it."""
    lost = max(0, original_bytes - len(packet))
    if link in _ETHER_TYPES:
        type_at, at = _ETHER_TYPES[link]
        (kind,) = struct.unpack_from(">H", packet, type_at)
        while kind in _VLAN_TAGS:
            (kind,) = struct.unpack_from(">H", packet, at + 2)
            at += 4
        if kind not in (_TYPE_IPV4, _TYPE_IPV6):
            return None
    elif link in (_NULL, _LOOP):
        at = 4
    elif link in (_RAW, _RAW_BSD, _IPV4, _IPV6):
        at = 0
    else:
        raise UsageError(
            f"{name} is of link type {link}, which is not known here",
            why="Ethernet, Linux cooked (any), loopback and raw IP are",
            next=_HOW,
        )
    version = packet[at] >> 4
    if version == 4:
        return _ipv4(packet[at:], lost)
    return _ipv6(packet[at:], lost) if version == 6 else None


def _ipv4(packet: bytes, lost: int) -> Segment | None:
    header, total, fragment = (packet[0] & 0x0F) * 4, *struct.unpack_from(">H2xH", packet, 2)
    if packet[9] != _TCP or fragment & 0x1FFF:
        return None
    # A total length of 0 is what segmentation offload leaves in captures: then the packet is as long as it is.
    payload = packet[header:total] if total else packet[header:]
    source, target = (str(ipaddress.IPv4Address(packet[at : at + 4])) for at in (12, 16))
    return _tcp(source, target, payload, lost)


def _ipv6(packet: bytes, lost: int) -> Segment | None:
    length, following = struct.unpack_from(">HB", packet, 4)
    end = 40 + length if length else len(packet)
    source, target = (str(ipaddress.IPv6Address(packet[at : at + 16])) for at in (8, 24))
    at = 40
    while following in _IPV6_EXTENSIONS:
        following, at = packet[at], at + (packet[at + 1] + 1) * 8
    if following == _IPV6_FRAGMENT or following != _TCP:
        return None
    return _tcp(source, target, packet[at:end], lost)


def _tcp(source: str, target: str, segment: bytes, lost: int) -> Segment:
    from_port, to_port, sequence = struct.unpack_from(">HHI", segment)
    offset, flags = (segment[12] >> 4) * 4, segment[13]
    return Segment((source, from_port), (target, to_port), sequence, flags, segment[offset:], lost)
