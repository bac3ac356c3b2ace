"""Runs functions as simulated processes, each time in a fresh interpreter, and the same functions on the real system.

A body is an ordinary function of a test module; only its source text travels, so it imports what it needs inside
itself. In the interpreter it runs in, these names exist besides its own:

- `attempt(call, *args, **keywords)`: `("value", result)`, or `("raises", class name, args)`; for comparisons;
- `core`: `wavetank.kernel.core` (simulated only); `harness`: this module (simulated only).
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

_BOOT = "import sys; sys.path[:0] = {path!r}; from tests.unit.kernel_harness import _child; _child({real!r})"


class BodyFailed(AssertionError):
    """The body raised: the text is its traceback."""


def simulated(
    body: Callable[..., Any],
    *args: Any,
    faces: Sequence[str],
    seed: int = 1,
    epoch_s: int = 1_700_000_000,
    hosts: Sequence[str] = ("alpha", "beta"),
    before: Callable[[], Any] | None = None,
) -> Any:
    """What `body(*args)` returns as the only program of the host `hosts[0]`, in a fresh interpreter.

    `faces` are modules of `wavetank.kernel` to install, in this order; with `threads` among them the body runs on what
    `threading` takes for the main thread. `before` runs after that and before the world
    exists (what an image would import). Raises `BodyFailed` when the body raises.
    """
    job = {"faces": tuple(faces), "seed": seed, "epoch_s": epoch_s, "hosts": tuple(hosts)}
    return _run(body, args, before, job, real=False)


def real(body: Callable[..., Any], *args: Any) -> Any:
    """What `body(*args)` returns in a fresh interpreter on the real system."""
    return _run(body, args, None, {}, real=True)


def _run(
    body: Callable[..., Any],
    args: tuple[Any, ...],
    before: Callable[[], Any] | None,
    job: dict[str, Any],
    *,
    real: bool,
) -> Any:
    import subprocess  # here, as in the body's interpreter nothing may import sockets and threads before the faces

    job |= {"body": _source(body), "before": None if before is None else _source(before), "args": args}
    root = __file__.rsplit("/tests/", 1)[0]
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", _BOOT.format(path=[root, f"{root}/src"], real=real)],
        input=pickle.dumps(job),
        capture_output=True,
        timeout=60,
    )
    if done.returncode:
        raise BodyFailed(f"status {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
    ok, result, output = pickle.loads(done.stdout.rpartition(b"\n--result--\n")[2])
    if not ok:
        raise BodyFailed(result + output)
    return result


def _source(body: Callable[..., Any]) -> tuple[str, str]:
    import inspect
    import textwrap

    return body.__name__, textwrap.dedent(inspect.getsource(body))


def attempt(call: Callable[..., Any], *args: Any, **keywords: Any) -> tuple[Any, ...]:
    """The outcome of a call as plain data."""
    try:
        return "value", call(*args, **keywords)
    except BaseException as error:
        return "raises", type(error).__name__, error.args


# ---- inside the interpreter of the body


def _child(real: bool) -> None:
    import os

    write, leave = os.write, os._exit
    job = pickle.load(sys.stdin.buffer)
    ok, result = _real(job) if real else _simulated(job)
    try:
        data = pickle.dumps((ok, result, ""))
    except Exception:
        data = pickle.dumps((False, f"not picklable: {result!r}", ""))
    sys.stdout.flush()
    sys.stderr.flush()
    data = b"\n--result--\n" + data
    while data:
        data = data[write(1, data) :]
    leave(0)


def _function(source: tuple[str, str], names: dict[str, Any]) -> Any:
    exec(compile(source[1], f"<{source[0]}>", "exec", dont_inherit=True), names)
    return names[source[0]]


def _names() -> dict[str, Any]:
    return {"__name__": "body", "attempt": attempt, "Any": Any, "Callable": Callable}


def _call(body: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    import traceback

    try:
        return True, body(*args)
    except BaseException:
        return False, traceback.format_exc()


def _real(job: dict[str, Any]) -> tuple[bool, Any]:
    return _call(_function(job["body"], _names()), job["args"])


def _simulated(job: dict[str, Any]) -> tuple[bool, Any]:
    import os

    from wavetank.kernel import core

    image = World(0, job["epoch_s"], ("image",))
    process = image.process("image", "image", 1)
    process.main_thread = image.kernel.adopt(process, "image")
    core.K = image.kernel
    for face in job["faces"]:
        import_module(f"wavetank.kernel.{face}").install()
    if "WAVETANK_TEST_MUTANT" in os.environ:
        import_module("tests.parity.language.mutating").exchange_as_told()
    names = _names() | {"core": core, "harness": sys.modules[__name__]}
    if job["before"] is not None:
        _function(job["before"], names)()
    body = _function(job["body"], names)
    if "threads" in job["faces"]:
        body = _beginning_threads(body)
    return World(job["seed"], job["epoch_s"], job["hosts"]).run(body, job["args"])


def _beginning_threads(body: Callable[..., Any]) -> Callable[..., Any]:
    def begun(*args: Any) -> Any:
        from wavetank.kernel import threads

        threads.process_threads_begin()
        return body(*args)

    return begun


class World:
    """One world for a body: hosts, and the process `program` (pid 100) on the first of them."""

    def __init__(self, seed: int, epoch_s: int, hosts: Sequence[str], profile: Any = None) -> None:
        from wavetank.kernel.choices import Choices
        from wavetank.kernel.core import Kernel
        from wavetank.kernel.profile import DEFAULT
        from wavetank.kernel.recorder import Recorder
        from wavetank.kernel.stack import Stack
        from wavetank.network.fabric import Fabric

        self.seed = seed
        choices = Choices(seed)
        self.kernel = Kernel(choices, Recorder(), epoch_s * 1_000_000_000)
        self.fabric = Fabric(self.kernel, choices.stream)
        self.stacks: dict[str, Stack] = {}
        for host in hosts:
            node = self.fabric.add(host)
            node.stack = self.stacks[host] = Stack(host, node, self.fabric, profile or DEFAULT)

    def process(self, host: str, name: str, pid: int) -> Any:
        """A new process without threads."""
        from wavetank.kernel.process import Process

        process = Process(self.stacks[host], name, pid)
        if process not in self.stacks[host].processes:
            self.stacks[host].processes.append(process)
        return process

    def start(self, process: Any, body: Callable[[], Any]) -> Any:
        """Start `body` as the main thread of `process`; returns the thread."""
        thread = self.kernel.new_thread(process, "main")
        process.main_thread = thread
        self.kernel.start(thread, body)
        return thread

    def run(self, body: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Run `body` until it returns, or until nothing can happen any more."""
        from wavetank.kernel import core

        outcome: list[tuple[bool, Any]] = []

        def main() -> None:
            outcome.append(_call(body, args))
            self.kernel.stop("done")

        root = self.process(next(iter(self.stacks)), "root", 1)
        self.kernel.adopt(root, "root")
        core.K = self.kernel
        World.current = self
        if "wavetank.kernel.entropy" in sys.modules:
            sys.modules["wavetank.kernel.entropy"].begin(self.seed)  # type: ignore[attr-defined]
        self.start(self.process(next(iter(self.stacks)), "program", 100), main)
        reason = self.kernel.run()
        if not outcome:
            waits = [f"{thread!r}: {thread.reason}" for thread in self.kernel.threads if thread.parked]
            return False, f"the world ended ({reason}) before the body did: {waits}\n"
        return outcome[0]

    current: World
