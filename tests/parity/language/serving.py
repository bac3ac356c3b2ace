"""Inside the interpreters of both sides: programs come in, records go out.

Only modules that are no part of what is simulated may be imported before `serve`. Owns what makes the real side
repeatable:

- it runs in a network namespace of its own where that is allowed, else on the host's loopback;
- it runs on one processor, and after each step it sends itself a datagram over the loopback. Everything that the step
  has put into that processor's queue of packets (`softnet_data`, net/core/dev.c) was put there earlier, so when the
  datagram comes out, the step's packets and, after a few rounds, the answers to them have been handled;
- it asks for the scheduling class of real time, as a busy machine would let timers run between two steps;
- a thread counts as waiting when the kernel says so: state S, in a system call that is not the interpreter's lock;
- a run that took longer than the shortest timer of TCP (40 ms, the delayed acknowledgement), pauses left out, is thrown
  away and made again, because in it timers may have run that did not run in the simulator, where computing takes no
  time.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import struct
import time
from pathlib import Path
from typing import Any

#: `struct.pack` of what leads every message: its length.
LENGTH = struct.Struct("=Q")
#: TCP_DELACK_MIN less some: a program that computes longer sees timers of its own making.
QUICK_S = 0.030
#: A program that takes so long waits for something itself.
SLOW_S = 2.0
#: So often a run is made again because the machine was busy.
ATTEMPTS = 50
#: Real seconds after which a program on real Linux counts as stuck.
STUCK_S = 30


class Stuck(BaseException):
    """A program on real Linux waits for ever."""


def serve(kind: str) -> None:
    """Run programs from standard input until it ends."""
    read, write, leave = os.read, os.write, os._exit
    source = os.dup(0)
    target = os.dup(1)
    os.dup2(2, 1)

    def exactly(size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            part = read(source, size - len(parts))
            if not part:
                break
            parts += part
        return parts

    runner = real_runner() if kind == "real" else simulated_runner()
    while head := exactly(LENGTH.size):
        programs = pickle.loads(exactly(LENGTH.unpack(head)[0]))
        answer = pickle.dumps([runner(program) for program in programs])
        answer = LENGTH.pack(len(answer)) + answer
        while answer:
            answer = answer[write(target, answer) :]
    leave(0)


def simulated_runner() -> Any:
    from importlib import import_module

    from tests.unit import kernel_harness
    from wavetank.kernel import core, profile
    from wavetank.kernel.shims import FACES

    host = profile.of_host()

    image = kernel_harness.World(0, 1_700_000_000, ("image",))
    process = image.process("image", "image", 1)
    process.main_thread = image.kernel.adopt(process, "image")
    core.K = image.kernel
    for face in FACES:
        import_module(f"wavetank.kernel.{face}").install()
    from tests.parity.language.machine import Machine
    from wavetank.kernel import threads

    def body(program: Any) -> Any:
        import time as simulated_time

        threads.process_threads_begin()
        return Machine(lambda: None, lambda later: simulated_time.sleep(1e-4)).run(program)

    begun = kernel_harness.World(1, 1_700_000_000, ("alpha",), host).kernel.now

    def run(program: Any) -> Any:
        faulthandler.dump_traceback_later(STUCK_S, exit=True)
        world = kernel_harness.World(1, 1_700_000_000, ("alpha", "beta"), host)
        ok, record = world.run(body, (program,))
        faulthandler.cancel_dump_traceback_later()
        if ok and world.kernel.now - begun >= STUCK_S * 1_000_000_000:
            ok, record = False, f"the world ended ({STUCK_S} s are over) before the body did"
        return record if ok else f"the simulator failed:\n{record}"

    return run


def real_runner() -> Any:
    import signal
    import socket

    from tests.parity.language.machine import Machine

    def stuck(number: int, frame: Any) -> None:
        raise Stuck(f"the program waits for ever:\n{program_now[0]}")

    program_now: list[Any] = [None]
    signal.signal(signal.SIGALRM, stuck)
    own_network()
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})  # several sides spread themselves
    with contextlib.suppress(PermissionError):  # ahead of what else the machine does: a run lasts some milliseconds
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.bind(("127.0.0.1", 0))
    probe.connect(probe.getsockname())
    probe.settimeout(5)

    def settle() -> None:
        for _ in range(3):
            probe.send(b"!")
            probe.recv(1)

    def run(program: Any) -> Any:
        best: tuple[float, Any] = (float("inf"), None)
        program_now[0] = program
        for _ in range(ATTEMPTS):
            began = time.monotonic()
            machine = Machine(settle, _wait_asleep)
            signal.alarm(STUCK_S)
            try:
                record = machine.run(program)
            except BaseException:
                import traceback

                return f"the machine failed:\n{traceback.format_exc()}"
            finally:
                signal.alarm(0)
            took_s = time.monotonic() - began - machine.paused_s
            best = min(best, (took_s, record), key=lambda each: each[0])
            if not QUICK_S < took_s < SLOW_S:
                break
        return best[1]

    return run


def own_network() -> bool:
    """Move into a network namespace with a loopback of its own; False where that is not allowed."""
    import ctypes
    import fcntl
    import socket

    new_network, up, running, get_ready = (
        0x40000000,
        0x1,
        0x40,
        0x8914,
    )  # CLONE_NEWNET, IFF_UP, IFF_RUNNING, SIOCSIFFLAGS
    if ctypes.CDLL(None, use_errno=True).unshare(new_network):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, get_ready, struct.pack("16sh", b"lo", up | running))
    with contextlib.suppress(OSError):  # what one connection has learnt about the loopback is not for the next one
        Path("/proc/sys/net/ipv4/tcp_no_metrics_save").write_text("1")
    return True


#: The system calls in which a call of the language waits: read, write, poll, select, accept, connect, sendto, recvfrom,
#: sendmsg, recvmsg, epoll_wait, accept4 and their like. In others a thread only gets there (its locks, its memory).
_WAITS = {
    "x86_64": {0, 1, 7, 23, 42, 43, 44, 45, 46, 47, 232, 270, 271, 281, 288},
    "aarch64": {22, 63, 64, 72, 73, 202, 203, 206, 207, 211, 212, 242},
}.get(os.uname().machine, set())


def _wait_asleep(later: Any) -> None:
    """Wait until the thread sleeps in a system call, or its call is over."""
    folder = ""
    for _ in range(200_000):
        if later.over.is_set():
            return
        if later.tid:
            folder = folder or f"/proc/self/task/{later.tid}"
            try:
                state = Path(folder, "stat").read_text().rpartition(")")[2].split()[0]
                call = Path(folder, "syscall").read_text().split()[0]
            except (OSError, IndexError):
                continue
            if state == "S" and call.isdigit() and int(call) in _WAITS:
                return
        os.sched_yield()
        time.sleep(0)
    raise AssertionError("the thread neither sleeps nor ends")
