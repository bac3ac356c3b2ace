"""Runs scenario functions and scripts in simulated worlds, without the image: one interpreter per file, a fork per run.

The interpreter installs the simulated kernel, prepares the file, and then forks a child for each run that it is asked
for. Tests of the image itself, and of digests that must not depend on it, use `wavetank.campaign` instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import msgspec

from tests.support.world_server import SIZE, VARIABLE
from wavetank.faults import AnyFault
from wavetank.plan import Plan
from wavetank.world.job import HostScript, Job, RunResult, Target, decode_result, encode

ROOT = Path(__file__).parents[2]
_BOOT = (
    f"import sys; sys.path[:0] = [{str(ROOT / 'src')!r}, {str(ROOT)!r}]; "
    "from tests.support import world_server; world_server.serve()"
)


class Worlds:
    """A prepared file, or several scripts; close it when done."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
            | {name: value for name, value in os.environ.items() if name == VARIABLE},
            cwd=os.sep,
        )
        self._write(msgspec.msgpack.encode(target))

    def run(self, function: str = "", **options: Any) -> RunResult:
        """One run of `function`, or of the scripts. Options are those of `Job`, and `seed` and `faults`."""
        faults: tuple[AnyFault, ...] = tuple(options.pop("faults", ()))
        plan = options.pop("plan", None) or Plan(seed=options.pop("seed", 0), faults=faults)
        target = msgspec.structs.replace(self.target, function=function, label=function)
        job = Job(target=target, plan=plan, cwd=options.pop("cwd", os.sep), **options)
        self._write(encode(job))
        data = self._read()
        assert data[:1] == b"+", data[1:].decode()
        return decode_result(data[1:])

    def close(self) -> None:
        """End the interpreter."""
        stdin, stdout = self._pipes()
        stdin.close()
        self._server.wait()
        stdout.close()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        return self._server.stdin, self._server.stdout

    def _write(self, data: bytes) -> None:
        stdin, _ = self._pipes()
        stdin.write(SIZE.pack(len(data)) + data)
        stdin.flush()

    def _read(self) -> bytes:
        _, stdout = self._pipes()
        (size,) = SIZE.unpack(stdout.read(SIZE.size))
        return stdout.read(size)


def functions_of(path: str) -> Worlds:
    """Worlds for the scenario functions in a file of tests."""
    return Worlds(Target(label=path, module=path, sys_path=(os.path.dirname(path),)))


def scripts(*hosts: tuple[str, Path], argv: tuple[str, ...] = (), search: tuple[str, ...] = ()) -> Worlds:
    """Worlds for scripts: host names and paths. `search`: more folders of the import path."""
    listed = tuple(HostScript(host, str(path), argv) for host, path in hosts)
    folders = tuple(str(path.parent) for _, path in hosts)
    return Worlds(Target(label="scripts", scripts=listed, sys_path=folders + search))


def run_script(folder: Path, text: str, *argv: str, **options: Any) -> RunResult:
    """One run of a script with this text, in a new interpreter."""
    path = folder / "script.py"
    path.write_text(text)
    worlds = scripts(("main", path), argv=argv, search=options.pop("search", ()))
    try:
        return worlds.run(cwd=str(folder), **options)
    finally:
        worlds.close()


def stdout_of(result: RunResult, name: str) -> str:
    """What the process `host/name` wrote, in its last life."""
    return [output.stdout for output in result.outputs if output.name == name][-1]
