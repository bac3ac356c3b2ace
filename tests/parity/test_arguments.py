"""How calls check what they are given: the same errors as CPython's C code, and builtin functions stay builtin."""

from tests.support.twins import as_on_linux


def test_arguments_of_sockets() -> None:
    def body():
        import os
        import socket

        from tests.support.twins import Log

        log = Log()
        huge = (1 << 31, -(1 << 31) - 1, 1 << 64, 1.5, None)
        for family in (socket.AF_INET, socket.AF_INET6):
            host = "127.0.0.1" if family == socket.AF_INET else "::1"
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                for value in huge:
                    log.note("listen", lambda sock=sock, value=value: sock.listen(value) if value is not None else 0)
                    log.note("shutdown", sock.shutdown, value)
                    log.note("port", sock.bind, (host, value))
                log.note("port", sock.bind, (host, 70_000))
                log.note("flow", sock.bind, (host, 0, -10))
                log.note("flow", sock.bind, (host, 0, 1 << 20))
                log.note("flow", sock.bind, (host, 0, None))
                log.note("host", sock.bind, (5, 0))
                log.note("sendmsg", sock.sendmsg, [b"x"], [], 0, object())
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as sock:
                address = ("127.0.0.1", 9)
                for rest in (
                    (None,),
                    (0, None),
                    ("bar", address),
                    (None, None),
                    (),
                    (0, address, 1),
                    (1 << 31, address),
                ):
                    log.note("sendto", sock.sendto, b"x", *rest)
                for item in ([object(), 0, b""], (0, object(), b""), (0, 0, object()), (0, 0), (0, 0, b"", 1), 5):
                    result = log.note("control", sock.sendmsg, [b"x"], [item])
                    log[-1] = ("control", result[0])  # texts differ between releases
                buffer = bytearray(10)
                log.note("recvmsg_into", sock.recvmsg_into, [buffer], -1)
                log.note("recvmsg_into", lambda sock=sock: sock.recvmsg_into([b"read only"])[0])
        log.note("close", socket.close, None)
        log.note("close", socket.close, -1)
        with open(os.devnull) as file:
            log.note("no socket", lambda: socket.socket(fileno=file.fileno()).family)
        for fd in (1 << 31, 1 << 1000, -(1 << 40), -1):
            log.note("fstat", os.fstat, fd)
        log.note("service", socket.getaddrinfo, "localhost", "\ud800")
        return list(log)

    as_on_linux(body)


def test_timeouts() -> None:
    def body():
        import fractions
        import select

        from tests.support.twins import Log

        log = Log()
        for value in (
            "x",
            1e30,
            float("nan"),
            float("inf"),
            1 << 70,
            fractions.Fraction(1, 2),
            object(),
            0,
            0.0,
            0.001,
        ):
            log.note("select", select.select, [], [], [], value)
            log.note("poll", select.poll().poll, value)
            with select.epoll() as epoll:
                log.note("epoll", epoll.poll, value)
        for value in (-1, -0.5, -1e30):
            log.note("select", select.select, [], [], [], value)
        with select.epoll() as epoll:
            log.note("too long", epoll.poll, 1e8)
        log.note("too long", select.poll().poll, 1 << 31)
        return [(name, result if "platform time_t" not in str(result) else "overflow") for name, result in log]

    as_on_linux(body)


def test_what_select_makes() -> None:
    def body():
        import os
        import select

        from tests.support.twins import Log

        class Holder:
            wait = select.select
            make = select.poll

        log = Log()
        log.append(Holder().wait([], [], [], 0))
        log.append(type(Holder().make()).__name__)
        log.note("new", type(select.poll()))
        reader, writer = os.pipe()

        class Shrinking:
            def fileno(self):
                del many[-1]
                return writer

        many = []
        many[:] = [Shrinking()] * 10
        log.append([len(each) for each in select.select([], many, [])])
        one = select.epoll()
        other = select.epoll.fromfd(one.fileno())
        other.register(writer, select.EPOLLOUT)
        log.append([len(one.poll(0)), len(other.poll(0))])
        one.close()
        log.note("gone", other.poll, 0)
        log.note("gone", other.register, reader)
        log.note("gone", other.close)
        log.note("no epoll", select.epoll.fromfd(reader).poll, 0)
        return list(log)

    as_on_linux(body)


def test_udp_lite_has_ports_of_its_own() -> None:
    def body():
        import socket

        from tests.support.twins import Log, events

        log = Log()
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            lite = [socket.socket(family, socket.SOCK_DGRAM, 136) for _ in range(2)]
            plain = socket.socket(family, socket.SOCK_DGRAM)
            lite[0].bind((host, 0))
            plain.bind(lite[0].getsockname())
            log.note("taken", lite[1].bind, lite[0].getsockname())
            lite[1].connect(lite[0].getsockname())
            lite[1].setsockopt(136, 10, 8)
            lite[1].send(b"lite")
            log.append((lite[0].recv(10), events(plain), lite[1].getsockopt(136, 10), lite[1].proto))
            log.note("option", plain.setsockopt, 136, 10, 8)
            lite[0].close()
            lite[1].send(b"nobody")
            log.note("refused", lite[1].recv, 10)
            lite[1].close()
            plain.close()
        return list(log)

    as_on_linux(body)


def test_options_of_other_levels() -> None:
    def body():
        import socket

        from tests.support.twins import Log

        log = Log()
        kinds = [
            (family, kind, protocol)
            for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
            for kind, protocol in ((socket.SOCK_STREAM, 0), (socket.SOCK_DGRAM, 0), (socket.SOCK_DGRAM, 136))
            if protocol == 0 or family != socket.AF_UNIX
        ]
        for each in kinds:
            with socket.socket(*each) as sock:
                for level, option in ((6, 1), (17, 900), (136, 10), (99, 1), (0, 1), (41, 16), (1, 900), (6, 900)):
                    log.append((each, level, option))
                    log.note("get", sock.getsockopt, level, option)
                    log.note("set", sock.setsockopt, level, option, 1)
        return list(log)

    as_on_linux(body)


def test_sizes_and_flags_are_integers() -> None:
    def body():
        import socket

        from tests.support.twins import Log

        class Number:
            def __index__(self):
                return 2

            def __repr__(self):
                return "2"

        log = Log()
        buffer = bytearray(8)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            one, other = socket.socketpair(socket.AF_UNIX, kind)
            other.setblocking(False)
            for value in (1.5, "1", None, Number(), -1, -(1 << 70)):
                for call in (
                    (other.recv, value), (other.recvfrom, value), (other.recvmsg, value), (other.recvmsg, 1, value),
                    (other.recv_into, buffer, value), (other.recvfrom_into, buffer, value),
                    (other.recvmsg_into, [buffer], value),
                ):  # fmt: skip
                    log.note(repr(value), *call)
            for value in (1.5, "1", None, 1 << 70, -(1 << 70)):
                for call in (
                    (other.recv, 1, value), (other.recvfrom, 1, value), (other.recvmsg, 1, 1, value),
                    (other.recv_into, buffer, 1, value), (other.recvfrom_into, buffer, 1, value),
                    (other.recvmsg_into, [buffer], 1, value), (one.send, b"", value), (one.sendall, b"", value),
                    (one.sendmsg, [b""], [], value), (one.sendto, b"", value, "/nowhere"),
                ):  # fmt: skip
                    log.note(repr(value), *call)
            one.close()
            other.close()
        return log

    found = as_on_linux(body)
    assert {"TypeError", "OverflowError", "ValueError"} <= {outcome[0] for _, outcome in found if outcome}
