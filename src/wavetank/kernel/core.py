"""The heart of the simulated kernel: virtual time, the event heap, and which thread runs.

Owns the clock, the heap of pending events, the queue of ready threads and the switch between them. It never looks
inside a socket, a process or a framework: it calls back, parks and wakes.

The idea. Every simulated thread is a greenlet of one OS thread. A thread that must wait *parks*: it records why,
then itself looks for what comes next: the first ready thread, else the next event of the heap, which advances the
clock. Only if another thread is to run is there a switch, so a program with one thread never pays for one. Events
are kernel code only; they never run user code, so it does not matter on whose stack they run. Whatever the
interpreter keeps for each OS thread (`threading.local`, asyncio's running loop, hooks) is exchanged when another
thread takes over.

Time moves while a program computes, too: each system call and each reading of the clock costs a little, so that
`while time.monotonic() < t: pass` and a loop over `select(0)` come to an end.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent, greenlet

from wavetank.errors import KernelError

if TYPE_CHECKING:
    from wavetank.kernel.choices import Choices
    from wavetank.kernel.process import Process
    from wavetank.kernel.recorder import Recorder
    from wavetank.network.link import Draws

#: Virtual cost of a system call, of a reading of the clock, and how long a thread runs while others are ready.
#: Orders of magnitude of CPython on Linux: about 1 us for a socket call, 50 ns for `time.monotonic()`.
CALL_COST_NS: Final = 1_000
CLOCK_COST_NS: Final = 50
SLICE_NS: Final = 1_000_000
#: After this many clock readings or empty polls in a row the program is waiting busily: each then costs more, so
#: that a busy wait of a second takes milliseconds of real time, not minutes.
BUSY_AFTER: Final = 1_000
BUSY_COST_NS: Final = 20_000
FAR: Final = 1 << 62
#: CPython collects garbage whenever so many objects are new (gc.get_threshold()), which may be in the midst of kernel
#: code; a finalizer that makes a system call there would find it half done. So collection by itself is put off far, and
#: is done where a wait ends, by the same rules.
COLLECT_AFTER: Final = 700
_PUT_OFF: Final = 250_000

#: `(get, set)` of what a framework keeps for each OS thread; `frameworks` adds to it before a world starts.
per_thread: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = []


class _Timeout:
    __slots__ = ()

    def __repr__(self) -> str:
        return "TIMEOUT"


#: What `Kernel.park` returns when the deadline came first.
TIMEOUT: Final = _Timeout()


def _thread_state() -> dict[Any, Any]:
    """The dictionary in which C code keeps what belongs to the OS thread (C API: PyThreadState_GetDict)."""
    api = ctypes.pythonapi
    get = api.PyThreadState_GetDict
    get.restype = ctypes.c_void_p
    pointer = get()
    assert pointer is not None
    state = ctypes.cast(pointer, ctypes.py_object).value
    assert isinstance(state, dict)
    return state


_STATE: Final = _thread_state()


def _collect() -> None:
    """The collection that is due, by CPython's rule: each generation after ten of the younger one."""
    _, middle, old = gc.get_count()
    gc.collect(0 if middle <= 10 else 1 if old <= 10 else 2)


class Thread:
    """One simulated thread: a greenlet of a process, and what the interpreter keeps for it while it does not run."""

    __slots__ = (
        "body",
        "daemon",
        "deadline",
        "exclusive",
        "finished",
        "framework",
        "greenlet",
        "held",
        "holds",
        "hooks",
        "ident",
        "local",
        "name",
        "number",
        "origin",
        "parked",
        "process",
        "reason",
        "signal_mask",
        "timer_at",
        "waits",
        "wake_value",
    )  # fmt: skip

    def __init__(self, process: Process, name: str, number: int, ident: int) -> None:
        self.process = process
        self.name = name
        self.number = number
        self.ident = ident
        self.greenlet: greenlet | None = None
        self.body: Callable[[], None] | None = None
        self.daemon = False
        self.parked = False
        self.finished = False
        self.held = False  # its process is dead or its host paused: it must not run now
        self.exclusive = False
        self.holds: tuple[Any, ...] = ()  # the files that the call it waits in keeps open
        self.reason: Any = ""
        self.deadline = FAR
        self.timer_at = FAR  # when the earliest heap entry for this thread fires
        self.wake_value: Any = None
        self.waits: Any = None  # what it waits for, for the picture of a hang
        self.local: dict[Any, Any] = {}
        self.framework: list[Any] = [None] * len(per_thread)
        self.hooks: Any = (None, None)
        self.origin = 0
        self.signal_mask: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        return f"<thread {self.process.name}/{self.name}>"


class Kernel:
    """Virtual time and scheduling of one world. All hosts of a world share one kernel object."""

    def __init__(self, choices: Choices, recorder: Recorder, epoch_ns: int) -> None:
        self.choices = choices
        self.recorder = recorder
        self.epoch_ns = epoch_ns
        self.now = 0
        self.heap: list[tuple[int, int, Callable[[Any], object], Any]] = []
        self.sequence = 0
        self.ready: deque[Thread] = deque()
        self.threads: list[Thread] = []
        self.soft: deque[tuple[Callable[[Any], object], Any]] = deque()  # work to do at the end of this system call
        self.attention = FAR  # the time at which a system call must look around; see `tick`
        self.slice_end = 0
        self.streak = 0  # clock readings and polls in a row
        self.root = getcurrent()
        self.stopped: Any = None
        self.running: Thread = None  # type: ignore[assignment]  # set by `adopt` before anything runs
        # To be run for the first time, from the root greenlet: a greenlet begins on the stack, and at the recursion
        # depth, of the one that first switches to it, and a chain of such beginnings would come to the limits of both.
        self.newborn: Thread | None = None
        self.home: Thread | None = None  # the adopted thread: the root greenlet's own
        self.process: Process = None  # type: ignore[assignment]  # that of `running`
        self.fds: dict[int, Any] = {}
        self.next_ident = 0x7000_0000
        self.scheduling: Draws | None = None  # set while a `Scheduling` fault is active
        self.scheduling_rate = 0
        self.frozen: list[Thread] = []  # parked for ever: kept, so that their `finally` blocks never run
        self.in_soft = False
        self.idle_ns = 0  # the time that was skipped because all threads waited
        self.limit = FAR  # the world is stopped at this virtual time
        #: Called when the world would end, with the reason ("idle", "limit"); True: something was changed, it goes on.
        self.last_resort: Callable[[str], bool] | None = None
        self.when_full: Callable[[Any], object] | None = None  # called when a TCP socket takes no more data
        self.after_step: Callable[[], object] | None = None  # called whenever the running thread gives way

    # ---- events

    def at(self, when: int, call: Callable[[Any], object], argument: Any = None) -> None:
        """Call `call(argument)` at virtual time `when` (ns)."""
        self.sequence += 1
        heappush(self.heap, (when, self.sequence, call, argument))
        if when < self.attention:
            self.attention = when

    def after(self, delay: int, call: Callable[[Any], object], argument: Any = None) -> None:
        """Call `call(argument)` after `delay` ns."""
        self.at(self.now + delay, call, argument)

    def later_in_call(self, call: Callable[[Any], object], argument: Any) -> None:
        """Do it at the end of the running system call, as Linux does with packets for a socket that is in use."""
        self.soft.append((call, argument))

    def run_soft(self) -> None:
        """Empty the queue of work put off to the end of the system call."""
        if self.in_soft:
            return
        self.in_soft = True
        soft = self.soft
        while soft:
            call, argument = soft.popleft()
            call(argument)
        self.in_soft = False

    def run_due(self) -> None:
        """Run every event that is due."""
        heap = self.heap
        while heap and heap[0][0] <= self.now:
            _, _, call, argument = heappop(heap)
            call(argument)
            if self.soft:
                self.run_soft()

    # ---- time

    def tick(self) -> None:
        """Every system call starts here: it costs time, lets due events happen, and may lose the processor."""
        self.now += CALL_COST_NS
        if self.now >= self.attention:
            self.look_around()

    def read_clock(self) -> int:
        """Virtual time in ns, after paying for the reading."""
        self.streak += 1
        self.now += CLOCK_COST_NS if self.streak < BUSY_AFTER else BUSY_COST_NS
        if self.now >= self.attention:
            self.look_around()
        return self.now

    def empty_poll(self) -> None:
        """A poll that did not wait. Many in a row between which no data moved are a busy wait.

        It may have found nothing, or what the program does not use: most often, that a socket can be written.
        """
        self.streak += 1
        if self.streak >= BUSY_AFTER:
            self.now += BUSY_COST_NS

    def look_around(self) -> None:
        """Let what is due happen: events, signal handlers, the end of the time slice."""
        if self.now >= self.limit and not self._goes_on("limit"):
            self.stop("limit")
        if self.heap and self.heap[0][0] <= self.now:
            self.run_due()
        running = self.running
        if running.held and not self.in_soft:
            self.stand_down()
        if running.process.pending and not self.in_soft:
            running.process.deliver_signals(running)
        if self.ready and not self.in_soft and (self.now >= self.slice_end or self._out_of_turn()):
            self.give_way()
        self.refresh_attention()

    def _out_of_turn(self) -> bool:
        return self.scheduling is not None and bool(self.scheduling.draw(self.scheduling_rate, 2))

    def refresh_attention(self) -> None:
        """Recompute the time at which the next system call must look around."""
        attention = self.heap[0][0] if self.heap else self.limit
        if attention > self.limit:
            attention = self.limit
        if self.ready and self.slice_end < attention:
            attention = self.slice_end
        if self.scheduling is not None or self.running.process.pending:
            attention = 0
        self.attention = attention

    # ---- threads

    def adopt(self, process: Process, name: str) -> Thread:
        """Make the greenlet that runs now the first thread of `process`."""
        thread = self.new_thread(process, name)
        thread.greenlet = getcurrent()
        self.running = self.home = thread
        self._enter_process(process)
        return thread

    def new_thread(self, process: Process, name: str) -> Thread:
        """A thread of `process` that does not run yet."""
        self.next_ident += 0x1000
        thread = Thread(process, name, len(self.threads) + 1, self.next_ident)
        if process.threads:
            thread.signal_mask = self.running.signal_mask  # inherited: pthread_create(3)
        self.threads.append(thread)
        process.threads.append(thread)
        self.recorder.define_thread(thread.number, f"{process.host_name}/{process.name}/{name}")
        return thread

    def start(self, thread: Thread, body: Callable[[], None]) -> None:
        """Let `thread` run `body` as soon as its turn comes."""
        assert thread.greenlet is None, f"{thread!r} started twice"
        thread.body = body
        thread.greenlet = greenlet(self._thread_main, self.root)
        self.make_ready(thread)

    def _thread_main(self) -> None:
        thread = self.running
        assert thread.body is not None
        thread.body()
        thread.finished = True
        thread.process.threads.remove(thread)
        thread.local = {}
        thread.body = None

    def make_ready(self, thread: Thread) -> None:
        """Put a thread at the end of the queue of those that can run."""
        self.ready.append(thread)
        if self.slice_end < self.attention:
            self.attention = self.slice_end

    def wake(self, thread: Thread, value: Any = None) -> bool:
        """End a thread's wait; False when it was not waiting."""
        if not thread.parked:
            return False
        thread.parked = False
        thread.wake_value = value
        self.ready.append(thread)
        if self.slice_end < self.attention:
            self.attention = self.slice_end
        return True

    def park(self, reason: Any, deadline: int = FAR) -> Any:
        """Wait until `wake` or until virtual time `deadline`; returns the value given to `wake`, or TIMEOUT.

        `reason` says what is waited for: a string, or an object whose `str()` is made only for a report.
        """
        thread = self.running
        thread.parked = True
        thread.reason = reason
        thread.deadline = deadline
        if deadline < thread.timer_at:
            self._arm(thread, deadline)
        if self.soft:
            self.run_soft()
        self.streak = 0
        self._run_next()
        value = thread.wake_value
        if gc.get_count()[0] > COLLECT_AFTER:
            _collect()
        if thread.process.pending:
            thread.process.deliver_signals(thread)  # a handler may park, too, and be woken with another value
        return value

    def _arm(self, thread: Thread, deadline: int) -> None:
        thread.timer_at = deadline
        self.at(deadline, self._timer, thread)

    def _timer(self, thread: Thread) -> None:
        # At most one live heap entry for each thread: an early one is put back to the deadline now in force.
        if self.now < thread.timer_at:
            return
        thread.timer_at = FAR
        if not thread.parked:
            return
        if thread.deadline <= self.now:
            self.wake(thread, TIMEOUT)
        elif thread.deadline < FAR:
            self._arm(thread, thread.deadline)

    def give_up(self) -> None:
        """The running thread never runs again: switch to what comes next and do not return."""
        self.frozen.append(self.running)
        self.running.held = True
        self._run_next()
        raise KernelError("a dead thread was resumed", where=f"{self.running!r} at {self.now / 1e9:.6f} s")

    def stand_down(self) -> None:
        """The running thread must not run now: its host is paused, and it goes on later, or its process is dead."""
        if self.running.process.status is None:
            self.give_way()
        else:
            self.give_up()

    def give_way(self) -> None:
        """Let the other ready threads run first."""
        thread = self.running
        self.ready.append(thread)
        self._run_next()

    def _next(self) -> Thread:
        """The thread that runs next; advances the clock when none is ready."""
        ready, heap = self.ready, self.heap
        while True:
            while ready:
                if self.scheduling is not None and len(ready) > 1:
                    ready.rotate(-self.scheduling.draw(self.scheduling_rate, len(ready)))
                thread = ready.popleft()
                if not thread.held:
                    return thread
                thread.process.hold(thread)
            when = heap[0][0] if heap else FAR
            if when > self.limit or not heap:
                if heap:
                    self.now = self.limit
                reason = "limit" if heap else "idle"
                if self._goes_on(reason):
                    continue
                self.stop(reason)
                return self.running  # on the root greenlet `stop` comes back
            if when > self.now:
                self.idle_ns += when - self.now
                self.now = when
            self.run_due()

    def _goes_on(self, reason: str) -> bool:
        return self.last_resort is not None and self.last_resort(reason)

    def _run_next(self) -> None:
        me = self.running
        if self.after_step is not None:
            self.after_step()
        thread = self._next()
        self.slice_end = self.now + SLICE_NS
        if thread is not me:
            self._switch_state(me, thread)
            assert thread.greenlet is not None
            self.refresh_attention()
            if thread.greenlet or getcurrent() is self.root:
                thread.greenlet.switch()
            else:
                self.newborn = thread
                self.root.switch()
            if self.running is not me:
                self._come_back(me)
        else:
            self._not_stopped()
            self.refresh_attention()

    def _come_back(self, me: Thread) -> None:
        """A thread ended while `me`, the adopted one, was parked: its greenlet's end leads here. Schedule on."""
        assert getcurrent() is self.root, f"{me!r} was resumed out of turn"
        while self.running is not me:
            if self.newborn is None:
                thread = self._next()
                self._not_stopped()
                self._switch_state(self.running, thread)
                self.refresh_attention()
            else:
                thread, self.newborn = self.newborn, None
            if thread is not me:
                assert thread.greenlet is not None
                thread.greenlet.switch()

    def _not_stopped(self) -> None:
        """Outside `run`, as while an image imports, nobody is there to be told that a world has stopped."""
        if self.stopped is not None:
            raise KernelError(f"{self.running!r} waits for ever: {self.running.reason}", time_ns=self.now)

    def _switch_state(self, old: Thread, new: Thread) -> None:
        """Exchange what the interpreter and the frameworks keep for each OS thread."""
        old.local = _STATE.copy()
        _STATE.clear()
        _STATE.update(new.local)
        old.hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(*new.hooks)
        old.origin = sys.get_coroutine_origin_tracking_depth()
        if old.origin != new.origin:
            sys.set_coroutine_origin_tracking_depth(new.origin)
        for index, (get, put) in enumerate(per_thread):
            old.framework[index] = get()
            put(new.framework[index])
        self.running = new
        if new.process is not old.process:
            self._enter_process(new.process)
        self.recorder.switch(self.now, new.number)

    def _enter_process(self, process: Process) -> None:
        left: Process | None = self.process
        if left is not None:
            left.leave()
        self.process = process
        self.fds = process.fds
        process.enter()

    # ---- the whole world

    def run(self) -> Any:
        """Run threads until `stop`; returns the reason given to it. Called on the root greenlet."""
        assert getcurrent() is self.root, "the kernel runs on the root greenlet only"
        thresholds = gc.get_threshold()
        gc.set_threshold(_PUT_OFF, *thresholds[1:])
        try:
            return self._run()
        finally:
            gc.set_threshold(*thresholds)

    def _run(self) -> Any:
        while not self.ended():
            me = self.running
            if self.after_step is not None:
                self.after_step()
            thread = self._next()
            if self.ended():
                break
            self.slice_end = self.now + SLICE_NS
            if thread is not me:
                self._switch_state(me, thread)
            self.refresh_attention()
            assert thread.greenlet is not None
            thread.greenlet.switch()
            while self.newborn is not None:
                newborn, self.newborn = self.newborn, None
                assert newborn.greenlet is not None
                newborn.greenlet.switch()
        if self.home is not None and self.running is not self.home:
            self._switch_state(self.running, self.home)
        return self.stopped

    def ended(self) -> bool:
        """Whether `stop` was called."""
        return self.stopped is not None

    def stop(self, reason: Any) -> None:
        """End the world: control goes back to `run` and does not return here."""
        if self.stopped is None:
            self.stopped = reason
        if getcurrent() is not self.root:
            self.root.switch()
            raise KernelError("a stopped world was resumed", where=f"at {self.now / 1e9:.6f} s")


#: The kernel of the world that runs now. `world.runtime` sets it; every face reads it.
K: Kernel = None  # type: ignore[assignment]
