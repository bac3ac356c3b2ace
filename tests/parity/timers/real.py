"""Runs the programs of `scenarios` on real Linux, all at once: `python -m tests.parity.timers.real` prints JSON.

Each program has two network namespaces of its own, joined by a pair of virtual Ethernet devices with fixed neighbours.
The network is cut by giving each side a neighbour's address that nobody has: packets leave, and arrive nowhere. Owns
all that; needs the right to make namespaces, and `ip` and `nsenter`. Where that is missing the answer is
`{"not run": why}`.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.parity.timers.scenarios import SCENARIOS, Scenario, listening

CLONE_NEWNET = 0x4000_0000
PR_SET_PDEATHSIG = 1
ADDRESSES = {"client": "10.77.0.1", "server": "10.77.0.2"}
DEVICES = {"client": "02:00:00:00:00:01", "server": "02:00:00:00:00:02"}
NOBODY = "02:00:00:00:00:99"
#: In which every `ip` has done what it was told.
SETTLE_S = 1.0
#: A program that takes longer hangs.
LIMIT_S = 150.0


class Lab:
    """Two processes in two namespaces, for one program."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.pids: dict[str, int] = {}
        self.start: dict[str, int] = {}
        self.ready: dict[str, int] = {}
        for side in ADDRESSES:
            self._fork(side)
        self.operators = {
            side: subprocess.Popen(
                ["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"], stdin=subprocess.PIPE, text=True
            )
            for side, pid in self.pids.items()
        }
        self._join()

    def _fork(self, side: str) -> None:
        start, self.start[side] = os.pipe()
        self.ready[side], ready = os.pipe()
        self.pids[side] = os.fork()
        if self.pids[side]:
            os.close(start)
            os.close(ready)
            os.read(self.ready[side], 1)  # it has its namespace
            return
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # none is left behind, whatever happens
            unshare()
            os.write(ready, b"n")
            os.read(start, 1)
            (self._client if side == "client" else self._server)(ready, start)
        finally:
            os._exit(0)

    def _client(self, ready: int, start: int) -> None:
        for name, value in self.scenario.settings.items():
            Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
        os.write(ready, b"s")
        os.read(start, 1)
        os.write(ready, json.dumps(self.scenario.client(ADDRESSES["server"])).encode() + b"\n")

    def _server(self, ready: int, start: int) -> None:
        with listening(self.scenario) as listener:
            os.write(ready, b"l")
            self.scenario.server(listener)

    def _ip(self, side: str, *lines: str) -> None:
        """Have lines done by an `ip` that waits in the namespace: a cut must not wait for a busy machine."""
        commands = self.operators[side].stdin
        assert commands is not None
        commands.write("".join(f"{line}\n" for line in lines))
        commands.flush()

    def _join(self) -> None:
        subprocess.run(
            ["ip", "link", "add", "v0", "netns", str(self.pids["client"]), "address", DEVICES["client"],
             "type", "veth", "peer", "name", "v0", "netns", str(self.pids["server"]), "address", DEVICES["server"]],
            check=True,
        )  # fmt: skip
        for side, address in ADDRESSES.items():
            silent = self.scenario.unknown and side == "server"
            lines = [
                f"addr add {address}/24 dev v0",
                "link set lo up",
                f"link set v0 arp {'off' if silent else 'on'} up",
            ]
            self._ip(side, *lines, *([] if self.scenario.unknown else [self._neighbour(side, DEVICES)]))
        for side in ("server", "client"):
            os.write(self.start[side], b"g")
            os.read(self.ready[side], 1)  # it listens, it has its settings

    def _neighbour(self, side: str, devices: dict[str, str]) -> str:
        other = "server" if side == "client" else "client"
        return f"neigh replace {ADDRESSES[other]} lladdr {devices.get(other, NOBODY)} dev v0 nud permanent"

    def connect(self, connected: bool) -> None:
        """Cut the network, or heal it."""
        for side in ADDRESSES:
            self._ip(side, self._neighbour(side, DEVICES if connected else {}))

    def begin(self) -> None:
        """The client begins."""
        os.write(self.start["client"], b"g")

    def told(self) -> dict[str, Any]:
        """What the client says."""
        with os.fdopen(self.ready["client"], "rb") as answer:
            found: dict[str, Any] = json.loads(answer.readline() or b'{"told": "nothing"}')
        return found

    def close(self) -> None:
        """End both processes, and with them the namespaces."""
        for operator in self.operators.values():
            operator.kill()
            operator.communicate()
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def unshare() -> None:
    """Move into a new network namespace; OSError where that is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def obstacle() -> str:
    """Why this machine cannot run the programs; empty when it can."""
    missing = [command for command in ("ip", "nsenter") if shutil.which(command) is None]
    if missing:
        return f"no {' and no '.join(missing)}"
    pid = os.fork()
    if not pid:
        try:
            unshare()
            made = subprocess.run(
                ["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], capture_output=True
            )
            os._exit(bool(made.returncode))
        except OSError:
            os._exit(1)
    return "no network namespaces with virtual Ethernet" if os.waitpid(pid, 0)[1] else ""


def run(names: list[str]) -> dict[str, Any]:
    """What the clients say, by the names of their programs."""
    labs = [Lab(SCENARIOS[name]) for name in names]
    try:
        events: list[tuple[float, int, bool]] = []
        for lab in labs:
            if lab.scenario.cut_s == 0:
                lab.connect(False)
        time.sleep(SETTLE_S)
        for number, lab in enumerate(labs):
            lab.begin()
            began = time.monotonic()
            if lab.scenario.cut_s > 0:
                events.append((began + lab.scenario.cut_s, number, False))
            if lab.scenario.heal_s > 0:
                events.append((began + lab.scenario.heal_s, number, True))
        for moment, number, connected in sorted(events):
            time.sleep(max(0.0, moment - time.monotonic()))
            labs[number].connect(connected)
        signal.alarm(int(LIMIT_S))
        return {lab.scenario.name: lab.told() for lab in labs}
    finally:
        for lab in labs:
            lab.close()


if __name__ == "__main__":
    why = obstacle()
    print(json.dumps({"not run": why} if why else run(sys.argv[1:] or list(SCENARIOS))))
