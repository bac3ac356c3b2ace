"""The resolver: literal addresses, services, flags and refusals, compared with glibc's and CPython's own."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import real, simulated


def differences(body: Any) -> list[Any]:
    """Which of the outcomes that a body returns differ, ours first."""
    ours, theirs = simulated(body, faces=("time", "names")), real(body)
    assert len(ours) == len(theirs) > 3
    return [(given, one, other) for (given, one), (_, other) in zip(ours, theirs, strict=True) if one != other]


def test_services_and_kinds_of_socket() -> None:
    def body():
        import _socket

        ports = (
            None, 0, 80, -1, 65535, 65536, 99999, "http", "nosuch", "", "*", "80x", " 80", "+80", "-1", "- 1",
            "0x50", "080", "9" * 20, "4294967296", True, 1.5, b"ssh", b"80", "domain", [], "80 ",
        )  # fmt: skip
        kinds = (
            (0, 0), (1, 0), (2, 0), (3, 0), (5, 0), (6, 0), (9, 0), (-1, 0), (0, 6), (0, 17), (0, 132), (0, 136),
            (0, 99), (1, 17), (2, 136), (3, 1), (1, 132), (3, 6), (1, 262), (2, 17), (1, 6),
        )  # fmt: skip
        return [
            ((port, kind), attempt(_socket.getaddrinfo, "127.0.0.1", port, 0, *kind))
            for port in ports
            for kind in kinds
        ]

    assert differences(body) == []


def test_forms_of_literal_addresses() -> None:
    def body():
        import _socket

        hosts = (
            "127.0.0.1", "127.1", "0x7f000001", "2130706433", "1.2.3", "0177.1", "256.1.1.1", "1.2.3.4 ", "1.2.3.4 x",
            "1.2.3.4.", "1.2.3.4.5", "0", "4294967296", "08.1.1.1", "::1", "::", "::ffff:1.2.3.4", "::FFFF:1.2.3.4",
            "::1.2.3.4", "2001:DB8::0:1", "fe80::1%lo", "fe80::1%1", "fe80::1%99", "fe80::1%no", "fe80::1%", "::1%lo",
            "::1%1", "::1%", "ff02::1%lo", "ff02::1%2", "ff05::1%lo", "ff01::1%lo", "2001:db8::1%3", "::ffff:1.2.3.4%1",
            "::ffff:1.2.3.4%x", "1.2.3.4%1", "fe80::1%1x", "fe80::1%4294967296", "fe80::1%-1", "[::1]", ":", ":::",
            "1::2::3", "", ".", "a..b", "a" * 64, b"127.0.0.1", b"::1", b"\xff", 5, bytearray(b"127.0.0.1"), "12345:",
        )  # fmt: skip
        return [
            ((host, family, flags), attempt(_socket.getaddrinfo, host, 80, family, 1, 0, flags))
            for host in hosts for family in (0, 2, 10) for flags in (4, 4 | 2, 4 | 8, 4 | 8 | 16)
        ]  # fmt: skip

    assert differences(body) == []


def test_no_name_and_wrong_flags_and_families() -> None:
    def body():
        import _socket

        calls = [
            (host, port, family, 1, 0, flags)
            for host in (None, "*", "127.0.0.1")
            for port in (None, 80, "http", "*")
            for family in (0, 2, 10, 1, 99)
            for flags in (0, 1, 2, 3, 4, 8, 16, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x10000, -1)
        ]
        wrong = [(), ("x",), ("127.0.0.1", 80, "x"), ("127.0.0.1", 80, 0, None), (5, 80, "x"), (None, 1.5)]
        keywords = {"host": "::1", "port": 1, "family": 0, "type": 2, "proto": 17, "flags": 4}
        return [
            *((call, attempt(_socket.getaddrinfo, *call)) for call in calls),
            *((call, attempt(_socket.getaddrinfo, *call)[:2]) for call in wrong),
            (keywords, attempt(_socket.getaddrinfo, **keywords)),
        ]

    assert differences(body) == []


def test_older_calls() -> None:
    def body():
        import _socket

        hosts = (
            "", "127.0.0.1", "127.1", 5, None, b"127.0.0.1", bytearray(b"127.0.0.1"), "<broadcast>", "255.255.255.255",
            "::1%1", "a" * 70, "localhost", "1.2.3.4",
        )  # fmt: skip
        calls = [
            (name, host)
            for name in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr")
            for host in hosts
            if host not in ("localhost", "::1%1") or name == "gethostbyname"  # else the real /etc/hosts decides
        ]
        calls += [("gethostbyname", "::1"), ("gethostbyname_ex", "::1")]
        others = [
            ("if_nametoindex", "lo"), ("if_nametoindex", b"lo"), ("if_nametoindex", "nosuch"), ("if_nametoindex", 5),
            ("if_indextoname", 1), ("if_indextoname", 4711), ("if_indextoname", "x"), ("if_indextoname", -1),
            ("if_indextoname", 1 << 40), ("getservbyname", "nosuch"), ("getservbyname", "http"),
            ("getprotobyname", "tcp"),
        ]  # fmt: skip
        return [(call, attempt(getattr(_socket, call[0]), *call[1:])) for call in calls + others]

    assert differences(body) == []


def test_names_for_addresses() -> None:
    def body():
        import _socket

        addresses = (
            ("127.0.0.1", 80), ("127.0.0.2", 22), ("::1", 80, 0, 7), ("::ffff:127.0.0.1", 22), ("0.0.0.0", 1),
            ("fe80::1%lo", 80), ("fe80::1", 80, 0, 1), ("fe80::1", 80, 0, 99), ("2001:db8::1", 5, 0, 3), ("1.2.3.4", 0),
            ("127.0.0.1", 70000), ("127.0.0.1", -1), ("127.0.0.1", "80"), ("127.0.0.1",), ("127.0.0.1", 80, 0, 0),
            ("x", 80), ("localhost", 80), ("", 80), ("::1", 80, 1 << 20), (5, 80), [1, 2], 5, ("127.1", 53),
        )  # fmt: skip
        own = ("127.0.0.1", "127.1", "::1")  # only with the flag: the real /etc/hosts may know other names
        return [
            ((address, flags), attempt(_socket.getnameinfo, address, flags))
            for address in addresses
            for flags in (0, 1, 2, 3, 8, 9, 16, 17, 0x100)
            if flags & 1 or not (isinstance(address, tuple) and address[0] in own)
        ] + [("short", attempt(_socket.getnameinfo, ("127.0.0.1", 80))[:2])]

    assert differences(body) == []
