"""The two sides: interpreters of their own in which programs run, one on real Linux and one in the simulated kernel.

Owns starting them and the messages to them; `serving` is what runs inside.
"""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[3]
#: `struct.pack` of what leads every message: its length.
LENGTH = struct.Struct("=Q")


class SideFailed(AssertionError):
    """The interpreter of a side has died: what it wrote."""


class Side:
    """One interpreter that runs programs."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        boot = "from tests.parity.language.serving import serve; serve(__import__('sys').argv[1])"
        self.child = subprocess.Popen(
            [sys.executable, "-c", boot, kind],
            env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the interpreter."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()

    def send(self, programs: Sequence[Any]) -> None:
        """Give it programs to run."""
        assert self.child.stdin is not None
        message = pickle.dumps(list(programs))
        self.child.stdin.write(LENGTH.pack(len(message)) + message)
        self.child.stdin.flush()

    def results(self) -> list[Any]:
        """What they saw, in order: a record each, or the text of what went wrong in our own code."""
        assert self.child.stdout is not None
        head = self.child.stdout.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise SideFailed(f"the {self.kind} side ended with status {self.child.wait()}")
        return list(pickle.loads(self.child.stdout.read(LENGTH.unpack(head)[0])))

    def run(self, programs: Sequence[Any]) -> list[Any]:
        """`send` and `results`."""
        self.send(programs)
        return self.results()
