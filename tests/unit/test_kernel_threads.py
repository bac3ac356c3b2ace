"""Threads of simulated processes: start, identity, end, exceptions; and what `threading` keeps for each process."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

import sys
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


# ---- start and end


def test_threads_run_side_by_side_in_virtual_time() -> None:
    def body():
        import threading
        import time

        done = []

        def work(seconds):
            time.sleep(seconds)
            done.append((seconds, threading.current_thread().name))

        begin = time.monotonic()
        threads = [threading.Thread(target=work, args=(seconds,)) for seconds in (3, 1, 2)]
        for thread in threads:
            thread.start()
        counts = [threading.active_count(), sorted(thread.name for thread in threading.enumerate())]
        threads[0].join(timeout=0.5)
        alive = [thread.is_alive() for thread in threads]
        for thread in threads:
            thread.join()
        counts.append(threading.active_count())
        return done, counts, alive, [thread.is_alive() for thread in threads], round(time.monotonic() - begin, 1)

    names = ["Thread-1 (work)", "Thread-2 (work)", "Thread-3 (work)"]
    done, counts, alive, dead, seconds = run(body)
    assert done == [(1, names[1]), (2, names[2]), (3, names[0])]
    assert counts == [4, ["MainThread", *names], 1]
    assert (alive, dead, seconds) == ([True] * 3, [False] * 3, 3.0)


def test_errors_of_threading_are_those_of_cpython() -> None:
    def body():
        import threading

        thread = threading.Thread(target=lambda: None)
        found = [attempt(thread.join), thread.is_alive(), thread.ident]
        found += [attempt(thread.start), attempt(thread.join), attempt(thread.start), attempt(thread.join)]
        found += [attempt(threading.current_thread().join), attempt(setattr, thread, "daemon", True)]
        found += [attempt(threading.Condition().notify), attempt(threading.Condition().wait), thread.is_alive()]
        inner = []
        other = threading.Thread(target=lambda: inner.append(attempt(other.join)))
        other.start()
        other.join()
        found += [inner, attempt(threading.Semaphore, -1), attempt(threading.BoundedSemaphore().release)]
        return found

    same(body)


def test_start_new_thread_checks_its_arguments_as_cpython() -> None:
    def body():
        import _thread

        found = [attempt(_thread.start_new_thread, *args) for args in ((1, ()), (print, 1), (print, (), 1))]
        found += [attempt(_thread.start_new_thread, *args)[:2] for args in ((), (print,), (print, (), {}, 1))]
        found += [attempt(_thread.stack_size, size) for size in (0, 1, -1, 1 << 16, 0, "big", 0)]
        found += [_thread.start_new is not None, _thread.exit_thread is not None, attempt(_thread.exit)]
        found += [attempt(_thread.interrupt_main, number) for number in (0, 65, -1, "x")]
        return found

    same(body)


def test_start_new_thread_passes_its_arguments_and_counts() -> None:
    def body():
        import _thread
        import time

        seen = []

        def work(*args, **keywords):
            seen.append((args, keywords, _thread.get_ident()))
            time.sleep(1)

        ident = _thread.start_new_thread(work, (1, 2), {"word": 3})
        time.sleep(0.5)
        count = _thread._count()
        time.sleep(1)
        return seen == [((1, 2), {"word": 3}, ident)], count, _thread._count()

    assert same(body) == (True, 1, 0)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="handles are new in 3.13")
def test_handles_behave_like_those_of_cpython() -> None:
    def body():
        import _thread
        import re

        def text(thing):
            return re.sub("ident=[1-9][0-9]+", "ident=it", repr(thing))

        handle = _thread._ThreadHandle()
        found = [text(handle), attempt(handle.join), attempt(handle._set_done), handle.is_done(), handle.ident]
        given = _thread.start_joinable_thread(lambda: None, handle=handle)
        found += [given is handle, handle.join(5), handle.join(), handle.is_done(), text(handle), handle.join(-1)]
        found += [attempt(_thread.start_joinable_thread, print, handle=handle), attempt(handle.join, "soon")]
        found += [attempt(_thread.start_joinable_thread, 1), attempt(_thread.start_joinable_thread, print, 1)]
        known = _thread._make_thread_handle(5)
        found += [known.ident, attempt(_thread._make_thread_handle, "x"), attempt(_thread._make_thread_handle, -1)]
        found += [known.is_done(), known._set_done(), known.is_done(), known.join()]
        own = _thread._make_thread_handle(_thread.get_ident())
        found += [attempt(own.join), _thread._get_main_thread_ident() == own.ident, _thread.daemon_threads_allowed()]
        return found

    same(body)


def test_a_join_of_a_thread_that_never_ends_says_whose() -> None:
    def body():
        import threading

        lock = threading.Lock()
        lock.acquire()
        thread = threading.Thread(target=lock.acquire, name="stuck")
        thread.start()
        thread.join()

    with pytest.raises(BodyFailed, match="program/main>: join of thread stuck"):
        run(body)


# ---- identity


def test_identities_are_a_threads_own_and_its_processes() -> None:
    def body():
        import threading

        from wavetank.kernel import threads

        world = harness.World.current
        found = {}

        def note(name):
            current = threading.current_thread()
            found[name] = (threading.get_ident(), threading.get_native_id(), current.ident, current.native_id,
                           current.name, current is threading.main_thread())  # fmt: skip

        def program():
            threads.process_threads_begin()
            note("other main")

        note("main")
        thread = threading.Thread(target=note, args=("thread",))
        thread.start()
        thread.join()
        world.start(world.process("beta", "other", 200), program)
        core.K.park("a while", core.K.now + 1_000_000)
        return found

    found = run(body)
    assert found["main"][1::2] == (100, 100, True)
    assert found["other main"][1::2] == (200, 200, True)
    assert found["thread"][1] not in (100, 200)
    assert found["thread"][4:] == ("Thread-1 (note)", False)
    assert all(each[0] == each[2] and each[1] == each[3] for each in found.values())
    assert len({each[0] for each in found.values()}) == 3


def test_a_thread_that_threading_did_not_start_is_a_dummy() -> None:
    def body():
        import _thread
        import threading
        import time

        found = []

        def work():
            found.append(type(threading.current_thread()).__name__)
            found.append(threading.current_thread().daemon)
            found.append(threading.active_count())

        _thread.start_new_thread(work, ())
        time.sleep(0.5)
        return found

    assert same(body) == ["_DummyThread", True, 2]


# ---- exceptions


def test_an_exception_out_of_a_thread_goes_to_the_excepthook_and_to_the_hooks() -> None:
    def body(own_hook):
        import sys
        import threading

        from wavetank.kernel import threads

        told, seen = [], []
        threads.thread_exception_hooks.append(lambda error, where: told.append((repr(error), where)))
        if own_hook:
            threading.excepthook = lambda args: seen.append((args.exc_type.__name__, args.thread.name))

        def fail():
            raise ValueError("of the thread")

        for name, function in (("fail", fail), ("exit", sys.exit), ("end", lambda: None)):
            thread = threading.Thread(target=function, name=f"worker-{name}")
            thread.start()
            thread.join()
        return told, seen, thread.is_alive()

    told = [("ValueError('of the thread')", "in thread worker-fail")]
    # A program's own hook is asked about SystemExit, too; CPython's default one passes over it.
    assert run(body, True) == (told, [("ValueError", "worker-fail"), ("SystemExit", "worker-exit")], False)
    assert run(body, False) == (told, [], False)


def test_the_default_excepthook_prints_as_cpython() -> None:
    def body():
        import io
        import sys
        import threading

        def fail():
            raise ValueError("of the thread")

        sys.stderr, before = io.StringIO(), sys.stderr
        thread = threading.Thread(target=fail, name="worker")
        thread.start()
        thread.join()
        text, sys.stderr = sys.stderr.getvalue(), before
        return text.splitlines()[0], text.splitlines()[-1]

    assert same(body) == ("Exception in thread worker:", "ValueError: of the thread")


def test_an_exception_out_of_a_bare_thread_is_unraisable_and_told() -> None:
    def body():
        import _thread
        import sys
        import time

        told, seen = [], []
        if "wavetank.kernel.threads" in sys.modules:
            hooks = sys.modules["wavetank.kernel.threads"].thread_exception_hooks
            hooks.append(lambda error, where: told.append((type(error).__name__, where)))

        def fail():
            raise ValueError("of the thread")

        sys.unraisablehook = lambda args: seen.append((args.exc_type.__name__, args.err_msg.split(" <")[0],
                                                       args.object is fail))  # fmt: skip
        _thread.start_new_thread(fail, ())
        _thread.start_new_thread(_thread.exit, ())
        time.sleep(0.5)
        return seen, told

    seen, told = run(body)
    assert told == [("ValueError", "in thread fail")]
    assert (seen, []) == real(body)


# ---- processes


def test_each_process_has_its_own_table_of_threads_and_numbers_them_itself() -> None:
    def body():
        import threading
        import time

        from wavetank.kernel import threads

        world = harness.World.current
        found = []

        def program():
            threads.process_threads_begin()
            thread = threading.Thread(target=time.sleep, args=(1,))
            thread.start()
            threading.excepthook = None
            time.sleep(0.5)
            found.append(sorted(each.name for each in threading.enumerate()))

        thread = threading.Thread(target=time.sleep, args=(1,))
        thread.start()
        hook = threading.excepthook
        world.start(world.process("beta", "other", 200), program)
        time.sleep(0.7)
        found.append(sorted(each.name for each in threading.enumerate()))
        return found, threading.excepthook is hook is threading.__excepthook__

    names = ["MainThread", "Thread-1 (sleep)"]
    assert run(body) == ([names, names], True)


def test_the_end_of_a_process_waits_for_its_own_threads_but_not_for_daemons() -> None:
    def body():
        import threading
        import time

        from wavetank.kernel import threads

        world = harness.World.current
        found = []

        def note(seconds, word):
            time.sleep(seconds)
            found.append(word)

        def program():
            threads.process_threads_begin()
            threading.Thread(target=note, args=(1, "thread")).start()
            threading.Thread(target=note, args=(50, "daemon"), daemon=True).start()
            threads.process_threads_end()
            found.append(core.K.now // 1_000_000_000)
            core.K.process.finish(0)
            core.K.give_up()

        threading.Thread(target=note, args=(20, "thread of another process")).start()
        world.start(world.process("beta", "other", 200), program)
        time.sleep(100)
        threads.process_threads_end()
        return found, threading.main_thread().is_alive()

    assert run(body) == (["thread", 1, "thread of another process"], False)


def test_the_end_of_a_process_ends_its_pools_and_leaves_those_of_others() -> None:
    def image():
        import concurrent.futures.thread  # noqa: F401

        from wavetank.kernel import threads

        threads.remember_image()

    def body():
        import concurrent.futures.thread as pools
        import time
        import weakref

        from wavetank.kernel import threads

        world = harness.World.current
        found = []

        def program():
            core.K.process.own(vars(pools), {"_shutdown": False})
            core.K.process.own(vars(pools), {"_threads_queues": weakref.WeakKeyDictionary()})
            threads.process_threads_begin()
            future = pools.ThreadPoolExecutor(2).submit(time.sleep, 2)
            threads.process_threads_end()
            found.append((future.done(), round(core.K.now / 1e9)))
            core.K.process.finish(0)
            core.K.give_up()

        core.K.process.own(vars(pools), {"_shutdown": False})
        core.K.process.own(vars(pools), {"_threads_queues": weakref.WeakKeyDictionary()})
        pool = pools.ThreadPoolExecutor(1)
        pool.submit(int).result()
        world.start(world.process("beta", "other", 200), program)
        time.sleep(10)
        found.append(pool.submit(int, 7).result())
        threads.process_threads_end()
        found.append(attempt(pool.submit, int)[:2])
        return found

    assert run(body, before=image) == [(True, 2), 7, ("raises", "RuntimeError")]


def test_each_process_runs_its_own_finalizers_when_it_ends() -> None:
    def image():
        import weakref

        global kept
        kept = {1}
        weakref.finalize(kept, print, "of the image: belongs to nobody")

    def body():
        import time
        import weakref

        from wavetank.kernel import exits, finalizers, threads

        class Thing:
            pass

        world = harness.World.current
        called = []
        mine, early, theirs = Thing(), Thing(), Thing()

        def program():
            exits.begin(core.K.process, [])
            threads.process_threads_begin()
            finalizers.begin()
            weakref.finalize(theirs, called.append, "theirs")
            quiet = weakref.finalize(theirs, called.append, "not at exit")
            quiet.atexit = False
            exits.run_all()
            core.K.process.finish(0)
            core.K.give_up()

        exits.begin(core.K.process, [])
        finalizers.begin()
        finalizer = weakref.finalize(mine, called.append, "mine")
        weakref.finalize(early, called.append, "early")
        world.start(world.process("beta", "other", 200), program)
        time.sleep(1)
        called.append(finalizer.alive)
        del early
        exits.run_all()
        return called, finalizer.alive

    faces = ("exits", *FACES)
    assert simulated(body, faces=faces, before=image) == (["theirs", True, "early", "mine"], False)


def test_nothing_is_kept_of_a_world_that_is_forgotten() -> None:
    def body():
        import threading
        import time
        import weakref

        from wavetank.kernel import locks, threads

        class Thing:
            pass

        thing = Thing()
        weakref.finalize(thing, print, "never")
        threading.stack_size(1 << 20)
        threading.Thread(target=time.sleep, args=(100,)).start()
        threads.forget()
        return len(weakref.finalize._registry), len(threads._awaited), len(threads._stack_sizes), len(locks.sentinels)

    assert run(body) == (0, 0, 0, 0)


def test_an_exception_while_the_end_waits_is_shown_and_ends_the_wait() -> None:
    def body():
        import sys
        import threading
        import time

        from wavetank.kernel import threads

        def interrupt(number, frame):
            raise KeyboardInterrupt

        seen = []
        sys.unraisablehook = lambda args: seen.append((args.exc_type.__name__, args.err_msg, args.object is threading))
        process = core.K.process
        process.handlers[2] = interrupt
        threading.Thread(target=time.sleep, args=(1_000,)).start()
        core.K.after(1_000_000_000, process.send_signal, 2)
        threads.process_threads_end()
        return seen, core.K.now // 1_000_000_000

    (seen,), seconds = run(body)
    assert seconds == 1
    assert seen[0] == "KeyboardInterrupt"


def test_interrupt_main_is_a_signal_if_a_function_handles_it() -> None:
    def body():
        import _thread
        import threading
        import time

        seen = []
        process = core.K.process
        process.handlers[2] = 0  # SIG_DFL
        thread = threading.Timer(1, _thread.interrupt_main)
        thread.start()
        thread.join()
        process.handlers[2] = lambda number, frame: seen.append((number, threading.current_thread().name))
        threading.Timer(1, _thread.interrupt_main).start()
        time.sleep(5)
        threading.Timer(1, _thread.interrupt_main, (10,)).start()
        process.handlers[10] = 1  # SIG_IGN
        time.sleep(5)
        return seen

    assert run(body) == [(2, "MainThread")]


# ---- the rest of threading


def test_conditions_events_semaphores_barriers_and_timers_work_unmodified() -> None:
    def body():
        import threading
        import time

        found = []
        begin = time.monotonic()

        def now():
            return round(time.monotonic() - begin, 2)

        event = threading.Event()
        found.append(event.wait(1.5))
        threading.Timer(1, event.set).start()
        found.append((event.wait(5), now()))

        condition = threading.Condition()
        box = []

        def fill():
            time.sleep(1)
            with condition:
                box.append("filled")
                condition.notify_all()

        threading.Thread(target=fill).start()
        with condition:
            found.append((bool(condition.wait_for(lambda: box, timeout=0.5)), now()))
            found.append((bool(condition.wait_for(lambda: box, timeout=5)), now()))

        semaphore = threading.BoundedSemaphore(2)
        times = []

        def guarded():
            with semaphore:
                time.sleep(1)
                times.append(now())

        threads = [threading.Thread(target=guarded) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.append((times, semaphore.acquire(timeout=1)))

        barrier = threading.Barrier(3, timeout=2)
        passed = []

        def meet(seconds):
            time.sleep(seconds)
            passed.append(attempt(barrier.wait)[:2])

        for pair in ((0.1, 0.2), (0.1,)):
            threads = [threading.Thread(target=meet, args=(seconds,)) for seconds in pair]
            for thread in threads:
                thread.start()
            if len(pair) == 2:
                passed.append(attempt(barrier.wait)[:2])
            for thread in threads:
                thread.join()
        found.append((sorted(passed), barrier.broken, now()))
        return found

    assert run(body) == [
        False,
        (True, 2.5),
        (False, 3.0),
        (True, 3.5),
        ([4.5, 4.5, 5.5, 5.5], True),
        ([("raises", "BrokenBarrierError"), ("value", 0), ("value", 1), ("value", 2)], True, 7.8),
    ]


def test_the_same_seed_gives_the_same_interleaving() -> None:
    def body():
        import threading

        core.K.scheduling = core.K.choices.stream("schedule", "threads")
        core.K.scheduling_rate = 1 << 14
        trail = []
        lock = threading.Lock()

        def work(name):
            for _ in range(15):
                with lock:
                    trail.append(name)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return "".join(trail), core.K.recorder.finish()

    first = run(body, seed=5)
    assert first == run(body, seed=5)
    assert first != run(body, seed=6)
