"""Folders of a run and of its servers, the marker that its processes carry, and the sweep of what dead runs left.

Owns everything below `wavetank-UID` in the temporary folder. Must never touch a run whose process still lives.

The idea: each run has a folder with one record for each server: who started it, and which processes were seen to
belong to it (number and start time). Nothing outlives a killed run where a supervisor or a namespace ends it; should
both have been killed, the next start of any server finds leftovers, ends them, and says so: by the marker in their
environment, by the record, and by their *brand*: an unusual soft limit RLIMIT_MSGQUEUE, a number that belongs
to one run. Daemons leave their session, their parent and their environment; a resource limit they take along.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import resource
import secrets
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wavetank.errors import EnvironmentProblem
from wavetank.servers import processes
from wavetank.servers.processes import Identity

logger = logging.getLogger("wavetank.servers")

#: Folders of dead runs that hold output which an error has named are kept so long.
_KEPT_S: Final = 24 * 3600.0
#: Linux's default of RLIMIT_MSGQUEUE (MQ_BYTES_MAX, include/uapi/linux/mqueue.h); brands are this much and less below.
_BRAND_BELOW: Final = 819_200
_BRANDS: Final = 400_000
#: After SIGKILL the kernel takes milliseconds; a process in an uninterruptible sleep is not waited for.
_GONE_S: Final = 2.0
_RECORD: Final = "record.jsonl"
_KEEP: Final = "keep"
_MARKER: Final = "WAVETANK_SERVER"


@dataclass(frozen=True)
class Leftover:
    """A process that outlived its run, and was ended by the sweep."""

    pid: int
    command: str
    marker: str
    run_pid: int

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command}), left by the run of pid {self.run_pid}, marker {self.marker}"


def base() -> Path:
    """The folder of all runs of this user; made when needed. Raises `EnvironmentProblem`."""
    path = Path(tempfile.gettempdir()) / f"wavetank-{os.geteuid()}"
    try:
        path.mkdir(mode=0o755, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise EnvironmentProblem(f"cannot make the folder {path}: {error.strerror}", next="set TMPDIR") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EnvironmentProblem(f"{path} belongs to somebody else", next="set TMPDIR to a folder of your own")
    return path


def short_folder(marker: str) -> Path:
    """A folder in /tmp whatever TMPDIR says, for a socket whose path would be too long elsewhere."""
    path = Path("/tmp") / f"wavetank-{os.geteuid()}" / f"{marker.replace(':', '-')}-{secrets.token_hex(2)}"
    path.mkdir(parents=True)
    return path


class Run:
    """The folder of this process's servers."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.marker = f"{self.pid}-{secrets.token_hex(3)}"
        self.folder = base() / self.marker
        self.folder.mkdir(mode=0o755)
        self.brand = _new_brand()
        self._lock = threading.Lock()
        self._count = 0
        _append(self.folder, {"run": processes.identity(self.pid), "brand": self.brand})
        atexit.register(self.close)

    def new_folder(self, name: str) -> tuple[str, Path]:
        """A marker and a folder for one more server."""
        with self._lock:
            self._count += 1
            number = self._count
        return f"{self.marker}:{number}", _server_folder(self.folder, f"{number}-{name}")

    def note(self, marker: str, pids: list[int]) -> None:
        """Write down which processes belong to a server; an empty list when it has been stopped."""
        known = [found for pid in pids if (found := processes.identity(pid)) is not None]
        _append(self.folder, {"marker": marker, "pids": known})

    def keep(self, folder: Path) -> None:
        """An error has named this folder's output: it stays for a day."""
        _touch(folder / _KEEP)

    def close(self) -> None:
        """Remove what nobody needs any more."""
        if self.pid == os.getpid():
            clear(self.folder)


class SharedRun:
    """The folder of one shared server. It lives as long as the server's supervisor, not as long as any test run."""

    def __init__(self, folder: Path, marker: str) -> None:
        self.folder = folder
        self.marker = marker
        found = dict(_records()).get(folder)
        self.brand: int = found["brand"] if found is not None else _new_brand()

    def new_folder(self, name: str) -> tuple[str, Path]:
        """The marker and the folder of the server."""
        return self.marker, _server_folder(self.folder, f"{os.getpid()}-{secrets.token_hex(2)}-{name}")

    def note(self, marker: str, pids: list[int]) -> None:
        """Write down which processes belong to it, its supervisor first; an empty list when it has been stopped."""
        known = [processes.identity(pid) for pid in pids]
        if known:
            _append(
                self.folder, {"run": known[0], "brand": self.brand, "marker": marker, "pids": [*filter(None, known)]}
            )

    def keep(self, folder: Path) -> None:
        """An error has named this folder's output: it stays for a day."""
        _touch(folder / _KEEP)


def _server_folder(parent: Path, name: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:24]
    folder = parent / safe
    (folder / "log").mkdir(parents=True)
    (folder / "data").mkdir()
    return folder


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.touch()


def _append(folder: Path, entry: dict[str, Any]) -> None:
    """One line more in the record of a run. Appended, as replacing a file waits for the disk (ext4(5), auto_da_alloc).

    The last word about a run, or about a marker, counts; see `_read_record`.
    """
    with contextlib.suppress(OSError), open(folder / _RECORD, "a") as file:  # no folder: nothing left to record
        file.write(json.dumps(entry) + "\n")


def _read_record(path: Path) -> dict[str, Any]:
    """The record in `path`: `run`, `brand`, and `servers`, the processes of each marker. ValueError for no record."""
    record: dict[str, Any] = {"run": None, "brand": 0, "servers": {}}
    lines = path.read_text().splitlines(keepends=True)
    for line in lines:
        if line.endswith("\n"):  # the last one may be half written
            entry = json.loads(line)
            record |= {name: entry[name] for name in ("run", "brand") if name in entry}
            if "marker" in entry:
                record["servers"][entry["marker"]] = entry["pids"]
    if record["run"] is None:
        raise ValueError(f"{path} is no record")
    return record


_run: Run | None = None
_swept = False
_lock = threading.Lock()


def run() -> Run:
    """The run of this process; another one after a fork."""
    global _run, _swept
    with _lock:
        if _run is None or _run.pid != os.getpid() or not _run.folder.is_dir():
            _run = Run()
            _swept = False
        return _run


def _new_brand() -> int:
    """A limit that no other run of this user has; 0 where the hard limit leaves no room for that."""
    hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]
    highest = _BRAND_BELOW if hard == resource.RLIM_INFINITY else min(hard, _BRAND_BELOW)
    if highest < _BRAND_BELOW:
        return 0
    taken = {record.get("brand") for _, record in _records()}
    while (brand := highest - 1 - secrets.randbelow(_BRANDS)) in taken:
        pass
    return brand


def sweep_once() -> list[Leftover]:
    """The sweep before the first server of this process; nothing at later starts."""
    global _swept
    with _lock:
        if _swept:
            return []
        _swept = True
    return sweep()


def sweep() -> list[Leftover]:
    """End what dead runs have left, remove their folders; returns what was found, and logs it as warnings.

    A process is a leftover when it carries the marker or the brand of a run that no longer lives, or is written down in
    the record of such a run and started when that says.
    """
    dead = {folder: record for folder, record in _records() if _is_dead(record)}
    if not dead:
        return []
    marked = [(pid, processes.environment(pid).get(_MARKER, "")) for pid in processes.everyone()]
    brands = {pid: processes.message_queue_limit(pid) for pid, _ in marked}
    mine = {pid for pid in brands if processes.descends(os.getpid(), pid)}  # this very process may be a leftover
    found: dict[int, Leftover] = {}
    for folder, record in dead.items():
        run_pid = record["run"][0] if record["run"] else 0
        for marker, known in record["servers"].items():
            for each in known:
                if processes.runs(Identity(*each)):
                    found[each[0]] = Leftover(each[0], processes.command(each[0]), marker, run_pid)
        for pid, marker in marked:
            branded = record.get("brand") and brands[pid] == record["brand"]
            ours = branded or marker.partition(":")[0] == folder.name
            if ours and pid not in mine and processes.identity(pid) is not None:
                found.setdefault(pid, Leftover(pid, processes.command(pid), marker or folder.name, run_pid))
    for leftover in found.values():
        logger.warning("ended %s", leftover)
        with contextlib.suppress(OSError):
            os.kill(leftover.pid, signal.SIGKILL)
    limit = time.monotonic() + _GONE_S
    while any(processes.identity(pid) is not None for pid in found) and time.monotonic() < limit:
        time.sleep(0.001)  # they hold ports that the next start may want; what is waited for is the kernel
    for folder in dead:
        clear(folder)
    return [*found.values()]


def _records() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in base().iterdir():
        try:
            yield path, _read_record(path / _RECORD)
        except (OSError, ValueError):
            # Half made or half removed by another run; nothing but kept output; or the lock of a shared server.
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _KEPT_S:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_dead(record: dict[str, Any]) -> bool:
    return not record["run"] or not processes.runs(Identity(*record["run"]))


def clear(folder: Path) -> None:
    """Remove a run's folder, but not output that an error has named."""
    kept = False
    for each in [*folder.iterdir()] if folder.is_dir() else []:
        if (each / _KEEP).exists():
            kept = True
            shutil.rmtree(each / "data", ignore_errors=True)
        elif each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
    if kept:
        with contextlib.suppress(OSError):
            (folder / _RECORD).unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
