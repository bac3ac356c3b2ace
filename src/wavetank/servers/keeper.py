"""The keeper: a small program that starts servers for a test run, and outlives it just long enough to end them.

Owns the processes below it. It is run by its path with `python -I -S`, imports nothing but the standard library, and
must never import Wavetank: it must start in milliseconds and stay small.

The idea, and why it is a process of its own:

- the parent-death signal (PR_SET_PDEATHSIG) is bound to the *thread* that forked, and `preexec_fn` is unsafe with
  threads and slow. The keeper has one thread, lives as long as the run, and forks in a millisecond;
- each server gets a *supervisor*, a fork of the keeper, which watches the run by pidfd. Whatever ends the run - SIGKILL
  included - the supervisor sees it and ends the server with all its descendants;
- the supervisor climbs the ladder of containment as far as it is let: a PID namespace with an init, where the kernel
  itself ends every descendant; else PR_SET_CHILD_SUBREAPER, so that daemons become its children and can be found; the
  parent-death signal in any case.

    run --- keeper --- supervisor --- [init of the namespace ---] server --- whatever it forks

Messages between run and supervisor are JSON objects over a SOCK_SEQPACKET socket: `spawned` (with the server's pidfd),
`failed`, `exit`, `ended` upwards; `end` downwards. Further runs may connect to a supervisor's UNIX socket and share its
server; it ends when the last of them has gone.

Source: prctl(2), pidfd_open(2), pid_namespaces(7), user_namespaces(7), mount_namespaces(7), fallocate(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import termios
from collections.abc import Iterator
from typing import Any, Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_CLONE_NEWNS: Final = 0x00020000
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_SLAVE: Final = 1 << 19
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000
_PUNCH_HOLE: Final = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
#: Descriptors that come with every request, in this order; those that the server is to have as 3, 4, ... follow.
_FIXED: Final = ("request", "control", "stdin", "stdout", "stderr")
#: How often the sizes of a server's output files are looked at. A flood of 1 GB/s passes the limit by so much.
_LOOK_S: Final = 0.25
#: Where descriptors are parked while a child's 0, 1, 2, ... are made.
_HIGH_FD: Final = 200
_BLOCK: Final = 4096
_BRAND: Final = resource.RLIMIT_MSGQUEUE

_libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """A rung of the ladder that this machine does not allow."""


def main() -> NoReturn:
    """The keeper itself: `keeper.py SOCKET RUN_PID`. Leaves the run's children at once, then forks on request."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    run_pid = int(sys.argv[2])
    run = os.pidfd_open(run_pid)
    if os.getppid() != run_pid:
        os._exit(1)  # the run ended while this program started
    if os.fork():
        os._exit(0)  # nobody who waits for "any child" of the run meets the keeper
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors that end need no reaping
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    poller = select.poll()
    poller.register(requests, select.POLLIN)
    poller.register(run, select.POLLIN)
    requests.send(b"ready")
    while True:
        ready = {fd for fd, _ in poller.poll()}
        if run in ready:
            os._exit(0)
        data, fds, _, _ = socket.recv_fds(requests, 64, 250)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            _supervise(run, fds)
        for fd in fds:
            os.close(fd)


def _supervise(run: int, fds: list[int]) -> NoReturn:
    """One supervisor, from its fork to its end."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        named = dict(zip(_FIXED, fds, strict=False))
        with open(named["request"], "rb") as file:
            file.seek(0)
            request = json.loads(file.read())
        _Supervisor(request, run, named, fds[len(_FIXED) :]).work()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


class _Supervisor:
    """The parent of one server, and the one who ends it."""

    def __init__(self, request: dict[str, Any], run: int, named: dict[str, int], passed: list[int]) -> None:
        self.request = request
        self.named = named
        self.passed = passed
        self.users = [socket.socket(fileno=named["control"])]
        self.runs: dict[int, socket.socket] = {run: self.users[0]}
        self.rung = request["rung"]
        self.init = 0
        self.init_says: socket.socket | None = None
        self.server = 0
        self.exit_status: int | None = None
        self.door: socket.socket | None = None
        self.outputs = [os.dup(named["stdout"]), os.dup(named["stderr"])]

    def work(self) -> None:
        """Start the server, then watch until nobody uses it any more."""
        child_ended = _wakeup_on_sigchld()
        try:
            self._climb()
        except Refused as refused:
            _tell(self.users, {"event": "refused", "error": str(refused)})
            return
        if not self.init:
            self.server = _start(self.request, self.named, self.passed, self.users[0], os.getpid())
            self._close_handed_over()
        if self.request.get("door"):
            self._open_door(self.request["door"])
        self._watch(child_ended)

    def _climb(self) -> None:
        """Enter the rung that was asked for, or raise `Refused`."""
        if self.rung == "subreaper":
            if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
                raise Refused(_error("prctl(PR_SET_CHILD_SUBREAPER)"))
        elif self.rung == "namespace":
            _enter_pid_namespace(may_map_user=self.request["user"] is None)
            parent = os.getpid()
            self.init_says, to_supervisor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self.init = os.fork()
            except OSError as error:
                raise Refused(f"fork into the PID namespace: {error.strerror}") from None
            if self.init == 0:
                _be_init(self.request, self.named, self.passed, (self.users[0], to_supervisor), parent)
            to_supervisor.close()
            self._close_handed_over()

    def _close_handed_over(self) -> None:
        """The server has these now; a copy here would keep pipes and sockets open after it has closed them."""
        for fd in {*self.passed, *(self.named[name] for name in ("stdin", "stdout", "stderr"))}:
            os.close(fd)

    def _open_door(self, name: str) -> None:
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind(f"\0{name}")  # an abstract name (unix(7)): no path that could be too long, or be left over
        self.door.listen(64)

    def _watch(self, child_ended: int) -> None:
        """Until nobody is left who uses the server, or somebody asks for its end."""
        while self.users:
            poller = select.poll()
            talks = [*self.users, *filter(None, (self.door, self.init_says))]
            for fd in (child_ended, *self.runs, *(each.fileno() for each in talks)):
                poller.register(fd, select.POLLIN)
            events = poller.poll(_LOOK_S * 1000)
            self._cap_outputs()
            for fd, _ in events:
                if fd == child_ended:
                    os.read(child_ended, 4096)
                    self._reap()
                elif self.init_says is not None and fd == self.init_says.fileno():
                    self._relay()
                elif self.door is not None and fd == self.door.fileno():
                    self._let_in()
                elif fd in self.runs:
                    self._leave(self.runs[fd])
                elif self._asked_for_the_end(fd):
                    return
        self._end()

    def _relay(self) -> None:
        """The init reports the server's end; when it falls silent it was killed, and with it all of its namespace."""
        assert self.init_says is not None
        data = self.init_says.recv(64)
        if data:
            self._exited(int(data))
            return
        self.init_says.close()
        self.init_says = None
        if self.exit_status is None:
            self._exited(signal.SIGKILL)

    def _exited(self, status: int) -> None:
        self.exit_status = status
        _tell(self.users, {"event": "exit", "status": status})

    def _let_in(self) -> None:
        """One more run uses the server; it says which process it is by its credentials."""
        assert self.door is not None
        user, _ = self.door.accept()
        pid, uid, _ = struct.unpack("3i", user.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.geteuid()):
            user.close()
            return
        with contextlib.suppress(OSError):
            self.runs[os.pidfd_open(pid)] = user
            self.users.append(user)
            _tell([user], {"event": "welcome", "exit": self.exit_status, "users": len(self.users)})

    def _leave(self, user: socket.socket) -> None:
        """A run has gone, or has closed its end."""
        for pidfd in [pidfd for pidfd, each in self.runs.items() if each is user]:
            os.close(pidfd)
            del self.runs[pidfd]
        if user in self.users:
            self.users.remove(user)
            user.close()

    def _asked_for_the_end(self, fd: int) -> bool:
        user = next((each for each in self.users if each.fileno() == fd), None)
        if user is None:
            return False
        try:
            data = user.recv(4096)
        except OSError:
            data = b""
        asked = json.loads(data)["do"] if data else "leave"
        if asked == "end":
            self._end()
            return True
        if asked == "leave":
            self._leave(user)
        elif asked == "users":
            _tell([user], {"event": "users", "users": len(self.users)})
        return False

    def _reap(self) -> None:
        """Take the status of every child that has ended. In a namespace the only child is the init."""
        for pid, status in _ended_children():
            if pid == self.server:
                self._exited(status)

    def _end(self) -> None:
        """Kill all that is below, wait until it is gone, say so."""
        if self.init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.init, 0)  # returns when the kernel has ended and reaped the whole namespace
        else:
            self._kill_descendants()
        self._cap_outputs()
        _tell(self.users, {"event": "ended"})
        os._exit(0)

    def _kill_descendants(self) -> None:
        """Everything that descends from here, or is of the server's session, again until nothing is left."""
        while True:
            left = [*_below(os.getpid(), self.server)]
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for pid, status in _ended_children():
                if pid == self.server:
                    self._exited(status)
            if not left:
                return
            select.select([], [], [], 0.001)

    def _cap_outputs(self) -> None:
        """Give back the oldest part of an output file that is over its limit. The server never notices."""
        for fd in self.outputs:
            limit = self.request["output_limit"]
            size = os.fstat(fd).st_size
            cut = (size - limit) // _BLOCK * _BLOCK
            if cut > 0 and _libc.fallocate(fd, _PUNCH_HOLE, ctypes.c_int64(0), ctypes.c_int64(cut)):
                return  # the file system cannot (errno EOPNOTSUPP): the file keeps everything


def _below(top: int, session: int) -> Iterator[int]:
    """Running descendants of `top`, and running members of the session."""
    parents: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                text = file.read()
                fields = text[text.rindex(b")") + 2 :].split()
                if fields[0] not in (b"Z", b"X"):
                    parents[int(name)] = int(fields[1]), int(fields[3])
    for pid, (parent, member_of) in parents.items():
        ancestor = parent
        while ancestor not in (0, top) and ancestor in parents:
            ancestor = parents[ancestor][0]
        if ancestor == top or (session and member_of == session and pid != top):
            yield pid


def _ended_children() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status


def _wakeup_on_sigchld() -> int:
    """A descriptor that becomes readable when a child ends."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reading


def _enter_pid_namespace(*, may_map_user: bool) -> None:
    """Children of this process are in a new PID namespace from now on; a user namespace where that takes one."""
    if _libc.unshare(_CLONE_NEWPID) == 0:
        return
    if not may_map_user:
        raise Refused(_error("unshare(CLONE_NEWPID)"))
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWPID):
        raise Refused(_error("unshare(CLONE_NEWUSER | CLONE_NEWPID)"))
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError as error:
        raise Refused(f"mapping the user into a user namespace: {error.strerror}") from None


def _be_init(
    request: dict[str, Any],
    named: dict[str, int],
    passed: list[int],
    talk: tuple[socket.socket, socket.socket],
    parent: int,
) -> NoReturn:
    """Process 1 of the namespace: starts the server, reaps everybody, lives until it is killed."""
    control, supervisor = talk
    try:
        _die_with_parent()
        if _outer_parent() != parent:
            os._exit(1)  # the supervisor ended before the signal was set
        child_ended = _wakeup_on_sigchld()
        server = _start(request, named, passed, control, 1)
        for fd in {*passed, *(named[name] for name in ("stdin", "stdout", "stderr"))}:
            os.close(fd)
        while True:
            select.select([child_ended], [], [])
            os.read(child_ended, 4096)
            for pid, status in _ended_children():
                if pid == server:
                    supervisor.send(str(status).encode())
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _start(
    request: dict[str, Any], named: dict[str, int], passed: list[int], control: socket.socket, parent: int
) -> int:
    """Fork and execute the server; tell the run how it went. Returns the number the server has here."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(request, named, passed, writing, parent)
    os.close(writing)
    pidfd = os.pidfd_open(pid)
    told = b""
    while data := os.read(reading, 4096):  # ends when exec closes the pipe, or the child ends
        told += data
    os.close(reading)
    outer, _, failure = told.decode().partition("\n")
    if failure:
        stage, number = failure.split()
        _tell([control], {"event": "failed", "stage": stage, "errno": int(number)})
    else:
        message = json.dumps({"event": "spawned", "pid": int(outer), "supervisor": _supervisor_of(parent)}).encode()
        with contextlib.suppress(OSError):
            socket.send_fds(control, [message], [pidfd])
    os.close(pidfd)
    return pid


def _supervisor_of(parent: int) -> int:
    """The supervisor's number outside; the parent of the server is the supervisor itself, or process 1 below it."""
    return _outer_parent() if parent == 1 else int(os.readlink("/proc/self"))


def _outer_parent() -> int:
    """The parent's number outside: /proc is the one mounted outside, whatever the namespace of who reads it."""
    with open("/proc/self/stat", "rb") as file:
        text = file.read()
    return int(text[text.rindex(b")") + 2 :].split()[1])


def _become(request: dict[str, Any], named: dict[str, int], passed: list[int], report: int, parent: int) -> NoReturn:
    """In the child: make descriptors, session, user, folder and environment, and execute the program."""
    stage = "prepare"
    try:
        os.write(report, os.readlink("/proc/self").encode() + b"\n")
        os.setsid()
        report = _place_descriptors([named["stdin"], named["stdout"], named["stderr"], *passed], report)
        if request["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in range(1, signal.NSIG):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(request["umask"])
        if request["brand"]:
            # Inherited by every descendant, whatever it does to session, parents and environment (setrlimit(2)).
            resource.setrlimit(_BRAND, (request["brand"], resource.getrlimit(_BRAND)[1]))
        if request["user"] is not None:
            stage = "user"
            uid, gid, groups = request["user"]
            _make_null_usable(request["spare"])
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        # After the change of user, which clears it (prctl(2)); then look whether it came too late.
        _die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        stage = "chdir"
        os.chdir(request["cwd"])
        stage = "exec"
        environment = dict(request["env"])
        if passed:
            environment["LISTEN_PID"] = str(os.getpid())  # sd_listen_fds(3): only for the process that has this number
        os.execve(request["program"], request["argv"], environment)
    except OSError as error:
        os.write(report, f"{stage} {error.errno or errno.EIO}".encode())
    finally:
        os._exit(127)


def _make_null_usable(folder: str) -> None:
    """Where /dev/null is writable for root only (some sandboxes), the server gets one of its own.

    By a mount that only it and its children see. Where that is not allowed either, the server finds out and says so.
    """
    if os.stat("/dev/null").st_mode & 0o666 == 0o666:
        return
    null = os.path.join(folder, "null")
    with contextlib.suppress(OSError):
        if not os.path.exists(null):
            os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # null(4)
        os.chmod(null, 0o666)
        if _libc.unshare(_CLONE_NEWNS) == 0 and _libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None) == 0:
            _libc.mount(os.fsencode(null), b"/dev/null", None, _MS_BIND, None)


def _place_descriptors(wanted: list[int], report: int) -> int:
    """Make `wanted` the descriptors 0, 1, 2, ... and close all others but `report`; returns where that is now."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD) for fd in wanted]
    report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    os.closerange(len(wanted), report)
    os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))
    return report


def _tell(users: list[socket.socket], message: dict[str, Any]) -> None:
    """Send to all who listen; one who has gone is not an error here."""
    for user in users:
        with contextlib.suppress(OSError):
            user.send(json.dumps(message).encode())


def _error(call: str) -> str:
    return f"{call}: {os.strerror(ctypes.get_errno())}"


if __name__ == "__main__":
    main()
