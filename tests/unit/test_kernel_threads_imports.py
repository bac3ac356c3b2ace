"""Imports by several threads: the second importer waits for the first, and circles are found as CPython finds them."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from pathlib import Path
from typing import Any

from tests.unit.kernel_harness import simulated

FACES = ("time", "threads")


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=FACES, **options)


def test_a_second_importer_sees_a_whole_module(tmp_path: Path) -> None:
    def body(folder):
        import sys
        import threading
        import time

        sys.path.insert(0, folder)
        found = []

        def importer(name):
            import slow_module

            found.append((name, getattr(slow_module, "after", "half a module"), core.K.now // 1_000_000_000))

        threads = [threading.Thread(target=importer, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        return found

    (tmp_path / "slow_module.py").write_text("import time\nbefore = 1\ntime.sleep(2)\nafter = 'whole'\n")
    assert run(body, str(tmp_path)) == [(name, "whole", 2) for name in "abc"]


def test_threads_that_import_in_a_circle_do_not_hang(tmp_path: Path) -> None:
    def body(folder):
        import sys
        import threading

        sys.path.insert(0, folder)
        found = []

        def importer(name):
            found.append((name, __import__(name).done))

        threads = [threading.Thread(target=importer, args=(name,)) for name in ("circle_a", "circle_b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    (tmp_path / "circle_a.py").write_text("import time\ntime.sleep(1)\nimport circle_b\ndone = 1\n")
    (tmp_path / "circle_b.py").write_text("import time\ntime.sleep(1)\nimport circle_a\ndone = 1\n")
    assert run(body, str(tmp_path)) == [("circle_a", 1), ("circle_b", 1)]


def test_an_importer_gets_a_whole_module_under_any_schedule(tmp_path: Path) -> None:
    def body(folder):
        import sys
        import threading

        sys.path.insert(0, folder)
        core.K.scheduling = core.K.choices.stream("schedule", "threads")
        core.K.scheduling_rate = 1 << 15
        found = []

        def importer():
            import outer_module

            found.append(outer_module.inner.value)

        threads = [threading.Thread(target=importer) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    (tmp_path / "outer_module.py").write_text("import threading\nimport inner_module as inner\n")
    (tmp_path / "inner_module.py").write_text("import threading\nwith threading.Lock():\n    pass\nvalue = 7\n")
    for seed in range(3):
        assert run(body, str(tmp_path), seed=seed) == [7] * 4


def test_a_process_that_dies_in_an_import_leaves_the_module_to_the_next(tmp_path: Path) -> None:
    def body(folder, waits):
        import sys
        import time

        from wavetank.kernel import threads

        sys.path.insert(0, folder)
        world = harness.World.current
        victim = world.process("beta", "victim", 200)

        def program():
            threads.process_threads_begin()
            import hanging_module  # noqa: F401

        world.start(victim, program)
        core.K.after(1_000_000_000, victim.finish, -9)
        time.sleep(0.5 if waits else 1.5)
        sys.never_ending = False
        import hanging_module

        first = hasattr(hanging_module, "whole")
        import hanging_module

        return first, hanging_module.whole, core.K.now // 100_000_000

    (tmp_path / "hanging_module.py").write_text(
        "import sys, time\nif getattr(sys, 'never_ending', True):\n    time.sleep(1000)\nwhole = True\n"
    )
    assert run(body, str(tmp_path), False) == (True, True, 15)
    # Who waits in C code is given what was there when the wait began, without a second look.
    assert run(body, str(tmp_path), True) == (False, True, 10)
