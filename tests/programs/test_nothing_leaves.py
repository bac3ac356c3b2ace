"""The gallery with its system calls traced: no program makes a real socket or starts a real program.

What may be seen: the interpreter asking the name service cache for the home folder as it starts, and the image asking
`ldconfig` and `uname` before any program runs. Both are over when the first run is forked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import gallery, table

#: One program for each kind of kernel object is enough for the gate; the long run takes the whole gallery.
FEW = ("asyncio_streams",)
_HARMLESS = ("/var/run/nscd/socket", "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0)")


def real_calls(name: str, folder: Path) -> list[str]:
    """The network calls and program starts of a calm run of a program, the harmless ones left out."""
    trace = folder / "calls"
    target = Path(gallery.__file__).with_name(f"{name}.py")
    command = [sys.executable, "-m", "wavetank", "run", f"{target}::scenario"]
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=network,execve", "-e", "signal=none", "-o", str(trace), *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]
    assert any(line.startswith("execve(") for line in lines), "strace saw nothing"
    ours = (f'execve("{Path(sys.executable).parent}/python', 'execve("/sbin/ldconfig"', 'execve("/usr/bin/uname"')
    return [line for line in lines if not line.startswith(ours) and not any(each in line for each in _HARMLESS)]


@pytest.mark.debian("strace")
@pytest.mark.parametrize("name", FEW)
def test_a_program_leaves_nothing_on_the_real_network(name: str, tmp_path: Path) -> None:
    assert not real_calls(name, tmp_path)


@pytest.mark.long
@pytest.mark.debian("strace")
@pytest.mark.parametrize("name", table.names())
def test_the_whole_gallery_leaves_nothing(name: str, tmp_path: Path) -> None:
    assert not real_calls(name, tmp_path)
