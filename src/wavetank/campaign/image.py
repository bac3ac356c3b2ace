"""The image: one clean interpreter that has imported the target, and from which every run is forked.

Owns what happens inside that interpreter before and around a run: its canonical form, the loop that forks, and the
way of a child from the fork to its exit. It must never import `socket`, `threading`, `ssl`, `asyncio` or anything
that does before the shims are installed, and its loop must leave the heap as it found it. It knows neither seeds nor
failures; the parent's side is `wavetank.campaign.runner`.

The idea: orders of sets follow addresses, and addresses follow everything that was ever allocated. So the image is
started with the same arguments, environment, folder and descriptor numbers each time, without randomised addresses;
it loads only compiled files (what had to be compiled makes it start again); and between two forks it keeps nothing. A
run learns what differs - seed, plan, environment - only after the fork, from shared memory that was mapped before it
(`wavetank.world.mailbox`).

Sources: personality(2), prctl(2), CPython's Modules/faulthandler.c and Objects/obmalloc.c (a freed block is the next
one handed out, so that an iteration which frees what it allocated, last first, leaves everything as it was).
"""

from __future__ import annotations

import faulthandler
import gc
import mmap
import os
import struct
import sys
from _signal import signal  # type: ignore[import-not-found]  # the C module under `signal`
from importlib import import_module
from importlib.machinery import SourceFileLoader
from typing import Any, Final, NoReturn

from wavetank.world import finder

# Descriptors, given by the parent at these numbers. High, so that a program's own real files start low; below 256, so
# that their numbers are CPython's ready-made small integers and using them allocates nothing.
CONTROL_FD: Final = 200
REPLY_FD: Final = 201
MEMORY_FD: Final = 202
CAPTURE_FD: Final = 203  # and the following ones, one for each slot
LAST_FD: Final = 255
# Descriptors of a child.
HOME_FD: Final = 199  # the run's own folder, with `home`, `tmp` and perhaps `cwd`
TRACE_FD: Final = 198  # where the trace goes when it is kept, else /dev/null

#: A request: what, which slot, which process. A reply: what, which slot, two numbers.
REQUEST: Final = struct.Struct("=BBxxi")
REPLY: Final = struct.Struct("=BBxxii")
FORK: Final = ord("F")
#: A fork for this slot ends at once: the parent rehearses the loop, so that the first run is like all others.
REHEARSAL: Final = 255
REAP: Final = ord("W")
FORKED: Final = ord("F")
NOT_FORKED: Final = ord("N")
EXITED: Final = ord("X")
READY: Final = ord("R")
REFUSED: Final = ord("E")

#: The head of the shared memory: size of the search path, size of the order, how often the image has started.
ORDER_HEAD: Final = struct.Struct("=III")
PATH_AT: Final = 4096
ORDER_AT: Final = 256 * 1024
#: The image starts once more to fix its addresses, and once more after it had to compile. Then nothing is left to do.
LAST_START: Final = 2

#: The environment of the image. A run sees another one, its user's.
ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONHASHSEED": "0"}

_NO_RANDOMIZE: Final = 0x0040000  # ADDR_NO_RANDOMIZE, Linux include/uapi/linux/personality.h
_PR_SET_PDEATHSIG: Final = 1  # Linux include/uapi/linux/prctl.h
_SIGKILL: Final = 9
_SIGUSR1: Final = 10
_SIGPROF: Final = 27
_SIG_IGN: Final = 1
_TOO_EARLY: Final = ("socket", "select", "selectors", "threading", "ssl", "asyncio", "subprocess", "queue")

# The real calls: `os` as a run sees it is not the real one.
_chdir = os.chdir
_close = os.close
_closerange = os.closerange
_dup2 = os.dup2
_execve = os.execve
_exit = os._exit
_fork = os.fork
_getppid = os.getppid
_killpg = os.killpg
_open = os.open
_readv = os.readv
_waitpid = os.waitpid
_write = os.write
_O_TRACE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_O_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def main() -> None:
    """The whole life of the image, and of its children. Ends with the process."""
    _clean_form()
    memory = mmap.mmap(MEMORY_FD, 0)
    path_size, order_size, starts = ORDER_HEAD.unpack_from(memory, 0)
    if starts == 0:
        _fix_addresses()
        _start_again(memory, 1)
    os.environ.clear()
    compiled = _watch_compilation()
    sys.path[:] = memory[PATH_AT : PATH_AT + path_size].decode("utf-8", "surrogateescape").split("\0")[1:]
    finder.install()
    os.register_at_fork = _not_a_fork
    faulthandler.enable(file=2, all_threads=False)
    faulthandler.register(_SIGUSR1, file=2, all_threads=False)
    signal(_SIGPROF, _SIG_IGN)  # a question of the parent, to the watchdog that a run may have
    prctl = _prctl()
    from wavetank.campaign import footprint  # which needs ctypes, as `_prctl` does

    footprint.keep_large_blocks()
    pid = os.getpid()
    try:
        runtime = _prepare(memory, order_size)
    except BaseException as error:
        _refuse(memory, error)
    if compiled[0] and starts < LAST_START:
        _start_again(memory, LAST_START)
    sys.dont_write_bytecode = True
    _report(memory)
    gc.collect()
    footprint.make_immortal()
    gc.freeze()
    slot = _serve()
    if slot == REHEARSAL:
        _exit(0)
    _child(runtime, memory, slot, prctl, pid)


def _clean_form() -> None:
    """Folder, session, mask and descriptors are the same whoever started us."""
    _chdir("/")
    os.umask(0o022)
    if os.getsid(0) != os.getpid():
        os.setsid()  # Ctrl-C in the terminal is for the parent
    null = _open("/dev/null", os.O_RDWR)
    _dup2(null, 0)
    _dup2(CAPTURE_FD, 1)
    _dup2(CAPTURE_FD, 2)
    _closerange(3, CONTROL_FD)


def _personality() -> int:
    try:
        with open("/proc/self/personality") as file:
            return int(file.read(), 16)
    except OSError:  # no /proc, or not ours to read
        return 0


def _fix_addresses() -> None:
    """From the next start on, addresses are not randomised - unless that is refused, as Docker's default does."""
    import ctypes

    ctypes.CDLL(None).personality(ctypes.c_ulong(_personality() | _NO_RANDOMIZE))


def _start_again(memory: mmap.mmap, starts: int) -> NoReturn:
    path_size, order_size, _ = ORDER_HEAD.unpack_from(memory, 0)
    ORDER_HEAD.pack_into(memory, 0, path_size, order_size, starts)
    _execve(sys.executable, sys.orig_argv, ENVIRONMENT)


def _not_a_fork(**hooks: object) -> None:
    """Stands for `os.register_at_fork`: to a program, a run is a whole process, no fork.

    The hooks of the standard library would take a third of the time of an empty run, and they would run Python code
    in the image between two forks, which must keep still.
    """


def _watch_compilation() -> bytearray:
    """A byte that becomes 1 when a module's cache file is written, or could not be."""
    seen = bytearray(1)
    write = SourceFileLoader.set_data

    def set_data(self: SourceFileLoader, path: str, data: bytes, *, _mode: int = 0o666) -> None:
        seen[0] = 1
        write(self, path, data, _mode=_mode)  # as importlib._bootstrap_external passes it on

    SourceFileLoader.set_data = set_data  # type: ignore[method-assign, assignment]
    return seen


def _prctl() -> Any:
    import ctypes

    return ctypes.CDLL(None).prctl


def _prepare(memory: mmap.mmap, order_size: int) -> Any:
    """Import what there is to import, in the one right order; returns the module that executes jobs."""
    loaded = [name for name in _TOO_EARLY if name in sys.modules]
    assert not loaded, f"loaded before the shims: {loaded}"
    from wavetank.campaign import order as orders

    order = orders.read_order(memory, order_size)
    loaded = [name for name in _TOO_EARLY if name in sys.modules]
    assert not loaded, f"loaded before the shims by our own imports: {loaded}"
    import_module(order.shims).install()
    _begin_site()
    runtime = import_module(order.runtime)
    runtime.prepare(order.target)
    _target.append(order.target)
    return runtime


def _begin_site() -> None:
    """What an interpreter does first of all, and this one only now: `site`.

    It sets `exit`, `help`, the prefix of a virtual environment, and executes the import statements in `*.pth` files,
    which may import anything. The import path stays the one that the parent has sent: it has been through that.
    """
    import site

    path = sys.path[:]
    site.main()
    sys.path[:] = path


#: The target, kept for the children: one entry once prepared.
_target: list[Any] = []


def _refuse(memory: mmap.mmap, error: BaseException) -> NoReturn:
    """Tell the parent why the target cannot be prepared, and end."""
    from wavetank.campaign import order as orders
    from wavetank.campaign import refusal

    size = orders.write_answer(memory, refusal.of(error))
    _write(REPLY_FD, REPLY.pack(REFUSED, 0, size, 0))
    _exit(0)


def _report(memory: mmap.mmap) -> None:
    """Tell the parent that runs can begin, and what was loaded."""
    from wavetank.campaign import order as orders

    files: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str):
            files[name] = file
    sources = sys.modules.get("wavetank.world.sources")
    if sources is not None:
        files |= {f"source {number}": file for number, file in enumerate(sources.files())}
    fixed = bool(_personality() & _NO_RANDOMIZE)
    size = orders.write_answer(memory, orders.ImageReport(files, fixed))
    _write(REPLY_FD, REPLY.pack(READY, 0, size, 0))


def _serve() -> int:
    """Fork whenever told to. Returns in the child, with its slot; the image itself leaves from here.

    One iteration frees what it allocates, and at no time holds two blocks of one size: so all children start alike.
    """
    request = bytearray(REQUEST.size)
    reply = bytearray(REPLY.size)
    places = [request]
    while _readv(CONTROL_FD, places) == REQUEST.size:
        if request[0] == REAP:
            # No star: the list that it needs is freed before the numbers in it. And the first number lives longest.
            pid = REQUEST.unpack_from(request)[2]
            ended = _waitpid(pid, 0)
            REPLY.pack_into(reply, 0, EXITED, request[1], pid, ended[1])
            del ended
            del pid
        elif not _fork_once(request, reply):
            return request[1]
        _write(REPLY_FD, reply)
    _killpg(0, _SIGKILL)  # the parent is gone: so are the runs that it waited for, and we
    raise SystemExit


def _fork_once(request: bytearray, reply: bytearray) -> int:
    """Fork and note how it went; 0 in the child."""
    try:
        pid = _fork()
    except OSError:
        REPLY.pack_into(reply, 0, NOT_FORKED, request[1], 0, 0)
        return -1
    REPLY.pack_into(reply, 0, FORKED, request[1], pid, 0)
    return pid


def _child(runtime: Any, memory: mmap.mmap, slot: int, prctl: Any, image_pid: int) -> NoReturn:
    """One run, from the fork to the exit."""
    prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if _getppid() != image_pid:
        _exit(1)
    from wavetank.world import mailbox

    box = mailbox.current = mailbox.Mailbox(memory, slot)
    try:
        _dup2(CAPTURE_FD + slot, 1)
        _dup2(CAPTURE_FD + slot, 2)
        _closerange(CONTROL_FD, LAST_FD)
        _place(_open(box.folder(), _O_FOLDER), HOME_FD)
        _place(_open(box.trace_path() or "/dev/null", _O_TRACE, 0o644), TRACE_FD)
        job = box.job(_target[0])
        _chdir(job.cwd)
        box.put_result(runtime.execute(job))
    except BaseException as error:
        _broke(box, error)
    _exit(0)


def _broke(box: Any, error: BaseException) -> None:
    """A run without result: nothing to run, or a defect of ours."""
    import traceback

    from wavetank.errors import NothingToRun, UsageError

    if isinstance(error, (NothingToRun, UsageError)):
        box.put_refusal(error)
    else:
        box.put_error("".join(traceback.format_exception(error)))


def _place(descriptor: int, number: int) -> None:
    _dup2(descriptor, number, False)
    _close(descriptor)
