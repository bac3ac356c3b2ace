"""Calls drawn at random on pipes, UNIX sockets and UDP sockets: what real Linux and the simulated kernel answer.

Each program is a few dozen calls on one pair of descriptors, non-blocking; after each call the readiness of both ends
is noted. The draws depend on the seed alone, so both sides make the same calls.
"""

import pytest

from tests.support.twins import LINUX, as_on_linux

PROGRAMS = 150
CALLS = 40


@pytest.mark.parametrize("seed", range(3))
def test_pipes(seed: int) -> None:
    def body(seed, programs, calls):
        import fcntl
        import os
        import random
        import termios

        from tests.support.twins import Log, events

        draw = random.Random(seed)
        log = Log()

        def size():
            return draw.choice([0, 1, 2, 100, 4095, 4096, 4097, 5000, 8192, 65536, draw.randrange(1, 20_000)])

        for program in range(programs):
            log.append(program)
            ends = dict(zip("rw", os.pipe2(os.O_NONBLOCK), strict=True))
            for _ in range(calls):
                do = draw.choice("RRRWWWWUSDC" if draw.random() < 0.03 else "RRRWWWWUS")
                count = size()
                if do == "R" and "r" in ends:
                    log.note("read", lambda fd=ends["r"], count=count: len(os.read(fd, count)))
                elif do == "W" and "w" in ends:
                    log.note("write", os.write, ends["w"], b"x" * count)
                elif do == "U":
                    for fd in ends.values():
                        log.note("unread", fcntl.ioctl, fd, termios.FIONREAD, b"0000")
                elif do == "S" and "w" in ends and draw.random() < 0.2:
                    log.note("size", fcntl.fcntl, ends["w"], 1031, draw.choice([1, 4096, 8192, 65536, 131072]))
                elif do in "DC" and ends:
                    name = draw.choice(sorted(ends))
                    log.note("close " + name, os.close, ends.pop(name))
                log.append([events(fd) for fd in ends.values()])
            for fd in ends.values():
                os.close(fd)
        return list(log)

    as_on_linux(body, seed, PROGRAMS, CALLS)


@pytest.mark.parametrize("kind", [1, 2, 5], ids=["stream", "datagram", "seqpacket"])
@pytest.mark.parametrize("seed", range(2))
def test_pairs_of_unix_sockets(kind: int, seed: int) -> None:
    def body(kind, seed, programs, calls):
        import fcntl
        import random
        import socket
        import termios

        from tests.support.twins import Log, events

        draw = random.Random(seed)
        log = Log()
        sizes = [1, 100, 192, 193, 1000, 3776, 3777, 5000, 20_000, 36_544, 60_000, 120_000]

        def program():
            pair = list(socket.socketpair(socket.AF_UNIX, kind))
            for sock in pair:
                sock.setblocking(False)
            for _ in range(calls):
                if not pair:
                    return
                sock = draw.choice(pair)
                chance, size = draw.random(), draw.choice(sizes)
                if chance < 0.35:
                    log.note("send", sock.send, b"x" * size)
                elif chance < 0.7:
                    flags = draw.choice([0, 0, 0, 0, socket.MSG_PEEK, socket.MSG_DONTWAIT])
                    log.note("recv", lambda s=sock, n=size, f=flags: len(s.recv(n, f)))
                elif chance < 0.76:
                    log.note(
                        "recvmsg", lambda s=sock, n=size: [len(x) if isinstance(x, bytes) else x for x in s.recvmsg(n)]
                    )
                elif chance < 0.82:
                    log.note("unread", fcntl.ioctl, sock, termios.FIONREAD, b"0000")
                    log.note("unsent", fcntl.ioctl, sock, termios.TIOCOUTQ, b"0000")
                elif chance < 0.86:
                    log.note("error", sock.getsockopt, 1, 4)
                elif chance < 0.9:
                    log.note(
                        "buffer",
                        lambda s=sock: (s.setsockopt(1, 7, draw.choice([1, 3000, 30_000])), s.getsockopt(1, 7)),
                    )
                elif chance < 0.93:
                    log.note("shutdown", sock.shutdown, draw.randrange(3))
                elif chance < 0.95:
                    log.note("peer", lambda s=sock: (s.getpeername(), s.getsockname()))
                elif chance < 0.97 and len(log) % 3 == 0:
                    pair.remove(sock)
                    log.note("close", sock.close)
                log.append([events(each) for each in pair])
            for sock in pair:
                sock.close()

        for number in range(programs):
            log.append(number)
            program()
        return list(log)

    as_on_linux(body, kind, seed, PROGRAMS, CALLS)


@pytest.mark.skipif(LINUX < (6, 14), reason="older kernels report ENOTCONN ahead of other errors")
@pytest.mark.parametrize("seed", range(2))
def test_named_datagram_sockets(seed: int) -> None:
    def body(seed, programs, calls):
        import os
        import random
        import socket

        from tests.support.twins import Log, events

        draw = random.Random(seed)
        log = Log()
        names = [b"\0wavetank drawn %d %d" % (os.getppid(), number) for number in range(4)]

        def program():
            socks = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in names]
            for sock, name in zip(socks, names, strict=True):
                sock.setblocking(False)
                sock.bind(name)
            for _ in range(calls):
                if not socks:
                    return
                sock, to = draw.choice(socks), draw.choice(names)
                chance, size = draw.random(), draw.choice([0, 1, 100, 10_000, 100_000])
                if chance < 0.15:
                    log.note("connect", sock.connect, to)
                elif chance < 0.45:
                    for _ in range(draw.choice([1, 1, 5, 12])):
                        log.note("sendto", sock.sendto, b"x" * size, to)
                elif chance < 0.6:
                    log.note("send", sock.send, b"x" * size)
                elif chance < 0.85:
                    flags = draw.choice([0, 0, 0, socket.MSG_PEEK])
                    log.note(
                        "recv", lambda s=sock, f=flags: (lambda d, a: (len(d), names.index(a)))(*s.recvfrom(9000, f))
                    )
                elif chance < 0.9:
                    log.note("error", sock.getsockopt, 1, 4)
                elif chance < 0.93:
                    log.note("shutdown", sock.shutdown, draw.randrange(3))
                elif chance < 0.97:
                    log.note("peer", lambda s=sock: names.index(s.getpeername()))
                else:
                    socks.remove(sock)
                    log.note("close", sock.close)
                log.append([events(each) for each in socks])
            for sock in socks:
                sock.close()

        for number in range(programs):
            log.append(number)
            program()
        return list(log)

    as_on_linux(body, seed, PROGRAMS, CALLS)


@pytest.mark.skipif(LINUX < (6, 15), reason="older kernels take one datagram more than fits")
@pytest.mark.parametrize("family", [2, 10], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("seed", range(2))
def test_udp_sockets_on_loopback(family: int, seed: int) -> None:
    def body(family, seed, programs, calls):
        import fcntl
        import random
        import socket
        import termios

        from tests.support.twins import Log, events

        draw = random.Random(seed)
        log = Log()
        host = "127.0.0.1" if family == 2 else "::1"
        sizes = [0, 1, 185, 198, 1000, 1472, 8000, 16_004, 16_005, 40_000, 65_507]

        def program():
            socks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(3)]
            for sock in socks:
                sock.setblocking(False)
                if draw.random() < 0.5:
                    sock.setsockopt(1, 8, draw.choice([1, 5000, 50_000]))
                sock.bind((host, 0))
            names = [sock.getsockname() for sock in socks]
            for _ in range(calls):
                if not socks:
                    return
                sock, to = draw.choice(socks), draw.choice(names)
                chance, size = draw.random(), draw.choice(sizes)
                if chance < 0.15:
                    log.note("connect", sock.connect, to)
                elif chance < 0.35:
                    log.note("send", sock.send, b"x" * size)
                elif chance < 0.5:
                    log.note("sendto", sock.sendto, b"x" * size, to)
                elif chance < 0.75:
                    flags = draw.choice([0, 0, 0, socket.MSG_PEEK])
                    log.note(
                        "recv",
                        lambda s=sock, n=size, f=flags: (lambda d, a: (len(d), names.index(a)))(*s.recvfrom(n, f)),
                    )
                elif chance < 0.8:
                    log.note("unread", fcntl.ioctl, sock, termios.FIONREAD, b"0000")
                elif chance < 0.85:
                    log.note("error", sock.getsockopt, 1, 4)
                elif chance < 0.88:
                    log.note("shutdown", sock.shutdown, draw.randrange(3))
                elif chance < 0.94:
                    log.note("peer", lambda s=sock: (names.index(s.getpeername()), names.index(s.getsockname())))
                elif chance < 0.97:
                    socks.remove(sock)
                    log.note("close", sock.close)
                log.append([events(each) for each in socks])
            for sock in socks:
                sock.close()

        for number in range(programs):
            log.append(number)
            program()
        return list(log)

    as_on_linux(body, family, seed, PROGRAMS, CALLS)
