"""Nothing leaves: real system calls in a filtered interpreter, the names of refused calls, and what must still work.

Each script runs in an interpreter of its own, since a filter is for life. It prints one JSON value.
"""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wavetank.kernel import guard, refusals

needs_filter = pytest.mark.skipif(guard.available() is not None, reason=f"no filter: {guard.available()}")

PRELUDE = """
import ctypes, errno, json, os, sys, tempfile, time
import _socket, subprocess, threading
from wavetank.kernel import guard
library = ctypes.CDLL(None, use_errno=True)

def c(name, *args):
    "0 when the C function worked, else the name of its errno."
    ctypes.set_errno(0)
    return errno.errorcode[ctypes.get_errno()] if getattr(library, name)(*args) == -1 else 0

def refusal(call, *args, **options):
    try:
        return repr(call(*args, **options))
    except OSError as problem:
        return type(problem).__name__, getattr(problem, "call", None), problem.errno

def show(value):
    print(json.dumps(value))
"""


def run(script: str) -> Any:
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs_filter
def test_c_code_cannot_open_or_use_sockets() -> None:
    got = run("""
        one, two = (each.detach() for each in _socket.socketpair())  # a connected socket from before
        tcp = _socket.socket().detach()
        address = bytes([2, 0, 0, 80, 127, 0, 0, 1]) + bytes(8)
        guard.install()
        pair = (ctypes.c_int * 2)()
        show({
            "socket": c("socket", 2, 1, 0), "unix": c("socket", 1, 1, 0), "netlink": c("socket", 16, 3, 0),
            "socketpair": c("socketpair", 1, 1, 0, pair), "connect": c("connect", tcp, address, 16),
            "bind": c("bind", tcp, address, 16), "listen": c("listen", tcp, 1), "accept": c("accept", tcp, None, None),
            "accept4": c("accept4", tcp, None, None, 0), "send": c("send", one, b"x", 1, 0),
            "sendto": c("sendto", tcp, b"x", 1, 0, address, 16), "sendmsg": c("sendmsg", one, bytes(56), 0),
            "sendmmsg": c("sendmmsg", one, bytes(64), 1, 0), "io_uring_setup": c("syscall", 425, 8, bytes(120)),
        })
    """)
    assert got == dict.fromkeys(got, "EPERM")


@needs_filter
def test_c_code_cannot_start_or_touch_other_processes() -> None:
    got = run("""
        guard.install()
        words = (ctypes.c_char_p * 2)(b"true", None)
        pid = ctypes.c_int()
        show({
            "fork": c("fork"), "execve": c("execve", b"/bin/true", words, None),
            "execveat": c("execveat", -100, b"/bin/true", words, None, 0),
            "ptrace": c("ptrace", 16, os.getppid(), 0, 0), "system": "EPERM" if library.system(b"true") else 0,
            "kill": c("kill", os.getppid(), 0), "group": c("kill", 0, 0), "everyone": c("kill", -1, 0),
            "tgkill": c("tgkill", os.getppid(), os.getppid(), 0), "sigqueue": c("sigqueue", os.getppid(), 0, 0),
            "pidfd_getfd": c("syscall", 438, 0, 0, 0), "process_vm_readv": c("process_vm_readv", 1, 0, 0, 0, 0, 0),
            "posix_spawn": errno.errorcode[library.posix_spawn(ctypes.byref(pid), words[0], None, None, words, None)],
        })
    """)
    assert got == dict.fromkeys(got, "EPERM")


@needs_filter
def test_what_stays_inside_is_not_hindered() -> None:
    got = run("""
        reader, writer = os.pipe()
        guard.install()
        seen = []
        thread = threading.Thread(target=seen.append, args=("ran",))
        thread.start()
        thread.join()
        def from_c(argument):  # a thread that C code starts
            seen.append("in C")
        callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(from_c)
        number = ctypes.c_ulong()
        library.pthread_create(ctypes.byref(number), None, callback, None)
        library.pthread_join(number, None)
        import signal
        signal.signal(signal.SIGUSR1, lambda *_: seen.append("signal"))
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        os.write(writer, b"out")
        with tempfile.TemporaryFile() as file:
            file.write(b"kept")
            file.seek(0)
            seen.append(file.read().decode())
        seen += [os.read(reader, 9).decode(), len(bytearray(64 << 20)), os.path.expanduser("~root")]
        seen.append(_socket.getaddrinfo("127.0.0.1", 80)[0][4])
        show(seen)
    """)
    assert got == ["ran", "in C", "signal", "signal", "kept", "out", 64 << 20, "/root", ["127.0.0.1", 80]]


def test_python_calls_that_would_leave_are_named() -> None:
    got = run("""
        import pty
        old = _socket.socket()
        guard.install()
        show([
            refusal(_socket.socket), refusal(old.connect, ("127.0.0.1", 9)), refusal(old.bind, ("127.0.0.1", 0)),
            refusal(old.sendto, b"", ("127.0.0.1", 9)), refusal(old.sendmsg, [b""]),
            refusal(_socket.getaddrinfo, "example.org", 80), refusal(_socket.gethostbyname, "example.org"),
            refusal(_socket.gethostbyaddr, "127.0.0.1"), refusal(_socket.sethostname, "x"),
            refusal(subprocess.Popen, ["true"]), refusal(os.fork), refusal(os.forkpty),
            refusal(os.posix_spawn, "/bin/true", ["true"], {}), refusal(os.system, "true"),
            refusal(os.execv, "/bin/true", ["true"]), refusal(os.kill, os.getppid(), 0), refusal(os.killpg, 0, 0),
            refusal(pty.spawn, ["true"]),
        ])
    """)
    calls = [call for _, call, _ in got]
    assert got == [["NotSimulatedOSError", call, 1] for call in calls]
    assert sorted(calls) == sorted(guard.names())


def test_the_error_says_what_and_why_and_what_to_type() -> None:
    got = run("""
        guard.install()
        try:
            _socket.socket()
        except OSError as problem:
            from wavetank.kernel import refusals
            show([str(problem), refusals.refused])
    """)
    assert got == [
        "socket.socket is not simulated\n"
        "  why: a real socket would leave the world\n"
        "  next: to let it through to the real system, at the price of repeatable runs: --allow socket.socket",
        {"socket.socket": 1},
    ]


def test_an_allowed_call_works_and_opens_its_group_only() -> None:
    got = run("""
        guard.install({"subprocess.Popen"})
        with subprocess.Popen(["sleep", "60"]) as sleeper:
            sleeper.kill()
        inside = "import _socket\\ntry: _socket.socket()\\nexcept PermissionError: print('still closed')"
        done = subprocess.run([sys.executable, "-c", inside], capture_output=True, text=True)
        show([sleeper.returncode, done.stdout, refusal(_socket.socket)[1]])
    """)
    closed = "" if guard.available() else "still closed\n"
    assert got == [-9, closed, "socket.socket"]


@pytest.mark.parametrize("name", ["socket.connect", "psycopg2._psycopg"])
def test_an_allowed_socket_opens_the_network_only(name: str) -> None:
    got = run(f"""
        guard.install({{{name!r}}})
        show([_socket.socket().fileno() > 0, refusal(os.fork)[1]])
    """)
    assert got == [True, "os.fork"]


def test_without_a_filter_there_is_a_note_and_the_names_stay() -> None:
    got = run("""
        guard._machine = None
        show([guard.install(), refusal(_socket.socket)[1]])
    """)
    assert re.fullmatch(r"C code is not kept from the real network: there is no filter for linux on \w+", got[0][0])
    assert got[1] == "socket.socket"


def test_each_name_that_can_be_refused_belongs_to_a_group() -> None:
    for name in (*guard.names(), *refusals.names()):
        assert guard._groups([name]), name
    assert not guard._groups(["no.such.call"])


# ---- the programs of both machines, run by a small interpreter of classic BPF

ALLOWED = 0x7FFF0000
PID = 4711


def verdict(machine: str, call: int, argument: int = 0, *, arch: int | None = None, groups: Sequence[str] = ()) -> int:
    kind = guard._MACHINES[machine]
    program = [*guard._program(kind, PID, set(groups))]
    data = {0: call, 4: kind.arch if arch is None else arch, 16: argument}
    tests = {0x15: int.__eq__, 0x35: int.__ge__, 0x45: lambda word, bits: bool(word & bits)}
    at = word = 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            word = data[value]
        else:
            at += if_true if tests[code](word, value) else if_false


@pytest.mark.parametrize("machine", [*guard._MACHINES])
def test_every_listed_call_is_refused_and_others_pass(machine: str) -> None:
    numbers = guard._MACHINES[machine].numbers
    refused = {name for name, number in numbers.items() if verdict(machine, number) != ALLOWED}
    assert refused == {*numbers}
    assert all(verdict(machine, number) == ALLOWED for number in range(500) if number not in numbers.values())
    assert verdict(machine, 0, arch=0x40000003) == 0x50001  # 32-bit x86 calls through int 0x80
    own = {name for name, number in numbers.items() if verdict(machine, number, PID) == ALLOWED}
    assert own == {*guard._SIGNALS}
    assert verdict(machine, numbers["clone"], 0x3D0F00) == ALLOWED  # the flags of pthread_create in glibc 2.36
    assert verdict(machine, numbers["clone"], 0x1200011) == 0x50001  # those of fork
    assert verdict(machine, numbers["clone3"]) == 0x50000 | 38


def test_the_other_numbers_of_x86_64_are_refused() -> None:
    assert verdict("x86_64", 0x40000000 | 41) != ALLOWED


@pytest.mark.parametrize("machine", [*guard._MACHINES])
def test_groups_open_apart(machine: str) -> None:
    numbers = guard._MACHINES[machine].numbers
    still = {
        group: {name for name, number in numbers.items() if verdict(machine, number, groups=[group]) != ALLOWED}
        for group in (guard.NETWORK, guard.PROCESSES)
    }
    assert {*numbers} - still[guard.NETWORK] == {*guard._DENIED[guard.NETWORK]} & {*numbers}
    assert {*guard._DENIED[guard.OTHERS]} <= still[guard.NETWORK] & still[guard.PROCESSES]
    assert not {"clone", "clone3", "execve", "kill"} & still[guard.PROCESSES]


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_those_of_linux(machine: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed (package linux-libc-dev)")
    there = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", Path(header).read_text())}
    kind = guard._MACHINES[machine]
    expected = kind.numbers | {"seccomp": kind.seccomp}
    assert {name: there[name] for name in expected} == expected
