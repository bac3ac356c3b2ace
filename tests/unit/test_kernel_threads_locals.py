"""`threading.local` on simulated threads: each has its own values, which live as long as the thread does."""

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


def test_each_thread_has_its_own_values_across_switches() -> None:
    def body():
        import threading
        import time

        local = threading.local()
        seen = []

        def work(number):
            seen.append(hasattr(local, "value"))
            for step in range(3):
                local.value = (number, step)
                time.sleep(0.05)
                seen.append(local.value == (number, step))

        local.value = "main"
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(seen), local.value, vars(local)

    assert same(body) == ([False] * 4 + [True] * 12, "main", {"value": "main"})


def test_a_subclass_is_initialised_in_each_thread() -> None:
    def body():
        import threading

        class Counter(threading.local):
            made = 0

            def __init__(self, start, *, step):
                Counter.made += 1
                self.count = start
                self.step = step

            def up(self):
                self.count += self.step
                return self.count

        counter = Counter(10, step=5)
        found = []

        def work():
            found.append((counter.up(), counter.up()))

        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        return found, counter.up(), Counter.made

    assert same(body) == ([(15, 20)] * 3, 15, 4)


def test_construction_is_checked_as_by_cpython() -> None:
    def body():
        import re
        import threading

        class Failing(threading.local):
            def __init__(self, ok=False):
                if not ok:
                    raise ValueError("in " + threading.current_thread().name)

        def in_thread():
            found.append(attempt(getattr, failing, "x"))
            found.append(attempt(getattr, failing, "x"))

        found = [attempt(threading.local, 1), attempt(threading.local, a=1), attempt(Failing)]
        found += [attempt(setattr, threading.local(), "__dict__", {})[:2], re.sub("0x.*", "", repr(threading.local()))]
        found += [threading.local.__name__, threading.local.__module__]
        failing = Failing(True)
        Failing.__init__ = lambda self, ok: 1 / 0
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        return found

    same(body)


def test_values_end_with_their_thread_and_with_their_local() -> None:
    def body():
        import threading
        import weakref

        class Value:
            pass

        local = threading.local()
        other = threading.local()
        values = []

        def work(done, go):
            local.value, other.value = Value(), Value()
            values.extend([weakref.ref(local.value), weakref.ref(other.value)])
            done.set()
            go.wait()

        def alive():
            return [value() is not None for value in values]

        done, go = threading.Event(), threading.Event()
        thread = threading.Thread(target=work, args=(done, go))
        thread.start()
        done.wait()
        found = [alive()]
        del other
        found.append(alive())
        go.set()
        thread.join()
        found.append(alive())
        return found

    assert same(body) == [[True, True], [True, False], [False, False]]


def test_finalizers_of_values_run_in_the_thread_that_ends() -> None:
    def body():
        import threading

        local = threading.local()
        seen = []

        class Value:
            def __del__(self):
                seen.append((threading.get_ident() == ident[0], hasattr(local, "value")))
                local.again = seen

        ident = []

        def work():
            ident.append(threading.get_ident())
            local.value = Value()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return seen, hasattr(local, "again")

    assert run(body) == ([(True, False)], False)


def test_a_local_at_the_address_of_a_dead_one_begins_empty_in_every_thread() -> None:
    def body():
        import threading
        import time

        stop = []
        mistakes = []
        box = [threading.local()]

        def work(number):
            while not stop:
                local = box[0]
                if getattr(local, "owner", number) != number:
                    mistakes.append((number, local.owner))
                local.owner = number
                local.stuff = [number] * 10
                del local
                time.sleep(0.001)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        addresses = set()
        for _ in range(300):
            time.sleep(0.0025)
            addresses.add(id(box[0]))
            box[0] = None
            box[0] = threading.local()
            if hasattr(box[0], "owner"):
                mistakes.append("main")
        stop.append(True)
        for thread in threads:
            thread.join()
        return mistakes, len(addresses) < 100

    assert run(body) == ([], True)


def test_processes_begin_with_the_values_that_the_image_had_and_then_have_their_own() -> None:
    def image():
        import sys
        import threading
        import types

        from wavetank.kernel import threads

        class Initialised(threading.local):
            def __init__(self):
                self.made = True

        made = sys.modules["made_before"] = types.ModuleType("made_before")
        made.local, made.initialised = threading.local(), Initialised()
        made.local.value = "of the image"
        made.initialised.value = 7
        threads.remember_image()

    def body():
        import threading
        import time

        import made_before as made

        from wavetank.kernel import threads

        world = harness.World.current
        found = []

        def program():
            threads.process_threads_begin()
            found.append((made.local.value, made.initialised.made, made.initialised.value))
            made.local.value = "of beta"
            time.sleep(1)
            found.append(made.local.value)

        def thread():
            found.append((hasattr(made.local, "value"), vars(made.initialised)))

        found.append(made.local.value)
        made.local.value = "of alpha"
        world.start(world.process("beta", "other", 200), program)
        time.sleep(0.5)
        other = threading.Thread(target=thread)
        other.start()
        other.join()
        time.sleep(2)
        return found, made.local.value

    assert run(body, before=image) == (
        ["of the image", ("of the image", True, 7), (False, {"made": True}), "of beta"],
        "of alpha",
    )
