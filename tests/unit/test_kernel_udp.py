"""UDP, each behaviour compared with that of the Linux that the test runs on; between hosts, with what the RFCs say."""

from pathlib import Path

import pytest

from tests.support.twins import FACES, LINUX, as_on_linux
from tests.unit.kernel_harness import simulated

FAMILIES = pytest.mark.parametrize(("family", "host"), [(2, "127.0.0.1"), (10, "::1")], ids=["IPv4", "IPv6"])


@FAMILIES
def test_a_socket_without_a_peer(family: int, host: str) -> None:
    def body(family, host):
        import socket

        from tests.support.twins import Log, events

        log = Log()

        def new():
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            return sock

        sock = new()
        log.note("fresh", lambda: (events(sock), sock.getsockname()))
        log.note("recv", sock.recv, 1)
        log.note("still no port", lambda: sock.getsockname()[1])
        log.note("send", sock.send, b"x")
        log.note("a port", lambda: sock.getsockname()[1] > 0)
        log.note("getpeername", sock.getpeername)
        log.note("listen", sock.listen)
        log.note("accept", sock.accept)
        log.note("port 0", sock.sendto, b"x", (host, 0))
        log.note("too large", sock.sendto, bytes(65_536), (host, 9))
        log.note("shutdown", sock.shutdown, 1)
        log.note("poll", events, sock)
        log.note("sendto", sock.sendto, b"x", (host, 9))
        log.note("shutdown", sock.shutdown, 2)
        log.note("poll", events, sock)
        log.note("recv", sock.recv, 1)
        log.note("shutdown", sock.shutdown, 9)
        log.note("nobody hears", lambda: (one := new(), one.sendto(b"x", (host, 9)), events(one))[1:])
        log.note("no tuple", new().sendto, b"x", 7)
        log.note("no port", new().sendto, b"x", (host,))
        log.note("port too high", new().sendto, b"x", (host, 65536))
        return log

    as_on_linux(body, family, host)


@FAMILIES
def test_nobody_listens(family: int, host: str) -> None:
    def body(family, host):
        import socket

        from tests.support.twins import Log, events

        log = Log()
        dead = socket.socket(family, socket.SOCK_DGRAM)
        dead.bind((host, 0))
        address = dead.getsockname()
        dead.close()
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        log.note("connect", sock.connect, address)
        log.note("names", lambda: (sock.getsockname()[0], sock.getpeername() == address))
        log.note("send", sock.send, b"x")
        log.note("poll", events, sock)
        log.note("reported by send", sock.send, b"x")
        log.note("once", sock.send, b"x")
        log.note("reported by recv", sock.recv, 1)
        log.note("once", sock.recv, 1)
        log.note("send", sock.send, b"")
        log.note("SO_ERROR", lambda: [sock.getsockopt(1, 4) for _ in range(2)])
        log.note("elsewhere", sock.sendto, b"x", (host, address[1] + 1))
        log.note("not ours", sock.getsockopt, 1, 4)
        log.note("port 0", lambda: (sock.connect((host, 0)), sock.getpeername()))
        log.note("everybody", lambda: (sock.connect(("", 9)), sock.getpeername()))
        return log

    as_on_linux(body, family, host)


@FAMILIES
def test_messages_keep_their_borders(family: int, host: str) -> None:
    def body(family, host):
        import fcntl
        import socket
        import termios

        from tests.support.twins import Log, events

        log = Log()
        receiver, sender = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        receiver.bind((host, 0))
        receiver.setblocking(False)
        sender.connect(receiver.getsockname())
        log.note("cut", lambda: (sender.send(b"hello"), sender.send(b"next"), receiver.recv(3), receiver.recv(9)))
        log.note("flag", lambda: (sender.send(b"hello"), receiver.recvmsg(3)[:3]))
        log.note("true length", lambda: (sender.send(b"hello"), len(receiver.recv(3, socket.MSG_TRUNC))))
        log.note("peek", lambda: (sender.send(b"hello"), receiver.recv(3, socket.MSG_PEEK), receiver.recv(9)))
        log.note("nothing", lambda: (sender.send(b""), events(receiver), receiver.recv(9), events(receiver)))
        log.note("recv(0)", lambda: (sender.send(b"stays"), receiver.recv(0), receiver.recv(9)))
        log.note("from whom", lambda: (sender.send(b"x"), receiver.recvfrom(9)[1] == sender.getsockname()))
        sender.send(b"abc")
        sender.send(b"defgh")
        log.note("unread", fcntl.ioctl, receiver, termios.FIONREAD, b"0000")
        log.note("unsent", fcntl.ioctl, sender, termios.TIOCOUTQ, b"0000")
        receiver.recv(9)
        receiver.recv(9)
        for size in (65507, 65508, 65527, 65528):
            log.note("size", lambda size=size: (sender.send(bytes(size)), len(receiver.recv(70_000))))
        log.note("recv_into", lambda: (sender.send(b"abc"), receiver.recv_into(bytearray(2))))
        log.note("shut down", lambda: (sender.shutdown(0), events(sender), sender.send(b"x"), sender.shutdown(1)))
        log.note("send", sender.send, b"x")
        log.note("poll", events, sender)
        return log

    as_on_linux(body, family, host)


@FAMILIES
def test_who_receives(family: int, host: str) -> None:
    def body(family, host):
        import socket

        from tests.support.twins import Log, events

        log = Log()

        def new(ip, port=0, *options):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            for option in options:
                sock.setsockopt(socket.SOL_SOCKET, option, 1)
            if ip is not None:
                sock.bind((ip, port))
            return sock

        def to(*socks):
            new(None).sendto(b"x", (host, socks[0].getsockname()[1]))
            got = [events(sock) for sock in socks]
            for sock in socks:
                if events(sock) & 1:
                    sock.recv(9)
            return got

        def pair(first, second, *options):
            one = new(first, 0, *options)
            return one, new(second, one.getsockname()[1], *options)

        reuse, together = socket.SO_REUSEADDR, socket.SO_REUSEPORT
        log.note("taken", lambda: pair(host, host))
        log.note("taken by all", lambda: pair("", host))
        log.note("taken for all", lambda: pair(host, ""))
        log.note("not ours", new, "192.0.2.99" if family == 2 else "2001:db8::99")
        log.note("twice", lambda: new(host).bind((host, 0)))
        log.note("the newest", lambda: to(*pair(host, host, reuse)))
        log.note("the closest", lambda: to(*pair(host, "", reuse)))
        log.note("the closest", lambda: to(*pair("", host, reuse)))
        first = new(host, 0, together)
        log.note("one only shares", new, host, first.getsockname()[1], reuse)

        def connected():
            one, other = pair(host, host, reuse)
            sender = new(host)
            one.connect(sender.getsockname())
            sender.sendto(b"x", one.getsockname())
            return events(one), events(other)

        log.note("the connected one", connected)

        def stranger():
            one = new(host)
            one.connect((host, 9))
            new(None).sendto(b"x", one.getsockname())
            return events(one)

        log.note("not from strangers", stranger)

        def group():
            one, other = pair(host, host, together)
            for _ in range(64):
                new(None).sendto(b"x", one.getsockname())
            counts = []
            for sock in (one, other):
                count = 0
                while events(sock) & 1:
                    sock.recv(9)
                    count += 1
                counts.append(count)
            return sum(counts), min(counts) > 5

        log.note("shared out", group)

        def own():
            one = new(host)
            one.connect(one.getsockname())
            one.send(b"me")
            return one.recv(9)

        log.note("itself", own)
        return log

    as_on_linux(body, family, host)


def test_source_addresses() -> None:
    def body():
        import socket

        from tests.support.twins import Log

        log = Log()

        def new(ip=None):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            if ip is not None:
                sock.bind((ip, 0))
            return sock

        def seen(sender, receiver, ip):
            sender.sendto(b"x", (ip, receiver.getsockname()[1]))
            return receiver.recvfrom(9)[1][0], sender.getsockname()[0]

        log.note("loopback", lambda: seen(new(), new(""), "127.0.0.1"))
        log.note("another of 127/8", lambda: seen(new(), new(""), "127.0.0.5"))
        log.note("bound", lambda: seen(new("127.0.0.7"), new("127.0.0.1"), "127.0.0.1"))
        log.note("to any", lambda: seen(new(), new("127.0.0.1"), "0.0.0.0"))
        log.note("connected", lambda: (one := new(), one.connect(("127.0.0.5", 9)), one.getsockname()[0])[2])
        log.note("kept", lambda: (one := new(), [one.connect((ip, 9)) for ip in ("127.0.0.1", "127.0.0.5")])[1])
        return log

    as_on_linux(body)


def test_both_families_in_one_socket() -> None:
    def body():
        import socket

        from tests.support.twins import Log

        log = Log()
        kept = []

        def new(family, ip=None, port=0, v6only=None):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            kept.append(sock)
            if v6only is not None:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            if ip is not None:
                sock.bind((ip, port))
            return sock

        both, four = new(10, "::"), new(2, "127.0.0.1")
        port = both.getsockname()[1]
        four.sendto(b"x", ("127.0.0.1", port))
        log.note("from IPv4", lambda: both.recvfrom(9)[1][0])
        log.note("to IPv4", both.sendto, b"y", ("::ffff:127.0.0.1", four.getsockname()[1]))
        log.note("from there", lambda: four.recvfrom(9)[1] == ("127.0.0.1", port))
        log.note("taken", new, 2, "", port)
        log.note("taken", new, 2, "127.0.0.1", port)
        only = new(10, "::", 0, 1)
        log.note("free", lambda: new(2, "", only.getsockname()[1]).getsockname()[0])
        log.note("IPv6 only", only.sendto, b"x", ("::ffff:127.0.0.1", port))
        log.note("too late", both.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        log.note("option", lambda: (both.getsockopt(41, 26), only.getsockopt(41, 26)))
        log.note("mapped", lambda: (one := new(10), one.connect(("::ffff:127.0.0.1", 9)), one.getsockname()[0])[2])
        log.note("bound, mapped", lambda: new(10, "::ffff:127.0.0.1").getsockname()[0])
        log.note("bound to ::1", new(10, "::1").sendto, b"x", ("::ffff:127.0.0.1", port))
        log.note("bound to IPv4", new(10, "::ffff:127.0.0.1").sendto, b"x", ("::1", port))
        log.note("mismatch", new(2).sendto, b"x", ("::1", port))
        return log

    as_on_linux(body)


@pytest.mark.skipif(LINUX < (6, 15), reason="older kernels take one datagram more than fits")
def test_the_receive_buffer_holds_memory_not_bytes() -> None:
    def body():
        import socket

        def drops(size, buffer):
            receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            receiver.bind(("127.0.0.1", 0))
            receiver.setblocking(False)
            if buffer:
                receiver.setsockopt(1, 8, buffer)
            sender.connect(receiver.getsockname())
            result = [size, receiver.getsockopt(1, 8)]

            def receive(most):
                count = 0
                try:
                    while count < most:
                        receiver.recv(70_000)
                        count += 1
                except BlockingIOError:
                    pass
                return count

            for send, most in ((300, 7), (5, 50), (30, 3), (100, 1000)):
                for _ in range(send):
                    sender.send(b"x" * size)
                result.append(receive(most))
            return result

        sizes = (0, 1, 197, 198, 1000, 1400, 8000, 16004, 16005, 30000, 65507)
        return [drops(size, buffer) for size in sizes for buffer in (0, 1, 10000, 50000)]

    as_on_linux(body)


def test_control_messages() -> None:
    def body():
        import socket
        import struct

        from tests.support.twins import Log

        log = Log()
        pack = socket.inet_aton

        def new(family=2):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind(("", 0))
            return sock

        receiver, sender = new(), new()
        for name in (8, 12, 13):  # IP_PKTINFO, IP_RECVTTL, IP_RECVTOS
            receiver.setsockopt(socket.IPPROTO_IP, name, 1)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
        to = ("127.0.0.7", receiver.getsockname()[1])
        for room in (200, 30, 10, 0):
            log.note("room", lambda room=room: (sender.sendto(b"x", to), receiver.recvmsg(9, room)[:3]))

        def send(*items):
            return sender.sendmsg([b"x"], items, 0, to), receiver.recvmsg(9, 200)[1:3]

        log.note(
            "source", lambda: sender.sendmsg([b"x"], [(0, 8, struct.pack("i4s4s", 0, pack("127.0.0.9"), b""))], 0, to)
        )
        log.note("seen", lambda: receiver.recvfrom(9)[1][0])
        log.note("not ours", send, (0, 8, struct.pack("i4s4s", 0, pack("192.0.2.99"), b"")))
        log.note("hops", send, (0, 1, struct.pack("i", 4)), (0, 2, struct.pack("i", 9)))
        log.note("no hops", send, (0, 2, struct.pack("i", 0)))
        log.note("unknown", send, (0, 99, b"abcd"))
        log.note("unknown level", send, (77, 99, b"abcd"))
        log.note("descriptors", send, (1, 1, struct.pack("i", 0)))
        log.note("unknown of sockets", send, (1, 99, struct.pack("i", 0)))
        six, from6 = new(10), new(10)
        for name in (49, 51, 66):  # IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS
            six.setsockopt(socket.IPPROTO_IPV6, name, 1)
        port = six.getsockname()[1]
        log.note("IPv6", lambda: (from6.sendto(b"x", ("::1", port)), six.recvmsg(9, 200)[1:3]))
        log.note("IPv4 there", lambda: (sender.sendto(b"x", ("127.0.0.7", port)), six.recvmsg(9, 200)[1:3]))
        items = [(41, 67, struct.pack("i", 5)), (41, 52, struct.pack("i", 7))]
        log.note("class", lambda: (from6.sendmsg([b"x"], items, 0, ("::1", port)), six.recvmsg(9, 200)[1:3]))
        return log

    as_on_linux(body)


def test_groups_on_loopback() -> None:
    def body():
        import socket
        import struct

        from tests.support.twins import Log

        log = Log()
        group, lo = "239.1.2.3", socket.inet_aton("127.0.0.1")

        def new():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.setsockopt(1, 2, 1)
            return sock

        def drain(*socks):
            counts = []
            for sock in socks:
                counts.append(b"")
                try:
                    while True:
                        counts[-1] += sock.recv(9)
                except BlockingIOError:
                    pass
            return counts

        member, other, at_group, at_lo, sender = (new() for _ in range(5))
        member.bind(("", 0))
        port = member.getsockname()[1]
        other.bind(("", port))
        at_group.bind((group, port))
        at_lo.bind(("127.0.0.1", port))
        everyone = (member, other, at_group, at_lo)
        mreq = socket.inet_aton(group) + lo
        sender.setsockopt(0, socket.IP_MULTICAST_IF, lo)
        log.note("nobody", lambda: (sender.sendto(b"1", (group, port)), drain(*everyone)))
        log.note("join", member.setsockopt, 0, socket.IP_ADD_MEMBERSHIP, mreq)
        log.note("heard", lambda: (sender.sendto(b"2", (group, port)), drain(*everyone)))
        log.note("join twice", member.setsockopt, 0, socket.IP_ADD_MEMBERSHIP, mreq)
        log.note(
            "members only", lambda: (other.setsockopt(0, 49, 0), sender.sendto(b"3", (group, port)), drain(*everyone))
        )
        log.note("no loop", lambda: (sender.setsockopt(0, 34, 0), sender.sendto(b"4", (group, port)), drain(*everyone)))
        log.note("no hop", lambda: (sender.setsockopt(0, 33, 0), sender.sendto(b"5", (group, port)), drain(*everyone)))
        log.note("by a byte", lambda: (sender.setsockopt(0, 33, b"\7"), sender.getsockopt(0, 33)))
        log.note("bad hops", sender.setsockopt, 0, 33, 256)
        log.note("usual hops", lambda: (sender.setsockopt(0, 33, -1), sender.getsockopt(0, 33)))
        bound = new()
        bound.bind(("127.0.0.1", 0))
        log.note("bound", lambda: (bound.sendto(b"6", (group, port)), drain(*everyone)))
        log.note("connected", lambda: (bound.connect((group, port)), bound.send(b"7"), drain(*everyone)))
        log.note("leave", member.setsockopt, 0, socket.IP_DROP_MEMBERSHIP, mreq)
        log.note("silence", lambda: (sender.sendto(b"8", (group, port)), drain(*everyone)))
        log.note("leave twice", member.setsockopt, 0, socket.IP_DROP_MEMBERSHIP, mreq)
        for name, value in {
            "no group": socket.inet_aton("10.1.1.1") + lo,
            "no interface": socket.inet_aton(group) + socket.inet_aton("192.0.2.99"),
            "short": b"abc",
            "index": socket.inet_aton(group) + bytes(4) + struct.pack("i", 1),
            "no index": socket.inet_aton(group) + bytes(4) + struct.pack("i", 77),
        }.items():
            log.note(name, member.setsockopt, 0, socket.IP_ADD_MEMBERSHIP, value)
        log.note("interface", lambda: (sender.getsockopt(0, 32, 4), new().getsockopt(0, 32, 4)))
        log.note("no interface", sender.setsockopt, 0, 32, socket.inet_aton("192.0.2.99"))
        log.note("defaults", lambda: [new().getsockopt(0, name) for name in (33, 34, 49)])
        member.close()
        log.note("nobody", lambda: (sender.sendto(b"9", (group, port)), drain(*everyone[1:])))
        log.note("broadcast", new().sendto, b"x", ("127.255.255.255", port))
        log.note("connected", new().connect, ("127.255.255.255", port))
        loud = new()
        loud.setsockopt(1, 6, 1)
        log.note("allowed", lambda: (loud.sendto(b"b", ("127.255.255.255", port)), drain(*everyone[1:])))
        return log

    as_on_linux(body)


def test_groups_of_ipv6_have_no_route_on_loopback() -> None:
    def body():
        import socket
        import struct

        from tests.support.twins import Log

        log = Log()
        receiver, sender = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
        receiver.bind(("::", 0))
        sender.setsockopt(41, socket.IPV6_MULTICAST_IF, 1)

        def mreq(group, index=1):
            return socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", index)

        log.note("send", sender.sendto, b"x", ("ff02::4:5", receiver.getsockname()[1]))
        log.note("by scope", receiver.sendto, b"x", ("ff02::4:5", 9, 0, 1))
        log.note("join", receiver.setsockopt, 41, 20, mreq("ff02::4:5"))
        log.note("twice", receiver.setsockopt, 41, 20, mreq("ff02::4:5"))
        log.note("leave", receiver.setsockopt, 41, 21, mreq("ff02::4:5"))
        log.note("twice", receiver.setsockopt, 41, 21, mreq("ff02::4:5"))
        log.note("no group", receiver.setsockopt, 41, 20, mreq("::1"))
        log.note("no interface", receiver.setsockopt, 41, 20, mreq("ff02::4:5", 77))
        log.note("options", lambda: [sender.getsockopt(41, name) for name in (17, 18, 19)])
        log.note("bad loop", sender.setsockopt, 41, 19, 2)
        return log

    as_on_linux(body)


def test_threads_wait_for_datagrams() -> None:
    def body():
        import socket

        from tests.support.twins import Log, in_threads

        log = Log()
        receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        log.note("late", in_threads, lambda: receiver.recv(9), lambda: sender.send(b"late"))
        receiver.connect(sender.getsockname())
        log.note("shut down", in_threads, lambda: receiver.recv(9), lambda: receiver.shutdown(0))
        dead = receiver.getsockname()
        receiver.close()
        log.note("refused", in_threads, lambda: sender.recv(9), lambda: sender.send(b"x"))
        log.append(dead == sender.getpeername())
        return log

    as_on_linux(body)


def test_between_hosts_a_datagram_takes_the_time_of_the_link() -> None:
    def body():
        import socket
        import time

        world = harness.World.current  # noqa: F821  # the harness gives it to the body
        seen = []

        def there():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("", 5000))
            for _ in range(3):
                data, address = sock.recvfrom(99)
                seen.append((data, address[0], sock.getsockname()[0]))
                sock.sendto(data.upper(), address)

        world.start(world.process("beta", "server", 200), there)
        time.sleep(0.1)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        started = time.monotonic()
        sock.sendto(b"one", ("beta", 5000))
        answer = sock.recvfrom(99)
        trip = time.monotonic() - started
        sock.connect(("beta", 5001))
        sock.send(b"refused")
        try:
            sock.recv(9)
        except ConnectionRefusedError:
            seen.append("refused")
        big = bytes(60_000)
        sock.sendto(big, ("beta", 5000))
        seen.append(sock.getsockname()[0])
        return answer, 0.0005 <= trip < 0.001, seen

    address = ("10.0.0.2", 5000)
    seen = [(b"one", "10.0.0.1", "0.0.0.0"), "refused", "10.0.0.1"]
    assert simulated(body, faces=FACES) == ((b"ONE", address), True, seen)


def test_a_group_and_a_broadcast_reach_the_hosts_that_listen() -> None:
    def body():
        import socket
        import struct
        import time

        world = harness.World.current  # noqa: F821  # the harness gives it to the body
        heard = []

        def listen(host, join):
            def run():
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sock.bind(("", 5000))
                if join:
                    sock.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.9.9.9") + bytes(4))
                six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                six.bind(("::", 6000))
                if join:
                    index = struct.pack("I", socket.if_nametoindex("eth0"))
                    six.setsockopt(41, socket.IPV6_JOIN_GROUP, socket.inet_pton(10, "ff02::9") + index)
                time.sleep(1)
                for each in (sock, six):
                    each.setblocking(False)
                    try:
                        while True:
                            data, address = each.recvfrom(99)
                            heard.append((host, data, address[0]))
                    except BlockingIOError:
                        pass

            return run

        for number, (host, join) in enumerate((("alpha", True), ("beta", True), ("gamma", False), ("delta", True))):
            world.start(world.process(host, "listener", 200 + number), listen(host, join))
        time.sleep(0.1)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(b"group", ("239.9.9.9", 5000))
        sender.setsockopt(0, socket.IP_MULTICAST_LOOP, 0)
        sender.sendto(b"others", ("239.9.9.9", 5000))
        sender.setsockopt(0, socket.IP_MULTICAST_TTL, 0)
        sender.sendto(b"no hop", ("239.9.9.9", 5000))
        sender.setsockopt(1, socket.SO_BROADCAST, 1)
        sender.sendto(b"all", ("<broadcast>", 5000))
        sender.sendto(b"net", ("10.0.255.255", 5000))
        six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        six.sendto(b"six", ("ff02::9", 6000))
        time.sleep(2)
        return sorted(heard)

    hosts = ("alpha", "beta", "gamma", "delta")
    expected = [("alpha", b"group", "10.0.0.1")]
    expected += [(host, data, "10.0.0.1") for host in ("beta", "delta") for data in (b"group", b"others")]
    expected += [(host, data, "10.0.0.1") for host in hosts for data in (b"all", b"net")]
    expected += [(host, b"six", "fd00::1") for host in ("alpha", "beta", "delta")]
    assert simulated(body, faces=FACES, hosts=hosts) == sorted(expected)


def test_addresses_of_no_host() -> None:
    def body():
        import socket

        from tests.support.twins import Log

        log = Log()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        log.note("public", sock.sendto, b"x", ("192.0.2.99", 9))
        log.note("nobody on the link", sock.sendto, b"x", ("10.0.77.77", 9))
        log.note("own address", lambda: (sock.connect(("192.0.2.99", 9)), sock.getsockname()[0])[1])
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        log.note("loopback leaves the host", bound.sendto, b"x", ("10.0.0.2", 9))
        return log

    assert simulated(body, faces=FACES) == [
        ("public", ("OutsideWorld", 101)),
        ("nobody on the link", 1),
        ("own address", "10.0.0.1"),
        ("loopback leaves the host", ("OSError", 22)),
    ]


def test_a_program_by_asyncio(tmp_path: Path) -> None:
    def body():
        import asyncio

        class Echo(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, address):
                self.transport.sendto(data[::-1], address)

        class Ask(asyncio.DatagramProtocol):
            def __init__(self):
                self.answers = asyncio.Queue()

            def datagram_received(self, data, address):
                self.answers.put_nowait(data)

            def error_received(self, error):
                self.answers.put_nowait(type(error).__name__)

        async def main():
            loop = asyncio.get_running_loop()
            server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
            address = server.get_extra_info("sockname")
            client, ask = await loop.create_datagram_endpoint(Ask, remote_addr=address)
            answers = []
            for number in range(20):
                client.sendto(b"%d " % number + bytes(5000))
                answers.append((await ask.answers.get())[-3:])
            server.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            client.sendto(b"gone")
            answers.append(await ask.answers.get())
            client.close()
            return answers

        return asyncio.run(main())

    as_on_linux(body)


@FAMILIES
def test_what_came_back_is_in_the_queue_of_errors(family: int, host: str) -> None:
    def body(family, host):
        import socket

        from tests.support.twins import Log, events

        log = Log()
        level, name = (0, 11) if family == socket.AF_INET else (41, 25)  # IP_RECVERR, IPV6_RECVERR

        def came_back(size=2_000, room=200):
            data, items, flags, address = sock.recvmsg(size, room, socket.MSG_ERRQUEUE)
            return data, [(level, kind, what) for level, kind, what in items], flags, address[0]

        sock = socket.socket(family, socket.SOCK_DGRAM)
        log.note("blocking, nothing", came_back)
        sock.setblocking(False)
        closed = socket.socket(family, socket.SOCK_DGRAM)
        closed.bind((host, 0))
        target = closed.getsockname()
        closed.close()
        sock.sendto(b"not asked for", target)
        log.note("nothing", came_back)
        log.note("poll", events, sock)
        sock.setsockopt(level, name, 1)
        sock.sendto(b"x" * 3_000, target)
        log.note("poll", events, sock)
        log.note("recv", sock.recv, 1)
        log.note("the queue stays", events, sock)
        log.note("its head", lambda: (lambda found: (len(found[0]), *found[1:]))(came_back()))
        log.note("empty", events, sock)
        for word in (b"first", b"second"):
            try:
                sock.sendto(word, target)
            except OSError:
                sock.sendto(word, target)
        log.note("cut", came_back, 2, 20)
        log.note("one is left", sock.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
        log.note("second", came_back)
        log.note("none is left", sock.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
        log.note("poll", events, sock)
        return log

    as_on_linux(body, family, host)
