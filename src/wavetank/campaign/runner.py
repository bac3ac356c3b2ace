"""The parent's side of an image: start it, hand it jobs, wait for the answers, and watch real time.

Owns the image's process, the slots in which runs are under way, the captured output of their real descriptors, and
the limit on real time. It decides nothing about seeds, plans and failures: a job goes in, a `RunResult` comes out,
whatever became of the child.

The idea: one thread, one selector. A run is a forked child of the image, so its process id comes from the image's
reply, its end from a pidfd (pidfd_open(2), Linux 5.3; where that is refused, from looking), its exit status from the
image again, and everything else from shared memory.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import time
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from wavetank.campaign import image as wire
from wavetank.campaign import memory, order
from wavetank.campaign.folder import Folder
from wavetank.campaign.order import ImageOrder, ImageReport
from wavetank.errors import EnvironmentProblem, InternalError, UsageError
from wavetank.world import places
from wavetank.world.job import FailureRecord, Job, Output, RunResult
from wavetank.world.mailbox import EMPTY, SLOTS, Mailbox

#: The target's imports may take so long. Then the line that does not end is shown.
START_LIMIT_S: Final = 120.0
#: So much of the beginning, and of the end, of what a run's real descriptors 1 and 2 got is kept.
CAPTURE_BYTES: Final = 64 * 1024
#: After the limit on real time, a run is asked for its virtual time so often, and gets so long to dump its stack.
_QUESTIONS: Final = 2
_DUMP_S: Final = 1.0
#: How often a run is looked at: has it any real time left, and, without pidfd, is it still there?
_LOOK_S: Final = 0.25
_LOOK_BLINDLY_S: Final = 0.02
#: How often the image's loop is rehearsed; measured: after the first time nothing changes any more.
_REHEARSALS: Final = 2
# One line of a stack as faulthandler dumps it (CPython Python/traceback.c, dump_frame).
_FRAME: Final = re.compile(r'^ *File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)


class Finished(NamedTuple):
    """A run that ended: what it was called at `submit`, its result, and its slot's folder (private working copy)."""

    token: Any
    result: RunResult


#: What each run has in its environment, whatever its user's has.
_PRIVATE: Final = {
    "HOME": f"/proc/self/fd/{wire.HOME_FD}/home",
    "TMPDIR": f"/proc/self/fd/{wire.HOME_FD}/tmp",
    "TZ": "UTC",  # as local time is, wherever the machine stands
}


class _Slot:
    """One place for a run, and the run in it."""

    def __init__(self, number: int, box: Mailbox, capture: int, folder: str) -> None:
        self.number = number
        self.box = box
        self.capture = capture
        self.folder = folder
        self.head = bytearray()
        self.tail = bytearray()
        self.skipped = 0
        self.token: Any = None
        self.job: Job | None = None
        self.pid = 0
        self.pidfd = -1
        self.reaping = False
        self.started = 0.0
        self.asked_at = 0.0  # when an overdue run was last asked something
        self.heard_ns: list[int] = []  # what virtual time an overdue run has told
        self.overdue = ""  # "spin" or "hang" once that is decided

    def collect(self) -> None:
        """Take what the capture pipe holds."""
        while True:
            try:
                data = os.read(self.capture, 65536)
            except BlockingIOError:
                return
            if not data:
                return
            room = CAPTURE_BYTES - len(self.head)
            self.head += data[:room]
            self.tail += data[room:]
            if len(self.tail) > CAPTURE_BYTES:
                self.skipped += len(self.tail) - CAPTURE_BYTES
                del self.tail[:-CAPTURE_BYTES]

    def captured(self) -> str:
        """What was captured, as text."""
        gap = f"\n... {self.skipped:,} bytes left out ...\n".encode() if self.skipped else b""
        return (bytes(self.head) + gap + bytes(self.tail)).decode("utf-8", "replace")

    def begin(self, token: Any, job: Job) -> None:
        """Take a run in."""
        self.collect()
        self.head.clear()
        self.tail.clear()
        self.skipped = 0
        self.token, self.job = token, job
        self.pid, self.pidfd, self.reaping = 0, -1, False
        self.started = time.monotonic()
        self.asked_at = 0.0
        self.heard_ns = []
        self.overdue = ""


class Image:
    """A prepared target, from which runs are forked. A context manager: it starts on entry.

    `workers`: at most so many runs at a time. Raises on entry `UsageError` (the target cannot be loaded),
    `NothingToRun`, or `EnvironmentProblem`. Not for use by several threads at once.
    """

    def __init__(self, image_order: ImageOrder, search_path: list[str], *, workers: int = 1) -> None:
        self.order = image_order
        self.search_path = search_path
        self.workers = max(1, min(workers, SLOTS))
        self.report: ImageReport | None = None
        self._pid = 0
        self._fds: list[int] = []
        self._slots: list[_Slot] = []
        self._idle: list[_Slot] = []
        self._selector = selectors.DefaultSelector()
        self._folder: Folder | None = None
        self._done: list[Finished] = []
        self._blind = False
        self._rehearsing = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # ---- life

    def _start(self) -> None:
        memory_fd, self._memory = memory.shared_memory()
        ours: list[int] = []
        theirs = [memory_fd]
        try:
            control_out, self._control = self._pipe(theirs, ours)
            self._reply, reply_in = self._pipe(ours, theirs)
            captures = [self._pipe(ours, theirs) for _ in range(self.workers)]
            self._fds = ours
            order.write_order(self._memory, self.order, self.search_path)
            self._folder = Folder()
            for number, (capture, _) in enumerate(captures):
                os.set_blocking(capture, False)
                self._slots.append(
                    _Slot(
                        number, Mailbox(self._memory, number), capture, os.path.join(self._folder.path, f"{number:02}")
                    )
                )
            self._pid = memory.spawn(memory_fd, control_out, reply_in, [writer for _, writer in captures])
        finally:
            memory.close_all(theirs)
        os.set_blocking(self._reply, False)
        self._selector.register(self._reply, selectors.EVENT_READ, self._replied)
        for slot in self._slots:
            self._selector.register(slot.capture, selectors.EVENT_READ, slot.collect)
        self._await_ready()
        self._rehearse()
        self._idle = self._slots[::-1]

    @staticmethod
    def _pipe(reader_goes: list[int], writer_goes: list[int]) -> tuple[int, int]:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        reader_goes.append(reader)
        writer_goes.append(writer)
        return reader, writer

    def _rehearse(self) -> None:
        """Let the image fork and reap before it counts: what its loop keeps from a first time, it has then."""
        self._rehearsing = _REHEARSALS
        os.write(self._control, wire.REQUEST.pack(wire.FORK, wire.REHEARSAL, 0))
        while self._rehearsing:
            self._handle(0.5)

    def _rehearsed(self, what: int, pid: int) -> None:
        if what == wire.FORKED:
            os.write(self._control, wire.REQUEST.pack(wire.REAP, wire.REHEARSAL, pid))
            return
        self._rehearsing -= 1
        if self._rehearsing:
            os.write(self._control, wire.REQUEST.pack(wire.FORK, wire.REHEARSAL, 0))

    def _await_ready(self) -> None:
        limit = time.monotonic() + START_LIMIT_S
        dumped = False
        while self.report is None:
            self._handle(0.5)
            if time.monotonic() > limit and not dumped:
                dumped = True
                limit += _DUMP_S
                os.kill(self._pid, signal.SIGUSR1)
            elif time.monotonic() > limit:
                place = places.innermost(_stack_in(self._slots[0].captured()))
                what = f"the target's imports did not end within {START_LIMIT_S:g} s"
                raise UsageError(what, where=str(place) if place else "")

    def close(self) -> None:
        """End the image and every run of it. Nothing happens when it was closed before."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0
        self._selector.close()
        memory.close_all([*self._fds, *(slot.pidfd for slot in self._slots if slot.pidfd >= 0)])
        self._fds = []
        self._slots = []
        self._idle = []
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    @property
    def pid(self) -> int:
        """Its process id; 0 before it has started and after it was closed."""
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether its process is there, and waits for jobs."""
        if not self._pid:
            return False
        try:
            return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:  # somebody else has waited for it
            return False

    # ---- runs

    @property
    def free(self) -> int:
        """How many more runs can be submitted now."""
        return len(self._idle)

    @property
    def running(self) -> list[Any]:
        """The tokens of the runs under way."""
        return [slot.token for slot in self._slots if slot.job is not None]

    def submit(self, token: Any, job: Job, *, copy_of: str = "") -> None:
        """Begin a run. `copy_of`: a folder of which the run gets a fresh copy to work in.

        Raises `UsageError` when the job is too long; `wait` returns the result under `token`.
        """
        slot = self._idle.pop()
        try:
            self._furnish(slot, copy_of)
            job = msgspec.structs.replace(job, environment={**job.environment, **_PRIVATE})
            if copy_of:
                job = msgspec.structs.replace(job, cwd=f"/proc/self/fd/{wire.HOME_FD}/cwd")
            slot.box.post(job, slot.folder)
        except BaseException:
            self._idle.append(slot)
            raise
        slot.begin(token, job)
        os.write(self._control, wire.REQUEST.pack(wire.FORK, slot.number, 0))

    def _furnish(self, slot: _Slot, copy_of: str) -> None:
        """An empty home and temporary folder; not made anew when the last run left them so."""
        for name in ("home", "tmp"):
            path = os.path.join(slot.folder, name)
            try:
                if not os.listdir(path):
                    continue
                shutil.rmtree(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise EnvironmentProblem(f"cannot clear a run's folder: {error.strerror}", where=path) from None
            os.makedirs(path)
        if copy_of:
            path = os.path.join(slot.folder, "cwd")
            shutil.rmtree(path, ignore_errors=True)
            try:
                shutil.copytree(copy_of, path, symlinks=True)
            except (OSError, shutil.Error) as error:
                raise EnvironmentProblem("cannot copy the working folder", where=copy_of, why=str(error)) from None

    def wait(self, timeout_s: float | None = None) -> list[Finished]:
        """The runs that have ended, at least one unless `timeout_s` passes or none is under way."""
        limit = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._done and self.running:
            left = _LOOK_S if limit is None else min(_LOOK_S, limit - time.monotonic())
            if left <= 0 and limit is not None:
                break
            self._handle(left)
        done, self._done = self._done, []
        return done

    def run(self, job: Job, *, copy_of: str = "") -> RunResult:
        """One run, from beginning to end; no other may be under way."""
        assert not self.running, "other runs are under way"
        self.submit(None, job, copy_of=copy_of)
        return self.wait()[0].result

    def abandon(self, token: Any) -> None:
        """End a run whose result is not wanted any more; `wait` still returns it."""
        for slot in self._slots:
            if slot.job is not None and slot.token == token and slot.pid and not slot.reaping:
                self._kill(slot)

    # ---- events

    def _handle(self, timeout_s: float) -> None:
        """Wait for something to happen, and see to it."""
        for key, _ in self._selector.select(min(timeout_s, _LOOK_BLINDLY_S) if self._blind else timeout_s):
            key.data()
        now = time.monotonic()
        for slot in self._slots:
            if slot.job is not None and slot.pid and not slot.reaping:
                self._look_at(slot, slot.job, now)

    def _look_at(self, slot: _Slot, job: Job, now: float) -> None:
        if self._blind and _has_ended(slot):
            self._ended(slot)
            return
        if now - slot.started > job.real_limit_s and slot.box.state == EMPTY:
            self._overdue(slot, now)

    def _overdue(self, slot: _Slot, now: float) -> None:
        """A run has no real time left. Does its virtual time move? Where is it? Then it is ended."""
        if slot.overdue:
            if now - slot.asked_at > _DUMP_S:
                self._kill(slot)
        elif not slot.asked_at or now - slot.asked_at > _LOOK_S:
            if slot.asked_at:
                slot.heard_ns.append(slot.box.now_ns)
            slot.asked_at = now
            if len(slot.heard_ns) < _QUESTIONS:
                # The watchdog in the run (`wavetank.world.spin`) answers by publishing its virtual time.
                os.kill(slot.pid, signal.SIGPROF)
            else:
                slot.overdue = "hang" if len(set(slot.heard_ns)) > 1 else "spin"
                os.kill(slot.pid, signal.SIGUSR1)

    @staticmethod
    def _kill(slot: _Slot) -> None:
        # The process id is ours until the image has waited for it, so it names no other process.
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL)

    def _replied(self) -> None:
        """The image says something."""
        while True:
            try:
                data = os.read(self._reply, wire.REPLY.size)
            except BlockingIOError:
                return
            if len(data) < wire.REPLY.size:
                raise self._image_died()
            what, number, first, second = wire.REPLY.unpack(data)
            if what == wire.READY:
                self.report = order.read_report(self._memory, first)
            elif what == wire.REFUSED:
                raise order.read_refusal(self._memory, first)
            elif what == wire.NOT_FORKED:
                raise EnvironmentProblem("a run could not be forked", why="too many processes, or too little memory")
            elif number == wire.REHEARSAL:
                self._rehearsed(what, first)
            elif what == wire.FORKED:
                self._forked(self._slots[number], first)
            else:
                self._finish(self._slots[number], second)

    def _image_died(self) -> InternalError:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        said = self._slots[0].captured() if self._slots else ""
        return InternalError(f"the image ended with {_status_text(status)}", where=said.strip())

    def _forked(self, slot: _Slot, pid: int) -> None:
        slot.pid = pid
        try:
            slot.pidfd = os.pidfd_open(pid)
        except OSError:
            self._blind = True
            return
        self._selector.register(slot.pidfd, selectors.EVENT_READ, lambda: self._ended(slot))

    def _ended(self, slot: _Slot) -> None:
        """The child is a zombie now: let the image wait for it."""
        if slot.pidfd >= 0:
            self._selector.unregister(slot.pidfd)
            os.close(slot.pidfd)
            slot.pidfd = -1
        slot.reaping = True
        os.write(self._control, wire.REQUEST.pack(wire.REAP, slot.number, slot.pid))

    def _finish(self, slot: _Slot, status: int) -> None:
        slot.collect()
        job, token = slot.job, slot.token
        assert job is not None, "a slot without a run ended"
        slot.job = None
        self._idle.append(slot)
        result = slot.box.answer() if slot.box.state != EMPTY else None
        if result is None or (slot.overdue and result.failure is None):
            result = _unanswered(slot, job, status)
        elif said := slot.captured():
            result.outputs.append(Output("real descriptors", said, "", None))
        self._done.append(Finished(token, result))


def _has_ended(slot: _Slot) -> bool:
    """Whether the child is a zombie or about to leave; the slow way, where pidfd_open is refused."""
    if slot.box.state != EMPTY:
        return True
    try:
        with open(f"/proc/{slot.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _status_text(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(number).name} ({signal.strsignal(number)})"
        return f"signal {number}"
    return f"status {os.waitstatus_to_exitcode(status)}"


def _unanswered(slot: _Slot, job: Job, status: int) -> RunResult:
    """The result of a run that gave none: killed by us for its time, or by a signal."""
    said = slot.captured()
    stack = _stack_in(said)
    place = places.innermost(stack)
    virtual_ns = slot.box.now_ns
    if slot.overdue == "spin":
        error = f"no virtual time has passed for long; stopped after {job.real_limit_s:g} s of real time"
    elif slot.overdue == "hang":
        error = f"not finished after {job.real_limit_s:g} s of real time and {virtual_ns / 1e9:.3f} s of virtual time"
    else:
        error = f"the run's process ended with {_status_text(status)}"
    record = FailureRecord(
        kind=slot.overdue or "exception",
        error=error,
        host="",
        time_ns=virtual_ns,
        where=str(place) if place else "",
        traceback="".join(["Traceback (most recent call last):\n", *places.lines(stack[::-1])]) if stack else "",
        summary="" if slot.overdue else "a crash of the interpreter or of an extension module",
    )
    outputs = [Output("real descriptors", said, "", None)] if said and not slot.overdue else []
    return RunResult(digest="", events=0, virtual_ns=virtual_ns, failure=record, status=1, outputs=outputs)


def _stack_in(text: str) -> list[places.Place]:
    """The stack that faulthandler has dumped into `text`, innermost first, without our own lines."""
    found = (places.Place(each["file"], int(each["line"]), each["function"]) for each in _FRAME.finditer(text))
    return [place for place in found if places.owner(place.file) != "wavetank" and place.file != "<string>"]
