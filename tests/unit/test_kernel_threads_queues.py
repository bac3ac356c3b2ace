"""`SimpleQueue`, and `queue.Queue` and thread pools on top of simulated threads."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import real, simulated

FACES = ("time", "threads")


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=FACES, **options)


def same(body: Any, *args: Any) -> Any:
    """What the body returns on the simulated kernel, which must be what it returns on the real system."""
    found = run(body, *args)
    assert found == real(body, *args)
    return found


def test_a_simple_queue_behaves_like_one_of_cpython() -> None:
    def body():
        import _queue
        import copy
        import queue
        import weakref

        q = queue.SimpleQueue()
        found = [type(q).__name__, type(q).__module__, queue.Empty is _queue.Empty, q.empty(), q.qsize()]
        found += [
            attempt(q.get, False),
            attempt(q.get_nowait),
            attempt(q.get, timeout=0.001),
            attempt(q.get, timeout=0),
        ]
        found += [attempt(q.get, True, -1), attempt(q.get, False, -1), attempt(q.get, timeout="soon")]
        found += [attempt(q.get, timeout=1e30), attempt(q.get, timeout=float("nan")), attempt(q.put)[:2]]
        found += [q.put(1), q.put(2, True, None), q.put(item=3, block=False), q.put_nowait(4), q.empty(), q.qsize()]
        found += [q.get(), q.get(False), q.get(block=True, timeout=5), q.get_nowait(), q.empty()]
        found += [attempt(queue.SimpleQueue, 1)[:2], repr(queue.SimpleQueue[int]), weakref.ref(q)() is q]
        found += [attempt(copy.copy, q), hasattr(q, "__dict__")]

        class Sub(queue.SimpleQueue):
            def __init__(self, word):
                self.word = word

        found += [Sub("hello").word, Sub(word="hello").empty()]
        return found

    same(body)


def test_getters_are_served_in_the_order_in_which_they_came() -> None:
    def body():
        import queue
        import threading
        import time

        q = queue.SimpleQueue()
        got = []

        def take(number):
            got.append((number, q.get()))

        threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
            time.sleep(0.01)
        for item in "abcd":
            q.put(item)
        for thread in threads:
            thread.join()
        return got

    assert run(body) == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]


def test_a_timeout_of_get_passes_in_virtual_time() -> None:
    def body():
        import queue
        import threading
        import time

        q = queue.SimpleQueue()
        threading.Timer(2, q.put, ("late",)).start()
        before = time.monotonic()
        first = attempt(q.get, timeout=1.5)
        return first, round(time.monotonic() - before, 3), q.get(timeout=60), round(time.monotonic() - before, 3)

    assert run(body) == (("raises", "Empty", ()), 1.5, "late", 2.0)


def test_no_item_is_lost_or_doubled_by_many_threads_under_any_schedule() -> None:
    def body(kind, rate):
        import queue
        import threading

        core.K.scheduling = core.K.choices.stream("schedule", "threads")
        core.K.scheduling_rate = rate
        q = queue.SimpleQueue() if kind == "simple" else queue.Queue(3)
        got = []

        def feed(number):
            for item in range(20):
                q.put((number, item))

        def take():
            while True:
                item = q.get()
                if item is None:
                    return
                got.append(item)

        feeders = [threading.Thread(target=feed, args=(number,)) for number in range(4)]
        takers = [threading.Thread(target=take) for _ in range(3)]
        for thread in feeders + takers:
            thread.start()
        for thread in feeders:
            thread.join()
        for _ in takers:
            q.put(None)
        for thread in takers:
            thread.join()
        return sorted(got), q.empty()

    wanted = ([(number, item) for number in range(4) for item in range(20)], True)
    for kind in ("simple", "queue"):
        for seed in range(3):
            assert run(body, kind, 1 << 14, seed=seed) == wanted


def test_an_interrupted_getter_leaves_its_item_to_the_next() -> None:
    def body():
        import queue
        import threading
        import time

        def interrupt(number, frame):
            raise KeyboardInterrupt

        process = core.K.process
        process.handlers[2] = interrupt
        q = queue.SimpleQueue()
        got = []

        def put():
            time.sleep(1)
            process.send_signal(2)
            q.put("item")  # wakes the main thread, which has a signal to handle first

        def second():
            time.sleep(0.5)
            got.append(q.get())

        threads = [threading.Thread(target=put), threading.Thread(target=second)]
        for thread in threads:
            thread.start()
        outcome = attempt(q.get)
        for thread in threads:
            thread.join()
        return outcome, got

    assert run(body) == (("raises", "KeyboardInterrupt", ()), ["item"])


def test_a_getter_that_was_woken_otherwise_is_not_forgotten() -> None:
    def body(value, timeout):
        import queue
        import threading
        import time

        q = queue.SimpleQueue()
        got = []
        getter = threading.Thread(target=lambda: got.append(attempt(q.get, timeout=timeout)))
        getter.start()
        time.sleep(0.1)
        parked = next(thread for thread in core.K.threads if thread.ident == getter.ident)
        core.K.wake(parked, core.TIMEOUT if value == "timeout" else None)
        q.put("item")
        getter.join()
        return got, q.qsize()

    assert run(body, "spurious", None) == ([("value", "item")], 0)
    assert run(body, "timeout", 50) == ([("raises", "Empty", ())], 1)


def test_a_bounded_queue_holds_its_producer_back() -> None:
    def body():
        import queue
        import threading
        import time

        q = queue.Queue(2)
        times = []

        def produce():
            for item in range(5):
                q.put(item)
                times.append(round(time.monotonic() - begin, 1))
            q.put(None)

        begin = time.monotonic()
        threading.Thread(target=produce).start()
        got = []
        while True:
            time.sleep(1)
            item = q.get()
            q.task_done()
            if item is None:
                break
            got.append(item)
        q.join()
        return got, times, attempt(q.get, timeout=3), round(time.monotonic() - begin, 1)

    assert run(body) == ([0, 1, 2, 3, 4], [0.0, 0.0, 1.0, 2.0, 3.0], ("raises", "Empty", ()), 9.0)


def test_a_thread_pool_works_unmodified() -> None:
    def body():
        import threading
        import time
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, as_completed, wait

        def work(seconds):
            time.sleep(seconds)
            return seconds, threading.current_thread().name

        def fail():
            raise ValueError("from the pool")

        begin = time.monotonic()
        with ThreadPoolExecutor(2, thread_name_prefix="pool") as pool:
            found = [future.result() for future in as_completed([pool.submit(work, seconds) for seconds in (3, 1, 1)])]
            late = pool.submit(work, 5)
            done, waiting = wait([late, pool.submit(work, 1)], return_when=FIRST_COMPLETED)
            found += [len(done), len(waiting), attempt(late.result, timeout=1)[:2], attempt(pool.submit(fail).result)]
            found.append(list(pool.map(abs, (-1, -2))))
        return found, round(time.monotonic() - begin, 1)

    found, seconds = run(body)
    assert found == [
        (1, "pool_1"),
        (1, "pool_1"),
        (3, "pool_0"),
        1,
        1,
        ("raises", "TimeoutError"),
        ("raises", "ValueError", ("from the pool",)),
        [1, 2],
    ]
    assert seconds == 8.0
