"""Addresses of one link (fe80::/10): their zone in bind, connect and names, and `getifaddrs` through ctypes.

Expected is what Linux 6.18 answers; where the machine has such an address, it is asked again.
"""

# Bodies travel as source to another interpreter: they import inside, and `attempt` exists there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import real, simulated
from wavetank.kernel.shims import FACES


def interfaces() -> Any:
    import ctypes
    import socket

    class Entry(ctypes.Structure):
        pass

    Entry._fields_ = [
        ("next", ctypes.POINTER(Entry)),
        ("name", ctypes.c_char_p),
        ("flags", ctypes.c_uint),
        ("address", ctypes.POINTER(ctypes.c_ubyte * 28)),
        ("netmask", ctypes.POINTER(ctypes.c_ubyte * 28)),
        ("broadcast", ctypes.POINTER(ctypes.c_ubyte * 16)),
    ]
    library = ctypes.CDLL(None)
    library.getifaddrs.restype = ctypes.c_int
    first = ctypes.POINTER(Entry)()
    assert library.getifaddrs(ctypes.byref(first)) == 0
    found = []
    entry = first
    while entry:
        at = entry.contents
        family = at.address.contents[0] if at.address else 0
        if family in (2, 10):
            begin, size = (4, 4) if family == 2 else (8, 16)
            numbers = [bytes(part.contents)[begin : begin + size] for part in (at.address, at.netmask)]
            shown = [socket.inet_ntop(family, number) for number in numbers]
            scope = bytes(at.address.contents)[24] if family == 10 else 0
            found.append((at.name.decode(), family, *shown, scope, at.flags & 0x9))
        entry = at.next
    library.freeifaddrs(first)
    return found


def zones(own: str, device: str, index: int) -> Any:
    import socket

    def shown(value: Any) -> Any:
        text = repr(value).replace(own, "OWN").replace(f"0, {index})", "0, ZONE)").replace(device, "DEVICE")
        return text.replace(str(port), "PORT")

    port = 0
    seen = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for address in (
            (own, 0),
            (own, 0, 0, 1),
            (own, 0, 0, 77),
            ("fe80::77:77", 0, 0, index),
            (f"{own}%{device}", 0),
        ):
            with socket.socket(socket.AF_INET6, kind) as one:
                seen.append(attempt(one.bind, address))  # type: ignore[name-defined]
        server = socket.socket(socket.AF_INET6, kind)
        server.bind((own, 0, 0, index))
        port = server.getsockname()[1]
        seen.append(shown(server.getsockname()))
        if kind == socket.SOCK_STREAM:
            server.listen()
        for address in ((own, port), (own, port, 0, 1), (own, port, 0, 77)):
            with socket.socket(socket.AF_INET6, kind) as one:
                seen.append(attempt(one.connect, address))  # type: ignore[name-defined]
        for given, bound in (((own, port, 0, index), ()), ((own, port), (own, 0, 0, index))):
            with socket.socket(socket.AF_INET6, kind) as one:
                if bound:
                    one.bind(bound)
                one.connect(given)
                seen += [shown(one.getpeername()), one.getsockname()[0] == own, one.getsockname()[3] == index]
                one.send(b"x")
                if kind == socket.SOCK_STREAM:
                    accepted, peer = server.accept()
                    seen += [peer == one.getsockname(), accepted.getsockname() == one.getpeername(), accepted.recv(9)]
                    accepted.close()
                else:
                    seen.append(server.recvfrom(9) == (b"x", one.getsockname()))
        with socket.socket(socket.AF_INET6, kind) as one:
            one.bind((own, 0, 0, index))
            seen.append(attempt(one.connect, (own, port, 0, 1)))  # type: ignore[name-defined]
        server.close()
    seen.append(shown(socket.getaddrinfo(f"{own}%{device}", 80, type=socket.SOCK_STREAM)[0][4]))
    seen.append(shown(socket.getnameinfo((own, 80, 0, index), 3)))
    return seen


INVALID = ("raises", "OSError", (22, "Invalid argument"))
NOT_MINE = ("raises", "OSError", (99, "Cannot assign requested address"))
NO_DEVICE = ("raises", "OSError", (19, "No such device"))
NO_WAY = ("raises", "OSError", (101, "Network is unreachable"))
BINDS = [INVALID, NOT_MINE, NO_DEVICE, NOT_MINE, INVALID, "('OWN', PORT, 0, ZONE)", INVALID, NO_WAY, NO_WAY]
PEER = ["('OWN', PORT, 0, ZONE)", True, True]
EXPECTED = [
    *BINDS, *PEER, True, True, b"x", *PEER, True, True, b"x", INVALID,
    *BINDS, *PEER, True, *PEER, True, INVALID,
    "('OWN', 80, 0, ZONE)", "('OWN%DEVICE', '80')",
]  # fmt: skip
UP, LOOPBACK = 0x1, 0x8


def test_interfaces_of_a_host() -> None:
    assert simulated(interfaces, faces=FACES) == [
        ("lo", 2, "127.0.0.1", "255.0.0.0", 0, UP | LOOPBACK),
        ("eth0", 2, "10.0.0.1", "255.255.0.0", 0, UP),
        ("lo", 10, "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0, UP | LOOPBACK),
        ("eth0", 10, "fd00::1", "ffff:ffff:ffff:ffff::", 0, UP),
        ("eth0", 10, "fe80::1", "ffff:ffff:ffff:ffff::", 2, UP),
    ]


def all_of_lo() -> Any:
    import ctypes

    class Entry(ctypes.Structure):
        _fields_ = (
            *((name, ctypes.c_void_p) for name in ("next", "name")),
            ("flags", ctypes.c_uint),
            *((name, ctypes.c_void_p) for name in ("address", "netmask", "broadcast", "data")),
        )

    library = ctypes.CDLL(None)
    first = ctypes.c_void_p()
    assert library.getifaddrs(ctypes.byref(first)) == 0
    found = []
    at = first.value
    while at:
        entry = Entry.from_address(at)
        family = ctypes.c_ushort.from_address(entry.address).value
        size = {2: 8, 10: 28, 17: 20}[family]
        parts = [
            ctypes.string_at(part, size) if part else None for part in (entry.address, entry.netmask, entry.broadcast)
        ]
        if ctypes.string_at(entry.name) == b"lo":
            found.append((family, entry.flags, *parts, bool(entry.data)))
        at = entry.next
    library.freeifaddrs(first)
    return found


def test_the_loopback_interface_is_that_of_linux_with_its_hardware_address() -> None:
    seen = simulated(all_of_lo, faces=FACES)
    assert [each[0] for each in seen] == [17, 2, 10]
    there = real(all_of_lo)
    assert [each for each in seen if each[0] in {family for family, *_ in there}] == there


def test_zones_of_addresses() -> None:
    assert simulated(zones, "fe80::1", "eth0", 2, faces=FACES) == EXPECTED
    for device, family, address, _, index, flags in real(interfaces):
        if family == 10 and address.startswith("fe80:") and flags & UP:
            assert real(zones, address, device, index) == EXPECTED


def between_hosts() -> Any:
    import socket

    from wavetank.network.address import link_local_address

    fabric = harness.World.current.fabric  # type: ignore[name-defined]
    own = [fabric.nodes[name].link_local for name in ("alpha", "beta")]
    given = fabric.add("given", ["2001:db8::5", "fe80::9"]).link_local
    fabric.add("four", ["10.9.9.9"])
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
        one.settimeout(9.0)
        nobody = attempt(one.connect, (link_local_address(77), 80, 0, 2))  # type: ignore[name-defined]
    return own, given, fabric.nodes["four"].link_local, nobody


def test_one_address_for_each_host_of_the_link() -> None:
    own, given, four, nobody = simulated(between_hosts, faces=FACES)
    assert (own, given, four) == (["fe80::1", "fe80::2"], "fe80::9", "")
    assert nobody == ("raises", "OSError", (113, "No route to host"))
