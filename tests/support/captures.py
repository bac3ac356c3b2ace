"""Capture files, made by hand: TCP segments in pcap and pcapng, in the shapes that tools write."""

import ipaddress
import struct

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 8000)

End = tuple[str, int]


def tcp(source: End, target: End, sequence: int, payload: bytes = b"", flags: int = ACK) -> bytes:
    """An IP packet, of the version of its addresses, with one TCP segment; without checksums."""
    segment = struct.pack(">HHIIBBHHH", source[1], target[1], sequence % 2**32, 0, 0x80, flags, 65535, 0, 0)
    segment += b"\x01" * 12 + payload  # options: twelve NOPs
    ends = [ipaddress.ip_address(end[0]) for end in (source, target)]
    addresses = b"".join(end.packed for end in ends)
    if ends[0].version == 6:
        return struct.pack(">IHBB", 6 << 28, len(segment), 6, 64) + addresses + segment
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + addresses + segment


def ethernet(packet: bytes, *, vlan: bool = False) -> bytes:
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    tag = struct.pack(">HH", 0x8100, 7) if vlan else b""
    return b"\2" * 12 + tag + struct.pack(">H", kind) + packet


def cooked(packet: bytes) -> bytes:
    return b"\0" * 14 + struct.pack(">H", 0x0800) + packet


def cooked2(packet: bytes) -> bytes:
    return struct.pack(">H", 0x0800) + b"\0" * 18 + packet


def pcap(packets: list[bytes], link: int = 101, order: str = "<", kept: int = 65535) -> bytes:
    head = struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, kept, link)
    return head + b"".join(
        struct.pack(f"{order}IIII", 0, number, len(packet[:kept]), len(packet)) + packet[:kept]
        for number, packet in enumerate(packets)
    )


def pcapng(packets: list[bytes], link: int = 101, order: str = "<") -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        total = struct.pack(f"{order}I", len(body) + 12)
        return struct.pack(f"{order}I", kind) + total + body + total

    out = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack(f"{order}HHI", link, 0, 0))
    out += block(5, b"\0" * 12)  # interface statistics: passed over
    for packet in packets:
        out += block(6, struct.pack(f"{order}IIIII", 0, 0, 0, len(packet), len(packet)) + packet)
    return out


def exchange(*said: tuple[bool, bytes], client: End = CLIENT, server: End = SERVER, start: int = 1000) -> list[bytes]:
    """A connection from its handshake on; `said` is (from the client, bytes)."""
    at = {True: start, False: 5000}
    ends = {True: (client, server), False: (server, client)}
    packets = [tcp(*ends[True], at[True], flags=SYN), tcp(*ends[False], at[False], flags=SYN | ACK)]
    at = {side: (sequence + 1) % 2**32 for side, sequence in at.items()}
    packets.append(tcp(*ends[True], at[True]))
    for from_client, data in said:
        packets.append(tcp(*ends[from_client], at[from_client], data, PSH | ACK))
        at[from_client] += len(data)
        packets.append(tcp(*ends[not from_client], at[not from_client]))
    return [*packets, tcp(*ends[True], at[True], flags=FIN | ACK)]
