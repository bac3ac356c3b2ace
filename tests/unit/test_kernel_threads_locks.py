"""Locks of simulated threads: what CPython's do, in virtual time; who waits, in which order, and for what."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

import pytest

from tests.unit.kernel_harness import BodyFailed, real, simulated

FACES = ("time", "threads")


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=FACES, **options)


def same(body: Any, *args: Any) -> Any:
    """What the body returns on the simulated kernel, which must be what it returns on the real system."""
    found = run(body, *args)
    assert found == real(body, *args)
    return found


# ---- as CPython


def test_arguments_of_acquire_and_their_errors_are_those_of_cpython() -> None:
    def body():
        import _thread

        found = []
        for make in (_thread.allocate_lock, _thread.RLock):
            for args, keywords in (
                ((False, 1), {}), ((True, -2), {}), ((True, -0.5), {}), ((0, -0.5), {}), ((1, 2, 3), {}),
                ((), {"timeout": "soon"}), ((), {"timeout": None}), ((), {"timeout": float("nan")}),
                ((), {"timeout": 1e20}), ((), {"timeout": _thread.TIMEOUT_MAX + 1}), ((), {"timeout": 10**40}),
                ((), {"blocking": "yes"}), ((), {"blocking": 0.5}), ((0, -1), {}), ((), {"timeout": -1}),
                ((1, -1.0), {}), ((), {"timeout": 0}), ((), {"timeout": _thread.TIMEOUT_MAX}), ((2,), {}),
            ):  # fmt: skip
                outcome = attempt(make().acquire, *args, **keywords)
                found.append(outcome[:2] if args == (1, 2, 3) else outcome)
        return found

    same(body)


def test_a_lock_behaves_like_one_of_cpython() -> None:
    def body():
        import _thread
        import copy
        import re
        import weakref

        lock = _thread.allocate_lock()

        def text():
            return re.sub("0x[0-9a-f]+", "0x", repr(lock))

        found = [type(lock).__name__, type(lock).__module__, type(lock) is _thread.LockType, text()]
        found += [attempt(lock.release), lock.acquire(), lock.acquire(False), lock.acquire(timeout=0), lock.locked()]
        found += [text(), lock.release(), lock.locked(), weakref.ref(lock)() is lock, attempt(copy.copy, lock)]
        with lock as entered:
            found += [entered, lock.locked_lock(), lock.release_lock(), lock.acquire_lock()]
        found += [lock.acquire(), lock._at_fork_reinit(), lock.locked(), attempt(type, "Sub", (type(lock),), {})]
        found += [hasattr(lock, name) for name in ("_is_owned", "_release_save", "_acquire_restore", "__dict__")]
        found.append(attempt(type(lock))[0])
        return found

    same(body)


def test_an_rlock_behaves_like_one_of_cpython() -> None:
    def body():
        import _thread
        import copy
        import re
        import weakref

        lock = _thread.RLock(1, word=2)
        me = _thread.get_ident()

        def text(thing):
            return re.sub("owner=[1-9][0-9]+", "owner=me", re.sub("0x[0-9a-f]+", "0x", repr(thing)))

        found = [type(lock).__name__, type(lock).__module__, text(lock), attempt(lock.release)]
        found += [attempt(lock._release_save), lock._is_owned(), lock.acquire(), lock.acquire(), text(lock)]
        found += [lock._recursion_count(), lock._is_owned(), lock.release(), lock.release(), lock._recursion_count()]
        with lock, lock:
            saved = lock._release_save()
            found += [saved == (2, me), lock._is_owned(), lock._acquire_restore(saved), lock._recursion_count()]
        found += [text(lock), weakref.ref(lock)() is lock, attempt(copy.copy, lock), attempt(lock._acquire_restore, 1)]
        found += [
            lock.acquire(),
            lock._at_fork_reinit(),
            text(lock),
            hasattr(lock, "locked"),
            hasattr(lock, "__dict__"),
        ]

        class Sub(_thread.RLock):
            def __init__(self, word):
                self.word = word

        found += [text(Sub("hello")), Sub("hello").word]
        return found

    same(body)


def test_the_names_of_the_module_are_those_of_this_version() -> None:
    def body():
        import _queue
        import _thread

        return sorted(vars(_thread)), sorted(vars(_queue))

    same(body)


def test_functions_kept_by_a_class_are_not_made_methods() -> None:
    def body():
        import _thread
        import threading

        class Keeps:
            make = threading.Lock
            ident = threading.get_ident
            allocate = _thread.allocate_lock

        kept = Keeps()
        return [kept.make().acquire(), kept.allocate().locked(), kept.ident() == _thread.get_ident()]

    assert same(body) == [True, False, True]


# ---- waiting


def test_a_timeout_is_waited_out_in_virtual_time() -> None:
    def body():
        import threading

        lock = threading.Lock()
        lock.acquire()
        before = core.K.now
        return lock.acquire(timeout=2.5), core.K.now - before, lock.acquire(timeout=1e-9)

    got, gone_ns, again = run(body)
    assert (got, again) == (False, False)
    assert 2_500_000_000 <= gone_ns < 2_500_100_000


def test_waiters_wake_in_the_order_in_which_they_came() -> None:
    def body():
        import threading
        import time

        lock = threading.Lock()
        order = []

        def wait(number):
            with lock:
                order.append(number)
                time.sleep(0.1)

        with lock:
            for number in range(5):
                threading.Thread(target=wait, args=(number,)).start()
                time.sleep(0.01)
        time.sleep(5)
        return order

    assert run(body) == [0, 1, 2, 3, 4]


def test_a_scheduling_fault_chooses_who_wakes() -> None:
    def body(rate):
        import threading
        import time

        lock = threading.Lock()
        order = []

        def wait(number):
            with lock:
                order.append(number)

        with lock:
            threads = [threading.Thread(target=wait, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
                time.sleep(0.01)
            core.K.scheduling = core.K.choices.stream("schedule", "threads")
            core.K.scheduling_rate = rate
        for thread in threads:
            thread.join()
        return order

    calm = run(body, 0)
    assert calm == [0, 1, 2, 3, 4, 5]
    orders = {tuple(run(body, 1 << 16, seed=seed)) for seed in range(4)}
    assert all(sorted(order) == calm for order in orders)
    assert len(orders) > 1


def test_a_scheduling_fault_switches_threads_at_lock_operations() -> None:
    def body(rate):
        import threading

        lock = threading.Lock()
        trail = []

        def work(name):
            for _ in range(20):
                with lock:
                    trail.append(name)

        core.K.scheduling = core.K.choices.stream("schedule", "threads")
        core.K.scheduling_rate = rate
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return "".join(trail)

    assert run(body, 0) == "a" * 20 + "b" * 20
    assert run(body, 1 << 15).count("ab") > 2


def test_a_running_thread_may_take_a_lock_again_before_the_woken_one_until_its_time_slice_is_over() -> None:
    def body():
        import threading

        lock = threading.Lock()
        taken = []

        def other():
            with lock:
                taken.append(len(mine))

        mine = []
        lock.acquire()
        threading.Thread(target=other).start()
        for number in range(100_000):
            lock.release()
            lock.acquire()
            mine.append(number)
        lock.release()
        return taken

    (before,) = run(body)
    # A slice is 1 ms and a lock operation 50 ns.
    assert 1 < before < 11_000


def test_an_uncontended_lock_costs_little_virtual_time_and_no_switch() -> None:
    def body():
        import threading

        lock = threading.Lock()
        now, events = core.K.now, core.K.recorder.events
        for _ in range(1_000):
            with lock:
                pass
        return core.K.now - now, core.K.recorder.events - events

    assert run(body) == (100_000, 0)


def test_a_busy_wait_for_a_lock_lets_its_holder_go_on() -> None:
    def body():
        import threading
        import time

        lock = threading.Lock()

        def hold():
            with lock:
                time.sleep(1)

        threading.Thread(target=hold).start()
        tries = 0
        while not lock.acquire(False):
            tries += 1
        return tries, core.K.now

    tries, now = run(body)
    assert 1_000 < tries < 100_000
    assert now >= 1_000_000_000


# ---- hangs


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("held", "acquire of a lock held by thread holder"),
        ("twice", "acquire of a lock that this thread itself holds: it waits to be notified, or for itself"),
        ("rlock", "acquire of an RLock held by thread holder"),
        ("event", "acquire of a lock that this thread itself holds: it waits to be notified, or for itself"),
        ("simple queue", "get from an empty SimpleQueue"),
    ],
)
def test_a_wait_that_nobody_can_end_makes_the_world_idle_and_says_what_it_is(kind: str, words: str) -> None:
    def body(kind):
        import queue
        import threading

        lock = threading.RLock() if kind == "rlock" else threading.Lock()
        holder = threading.Thread(target=lock.acquire, name="holder")
        if kind in ("held", "rlock"):
            holder.start()
            holder.join()
        if kind == "twice":
            lock.acquire()
        if kind == "event":
            threading.Event().wait()
        elif kind == "simple queue":
            queue.SimpleQueue().get()
        else:
            lock.acquire()

    with pytest.raises(BodyFailed, match=r"the world ended \(idle\)") as caught:
        run(body, kind)
    assert f"<thread program/main>: {words}" in str(caught.value)


def test_two_threads_that_hold_what_the_other_wants_make_the_world_idle() -> None:
    def body():
        import threading
        import time

        one, two = threading.Lock(), threading.Lock()

        def work():
            with two:
                time.sleep(1)
                with one:
                    pass

        worker = threading.Thread(target=work, name="worker")
        worker.start()
        with one:
            time.sleep(0.5)
            with two:
                pass

    with pytest.raises(BodyFailed) as caught:
        run(body)
    assert "<thread program/main>: acquire of a lock held by thread worker" in str(caught.value)
    assert "<thread program/worker>: acquire of a lock held by thread main" in str(caught.value)


# ---- signals


def test_a_signal_handler_that_raises_ends_the_wait_for_a_lock() -> None:
    def body():
        import threading

        def interrupt(number, frame):
            raise KeyboardInterrupt

        process = core.K.process
        process.handlers[2] = interrupt
        lock = threading.Lock()
        lock.acquire()
        core.K.after(1_000_000_000, process.send_signal, 2)
        first = attempt(lock.acquire)
        lock.release()
        return first, lock.acquire(False)

    assert run(body) == (("raises", "KeyboardInterrupt", ()), True)


def test_a_handler_that_returns_does_not_end_the_wait() -> None:
    def body():
        import threading

        seen = []
        process = core.K.process
        process.handlers[2] = lambda number, frame: seen.append(core.K.now // 1_000_000)
        lock = threading.Lock()
        lock.acquire()
        core.K.after(1_000_000_000, process.send_signal, 2)
        got = lock.acquire(timeout=3)
        return seen, got, core.K.now // 1_000_000

    assert run(body) == ([1_000], False, 3_000)


def test_condition_wait_has_its_lock_again_when_a_signal_interrupts_it() -> None:
    def body():
        import threading
        import time

        def interrupt(number, frame):
            raise KeyboardInterrupt

        process = core.K.process
        process.handlers[2] = interrupt
        condition = threading.Condition()

        def holder():
            time.sleep(0.5)
            with condition:
                time.sleep(2)  # over the signal: the wait for the lock itself cannot be interrupted

        threading.Thread(target=holder).start()
        core.K.after(1_000_000_000, process.send_signal, 2)
        caught = None
        try:
            with condition:
                try:
                    condition.wait(timeout=1)
                finally:
                    owned = condition._is_owned()
        except KeyboardInterrupt:
            caught = core.K.now // 1_000_000
        return owned, caught, condition._is_owned(), condition.acquire(False)

    owned, caught, still, free = run(body)
    assert (owned, still, free) == (True, False, True)
    assert caught >= 2_500


def test_a_turn_given_to_an_interrupted_thread_is_the_next_ones() -> None:
    def body():
        import threading
        import time

        def interrupt(number, frame):
            raise KeyboardInterrupt

        process = core.K.process
        process.handlers[2] = interrupt
        lock = threading.Lock()
        got = []

        def hold():
            with lock:
                time.sleep(1)
                process.send_signal(2)  # and the release below, before the main thread runs

        def second():
            time.sleep(0.5)
            with lock:
                got.append("second")

        threads = [threading.Thread(target=hold), threading.Thread(target=second)]
        for thread in threads:
            thread.start()
        outcome = attempt(lock.acquire)
        for thread in threads:
            thread.join()
        return outcome, got

    assert run(body) == (("raises", "KeyboardInterrupt", ()), ["second"])


# ---- locks that several processes share


def test_a_lock_made_in_the_image_works_in_the_world() -> None:
    def image():
        import sys
        import threading
        import types

        made = sys.modules["made_before"] = types.ModuleType("made_before")
        made.lock, made.rlock, made.condition = threading.Lock(), threading.RLock(), threading.Condition()
        made.event = threading.Event()
        with made.lock, made.rlock:
            pass

    def body():
        import threading

        import made_before as made

        def work():
            with made.lock, made.rlock, made.condition:
                made.event.set()

        with made.lock:
            threading.Thread(target=work).start()
            early = made.event.wait(1)
        return early, made.event.wait(1), made.rlock.acquire(False)

    assert run(body, before=image) == (False, True, True)


def test_a_process_that_dies_gives_its_locks_back() -> None:
    def body(when):
        import threading
        import time

        lock = threading.Lock()
        world = harness.World.current
        process = world.process("beta", "victim", 200)

        def hold():
            lock.acquire()
            time.sleep(1_000)

        world.start(process, hold)
        core.K.after(1_000_000_000, process.finish, -9)
        time.sleep(when)
        return lock.acquire(), core.K.now // 1_000_000

    assert run(body, 0.5) == (True, 1_000)
    assert run(body, 1.5) == (True, 1_500)


def test_a_waiter_that_dies_leaves_its_turn_to_the_next() -> None:
    def body():
        import threading
        import time

        lock = threading.Lock()
        world = harness.World.current
        process = world.process("beta", "victim", 200)
        world.start(process, lock.acquire)
        got = []
        with lock:
            time.sleep(0.1)
            waiter = threading.Thread(target=lambda: got.append(lock.acquire()))
            waiter.start()
            process.finish(-9)
        waiter.join()
        return got

    assert run(body) == [True]


def test_a_waiter_that_was_woken_otherwise_still_gets_the_lock_that_is_released_before_it_runs() -> None:
    def body():
        import _thread
        import threading
        import time

        lock = _thread.allocate_lock()
        lock.acquire()
        got = []
        waiter = threading.Thread(target=lambda: got.append(lock.acquire()))
        waiter.start()
        time.sleep(0.1)
        parked = next(thread for thread in core.K.threads if thread.ident == waiter.ident)
        core.K.wake(parked, None)  # as the end of another process does
        lock.release()
        waiter.join()
        return got, lock.locked()

    assert run(body) == ([True], True)


def test_a_waiter_whose_time_is_over_leaves_in_peace_when_the_lock_is_released_before_it_runs() -> None:
    def body():
        import _thread
        import threading
        import time

        lock = _thread.allocate_lock()
        lock.acquire()
        got = []
        waiter = threading.Thread(target=lambda: got.append(lock.acquire(True, 50)))
        waiter.start()
        time.sleep(0.1)
        parked = next(thread for thread in core.K.threads if thread.ident == waiter.ident)
        core.K.wake(parked, core.TIMEOUT)
        lock.release()
        waiter.join()
        return got, lock.locked()

    assert run(body) == ([False], False)


# ---- what stood before


def test_locks_that_modules_made_before_are_replaced_where_a_thread_could_block_on_them() -> None:
    def body():
        import _thread
        import functools
        import reprlib
        import sys

        def is_real_lock(value):
            return type(value).__name__ in ("lock", "RLock") and type(value) not in (_thread.LockType, _thread.RLock)

        modules = list(sys.modules.values())
        real = [module.__name__ for module in modules for value in vars(module).values() if is_real_lock(value)]
        return real, functools.RLock is _thread.RLock, reprlib.get_ident == _thread.get_ident

    assert run(body) == ([], True, True)
