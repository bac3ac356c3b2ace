"""What is not simulated: refused at the call, or at the import, with its name and the way to allow it.

Owns the tables of refused calls and refused modules, and the few answers that libraries get from small programs which
they start for information (`ldconfig`, `uname`): those are asked once, for real, before anything is replaced.

A refused call raises `NotSimulatedOSError`, which is an `OSError` with ENOSYS: a library that can live without the call
does. What is allowed by name (`--allow`) reaches the real function, and then the run may differ each time.
"""

from __future__ import annotations

import _posixsubprocess
import errno
import os
import posix
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from io import BytesIO
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from wavetank.errors import NotSimulatedImport, NotSimulatedOSError
from wavetank.kernel import core, outside
from wavetank.kernel.replace import when_imported

# Importing `importlib.abc` for real would draw in `tempfile` and `random` (3.11, 3.12) before they may be there.
if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object

_PROCESS: Final = "a new process of the real system would leave the world"

#: Calls of `os` that are refused, and why.
CALLS: Final = {
    "fork": _PROCESS,
    "forkpty": _PROCESS,
    "posix_spawn": _PROCESS,
    "posix_spawnp": _PROCESS,
    "system": _PROCESS,
    "execv": "the program would replace the whole simulator",
    "execve": "the program would replace the whole simulator",
}
SUBPROCESS: Final = "subprocess.Popen"

_C_LOOP: Final = "it has an event loop of its own, written in C, which never calls the simulated kernel"
_C_SOCKETS: Final = "its C code opens sockets of its own, past the simulated kernel"

#: Modules that cannot work here, and why. Importing one of their submodules is refused as well.
MODULES: Final = {
    "gevent": _C_LOOP,
    "eventlet": "its green threads and ours cannot share one interpreter",
    "grpc._cython": _C_LOOP,
    "psycopg2._psycopg": _C_SOCKETS,
    "psycopg_binary": _C_SOCKETS,
    "psycopg_c": _C_SOCKETS,
    "psycopg.pq.pq_ctypes": _C_SOCKETS,
    "MySQLdb._mysql": _C_SOCKETS,
    "pycurl": _C_SOCKETS,
    "pycares._cares": _C_SOCKETS,
    "zmq.backend.cython": _C_SOCKETS,
    "confluent_kafka.cimpl": _C_SOCKETS,
    "pyodbc": _C_SOCKETS,
    "_pylibmc": _C_SOCKETS,
    "curl_cffi._wrapper": _C_SOCKETS,
    "pynng._nng": _C_SOCKETS,
    "ssh2.session": _C_SOCKETS,
    "granian._granian": _C_LOOP,
    "rloop": _C_LOOP,
}

# The real calls; this module is imported before anything is replaced.
_leave = os._exit
_fork = os.fork
#: In a process that was forked off a world with `--allow os.fork`: how to leave it. Empty in the world itself.
copies: list[Callable[[int], object]] = []

_allowed: set[str] = set()
#: What was refused in this run, for the report: a library may have swallowed the error.
refused: dict[str, int] = {}


def begin(allowed: Iterable[str]) -> None:
    """A run begins, in which these names are allowed."""
    _allowed.clear()
    _allowed.update(allowed)
    refused.clear()


def names() -> list[str]:
    """Every name that `--allow` takes."""
    return [*(f"os.{name}" for name in CALLS), SUBPROCESS, *MODULES]


def note(call: str) -> None:
    """Count a refused call, for the report: a program may swallow the error."""
    refused[call] = refused.get(call, 0) + 1


#: The way out where no `--allow` opens one: what is refused has no real counterpart that a simulated object could use.
NO_WAY_THROUGH: Final = "no --allow lets it through: do without the call, or replace what makes it in the simulated run"


def unsupported(call: str, reason: str, number: int = errno.ENOSYS) -> NotSimulatedOSError:
    """The error for a call, or a variant of one, that is not simulated and cannot be allowed; noted for the report."""
    note(call)
    return NotSimulatedOSError(call, reason, errno=number, where=_place(), next=NO_WAY_THROUGH)


def _place() -> str:
    process = core.K.process
    return f"{process.host_name}/{process.name} at {core.K.now / 1e9:.6f} s"


class _Refusal:
    """One refused call; a bound method of it stands in the place of the real function (see `replace`)."""

    def __init__(self, name: str, reason: str, real: Callable[..., Any]) -> None:
        self.name = name
        self.reason = reason
        self.real = real

    def fork(self) -> int:
        """`os.fork`. The copy of the world in the new process ends when its program does, and reports to nobody."""
        pid = self.call()
        assert isinstance(pid, int)
        if pid == 0:
            os._exit = posix._exit = _leave
            copies.append(_leave)
        return pid

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, or let through what is allowed."""
        if self.name in _allowed:
            return self.real(*args, **kwargs)
        note(self.name)
        raise NotSimulatedOSError(self.name, self.reason, where=_place())


#: What makes another interpreter in this process, by module. (An audit hook that refuses it crashes CPython 3.12.)
_INTERPRETERS: Final = {
    "_interpreters": ("create",),
    "_xxsubinterpreters": ("create",),  # before 3.13
    "_testcapi": ("run_in_subinterp", "run_in_subinterp_with_config"),
    "_testinternalcapi": ("run_in_subinterp_with_config",),
}


def _no_interpreter(*_: object, **__: object) -> None:
    """It would have real threads, locks and sockets; and C keeps what is one for all, which they would mix up."""
    raise unsupported("interpreters.create", "another interpreter has real threads and real sockets of its own")


def _refuse_interpreters(module: ModuleType) -> None:
    for name in _INTERPRETERS[module.__name__]:
        if hasattr(module, name):
            setattr(module, name, _no_interpreter)


class _NoFinder:
    """First on `sys.meta_path`: refuses the modules of the table."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for every module that may be imported."""
        reason = MODULES.get(fullname)
        if reason is None or fullname in _allowed:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        if not any(finder.find_spec(fullname, path, target) for finder in others):
            return None  # not installed: the ordinary error
        return ModuleSpec(fullname, _NoLoader(fullname, reason))


class _NoLoader(Loader):
    """Raises when the module is loaded: looking for it (`find_spec`) is harmless."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Refuse."""
        note(f"import {self.name}")
        raise NotSimulatedImport(self.name, self.reason, where=_place())

    def exec_module(self, module: ModuleType) -> None:
        """Never reached."""
        raise AssertionError(f"{self.name} was created although it is refused")


# ---- answers from the real system


def _ask(*command: str) -> bytes:
    """What a small program prints; empty when it is not there. Runs for real."""
    # Into a file, and read as a whole: from a pipe it would come in pieces, as the two processes happen to run, and the
    # pieces would decide where in memory everything after them comes to lie.
    output = os.memfd_create("answer")
    actions = [
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
    ]
    try:
        pid = os.posix_spawn(command[0], list(command), {"LC_ALL": "C"}, file_actions=actions)
        os.waitpid(pid, 0)
        return os.pread(output, os.fstat(output).st_size, 0)
    except OSError:
        return b""
    finally:
        os.close(output)


class _Answered:
    """A `subprocess.Popen` for one module: answers what is known, and says of the rest that it is not installed."""

    def __init__(self, args: Sequence[str], **options: Any) -> None:
        answer = _answers.get(tuple(args))
        if answer is None:
            raise FileNotFoundError(2, os.strerror(2), args[0])
        self.stdout = BytesIO(answer)
        self.returncode = 0

    def __enter__(self) -> _Answered:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stdout.close()


_answers: dict[tuple[str, ...], bytes] = {}


def _answer_ctypes(module: ModuleType) -> None:
    own = module.subprocess
    module.subprocess = SimpleNamespace(  # type: ignore[attr-defined]
        Popen=_Answered, PIPE=own.PIPE, DEVNULL=own.DEVNULL, STDOUT=own.STDOUT
    )


def _answer_platform(module: ModuleType) -> None:
    processor = _answers["/usr/bin/uname", "-p"].decode("ascii", "replace").strip()
    module._Processor.from_subprocess = staticmethod(lambda: processor)


def _one_way_to_start(module: ModuleType) -> None:
    # 3.13 starts some programs by posix_spawn: one refusal, with one name, is enough.
    module._USE_POSIX_SPAWN = False  # type: ignore[attr-defined]


def install() -> None:
    """Put the refusals in place, after asking what is to be known from outside."""
    for command in (("/sbin/ldconfig", "-p"), ("/usr/bin/uname", "-p")):
        _answers[command] = _ask(*command)
    for name, reason in CALLS.items():
        for module in (os, posix):
            if hasattr(module, name):
                setattr(module, name, _Refusal(f"os.{name}", reason, getattr(module, name)).call)
    os.fork = posix.fork = _Refusal("os.fork", _PROCESS, _fork).fork
    started = partial(outside.fork_exec, _posixsubprocess.fork_exec)
    _posixsubprocess.fork_exec = _Refusal(SUBPROCESS, _PROCESS, started).call
    when_imported("subprocess", _one_way_to_start)
    when_imported("ctypes.util", _answer_ctypes)
    when_imported("platform", _answer_platform)
    for name in _INTERPRETERS:
        when_imported(name, _refuse_interpreters)
    sys.meta_path.insert(0, _NoFinder())
