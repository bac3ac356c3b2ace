"""Names of hosts: which name means which host, what asking costs, and who hears of names that no host has.

What glibc answers for the same names was measured with a private /etc/hosts (glibc 2.36, Linux 6.18). Everything that
needs no names is compared with the real resolver in tests/parity/test_names.py.
"""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import simulated

UNKNOWN = ("raises", "gaierror", (-2, "Name or service not known"))


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=("time", "names"), **options)


def addresses_of(calls: list[tuple[Any, ...]]) -> Any:
    """Family and address of each result of `getaddrinfo(name, 80, family, SOCK_STREAM, 0, flags)`, or the error."""
    import _socket

    fabric = harness.World.current.fabric
    fabric.add("Four", ["10.1.2.4"])
    fabric.add("six", ["2001:db8::7"])
    fabric.add("many", ["10.1.2.9", "fd00::99", "2001:db8::9", "10.1.2.8"])
    out = []
    for name, family, flags in calls:
        outcome = attempt(_socket.getaddrinfo, name, 80, family, 1, 0, flags)
        out.append([each[4][0] for each in outcome[1]] if outcome[0] == "value" else outcome)
    return out


def test_the_addresses_of_hosts_by_family_and_flags() -> None:
    mapped, every, adjusted = 8, 8 | 16, 32
    expected = [
        (("localhost", 0, 0), ["::1", "127.0.0.1"]),
        (("localhost", 2, 0), ["127.0.0.1"]),
        (("localhost", 10, 0), ["::1"]),
        (("ip6-localhost", 0, 0), ["::1"]),
        (("ip6-loopback", 2, 0), ["127.0.0.1"]),
        (("localhost", 0, adjusted), ["::1", "127.0.0.1"]),
        (("alpha", 0, 0), ["10.0.0.1", "fd00::1"]),
        (("beta", 0, 0), ["10.0.0.2", "fd00::2"]),
        (("beta", 2, 0), ["10.0.0.2"]),
        (("beta", 10, 0), ["fd00::2"]),
        (("beta", 10, mapped), ["fd00::2"]),
        (("beta", 10, every), ["fd00::2", "::ffff:10.0.0.2"]),
        (("BETA.", 0, 0), ["10.0.0.2", "fd00::2"]),
        ((b"beta", 0, adjusted), ["10.0.0.2", "fd00::2"]),
        (("four", 0, 0), ["10.1.2.4"]),
        (("four", 10, 0), UNKNOWN),
        (("four", 10, mapped), ["::ffff:10.1.2.4"]),
        (("six", 2, 0), UNKNOWN),
        (("many", 0, 0), ["2001:db8::9", "10.1.2.9", "10.1.2.8", "fd00::99"]),
        (("beta", 0, 4), UNKNOWN),
        (("nosuch", 0, 0), UNKNOWN),
        (("beta.example", 0, 0), UNKNOWN),
        (("", 0, 0), UNKNOWN),
        (("bücher", 0, 0), UNKNOWN),
    ]
    found = run(addresses_of, [call for call, _ in expected])
    assert list(zip([call for call, _ in expected], found, strict=True)) == expected


def test_a_host_without_ipv6_prefers_ipv4_and_may_ask_for_no_more() -> None:
    def body():
        import _socket

        stack = core.K.process.stack
        stack.node.addresses = ["10.9.9.9"]

        def found(name, family=0, flags=0):
            return [each[4][0] for each in _socket.getaddrinfo(name, 1, family, 1, 0, flags)]

        four = found("beta"), found("beta", 0, 32), attempt(found, "beta", 10, 32), attempt(found, "::1", 10, 32)
        stack.node.addresses = ["fd00::9"]
        return *four, found("beta", 0, 32)

    both, adjusted, six, literal, only_six = run(body)
    assert both == ["10.0.0.2", "fd00::2"]
    assert adjusted == ["10.0.0.2"]
    assert six == literal == UNKNOWN
    assert only_six == ["fd00::2"]


def test_each_result_is_made_for_each_kind_of_socket_and_the_first_has_the_name() -> None:
    def body():
        import _socket

        return _socket.getaddrinfo("BETA", "http", flags=_socket.AI_CANONNAME), _socket.getaddrinfo("beta", 53)

    named, plain = run(body)
    six, four = ("fd00::2", 53, 0, 0), ("10.0.0.2", 53)
    kinds = [(1, 6), (2, 17), (3, 0)]
    assert named == [(2, 1, 6, "beta", ("10.0.0.2", 80)), (10, 1, 6, "", ("fd00::2", 80, 0, 0))]
    assert plain == [
        *((2, kind, protocol, "", four) for kind, protocol in kinds),
        *((10, kind, protocol, "", six) for kind, protocol in kinds),
    ]


def test_the_standard_library_on_top_works_unmodified() -> None:
    def body():
        import socket

        found = socket.getaddrinfo("beta", 80, type=socket.SOCK_STREAM)
        return (
            [(repr(each[0]), repr(each[1])) for each in found],
            socket.getfqdn(), socket.getfqdn("beta"), socket.getfqdn("localhost"), socket.gethostname(),
            attempt(socket.getaddrinfo, "nosuch", 80),
        )  # fmt: skip

    families, *rest = run(body)
    assert families == [
        ("<AddressFamily.AF_INET: 2>", "<SocketKind.SOCK_STREAM: 1>"),
        ("<AddressFamily.AF_INET6: 10>", "<SocketKind.SOCK_STREAM: 1>"),
    ]
    assert rest == ["alpha", "beta", "localhost", "alpha", UNKNOWN]


def test_older_calls_know_the_hosts_too() -> None:
    def body():
        import _socket

        names = ("localhost", "alpha", "beta", "nosuch", "10.0.0.2", "fd00::2", "10.0.0.77", "::1")
        return [
            [attempt(getattr(_socket, call), name)[1:] for name in names]
            for call in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr")
        ]

    by_name, extended, by_address = run(body)
    unknown, other_family = UNKNOWN[1:], ("gaierror", (-9, "Address family for hostname not supported"))
    local = ["ip6-localhost", "ip6-loopback"]
    assert by_name == [
        ("127.0.0.1",), ("10.0.0.1",), ("10.0.0.2",), unknown, ("10.0.0.2",), other_family, ("10.0.0.77",),
        other_family,
    ]  # fmt: skip
    assert extended == [
        (("localhost", [], ["127.0.0.1"]),), (("alpha", [], ["10.0.0.1"]),), (("beta", [], ["10.0.0.2"]),), unknown,
        (("10.0.0.2", [], ["10.0.0.2"]),), other_family, (("10.0.0.77", [], ["10.0.0.77"]),), other_family,
    ]  # fmt: skip
    assert by_address == [
        (("localhost", local, ["::1"]),), (("alpha", [], ["10.0.0.1"]),), (("beta", [], ["10.0.0.2"]),), unknown,
        (("beta", [], ["10.0.0.2"]),), (("beta", [], ["fd00::2"]),), ("herror", (1, "Unknown host")),
        (("localhost", local, ["::1"]),),
    ]  # fmt: skip


def test_names_for_addresses() -> None:
    def body():
        import _socket

        calls = (
            (("10.0.0.2", 80), 0), (("fd00::2", 22, 0, 0), 0), (("fd00::2", 22, 0, 3), 0), (("fd00::2", 22, 0, 3), 1),
            (("10.0.0.77", 80), 0), (("10.0.0.77", 80), 8), (("fe80::1", 1, 0, 2), 3), (("10.0.0.2", 53), 16 | 2),
        )  # fmt: skip
        return [attempt(_socket.getnameinfo, *call)[1:] for call in calls]

    assert run(body) == [
        (("beta", "http"),), (("beta", "ssh"),), (("beta", "ssh"),), (("fd00::2%3", "ssh"),), (("10.0.0.77", "http"),),
        UNKNOWN[1:], (("fe80::1%eth0", "1"),), (("beta", "53"),),
    ]  # fmt: skip


def test_who_one_is_depends_on_the_host() -> None:
    def body():
        import _socket

        seen = []

        def other():
            seen.append(
                (_socket.gethostname(), _socket.gethostbyname("alpha"), _socket.getaddrinfo("localhost", 1)[0][4])
            )

        world = harness.World.current
        world.start(world.process("beta", "other", 5), other)
        other()
        core.K.park("other", core.K.now + 1_000_000)
        return seen, _socket.if_nameindex(), attempt(_socket.sethostname, "x"), attempt(_socket.sethostname, 5)[:2]

    seen, interfaces, refused, wrong = run(body)
    assert seen == [("alpha", "10.0.0.1", ("::1", 1, 0, 0)), ("beta", "10.0.0.1", ("::1", 1, 0, 0))]
    assert interfaces == [(1, "lo"), (2, "eth0")]
    assert refused == ("raises", "PermissionError", (1, "Operation not permitted"))
    assert wrong == ("raises", "TypeError")


def test_only_asking_for_other_hosts_takes_time_and_others_run_meanwhile() -> None:
    def body():
        import _socket

        def cost(name):
            before = core.K.now
            attempt(_socket.getaddrinfo, name, 80)
            return core.K.now - before

        seen = []
        world = harness.World.current
        own = [cost(name) for name in ("127.0.0.1", "::1", None, "localhost", "alpha", "")]
        world.start(world.process("beta", "other", 5), lambda: seen.append(core.K.now))
        asked = [cost(name) for name in ("beta", "nosuch")]
        return own, asked, len(seen)

    own, asked, ran = run(body)
    assert max(own) < 10_000
    assert min(asked) >= 100_000
    assert max(asked) < 110_000
    assert ran == 1


def test_unknown_names_are_told_and_lookups_are_recorded() -> None:
    def body():
        import _socket

        from wavetank.kernel import names
        from wavetank.trace.schema import Kind

        told, events = [], []
        names.on_unknown = told.append
        record = core.K.recorder.event

        def event(now, kind, thing, value, payload=b"", task=-1):
            events.append((int(kind), value, bytes(payload)))
            record(now, kind, thing, value, payload, task)

        core.K.recorder.event = event
        for name in ("beta", "nosuch", "127.0.0.1", "localhost"):
            attempt(_socket.getaddrinfo, name, 80)
        attempt(_socket.getaddrinfo, "also-not", 80, 0, 0, 0, 4)
        return told, [entry[1:] for entry in events if entry[0] == Kind.LOOKUP]

    assert run(body) == (["nosuch"], [(2, b"beta"), (-2, b"nosuch"), (2, b"localhost")])


def test_names_in_addresses_of_sockets() -> None:
    def body():
        from wavetank.kernel.names import resolve

        return [
            attempt(resolve, host, family)[1:]
            for host, family in (
                ("", 2), ("", 10), ("", 0), ("127.1", 2), ("10.0.0.2", 2), ("10.0.0.2", 10), ("::FFFF:10.0.0.2", 10),
                ("FD00::2", 10), ("::1", 2), ("beta", 2), ("beta", 10), ("localhost", 10), ("<broadcast>", 2),
                ("255.255.255.255", 2), ("255.255.255.255", 10), ("fe80::1%eth0", 10), ("nosuch", 2), ("beta", 0),
            )
        ]  # fmt: skip

    family = ("gaierror", (-9, "Address family for hostname not supported"))
    mismatch = ("OSError", ("address family mismatched",))
    assert run(body) == [
        ("0.0.0.0",), ("::",), ("OSError", ("wildcard resolved to multiple address",)), ("127.0.0.1",), ("10.0.0.2",),
        family, ("::ffff:10.0.0.2",), ("fd00::2",), family, ("10.0.0.2",), ("fd00::2",), ("::1",), ("255.255.255.255",),
        ("255.255.255.255",), mismatch, ("fe80::1",), UNKNOWN[1:], ("10.0.0.2",),
    ]  # fmt: skip
