"""What is measured of one relay: throughput, latency, connections per second, and what becomes of ends and refusals."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from contenders import CONTENDERS, Command

HERE = Path(__file__).resolve().parent
LINGER_0 = struct.pack("ii", 1, 0)
TICKS = os.sysconf("SC_CLK_TCK")
START_S = 10.0


def connect(port: int, timeout: float = 10.0) -> socket.socket:
    """A connection without Nagle."""
    made = socket.create_connection(("127.0.0.1", port), timeout)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- processes


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += tree(int(child))
    return found


def cpu_s(pid: int | None) -> float:
    """Processor time of a process, its descendants and those that it has waited for."""
    total = 0
    for each in tree(pid) if pid else ():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICKS


@contextlib.contextmanager
def standing_behind(folder: Path) -> Iterator[int]:
    """The server behind the relays; gives its port."""
    command = [sys.executable, "-S", str(HERE / "behind.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def relaying(command: Command, port: int, folder: Path) -> Iterator[int]:
    """The relay, listening on `port`; gives its pid."""
    with open(folder / "errors", "wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                connect(port).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError((folder / "errors").read_text()[-300:] or "it does not listen") from None
                time.sleep(0.02)
        time.sleep(0.1)
        yield process.pid
    finally:
        pids = tree(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


# ---- speed


def throughput(port: int, seconds: float, pid: int | None) -> dict[str, float]:
    """GiB/s of one stream, from sendfile(2) to a reader that discards in the kernel; the best of three."""
    memory = os.memfd_create("zeros")
    os.ftruncate(memory, 1 << 20)
    total, best = 64 << 20, {"GiB/s": 0.0, "CPU s/GiB": 0.0}
    for index in range(4):
        with connect(port, 60) as client:
            client.settimeout(None)  # os.sendfile wants a blocking socket
            used, start = cpu_s(pid), time.monotonic()
            client.sendall(b"S" + struct.pack("<Q", total))
            left = total
            while left:
                left -= os.sendfile(client.fileno(), memory, 0, min(left, 1 << 20))
            found = struct.unpack("<Q", client.recv(8, socket.MSG_WAITALL))[0]
            took = time.monotonic() - start
        assert found == total, f"{found} of {total} bytes"
        if not index:  # the first round says how much fills the time
            total = max(32 << 20, min(6 << 30, int(total / took * seconds)))
        elif (speed := total / took / 2**30) > best["GiB/s"]:
            best = {"GiB/s": speed, "CPU s/GiB": (cpu_s(pid) - used) / (total / 2**30)}
    os.close(memory)
    return best


def latency(port: int, count: int = 4000) -> dict[str, float]:
    """Microseconds for 64 bytes and back."""
    times = []
    with connect(port) as client:
        client.sendall(b"E")
        for index in range(count + 200):
            start = time.perf_counter_ns()
            client.sendall(b"p" * 64)
            size = 0
            while size < 64:
                size += len(client.recv(64))
            if index >= 200:
                times.append((time.perf_counter_ns() - start) / 1e3)
    times.sort()
    return {"p50 us": times[count // 2], "p99 us": times[count * 99 // 100]}


def connections(port: int, seconds: float, threads: int = 8) -> dict[str, float]:
    """Connections per second, one after another in each of a few threads, each with one question and answer."""
    done, failed, end = [0], [0], time.monotonic() + seconds

    def go() -> None:
        while time.monotonic() < end:
            try:
                with connect(port) as client:
                    client.sendall(b"1" + b"y" * 15)
                    data = b""
                    while more := client.recv(64):
                        data += more
                (done if len(data) == 16 else failed)[0] += 1
            except OSError:
                failed[0] += 1

    start = time.monotonic()
    running = [threading.Thread(target=go) for _ in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    return {"conn/s": done[0] / (time.monotonic() - start), "failed": failed[0]}


# ---- ends


def ending(client: socket.socket) -> str:
    """How a connection ends."""
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionResetError:
        return "RST"
    except TimeoutError:
        return "silence"
    return "EOF"


def client_half_close(port: int, folder: Path) -> str:
    """Does the answer come that is sent after the client's end: see `behind.py`."""
    with connect(port, 3) as client:
        client.sendall(b"H" + b"z" * 1000)
        client.shutdown(socket.SHUT_WR)
        data = b""
        with contextlib.suppress(OSError):
            while more := client.recv(100):
                data += more
    return "ok" if data == b"after-eof 1000" else "lost"


def server_half_close(port: int, folder: Path) -> str:
    """Does what the client writes after the server's end arrive: see `behind.py`."""
    with connect(port, 3) as client, contextlib.suppress(OSError):
        client.sendall(b"h")
        ending(client)
        time.sleep(0.1)
        client.sendall(b"q" * 500)
        time.sleep(0.1)
        client.sendall(b"q" * 500)
    return "ok" if answer(folder / "h") == "1000" else "lost"


def answer(path: Path) -> str:
    """What the server wrote down."""
    for _ in range(40):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    return "nothing"


def server_reset(port: int, folder: Path) -> str:
    """What does the client see of it: see `behind.py`."""
    with connect(port, 3) as client:
        client.sendall(b"R")
        time.sleep(0.05)
        with contextlib.suppress(OSError):
            client.sendall(b"!")
        return ending(client)


def client_reset(port: int, folder: Path) -> str:
    """What does the server see of it: see `behind.py`."""
    client = connect(port, 3)
    client.sendall(b"r")
    time.sleep(0.15)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    client.close()
    return answer(folder / "r")


def buffered(port: int, folder: Path) -> str:
    """How much does a writer get rid of that nobody reads: see `behind.py`."""
    with connect(port, 3) as client:
        client.sendall(b"B")
        client.setblocking(False)
        total, blob, end = 0, b"b" * (1 << 16), time.monotonic() + 4
        while time.monotonic() < end and total < 400 << 20 and select.select([], [client], [], 0.5)[1]:
            with contextlib.suppress(BlockingIOError):
                total += client.send(blob)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    return f"{total / 2**20:.1f} MiB"


def dead_upstream(port: int, folder: Path) -> str:
    """What does a client get whose server is not there: see `behind.py`."""
    start = time.monotonic()
    try:
        with connect(port, 3) as client:
            how = ending(client)
    except OSError as error:
        return type(error).__name__
    return f"accepted, {how} after {(time.monotonic() - start) * 1e3:.0f} ms"


ENDS: dict[str, Callable[[int, Path], str]] = {
    "client's half close": client_half_close,
    "server's half close": server_half_close,
    "server's RST": server_reset,
    "client's RST": client_reset,
    "buffered": buffered,
}


def measure(name: str, seconds: float) -> dict[str, float | str]:
    """All of one relay ("direct": none); `{"error": ...}` when it fails."""
    row: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-proxy-") as place:
        folder = Path(place)
        folder.chmod(0o755)  # nginx gives up its rights
        try:
            with standing_behind(folder) as behind, contextlib.ExitStack() as stack:
                port, pid = behind, None
                if name != "direct":
                    port = free_port()
                    command = CONTENDERS[name](port, behind, folder)
                    if command is None:
                        return {"error": "not installed"}
                    pid = stack.enter_context(relaying(command, port, folder))
                row |= throughput(port, seconds, pid) | latency(port) | connections(port, seconds)
                for what, look in ENDS.items():
                    row[what] = look(port, folder)
            if name != "direct":
                port = free_port()
                command = CONTENDERS[name](port, 1, folder)  # port 1: nobody listens there
                assert command is not None
                with relaying(command, port, folder):
                    row["dead upstream"] = dead_upstream(port, folder)
        except (OSError, RuntimeError, AssertionError) as error:
            row["error"] = f"{type(error).__name__}: {error}"
    return row
